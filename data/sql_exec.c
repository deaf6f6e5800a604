/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on texts of several statements: "exec" and, for the operator, "migrate". */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "data/sql_internal.h"

#define EXEC_PREFIX "D1_EXEC_ERROR: "
#define MIGRATIONS "d1_migrations"

/* ---- scripts */

static int run_statement(struct sql *sql, sqlite3_stmt *statement)
{
    int code;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        ;
    if (!sqlite3_stmt_readonly(statement))
        sql_read_size(sql);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static unsigned count_lines(const char *from, const char *to)
{
    unsigned n = 0;

    for (; from < to; from++)
        n += *from == '\n';
    return n;
}

/* Prepares the first statement of a text. SQLITE_MISUSE: the operation has failed. */
static int prepare(struct sql *sql, const char *text, sqlite3_stmt **ret_statement,
                   const char **ret_tail)
{
    /* With its terminator, so that SQLite does not copy all of the rest. */
    const size_t size = strlen(text) + 1;
    const int code = sqlite3_prepare_v3(sql->db, text, (int) size, 0, ret_statement, ret_tail);

    if (code != SQLITE_OK || sqlite3_bind_parameter_count(*ret_statement) == 0)
        return code;
    (void) sqlite3_finalize(*ret_statement);
    *ret_statement = NULL;
    data_fail(sql->operation, 400, EXEC_PREFIX "Wrong number of parameter bindings for SQL query.");
    return SQLITE_MISUSE;
}

int sql_run_script(struct sql *sql, const char *text, unsigned *ret_n, unsigned *ret_line)
{
    const char *at = sql_skip_blanks(text);
    unsigned n = 0, line = 1 + count_lines(text, at);
    int code = SQLITE_OK;

    while (*at != '\0' && code == SQLITE_OK) {
        sqlite3_stmt *statement = NULL;
        const char *tail = at;
        *ret_line = line;
        code = sql_is_over(sql->operation) ? SQLITE_INTERRUPT : prepare(sql, at, &statement, &tail);
        if (code == SQLITE_OK && statement)
            code = run_statement(sql, statement);
        (void) sqlite3_finalize(statement);
        tail = sql_skip_blanks(tail);
        line += count_lines(at, tail);
        at = tail;
        n += statement != NULL;
    }
    *ret_n = n;
    return code;
}

/* Copies the text of a script with a terminator; NULL: the operation has failed. */
static char *copy_script(struct data_operation *operation, const struct value *value)
{
    if (memchr(value->data, '\0', value->size)) {
        data_fail(operation, 400, EXEC_PREFIX "the statements have a zero byte");
        return NULL;
    }
    char *copy = strndup((const char *) value->data, value->size);
    if (!copy)
        (void) sql_fail_answer(operation, -ENOMEM);
    return copy;
}

/* ---- exec */

static int answer_exec(struct data_operation *operation, unsigned n, uint64_t ns)
{
    struct data_answer *answer = &operation->answer;
    int r = sql_answer_begin(operation);

    if (r == 0)
        r = sql_json_literal(answer, "{\"count\":");
    if (r == 0)
        r = sql_json_integer(answer, n);
    if (r == 0)
        r = sql_json_literal(answer, ",\"duration\":");
    if (r == 0)
        r = sql_json_ms(answer, ns);
    if (r == 0)
        r = sql_json_literal(answer, "}");
    return r < 0 ? sql_fail_answer(operation, r) : SQLITE_OK;
}

/* Fails by an error at a line. */
static int fail_at(struct sql *sql, int code, unsigned line, struct data_operation *operation)
{
    char prefix[96];

    if (code == SQLITE_MISUSE && operation->status != 200)
        return SQLITE_OK;
    (void) snprintf(prefix, sizeof prefix, EXEC_PREFIX "Error in line %u: ", line);
    return sql_fail(sql, code, prefix, operation) < 0 ? code : SQLITE_OK;
}

int sql_exec(struct sql *sql, struct data_operation *operation, struct values values)
{
    const uint64_t start_ns = io_now_ns();
    struct value value;
    unsigned n = 0, line = 1;

    if (values_take(&values, VALUE_TEXT, false, &value) < 0 || values.at != values.end)
        return sql_fail_answer(operation, -EPROTO);
    _cleanup_free_ char *script = copy_script(operation, &value);
    if (!script)
        return SQLITE_OK;
    const int code = sql_run_script(sql, script, &n, &line);
    if (code != SQLITE_OK)
        return fail_at(sql, code, line, operation);
    if (n == 0) {
        data_fail(operation, 400, EXEC_PREFIX "No SQL statements detected.");
        return SQLITE_OK;
    }
    return answer_exec(operation, n, io_now_ns() - start_ns);
}

/* ---- migrate */

/* The table of wrangler. */
static const char table[] = "CREATE TABLE IF NOT EXISTS " MIGRATIONS
                            "(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, "
                            "applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)";

/* Runs a statement with a name as its parameter. SQLITE_ROW: it has given one; SQLITE_DONE. */
static int run_named(struct sql *sql, const char *text, const struct value *name)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(sql->db, text, -1, &statement, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_bind_text64(statement, 1, (const char *) name->data, name->size,
                                   SQLITE_STATIC, SQLITE_UTF8);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    (void) sqlite3_finalize(statement);
    return code;
}

/* Applies one migration in the open transaction. */
static int apply(struct sql *sql, const struct value *name, const char *script)
{
    unsigned n = 0, line = 1;
    int code = sql_run_script(sql, script, &n, &line);

    if (code != SQLITE_OK)
        return fail_at(sql, code, line, sql->operation) == SQLITE_OK ? SQLITE_MISUSE : code;
    code = run_named(sql, "INSERT INTO " MIGRATIONS "(name) VALUES(?1)", name);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Puts the name of the migration before the text of a failure. */
static void name_failure(struct data_operation *operation, const struct value *name)
{
    const struct data_answer *answer = &operation->answer;
    _cleanup_free_ char *text =
        answer->size > 0 ? strndup((const char *) answer->data, answer->size) : NULL;

    data_fail(operation, operation->status, "migration %.*s: %s",
              name->size > 200 ? 200 : (int) name->size, (const char *) name->data,
              text ? text : "failed");
}

/* Applies a migration unless it has been. ret_is_applied: now. SQLITE_MISUSE: the operation has failed. */
static int migrate_one(struct sql *sql, const struct value *name, const struct value *text,
                       bool *ret_is_applied)
{
    *ret_is_applied = false;
    int code = sql_begin(sql);
    if (code == SQLITE_OK)
        code = run_named(sql, "SELECT 1 FROM " MIGRATIONS " WHERE name = ?1", name);
    if (code == SQLITE_ROW) {
        sql_roll_back(sql);
        return SQLITE_OK;
    }
    if (code != SQLITE_DONE)
        return code;
    _cleanup_free_ char *script = copy_script(sql->operation, text);
    if (!script)
        return SQLITE_MISUSE;
    code = apply(sql, name, script);
    if (code == SQLITE_OK)
        code = sql_commit(sql, sql->operation);
    *ret_is_applied = code == SQLITE_OK;
    return code;
}

/* Checks that the values are pairs of texts, before anything is done. */
static bool are_pairs(struct values values)
{
    struct value value;

    while (values.at != values.end)
        if (values_take(&values, VALUE_TEXT, false, &value) < 0 || value.size == 0 ||
            values_take(&values, VALUE_TEXT, false, &value) < 0)
            return false;
    return true;
}

/* Applies all, and writes the names of those that were applied as JSON to a list. */
static int migrate_all(struct sql *sql, struct values values, struct data_answer *list)
{
    struct value name, text;
    int r = sql_json_literal(list, "[");

    for (bool is_applied; values.at != values.end && r == 0;) {
        if (values_take(&values, VALUE_TEXT, false, &name) < 0 ||
            values_take(&values, VALUE_TEXT, false, &text) < 0)
            return sql_fail_answer(sql->operation, -EPROTO);
        int code = migrate_one(sql, &name, &text, &is_applied);
        if (code != SQLITE_OK) {
            if (sql->operation->status == 200 &&
                sql_fail(sql, code, SQL_PREFIX, sql->operation) < 0)
                return code;
            name_failure(sql->operation, &name);
            return SQLITE_OK;
        }
        if (is_applied && list->size > 1)
            r = sql_json_literal(list, ",");
        if (is_applied && r == 0)
            r = sql_json_text(list, name.data, name.size);
    }
    if (r == 0)
        r = sql_json_literal(list, "]");
    return r < 0 ? sql_fail_answer(sql->operation, r) : SQLITE_OK;
}

int sql_migrate(struct sql *sql, struct data_operation *operation, struct values values)
{
    struct data_answer list = { .most = operation->answer.most };

    if (!are_pairs(values))
        return sql_fail_answer(operation, -EPROTO);
    int code = sqlite3_exec(sql->db, table, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = migrate_all(sql, values, &list);
    if (code == SQLITE_OK && operation->status == 200) {
        int r = sql_answer_begin(operation);
        if (r == 0)
            r = data_answer_add(&operation->answer, list.data, list.size);
        if (r < 0)
            (void) sql_fail_answer(operation, r);
    }
    data_answer_done(&list);
    return code;
}
