/* SPDX-License-Identifier: Apache-2.0 */
/* Prepared statements of a database by their texts; the one that has not been used for longest makes room. */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "data/sql_internal.h"

#define CACHED_TEXT_MAX_BYTES 4096
#define CACHED_MEMORY_MAX_BYTES (64 << 10)

/* FNV-1a. */
static uint64_t hash_of(const char *text, size_t size)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t) text[i]) * UINT64_C(1099511628211);
    return hash;
}

static void drop(struct sql_cached *cached)
{
    (void) sqlite3_finalize(cached->statement);
    free(cached->text);
    *cached = (struct sql_cached){ 0 };
}

void sql_cache_clear(struct sql *sql)
{
    for (size_t i = 0; i < SQL_CACHE_STATEMENTS; i++)
        drop(&sql->cache[i]);
}

static struct sql_cached *find(struct sql *sql, const char *text, size_t size, uint64_t hash)
{
    for (size_t i = 0; i < SQL_CACHE_STATEMENTS; i++) {
        struct sql_cached *cached = &sql->cache[i];
        if (cached->hash == hash && cached->size == size && cached->statement &&
            memcmp(cached->text, text, size) == 0)
            return cached;
    }
    return NULL;
}

/* Keeps a statement and its text, which it takes, in the place of the one that was not used for longest. */
static void keep(struct sql *sql, char *text, size_t size, uint64_t hash, sqlite3_stmt *statement)
{
    struct sql_cached *oldest = &sql->cache[0];

    for (size_t i = 1; i < SQL_CACHE_STATEMENTS; i++)
        if (sql->cache[i].used < oldest->used)
            oldest = &sql->cache[i];
    drop(oldest);
    *oldest = (struct sql_cached){ text, size, hash, ++sql->uses, statement };
}

const char *sql_skip_blanks(const char *text)
{
    for (;;) {
        text += strspn(text, " \t\r\n\f;");
        if (text[0] == '-' && text[1] == '-') {
            text += strcspn(text, "\n");
        } else if (text[0] == '/' && text[1] == '*') {
            const char *end = strstr(text + 2, "*/");
            text = end ? end + 2 : text + strlen(text);
        } else {
            return text;
        }
    }
}

/* Prepares a text, which is terminated and has to be one statement. */
static int prepare(struct sql *sql, const char *text, size_t size, sqlite3_stmt **ret_statement)
{
    const char *tail = NULL;

    sql->is_schema = sql->is_pragma = false;
    const int code = sqlite3_prepare_v3(sql->db, text, (int) size + 1, SQLITE_PREPARE_PERSISTENT,
                                        ret_statement, &tail);
    if (code != SQLITE_OK)
        return code;
    if (!*ret_statement) {
        data_fail(sql->operation, 400, SQL_PREFIX "No SQL statements detected.");
        return SQLITE_MISUSE;
    }
    if (*sql_skip_blanks(tail) != '\0') {
        (void) sqlite3_finalize(*ret_statement);
        data_fail(sql->operation, 400,
                  SQL_PREFIX "A prepared SQL statement must contain only one statement.");
        return SQLITE_MISUSE;
    }
    return SQLITE_OK;
}

static bool is_worth_keeping(const struct sql *sql, size_t size, sqlite3_stmt *statement)
{
    return !sql->is_schema && !sql->is_pragma && size <= CACHED_TEXT_MAX_BYTES &&
           sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_MEMUSED, 0) <= CACHED_MEMORY_MAX_BYTES;
}

int sql_get_statement(struct sql *sql, const char *text, size_t size, sqlite3_stmt **ret_statement)
{
    const uint64_t hash = size <= CACHED_TEXT_MAX_BYTES ? hash_of(text, size) : 0;
    struct sql_cached *cached = find(sql, text, size, hash);
    sqlite3_stmt *statement = NULL;

    if (cached) {
        cached->used = ++sql->uses;
        sql->is_schema = sql->is_pragma = false;
        *ret_statement = cached->statement;
        return SQLITE_OK;
    }
    if (size > SQL_STATEMENT_MAX_BYTES || memchr(text, '\0', size)) {
        data_fail(sql->operation, size > SQL_STATEMENT_MAX_BYTES ? 413 : 400,
                  SQL_PREFIX "the statement is over %u bytes, or has a zero byte",
                  SQL_STATEMENT_MAX_BYTES);
        return SQLITE_MISUSE;
    }
    _cleanup_free_ char *copy = strndup(text, size);
    if (!copy)
        return SQLITE_NOMEM;
    const int code = prepare(sql, copy, size, &statement);
    if (code != SQLITE_OK)
        return code;
    if (is_worth_keeping(sql, size, statement))
        keep(sql, TAKE_PTR(copy), size, hash, statement);
    *ret_statement = statement;
    return SQLITE_OK;
}

void sql_put_back(struct sql *sql, sqlite3_stmt *statement)
{
    for (size_t i = 0; i < SQL_CACHE_STATEMENTS; i++)
        if (sql->cache[i].statement == statement) {
            (void) sqlite3_reset(statement);
            (void) sqlite3_clear_bindings(statement);
            return;
        }
    (void) sqlite3_finalize(statement);
}
