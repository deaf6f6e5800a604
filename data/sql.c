/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions of the SQL engine. */
#include "data/sql_internal.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "data/database_disk.h"
#include "data/database_memory.h"

#define SIZE_BYTES 4
#define VALUES_MAX_BYTES (8U << 20)
#define OPERATION_MEMORY_BYTES (INT64_C(64) << 20)

static const char *const own[SQL_OWN_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_PAGE_COUNT] = "PRAGMA page_count",
};

static void sql_cleanup(struct sql **sql)
{
    *sql = sql_close(*sql);
}

/* ---- open and close */

int sql_read_integer(sqlite3 *db, const char *text, int64_t *ret_integer)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, text, -1, &statement, NULL);

    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        *ret_integer = sqlite3_column_int64(statement, 0);
    (void) sqlite3_finalize(statement);
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

static int bound(sqlite3 *db, void *owner)
{
    return sql_bound(owner, db);
}

/* Reads the whole schema, so that a malformed one is known now. */
static int setup(sqlite3 *db, void *owner)
{
    struct sql *sql = owner;
    int64_t n;
    int code = sql_read_integer(db, "SELECT count(*) FROM sqlite_schema", &n);

    if (code == SQLITE_OK)
        code = sql_read_integer(db, "PRAGMA page_size", &sql->page_bytes);
    if (code == SQLITE_OK)
        code = sql_read_integer(db, "PRAGMA page_count", &sql->pages);
    return code;
}

int sql_open(const char *path, struct sql **ret_sql, char notice[static 512])
{
    _cleanup_(sql_cleanup) struct sql *sql = calloc(1, sizeof *sql);

    if (!sql)
        return -ENOMEM;
    const int r = database_open(path, bound, setup, sql, &sql->db, notice);
    if (r < 0)
        return r;
    int code = database_prepare(sql->db, own, SQL_OWN_STATEMENTS, sql->own);
    if (code == SQLITE_OK)
        code = sql_guard(sql);
    if (code != SQLITE_OK || sql_copies_open(sql) < 0)
        return code == SQLITE_OK ? -ENOMEM : database_errno(code);
    *ret_sql = TAKE_PTR(sql);
    return 0;
}

struct sql *sql_close(struct sql *sql)
{
    if (!sql)
        return NULL;
    sql_copies_close(sql);
    sql_cache_clear(sql);
    database_finalize(sql->own, SQL_OWN_STATEMENTS);
    (void) database_close(sql->db);
    (void) sqlite3_close_v2(sql->memory);
    free(sql);
    return NULL;
}

void sql_interrupt(struct sql *sql)
{
    sqlite3_interrupt(sql->db);
}

/* ---- transactions */

/* SQLite may prepare a statement anew when that runs, and asks the authorizer then. */
static int run_own(struct sql *sql, enum sql_own statement)
{
    sql->is_own = true;
    const int code = database_run(sql->own[statement]);
    sql->is_own = false;
    return code;
}

int sql_begin(struct sql *sql)
{
    return run_own(sql, SQL_BEGIN);
}

void sql_read_size(struct sql *sql)
{
    sqlite3_stmt *statement = sql->own[SQL_PAGE_COUNT];

    sql->is_own = true; /* after a change of the schema SQLite prepares the statement anew */
    if (sqlite3_step(statement) == SQLITE_ROW)
        sql->pages = sqlite3_column_int64(statement, 0);
    (void) sqlite3_reset(statement);
    sql->is_own = false;
}

void sql_roll_back(struct sql *sql)
{
    /* An error may have ended the transaction by itself. */
    if (!sqlite3_get_autocommit(sql->db)) {
        (void) run_own(sql, SQL_ROLLBACK);
        sql_read_size(sql);
    }
}

int sql_commit(struct sql *sql, struct data_operation *operation)
{
    const bool is_written = sqlite3_txn_state(sql->db, "main") == SQLITE_TXN_WRITE;
    int code = sql_check_names(sql);

    if (code == SQLITE_OK)
        code = run_own(sql, SQL_COMMIT);

    if (code == SQLITE_OK && is_written)
        operation->is_changed = true;
    return code;
}

/* Returns whether an error that says so is of a damaged file: statements can lead to it, too, as with an index on LIKE whose meaning
 * has changed. */
static bool is_damaged(struct sql *sql, int code)
{
    if (!database_is_corrupt(code))
        return false;
    sql->is_own = true;
    const bool is_it = database_is_corrupt(database_check(sql->db));
    sql->is_own = false;
    return is_it;
}

static bool is_code(int code, int primary)
{
    return (code & 0xff) == primary;
}

int sql_fail(struct sql *sql, int code, const char *prefix, struct data_operation *operation)
{
    const char *name = database_code_name(code);
    const struct data_limits *limits = &operation->limits;

    if (sql->is_condemned)
        return -EUCLEAN;
    if (is_code(code, SQLITE_AUTH) && sql->refusal)
        data_fail(operation, 400, "%snot authorized: %s: %s", prefix, sql->refusal, name);
    else if (is_code(code, SQLITE_NOMEM) && database_memory_is_deep())
        data_fail(operation, 400,
                  "%sviews, triggers or foreign keys lead to each other too deeply: %s", prefix,
                  name);
    else if (is_code(code, SQLITE_INTERRUPT) && !atomic_load(&operation->is_cancelled))
        data_fail(operation, 504, "%sover the limit sql_ms, %u ms: %s", prefix, limits->sql_ms,
                  name);
    else if (is_code(code, SQLITE_FULL) && !database_disk_is_full())
        data_fail(operation, 507, "%sover the quota sql_mib, %u MiB, or out of row ids: %s", prefix,
                  limits->sql_mib, name);
    else if (database_fail(sql->db, code, prefix, operation) < 0) {
        if (is_damaged(sql, code)) {
            sql->is_condemned = true;
            database_condemn(sql->db, operation->notice);
            return -EUCLEAN;
        }
        operation->status = 400;
    }
    return 0;
}

/* ---- operations */

int sql_fail_answer(struct data_operation *operation, int error)
{
    if (error == -EPROTO)
        data_fail(operation, 400, SQL_PREFIX "the arguments are not those of %s", operation->name);
    else if (error == -EFBIG)
        data_fail(operation, 413, SQL_PREFIX "the rows are over the limit sql_rows_mib, %u MiB",
                  operation->limits.sql_rows_mib);
    else
        data_fail(operation, 503, SQL_PREFIX "out of memory");
    return SQLITE_OK;
}

int sql_answer_begin(struct data_operation *operation)
{
    static const uint8_t none[SIZE_BYTES];

    return data_answer_add(&operation->answer, none, sizeof none);
}

struct verb {
    const char *name;
    int (*run)(struct sql *sql, struct data_operation *operation, struct values values);
    bool is_operators;
    bool has_own_transactions;
};

static const struct verb verbs[] = {
    { "query", sql_query, .is_operators = false },
    { "exec", sql_exec, .is_operators = false },
    { "migrate", sql_migrate, .is_operators = true, .has_own_transactions = true },
    { "copy-begin", sql_copy_begin, .is_operators = true, .has_own_transactions = true },
    { "copy-step", sql_copy_step, .is_operators = true, .has_own_transactions = true },
    { "copy-read", sql_copy_read, .is_operators = true, .has_own_transactions = true },
    { "copy-end", sql_copy_end, .is_operators = true, .has_own_transactions = true },
    { "restore-begin", sql_restore_begin, .is_operators = true, .has_own_transactions = true },
    { "restore-write", sql_restore_write, .is_operators = true, .has_own_transactions = true },
    { "restore-commit", sql_restore_commit, .is_operators = true, .has_own_transactions = true },
};

static const struct verb *find_verb(const struct data_operation *operation)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].name, operation->name) == 0 &&
            (!verbs[i].is_operators || operation->is_operator))
            return &verbs[i];
    return NULL;
}

/* Reads the size of the values. 0 or -EPROTO. */
static int open_request(const struct data_operation *operation, struct values *ret_values)
{
    uint32_t size;

    if (operation->request_size < SIZE_BYTES)
        return -EPROTO;
    memcpy(&size, operation->request, SIZE_BYTES);
    size = le32toh(size);
    if (size > VALUES_MAX_BYTES || size > operation->request_size - SIZE_BYTES)
        return -EPROTO;
    *ret_values = values_open(operation->request + SIZE_BYTES, size);
    return 0;
}

static int run_in_transaction(struct sql *sql, const struct verb *verb,
                              struct data_operation *operation, struct values values)
{
    int code = verb->has_own_transactions ? SQLITE_OK : sql_begin(sql);

    if (code == SQLITE_OK)
        code = verb->run(sql, operation, values);
    if (code == SQLITE_OK && operation->status == 200 && !verb->has_own_transactions)
        code = sql_commit(sql, operation);
    return code;
}

int sql_run(struct sql *sql, struct data_operation *operation)
{
    const struct verb *verb = find_verb(operation);
    struct values values;

    operation->status = 200;
    operation->answer.size = 0;
    operation->is_changed = false;
    operation->notice[0] = '\0';
    if (!verb)
        data_fail(operation, 400, SQL_PREFIX "there is no such operation");
    else if (open_request(operation, &values) < 0)
        (void) sql_fail_answer(operation, -EPROTO);
    if (operation->status != 200)
        return 0;
    sql_copies_expire(sql, operation->now_ms);
    sql->operation = operation;
    sql->refusal = NULL;
    sql->has_new_names = false;
    database_disk_begin();
    database_memory_begin(OPERATION_MEMORY_BYTES);
    int r = 0;
    int code = sql_set_quota(sql, operation->limits.sql_mib);
    if (code == SQLITE_OK)
        code = sql_count_views(sql);
    if (code == SQLITE_OK)
        code = run_in_transaction(sql, verb, operation, values);
    if (code != SQLITE_OK)
        r = sql_fail(sql, code, SQL_PREFIX, operation);
    sql_roll_back(sql);
    if (sql->has_settings && r == 0)
        (void) sql_undo_settings(sql);
    database_memory_end();
    sql->operation = NULL;
    return r;
}
