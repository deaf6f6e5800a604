/* SPDX-License-Identifier: Apache-2.0 */
/* The operation "query": prepared statements with their parameters, their rows as JSON. */
#include <errno.h>
#include <string.h>

#include "common/io.h"
#include "data/sql_internal.h"

#define MIB ((size_t) 1 << 20)

/* Figures of one statement before it runs. */
struct figures {
    uint64_t start_ns;
    int64_t changes, last_row_id;
    size_t answer_size;
    int64_t rows;
    bool has_blobs;
};

/* ---- parameters */

static int bind(sqlite3_stmt *statement, int at, const struct value *value)
{
    switch (value->kind) {
    case VALUE_INTEGER:
        return sqlite3_bind_int64(statement, at, value->integer);
    case VALUE_REAL:
        return sqlite3_bind_double(statement, at, value->real);
    case VALUE_TEXT:
        return sqlite3_bind_text64(statement, at, (const char *) value->data, value->size,
                                   SQLITE_STATIC, SQLITE_UTF8);
    case VALUE_BYTES:
        return sqlite3_bind_blob64(statement, at, value->data, value->size, SQLITE_STATIC);
    case VALUE_NULL:
    case VALUE_STATEMENT:
        break;
    }
    return sqlite3_bind_null(statement, at);
}

/* Binds the values up to the next statement. SQLITE_MISUSE: the operation has failed. */
static int bind_all(struct sql *sql, sqlite3_stmt *statement, struct values *values)
{
    const int most = sqlite3_bind_parameter_count(statement);
    struct values next = *values;
    struct value value;
    int n = 0, r;

    while ((r = values_next(&next, &value)) == 1 && value.kind != VALUE_STATEMENT) {
        const int code = n < most ? bind(statement, n + 1, &value) : SQLITE_OK;
        if (code != SQLITE_OK)
            return code;
        n++;
        *values = next;
    }
    if (r < 0)
        (void) sql_fail_answer(sql->operation, r);
    else if (n != most)
        data_fail(sql->operation, 400,
                  SQL_PREFIX "Wrong number of parameter bindings for SQL query.");
    return r < 0 || n != most ? SQLITE_MISUSE : SQLITE_OK;
}

/* ---- rows */

static int add_cell(struct data_answer *answer, sqlite3_stmt *statement, int column,
                    struct figures *figures)
{
    const void *data;

    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
        return sql_json_integer(answer, sqlite3_column_int64(statement, column));
    case SQLITE_FLOAT:
        return sql_json_real(answer, sqlite3_column_double(statement, column));
    case SQLITE_TEXT:
        data = sqlite3_column_text(statement, column);
        return data ? sql_json_text(answer, data, (size_t) sqlite3_column_bytes(statement, column))
                    : -ENOMEM;
    case SQLITE_BLOB:
        figures->has_blobs = true;
        data = sqlite3_column_blob(statement, column);
        return sql_json_bytes(answer, data, (size_t) sqlite3_column_bytes(statement, column));
    default:
        return sql_json_literal(answer, "null");
    }
}

static int add_row(struct data_answer *answer, sqlite3_stmt *statement, struct figures *figures)
{
    const int columns = sqlite3_data_count(statement);
    int r = sql_json_literal(answer, figures->rows++ == 0 ? "[" : ",[");

    for (int i = 0; i < columns && r == 0; i++) {
        if (i > 0)
            r = sql_json_literal(answer, ",");
        if (r == 0)
            r = add_cell(answer, statement, i, figures);
    }
    return r == 0 ? sql_json_literal(answer, "]") : r;
}

static int add_columns(struct data_answer *answer, sqlite3_stmt *statement)
{
    const int columns = sqlite3_column_count(statement);
    int r = sql_json_literal(answer, "{\"columns\":[");

    for (int i = 0; i < columns && r == 0; i++) {
        const char *name = sqlite3_column_name(statement, i);
        if (!name)
            return -ENOMEM;
        if (i > 0)
            r = sql_json_literal(answer, ",");
        if (r == 0)
            r = sql_json_text(answer, name, strlen(name));
    }
    return r == 0 ? sql_json_literal(answer, "],\"rows\":[") : r;
}

/* Returns whether the rows so far are over their limit; then the operation has failed. */
static bool is_too_much(struct data_operation *operation)
{
    const uint32_t most = operation->limits.sql_rows_mib;

    if (most == UINT32_MAX || operation->answer.size <= most * MIB)
        return false;
    (void) sql_fail_answer(operation, -EFBIG);
    return true;
}

/* Runs a statement to its end. The columns come after the first step, which may prepare the statement anew. */
static int add_rows(struct data_operation *operation, sqlite3_stmt *statement,
                    struct figures *figures)
{
    struct data_answer *answer = &operation->answer;
    int code = sqlite3_step(statement);
    int r = code == SQLITE_ROW || code == SQLITE_DONE ? add_columns(answer, statement) : 0;

    while (r == 0 && code == SQLITE_ROW) {
        r = add_row(answer, statement, figures);
        if (r < 0 || is_too_much(operation))
            break;
        code = sqlite3_step(statement);
    }
    if (r < 0)
        return sql_fail_answer(operation, r);
    return code == SQLITE_DONE || operation->status != 200 ? SQLITE_OK : code;
}

/* ---- figures */

static struct figures read_figures(struct sql *sql)
{
    return (struct figures){
        .start_ns = io_now_ns(),
        .changes = sqlite3_total_changes64(sql->db),
        .last_row_id = sqlite3_last_insert_rowid(sql->db),
    };
}

static int add_figure(struct data_answer *answer, const char *name, int64_t figure)
{
    const int r = sql_json_literal(answer, name);

    return r == 0 ? sql_json_integer(answer, figure) : r;
}

/* rows_read: steps of scans of whole tables and indexes, or the rows of the answer if those are more; SQLite counts no others. rows_written: as
 * changes, with those of triggers and foreign keys, without those of indexes. */
static int add_figures(struct sql *sql, sqlite3_stmt *statement, bool is_schema,
                       const struct figures *figures)
{
    struct data_answer *answer = &sql->operation->answer;
    const int64_t changes = sqlite3_total_changes64(sql->db) - figures->changes;
    const int64_t scanned = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_FULLSCAN_STEP, 1);
    const int64_t last_row_id = sqlite3_last_insert_rowid(sql->db);
    const int64_t pages = sql->pages;

    if (!sqlite3_stmt_readonly(statement))
        sql_read_size(sql);
    const bool is_changed =
        changes > 0 || is_schema || last_row_id != figures->last_row_id || pages != sql->pages;
    int r = sql_json_literal(answer, figures->has_blobs ? "],\"blobs\":true" : "]");
    if (r == 0)
        r = add_figure(answer, ",\"changes\":", changes);
    if (r == 0)
        r = add_figure(answer, ",\"last_row_id\":", last_row_id);
    if (r == 0)
        r = add_figure(answer,
                       ",\"rows_read\":", scanned > figures->rows ? scanned : figures->rows);
    if (r == 0)
        r = add_figure(answer, ",\"rows_written\":", changes);
    if (r == 0)
        r = add_figure(answer, ",\"size_after\":", sql->pages * sql->page_bytes);
    if (r == 0)
        r = sql_json_literal(answer, is_changed ? ",\"changed_db\":true,\"duration\":"
                                                : ",\"changed_db\":false,\"duration\":");
    if (r == 0)
        r = sql_json_ms(answer, io_now_ns() - figures->start_ns);
    return r == 0 ? sql_json_literal(answer, "}") : r;
}

/* ---- statements */

static int run_statement(struct sql *sql, sqlite3_stmt *statement, struct values *values)
{
    const bool is_schema = sql->is_schema;
    struct figures figures = read_figures(sql);
    int code = bind_all(sql, statement, values);

    if (code == SQLITE_OK)
        code = add_rows(sql->operation, statement, &figures);
    if (code != SQLITE_OK || sql->operation->status != 200)
        return code;
    const int r = add_figures(sql, statement, is_schema, &figures);
    return r < 0 ? sql_fail_answer(sql->operation, r) : SQLITE_OK;
}

static int run_next(struct sql *sql, struct values *values)
{
    struct data_operation *operation = sql->operation;
    sqlite3_stmt *statement = NULL;
    struct value text;

    if (values_take(values, VALUE_STATEMENT, false, &text) < 0)
        return sql_fail_answer(operation, -EPROTO);
    if (sql_is_over(operation))
        return SQLITE_INTERRUPT;
    int code = sql_get_statement(sql, (const char *) text.data, text.size, &statement);
    if (code == SQLITE_OK) {
        code = run_statement(sql, statement, values);
        sql_put_back(sql, statement);
    }
    return code == SQLITE_MISUSE && operation->status != 200 ? SQLITE_OK : code;
}

int sql_query(struct sql *sql, struct data_operation *operation, struct values values)
{
    unsigned n = 0;
    int code = SQLITE_OK;
    int r = sql_answer_begin(operation);

    while (r == 0 && code == SQLITE_OK && operation->status == 200 && values.at != values.end) {
        if (n == SQL_BATCH_MAX) {
            data_fail(operation, 400, SQL_PREFIX "a batch has at most %u statements",
                      SQL_BATCH_MAX);
            return SQLITE_OK;
        }
        r = sql_json_literal(&operation->answer, n++ == 0 ? "[" : ",");
        if (r == 0)
            code = run_next(sql, &values);
    }
    if (operation->status != 200 || code != SQLITE_OK)
        return code;
    if (r == 0 && n == 0) {
        data_fail(operation, 400, SQL_PREFIX "No SQL statements detected.");
        return SQLITE_OK;
    }
    if (r == 0)
        r = sql_json_literal(&operation->answer, "]");
    return r < 0 ? sql_fail_answer(operation, r) : SQLITE_OK;
}
