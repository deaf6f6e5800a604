/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of the key-value engine. A file has these and nothing else: no trigger, view or index of others runs. */
#include <string.h>

#include "common/cleanup.h"
#include "data/kv_internal.h"

#define SCHEMA_VERSION "1"

static const char *const tables[] = {
    "CREATE TABLE entry(space BLOB NOT NULL, key BLOB NOT NULL, expires INTEGER, metadata BLOB, "
    "size INTEGER NOT NULL, content INTEGER, value BLOB, PRIMARY KEY(space, key)) WITHOUT ROWID, "
    "STRICT",
    "CREATE TABLE content(id INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT",
    "CREATE INDEX entry_expires ON entry(expires) WHERE expires IS NOT NULL",
    "CREATE TABLE total(id INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, keys INTEGER NOT NULL) "
    "STRICT",
};

static int make_tables(sqlite3 *db)
{
    int code = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);

    for (size_t i = 0; code == SQLITE_OK && i < ARRAY_LEN(tables); i++)
        code = sqlite3_exec(db, tables[i], NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db,
                            "INSERT INTO total(id, bytes, keys) VALUES(1, 0, 0);"
                            "PRAGMA user_version=" SCHEMA_VERSION "; COMMIT",
                            NULL, NULL, NULL);
    return code;
}

/* Compares the texts of all that the file defines with those above. ret_n is the number of them. */
static int check_tables(sqlite3 *db, size_t *ret_n)
{
    sqlite3_stmt *statement = NULL;
    size_t n = 0;
    int code = sqlite3_prepare_v2(db, "SELECT sql FROM sqlite_schema ORDER BY rowid", -1,
                                  &statement, NULL);

    while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *sql = (const char *) sqlite3_column_text(statement, 0);
        const bool is_ours = n < ARRAY_LEN(tables) && sql && strcmp(sql, tables[n]) == 0;
        code = is_ours ? SQLITE_OK : SQLITE_CORRUPT;
        n++;
    }
    (void) sqlite3_finalize(statement);
    *ret_n = n;
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

int kv_setup(sqlite3 *db, void *owner)
{
    size_t n = 0;

    (void) owner;
    const int code = check_tables(db, &n);
    if (code != SQLITE_OK || n == ARRAY_LEN(tables))
        return code;
    return n == 0 ? make_tables(db) : SQLITE_CORRUPT;
}
