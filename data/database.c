/* SPDX-License-Identifier: Apache-2.0 */
#include "data/database.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "data/database_aside.h"
#include "data/database_disk.h"
#include "data/database_memory.h"

#define CHECKPOINT_PAGES 1000
#define WAL_KEPT_PAGES 4000
#define CHECK_NS (60 * NSEC_PER_SEC) /* time of the check of a file at its opening */
#define CHECK_STEPS 100              /* steps between two looks at the time */

/* Each is run in this order on every connection. Exclusive locking comes before the first read, so that the index of the WAL is in the heap and not
 * in a file that is mapped. */
static const char settings[] = "PRAGMA locking_mode=EXCLUSIVE;"
                               "PRAGMA mmap_size=0;"
                               "PRAGMA cell_size_check=ON;"
                               "PRAGMA cache_size=-2048;"
                               "PRAGMA temp_store=MEMORY;"
                               "PRAGMA secure_delete=OFF;"
                               "PRAGMA synchronous=FULL;"
                               "PRAGMA journal_size_limit=16384000;";

static const struct {
    int option, value;
} options[] = {
    { SQLITE_DBCONFIG_DEFENSIVE, 1 },
    { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
    { SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0 },
    { SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
    { SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0 },
    { SQLITE_DBCONFIG_DQS_DDL, 0 },
    { SQLITE_DBCONFIG_DQS_DML, 0 },
    { SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, 0 },
    { SQLITE_DBCONFIG_LEGACY_FILE_FORMAT, 0 },
    { SQLITE_DBCONFIG_RESET_DATABASE, 0 },
};

/* Modules of virtual tables that stay; SQLite's own pragma_x come and go by the authorizer. */
static const char *modules[] = { "fts5", "fts5vocab", "json_each", "json_tree", NULL };

int database_start(void)
{
    if (sqlite3_config(SQLITE_CONFIG_MULTITHREAD) != SQLITE_OK ||
        database_memory_start() != SQLITE_OK || sqlite3_config(SQLITE_CONFIG_URI, 0) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 1) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_MMAP_SIZE, (sqlite3_int64) 0, (sqlite3_int64) 0) != SQLITE_OK)
        return -EBUSY;
    int code = sqlite3_initialize();
    if (code == SQLITE_OK)
        code = database_disk_start();
    if (code != SQLITE_OK)
        return database_errno(code);
    sqlite3_hard_heap_limit64(DATABASE_HEAP_MAX_BYTES);
    return 0;
}

/* ---- one attempt */

static int on_commit(void *owner, sqlite3 *db, const char *schema, int pages)
{
    (void) owner;
    /* A checkpoint that fails is tried again at the next commit; the commit stands. */
    if (pages >= WAL_KEPT_PAGES)
        (void) sqlite3_wal_checkpoint_v2(db, schema, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    else if (pages >= CHECKPOINT_PAGES)
        (void) sqlite3_wal_checkpoint_v2(db, schema, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return SQLITE_OK;
}

int database_set_options(sqlite3 *db)
{
    int code = SQLITE_OK;

    for (size_t i = 0; code == SQLITE_OK && i < ARRAY_LEN(options); i++)
        code = sqlite3_db_config(db, options[i].option, options[i].value, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_drop_modules(db, modules);
    return code;
}

/* Turns the checks of CHECK on or off. */
static int ignore_checks(sqlite3 *db, bool is_on)
{
    return sqlite3_exec(
        db, is_on ? "PRAGMA ignore_check_constraints=ON" : "PRAGMA ignore_check_constraints=OFF",
        NULL, NULL, NULL);
}

/* Turns the WAL on, which an answer of "wal" confirms. */
static int set_wal(sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, "PRAGMA journal_mode=WAL", -1, &statement, NULL);

    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW) {
            const char *mode = (const char *) sqlite3_column_text(statement, 0);
            code = mode && strcmp(mode, "wal") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
        }
    }
    (void) sqlite3_finalize(statement);
    return code;
}

/* A row that is against a CHECK is no damage: statements may write it, and the expression may take for ever. */
int database_check(sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    int code = ignore_checks(db, true);

    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);

    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW) {
            const char *text = (const char *) sqlite3_column_text(statement, 0);
            code = text && strcmp(text, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
        }
    }
    (void) sqlite3_finalize(statement);
    (void) ignore_checks(db, false);
    return code;
}

static int is_late(void *until_ns)
{
    return io_now_ns() >= *(const uint64_t *) until_ns;
}

int database_check_for(sqlite3 *db, uint64_t ns)
{
    uint64_t until_ns = io_now_ns() + ns;

    sqlite3_progress_handler(db, CHECK_STEPS, is_late, &until_ns);
    const int code = database_check(db);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    return (code & 0xff) == SQLITE_INTERRUPT ? SQLITE_OK : code;
}

/* Returns whether the last process that had the file has not closed it: then its WAL is still there. */
static bool is_unclean(const char *path)
{
    char wal[DATABASE_PATH_BYTES];
    struct stat st;

    return database_sibling(path, "-wal", wal) == 0 && lstat(wal, &st) == 0 && st.st_size > 0;
}

/* Returns whether there is a rollback journal, which only the first moments of a new file leave. A journal beside a file with more than
 * that is not of this program, and SQLite would play it back. */
static bool has_foreign_journal(const char *path)
{
    char journal[DATABASE_PATH_BYTES];
    struct stat st;

    /* In this order: another process may make the file meanwhile. */
    if (lstat(path, &st) < 0 || st.st_size <= DATABASE_PAGE_BYTES)
        return false;
    return database_sibling(path, "-journal", journal) == 0 && lstat(journal, &st) == 0;
}

static int open_once(const char *path, database_setup_fn bound, database_setup_fn setup,
                     void *owner, sqlite3 **ret_db)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW |
                      SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    const bool is_suspect = is_unclean(path);

    if (has_foreign_journal(path))
        return SQLITE_CORRUPT;
    int code = sqlite3_open_v2(path, ret_db, flags, NULL);
    if (code == SQLITE_OK)
        code = database_set_options(*ret_db);
    if (code == SQLITE_OK && bound)
        code = bound(*ret_db, owner);
    if (code == SQLITE_OK)
        code = sqlite3_exec(*ret_db, settings, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = set_wal(*ret_db);
    if (code == SQLITE_OK && is_suspect)
        code = database_check_for(*ret_db, CHECK_NS);
    if (code == SQLITE_OK)
        code = setup(*ret_db, owner);
    if (code == SQLITE_OK)
        (void) sqlite3_wal_hook(*ret_db, on_commit, NULL);
    return code;
}

int database_open(const char *path, database_setup_fn bound, database_setup_fn setup, void *owner,
                  sqlite3 **ret_db, char notice[static DATABASE_NOTICE_BYTES])
{
    sqlite3 *db = NULL;

    notice[0] = '\0';
    int code = open_once(path, bound, setup, owner, &db);
    if (database_is_corrupt(code)) {
        db = database_close(db);
        const int r = database_put_aside(path, sqlite3_errstr(code), notice);
        if (r < 0)
            return r;
        code = open_once(path, bound, setup, owner, &db);
    }
    if (code != SQLITE_OK) {
        (void) database_close(db);
        return database_errno(code);
    }
    *ret_db = db;
    return 0;
}

void database_condemn(sqlite3 *db, char notice[static DATABASE_NOTICE_BYTES])
{
    const char *path = sqlite3_db_filename(db, "main");

    /* Closing would write more into the file, and remove its WAL by name. */
    (void) sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    const int r = database_put_aside(path, sqlite3_errstr(SQLITE_CORRUPT), notice);
    if (r < 0)
        (void) snprintf(notice, DATABASE_NOTICE_BYTES,
                        "%.300s is corrupt and cannot be put aside: %s", path, strerror(-r));
}

sqlite3 *database_close(sqlite3 *db)
{
    (void) sqlite3_close_v2(db);
    return NULL;
}

/* ---- statements */

void database_finalize(sqlite3_stmt **statements, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void) sqlite3_finalize(statements[i]);
        statements[i] = NULL;
    }
}

int database_prepare(sqlite3 *db, const char *const *texts, size_t n, sqlite3_stmt **ret_statements)
{
    for (size_t i = 0; i < n; i++) {
        const int code = sqlite3_prepare_v3(db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                            &ret_statements[i], NULL);
        if (code != SQLITE_OK) {
            database_finalize(ret_statements, i);
            return code;
        }
    }
    return SQLITE_OK;
}

int database_run(sqlite3_stmt *statement)
{
    const int code = sqlite3_step(statement);

    (void) sqlite3_reset(statement);
    return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}
