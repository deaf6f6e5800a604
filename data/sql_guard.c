/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounds of what statements of tenants may do: limits, an authorizer that allows what D1 allows, and a progress handler that looks at
 * the clock. SQLite's own page "Defense against the dark arts" (https://www.sqlite.org/security.html) has the list.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "data/sql_internal.h"

/* SQLite counts each step, but calls the handler at jumps only: a row of many functions over texts of 2 MiB is not interrupted. A statement's
 * length bounds the time of its rows; the process ends itself with a statement that is far over its time. */
#define PROGRESS_STEPS 100
#define OPCODES_MAX 250000
#define PAGES_MOST 1073741823
#define CHECKED_MAX_BYTES (INT64_C(64) << 20)
#define RESERVED "_skep"
#define TEXT_OF(number) TEXT_OF_TOKEN(number)
#define TEXT_OF_TOKEN(token) #token

static const char too_many_views[] =
    "at most " TEXT_OF(SQL_VIEWS_MAX) " views and triggers in a database";
static const char reserved[] = "names that begin with " RESERVED " are reserved";

static const struct {
    int limit, most;
} limits[] = {
    { SQLITE_LIMIT_LENGTH, SQL_VALUE_MAX_BYTES },
    { SQLITE_LIMIT_SQL_LENGTH, SQL_STATEMENT_MAX_BYTES },
    { SQLITE_LIMIT_COLUMN, SQL_COLUMNS_MAX },
    { SQLITE_LIMIT_EXPR_DEPTH, 100 },
    { SQLITE_LIMIT_COMPOUND_SELECT, 20 },
    { SQLITE_LIMIT_FUNCTION_ARG, 100 },
    { SQLITE_LIMIT_ATTACHED, 0 },
    { SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50 },
    { SQLITE_LIMIT_VARIABLE_NUMBER, SQL_PARAMETERS_MAX },
    { SQLITE_LIMIT_TRIGGER_DEPTH, 10 },
    { SQLITE_LIMIT_WORKER_THREADS, 0 },
};

/* ---- PRAGMA */

enum pragma_argument {
    PRAGMA_NONE,   /* reads only */
    PRAGMA_SWITCH, /* none, or one that turns something on or off for the operation */
    PRAGMA_NAME,   /* the name of a table or an index */
    PRAGMA_ANY,    /* none, a name or a number */
};

static const struct {
    const char *name;
    enum pragma_argument argument;
} pragmas[] = {
    { "case_sensitive_like", PRAGMA_SWITCH },
    { "data_version", PRAGMA_NONE },
    { "defer_foreign_keys", PRAGMA_SWITCH },
    { "foreign_key_check", PRAGMA_ANY },
    { "foreign_key_list", PRAGMA_NAME },
    { "foreign_keys", PRAGMA_SWITCH },
    { "ignore_check_constraints", PRAGMA_SWITCH },
    { "index_info", PRAGMA_NAME },
    { "index_list", PRAGMA_NAME },
    { "index_xinfo", PRAGMA_NAME },
    { "legacy_alter_table", PRAGMA_SWITCH },
    { "optimize", PRAGMA_ANY },
    { "quick_check", PRAGMA_ANY },
    { "recursive_triggers", PRAGMA_SWITCH },
    { "reverse_unordered_selects", PRAGMA_SWITCH },
    { "table_info", PRAGMA_NAME },
    { "table_list", PRAGMA_ANY },
    { "table_xinfo", PRAGMA_NAME },
};

/* Undoes each PRAGMA_SWITCH, whose effect would be on the operations that follow. */
static const char switches[] = "PRAGMA case_sensitive_like=OFF;"
                               "PRAGMA defer_foreign_keys=OFF;"
                               "PRAGMA foreign_keys=ON;"
                               "PRAGMA ignore_check_constraints=OFF;"
                               "PRAGMA legacy_alter_table=OFF;"
                               "PRAGMA recursive_triggers=OFF;"
                               "PRAGMA reverse_unordered_selects=OFF;";

static bool may_pragma(struct sql *sql, const char *name, const char *argument)
{
    sql->is_pragma = true;
    /* One opcode reads the whole file, in which no progress handler is called. */
    if (strcasecmp(name, "quick_check") == 0 && sql->pages * sql->page_bytes > CHECKED_MAX_BYTES)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(pragmas); i++) {
        if (strcasecmp(pragmas[i].name, name) != 0)
            continue;
        if (pragmas[i].argument == PRAGMA_SWITCH && argument)
            sql->has_settings = true;
        return pragmas[i].argument != (argument ? PRAGMA_NONE : PRAGMA_NAME);
    }
    return false;
}

/* ---- the authorizer */

static bool is_reserved(const char *name)
{
    return name && strncasecmp(name, RESERVED, strlen(RESERVED)) == 0;
}

static bool is_module(const char *name)
{
    return name && (strcasecmp(name, "fts5") == 0 || strcasecmp(name, "fts5vocab") == 0);
}

enum rule {
    RULE_REFUSE,
    RULE_ALLOW,
    RULE_NAMES,
    RULE_SCHEMA,
    RULE_VIEW,
    RULE_PRAGMA,
    RULE_CALL,
    RULE_MODULE
};

/* Actions by SQLite's numbers. Those that are not here are refused. */
static const struct {
    enum rule rule;
    const char *refusal;
} actions[] = {
    [SQLITE_CREATE_INDEX] = { RULE_SCHEMA, NULL },
    [SQLITE_CREATE_TABLE] = { RULE_SCHEMA, NULL },
    [SQLITE_CREATE_TRIGGER] = { RULE_VIEW, NULL },
    [SQLITE_CREATE_VIEW] = { RULE_VIEW, NULL },
    [SQLITE_DROP_INDEX] = { RULE_SCHEMA, NULL },
    [SQLITE_DROP_TABLE] = { RULE_SCHEMA, NULL },
    [SQLITE_DROP_TRIGGER] = { RULE_SCHEMA, NULL },
    [SQLITE_DROP_VIEW] = { RULE_SCHEMA, NULL },
    [SQLITE_ALTER_TABLE] = { RULE_SCHEMA, NULL },
    [SQLITE_CREATE_VTABLE] = { RULE_MODULE, "the only virtual tables are fts5 and fts5vocab" },
    [SQLITE_DROP_VTABLE] = { RULE_SCHEMA, NULL },
    [SQLITE_CREATE_TEMP_INDEX] = { RULE_REFUSE, "no temporary objects" },
    [SQLITE_CREATE_TEMP_TABLE] = { RULE_REFUSE, "no temporary objects" },
    [SQLITE_CREATE_TEMP_TRIGGER] = { RULE_REFUSE, "no temporary objects" },
    [SQLITE_CREATE_TEMP_VIEW] = { RULE_REFUSE, "no temporary objects" },
    [SQLITE_DELETE] = { RULE_NAMES, NULL },
    [SQLITE_INSERT] = { RULE_NAMES, NULL },
    [SQLITE_UPDATE] = { RULE_NAMES, NULL },
    [SQLITE_READ] = { RULE_NAMES, NULL },
    [SQLITE_ANALYZE] = { RULE_NAMES, NULL },
    [SQLITE_REINDEX] = { RULE_NAMES, NULL },
    [SQLITE_SELECT] = { RULE_ALLOW, NULL },
    [SQLITE_RECURSIVE] = { RULE_ALLOW, NULL },
    [SQLITE_PRAGMA] = { RULE_PRAGMA, "this PRAGMA is not allowed" },
    [SQLITE_FUNCTION] = { RULE_CALL, "this function is not allowed" },
    [SQLITE_TRANSACTION] = { RULE_REFUSE, "no statements of transactions: use batch()" },
    [SQLITE_SAVEPOINT] = { RULE_REFUSE, "no statements of transactions: use batch()" },
    [SQLITE_ATTACH] = { RULE_REFUSE, "no ATTACH and no VACUUM" },
    [SQLITE_DETACH] = { RULE_REFUSE, "no DETACH" },
};

/* Takes a view or a trigger that a statement would make. Those that are dropped in the same operation count until its end. */
static bool may_make_view(struct sql *sql)
{
    sql->is_counted = false;
    return ++sql->n_views <= SQL_VIEWS_MAX;
}

static bool may_act(struct sql *sql, enum rule rule, const char *first, const char *second)
{
    switch (rule) {
    case RULE_ALLOW:
        return true;
    case RULE_VIEW:
        if (!may_make_view(sql))
            return false;
        __attribute__((fallthrough));
    case RULE_SCHEMA:
        sql->is_counted = false;
        sql->is_schema = sql->has_new_names = true;
        return !is_reserved(first) && !is_reserved(second);
    case RULE_NAMES:
        return !is_reserved(first);
    case RULE_PRAGMA:
        return first && may_pragma(sql, first, second);
    case RULE_CALL:
        return second && sql_may_call(second);
    case RULE_MODULE:
        sql->is_schema = true;
        return !is_reserved(first) && is_module(second);
    case RULE_REFUSE:
        break;
    }
    return false;
}

static int authorize(void *owner, int action, const char *first, const char *second,
                     const char *database, const char *trigger)
{
    struct sql *sql = owner;

    (void) database;
    (void) trigger;
    if (sql->is_own)
        return SQLITE_OK;
    if (action >= 0 && (size_t) action < ARRAY_LEN(actions)) {
        if (may_act(sql, actions[action].rule, first, second))
            return SQLITE_OK;
        sql->refusal = actions[action].refusal        ? actions[action].refusal
                       : sql->n_views > SQL_VIEWS_MAX ? too_many_views
                                                      : reserved;
    }
    return SQLITE_DENY;
}

/* ---- time */

bool sql_is_over(const struct data_operation *operation)
{
    return atomic_load_explicit(&operation->is_cancelled, memory_order_relaxed) ||
           io_now_ns() >= operation->deadline_ns;
}

static int on_progress(void *owner)
{
    const struct sql *sql = owner;

    if (!sql->operation)
        return 0;
    /* Often, so by the clock of the last tick, which is a few ns. */
    return atomic_load_explicit(&sql->operation->is_cancelled, memory_order_relaxed) ||
           io_clock_ns(CLOCK_MONOTONIC_COARSE) >= sql->operation->deadline_ns;
}

/* ---- all together */

int sql_bound(struct sql *sql, sqlite3 *db)
{
    int code = sql_add_functions(db);

    if (code == SQLITE_OK && !sql->memory)
        code =
            sqlite3_open_v2(":memory:", &sql->memory,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK)
        code = sql_add_delegated(db, sql->memory);
    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        (void) sqlite3_limit(db, limits[i].limit, limits[i].most);
    return code;
}

int sql_guard(struct sql *sql)
{
    int code = sql_add_highlight(sql->db);

    if (code == SQLITE_OK)
        code = sql_add_tokenizers(sql);
    /* Not before: the check of a database with many columns has more. */
    (void) sqlite3_limit(sql->db, SQLITE_LIMIT_VDBE_OP, OPCODES_MAX);
    sqlite3_progress_handler(sql->db, PROGRESS_STEPS, on_progress, sql);
    if (code == SQLITE_OK)
        code = sqlite3_db_config(sql->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    /* Without trust SQLite 3.40 refuses fts5 in triggers, which keep an index of another table. There are no other modules, no function that
     * a schema must not call, and the authorizer. */
    if (code == SQLITE_OK)
        code = sqlite3_db_config(sql->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 1, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_set_authorizer(sql->db, authorize, sql);
    return code;
}

int sql_check_names(struct sql *sql)
{
    static const char text[] =
        "SELECT 1 FROM sqlite_schema WHERE lower(substr(name, 1, 5)) = '" RESERVED "'";
    sqlite3_stmt *statement = NULL;

    if (!sql->has_new_names)
        return SQLITE_OK;
    sql->has_new_names = false;
    sql->is_own = true;
    int code = sqlite3_prepare_v2(sql->db, text, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    (void) sqlite3_finalize(statement);
    sql->is_own = false;
    if (code == SQLITE_ROW)
        sql->refusal = reserved;
    return code == SQLITE_DONE ? SQLITE_OK : code == SQLITE_ROW ? SQLITE_AUTH : code;
}

int sql_count_views(struct sql *sql)
{
    static const char text[] =
        "SELECT count(*) FROM sqlite_schema WHERE type IN ('view', 'trigger')";
    sqlite3_stmt *statement = NULL;

    if (sql->is_counted)
        return SQLITE_OK;
    sql->is_own = true;
    int code = sqlite3_prepare_v2(sql->db, text, -1, &statement, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        sql->n_views = (unsigned) sqlite3_column_int(statement, 0);
    (void) sqlite3_finalize(statement);
    sql->is_own = false;
    sql->is_counted = code == SQLITE_ROW;
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

static int run_own(struct sql *sql, const char *text)
{
    sql->is_own = true;
    const int code = sqlite3_exec(sql->db, text, NULL, NULL, NULL);
    sql->is_own = false;
    return code;
}

int sql_undo_settings(struct sql *sql)
{
    const int code = run_own(sql, switches);

    sql->has_settings = code != SQLITE_OK;
    return code;
}

int sql_set_quota(struct sql *sql, uint32_t sql_mib)
{
    char text[64];
    int64_t pages = PAGES_MOST;

    if (sql->sql_mib == sql_mib && sql_mib != 0)
        return SQLITE_OK;
    if (sql_mib != UINT32_MAX && (int64_t) sql_mib * (1 << 20) / sql->page_bytes < pages)
        pages = (int64_t) sql_mib * (1 << 20) / sql->page_bytes;
    (void) snprintf(text, sizeof text, "PRAGMA max_page_count=%lld", (long long) pages);
    const int code = run_own(sql, text);
    if (code == SQLITE_OK)
        sql->sql_mib = sql_mib;
    return code;
}
