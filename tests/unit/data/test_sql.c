/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQL: statements, their parameters and rows as D1 has them; an error undoes all of an operation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "rig.h"

static void json_cleanup(json_t **json)
{
    json_decref(*json);
}

/* Runs a call, and reads the JSON of its answer. */
static json_t *run(struct call *call, struct sql *sql)
{
    json_error_t error;

    if (call_sql(call, sql) != 200)
        print_error("%s\n", call_answer_text(call));
    assert_int_equal(call->operation.status, 200);
    json_t *json = json_loads(call_answer_text(call), JSON_ALLOW_NUL, &error);
    if (!json)
        print_error("%s: %s\n", error.text, call_answer_text(call));
    assert_non_null(json);
    return json;
}

/* Runs one statement without parameters; returns its result. */
static json_t *query(struct sql *sql, const char *statement)
{
    struct call call;

    call_init(&call, "query");
    call_statement(&call, statement);
    _cleanup_(json_cleanup) json_t *json = run(&call, sql);
    call_done(&call);
    assert_int_equal(json_array_size(json), 1);
    return json_incref(json_array_get(json, 0));
}

static void run_quietly(struct sql *sql, const char *statement)
{
    json_decref(query(sql, statement));
}

/* Compares the rows of a statement with JSON. */
static void check_rows(struct sql *sql, const char *statement, const char *expected)
{
    _cleanup_(json_cleanup) json_t *result = query(sql, statement);
    _cleanup_free_ char *rows = json_dumps(json_object_get(result, "rows"), JSON_COMPACT);

    assert_string_equal(rows, expected);
}

static void check_failure(struct sql *sql, const char *statement, unsigned status, const char *text)
{
    char got[1024];

    assert_int_equal(rig_query(sql, statement, got, sizeof got), status);
    assert_string_equal(got, text);
}

static int64_t figure(const json_t *result, const char *name)
{
    return json_integer_value(json_object_get(result, name));
}

/* ---- rows */

static void test_values_of_all_kinds_come_back(void **state)
{
    struct sql *sql = rig_open_sql("kinds");
    struct call call;

    (void) state;
    call_init(&call, "query");
    call_statement(&call, "SELECT ?, ?, ?, ?, ?, ?");
    call_null(&call);
    call_integer(&call, INT64_MIN);
    call_real(&call, 0.1);
    call_text(&call, "\"a\\b\"\n\x01\xc3\xa4");
    call_add(&call, VALUE_TEXT, "a\0b", 3);
    call_add(&call, VALUE_BYTES, "\0\xff\x80z", 4);
    assert_int_equal(call_sql(&call, sql), 200);
    assert_non_null(strstr(call_answer_text(&call),
                           "[[null,-9223372036854775808,0.1,\"\\\"a\\\\b\\\"\\n\\u0001\xc3\xa4\","
                           "\"a\\u0000b\",[\"AP+Aeg==\"]]],\"blobs\":true,"));
    call_done(&call);
    (void) sql_close(sql);
}

static void test_numbers_are_read_as_they_were(void **state)
{
    static const double reals[] = { 0.0,
                                    0.05,
                                    -0.000001,
                                    12.000001,
                                    -999999999.999999,
                                    999999999.9999999,
                                    0.1234567,
                                    1.5,
                                    -2.0,
                                    1e15,
                                    1e300,
                                    5e-324,
                                    0.1 + 0.2,
                                    123456789.125,
                                    1e16,
                                    -1e-7,
                                    3.0e22,
                                    1.0 / 3,
                                    -1e-5,
                                    9.9999999999999991e-6,
                                    0.00012345678901234567,
                                    0.99999999999999989,
                                    9.9999999999999982,
                                    999999999999999.9,
                                    1.7976931348623157e308 };
    struct sql *sql = rig_open_sql("numbers");

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(reals); i++) {
        struct call call;
        call_init(&call, "query");
        call_statement(&call, "SELECT ?1");
        call_real(&call, reals[i]);
        _cleanup_(json_cleanup) json_t *json = run(&call, sql);
        const json_t *row = json_array_get(json_object_get(json_array_get(json, 0), "rows"), 0);
        assert_true(json_number_value(json_array_get(row, 0)) == reals[i]);
        call_done(&call);
    }
    char text[256];
    assert_int_equal(rig_query(sql, "SELECT 9e999, -9e999, x''", text, sizeof text), 200);
    assert_non_null(strstr(text, "[[1e999,-1e999,[\"\"]]]"));
    (void) sql_close(sql);
}

static void test_numbers_are_short_where_that_is_exact(void **state)
{
    struct sql *sql = rig_open_sql("short");
    char text[256];

    (void) state;
    assert_int_equal(rig_query(sql,
                               "SELECT 0.066938857, -12.5, 0.00001, 99999999999999.5, 0.1 + 0.2",
                               text, sizeof text),
                     200);
    assert_non_null(
        strstr(text, "[[0.066938857,-12.5,0.00001,99999999999999.5,0.30000000000000004]]"));
    (void) sql_close(sql);
}

static void test_figures_say_what_has_changed(void **state)
{
    struct sql *sql = rig_open_sql("figures");

    (void) state;
    run_quietly(sql, "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)");
    json_t *result = query(sql, "INSERT INTO t(a) VALUES('x'), ('y')");
    assert_int_equal(figure(result, "changes"), 2);
    assert_int_equal(figure(result, "last_row_id"), 2);
    assert_int_equal(figure(result, "rows_written"), 2);
    assert_true(figure(result, "size_after") >= 8192);
    assert_true(json_is_true(json_object_get(result, "changed_db")));
    assert_true(json_is_real(json_object_get(result, "duration")));
    json_decref(result);
    result = query(sql, "SELECT * FROM t");
    assert_int_equal(figure(result, "changes"), 0);
    assert_int_equal(figure(result, "rows_read"), 2);
    assert_true(json_is_false(json_object_get(result, "changed_db")));
    _cleanup_free_ char *columns = json_dumps(json_object_get(result, "columns"), JSON_COMPACT);
    assert_string_equal(columns, "[\"id\",\"a\"]");
    assert_null(json_object_get(result, "blobs"));
    json_decref(result);
    (void) sql_close(sql);
}

static void test_changes_are_noted_once_they_are_durable(void **state)
{
    struct sql *sql = rig_open_sql("durable");
    struct call call;

    (void) state;
    call_init(&call, "query");
    call_statement(&call, "CREATE TABLE t(a)");
    call_statement(&call, "INSERT INTO t VALUES(?)");
    call_integer(&call, 1);
    json_decref(run(&call, sql));
    assert_true(call.operation.is_changed);
    call_done(&call);
    sql = sql_close(sql);
    sql = rig_open_sql("durable");
    check_rows(sql, "SELECT a FROM t", "[[1]]");
    (void) sql_close(sql);
}

static void test_columns_are_those_of_the_new_schema(void **state)
{
    struct sql *sql = rig_open_sql("columns");

    (void) state;
    run_quietly(sql, "CREATE TABLE t(a)");
    run_quietly(sql, "INSERT INTO t VALUES(1)");
    check_rows(sql, "SELECT * FROM t", "[[1]]");
    run_quietly(sql, "ALTER TABLE t ADD COLUMN b DEFAULT 'x'");
    json_t *result = query(sql, "SELECT * FROM t");
    assert_int_equal(json_array_size(json_object_get(result, "columns")), 2);
    json_decref(result);
    check_rows(sql, "SELECT * FROM t", "[[1,\"x\"]]");
    (void) sql_close(sql);
}

/* ---- parameters */

static void test_numbers_of_parameters_must_fit(void **state)
{
    static const struct {
        const char *statement;
        unsigned n, status;
    } rows[] = {
        { "SELECT ?, ?", 2, 200 },   { "SELECT ?, ?", 1, 400 },   { "SELECT ?, ?", 3, 400 },
        { "SELECT ?2, ?1", 2, 200 }, { "SELECT ?3", 3, 200 },     { "SELECT ?3", 1, 400 },
        { "SELECT ?1, ?1", 1, 200 }, { "SELECT :a, @b", 2, 200 }, { "SELECT '?'", 1, 400 },
        { "SELECT ?100", 100, 200 }, { "SELECT ?101", 101, 400 },
    };
    struct sql *sql = rig_open_sql("parameters");

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call call;
        call_init(&call, "query");
        call_statement(&call, rows[i].statement);
        for (unsigned k = 0; k < rows[i].n; k++)
            call_integer(&call, k);
        assert_int_equal(call_sql(&call, sql), rows[i].status);
        if (rows[i].status == 400 && i != ARRAY_LEN(rows) - 1)
            assert_string_equal(call_answer_text(&call),
                                "D1_ERROR: Wrong number of parameter bindings for SQL query.");
        call_done(&call);
    }
    (void) sql_close(sql);
}

static void test_a_statement_may_come_again_with_other_parameters(void **state)
{
    struct sql *sql = rig_open_sql("again");
    struct call call;

    (void) state;
    call_init(&call, "query");
    for (unsigned i = 0; i < 3; i++) {
        call_statement(&call, "SELECT ?");
        call_integer(&call, i);
    }
    _cleanup_(json_cleanup) json_t *json = run(&call, sql);
    for (unsigned i = 0; i < 3; i++) {
        const json_t *row = json_array_get(json_object_get(json_array_get(json, i), "rows"), 0);
        assert_int_equal(json_integer_value(json_array_get(row, 0)), i);
    }
    call_done(&call);
    (void) sql_close(sql);
}

static void test_more_statements_than_the_cache_has(void **state)
{
    struct sql *sql = rig_open_sql("cache");
    char statement[64], expected[32];

    (void) state;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 200; i++) {
            (void) snprintf(statement, sizeof statement, "SELECT %u", i);
            (void) snprintf(expected, sizeof expected, "[[%u]]", i);
            check_rows(sql, statement, expected);
        }
    (void) sql_close(sql);
}

/* ---- transactions */

static void test_an_error_undoes_the_whole_batch(void **state)
{
    struct sql *sql = rig_open_sql("batch");
    struct call call;

    (void) state;
    run_quietly(sql, "CREATE TABLE t(a UNIQUE)");
    call_init(&call, "query");
    call_statement(&call, "INSERT INTO t VALUES(1)");
    call_statement(&call, "CREATE TABLE u(a)");
    call_statement(&call, "INSERT INTO t VALUES(1)");
    assert_int_equal(call_sql(&call, sql), 400);
    assert_false(call.operation.is_changed);
    assert_string_equal(call_answer_text(&call),
                        "D1_ERROR: UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT");
    call_done(&call);
    check_rows(sql, "SELECT count(*) FROM t", "[[0]]");
    check_rows(sql, "SELECT name FROM sqlite_master WHERE type = 'table'", "[[\"t\"]]");
    (void) sql_close(sql);
}

static void test_statements_that_roll_back_undo_the_whole_batch(void **state)
{
    struct sql *sql = rig_open_sql("rollback");
    struct call call;

    (void) state;
    run_quietly(sql, "CREATE TABLE t(a UNIQUE)");
    run_quietly(sql, "CREATE TRIGGER g BEFORE INSERT ON t WHEN new.a = 3 BEGIN "
                     "SELECT RAISE(ROLLBACK, 'no'); END");
    run_quietly(sql, "INSERT INTO t VALUES(1)");
    static const char *const bad[] = { "INSERT OR ROLLBACK INTO t VALUES(1)",
                                       "INSERT INTO t VALUES(3)" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        call_init(&call, "query");
        call_statement(&call, "INSERT INTO t VALUES(2)");
        call_statement(&call, bad[i]);
        call_statement(&call, "INSERT INTO t VALUES(4)");
        assert_int_equal(call_sql(&call, sql), 400);
        call_done(&call);
        check_rows(sql, "SELECT a FROM t", "[[1]]");
    }
    (void) sql_close(sql);
}

static void test_foreign_keys_are_kept(void **state)
{
    struct sql *sql = rig_open_sql("foreign");
    struct call call;

    (void) state;
    run_quietly(sql, "CREATE TABLE p(id INTEGER PRIMARY KEY)");
    run_quietly(sql, "CREATE TABLE c(p REFERENCES p(id))");
    check_failure(sql, "INSERT INTO c VALUES(1)", 400,
                  "D1_ERROR: FOREIGN KEY constraint failed: SQLITE_CONSTRAINT");
    /* Without effect within a transaction. */
    call_init(&call, "query");
    call_statement(&call, "PRAGMA foreign_keys = OFF");
    call_statement(&call, "INSERT INTO c VALUES(1)");
    assert_int_equal(call_sql(&call, sql), 400);
    call_done(&call);
    /* Checked at the end of the operation; the next one has the usual rule. */
    call_init(&call, "query");
    call_statement(&call, "PRAGMA defer_foreign_keys = ON");
    call_statement(&call, "INSERT INTO c VALUES(1)");
    call_statement(&call, "INSERT INTO p VALUES(1)");
    assert_int_equal(call_sql(&call, sql), 200);
    call_done(&call);
    call_init(&call, "query");
    call_statement(&call, "PRAGMA defer_foreign_keys = ON");
    call_statement(&call, "INSERT INTO c VALUES(2)");
    assert_int_equal(call_sql(&call, sql), 400);
    assert_string_equal(call_answer_text(&call),
                        "D1_ERROR: FOREIGN KEY constraint failed: SQLITE_CONSTRAINT");
    call_done(&call);
    check_rows(sql, "SELECT * FROM c", "[[1]]");
    check_rows(sql, "PRAGMA foreign_keys", "[[1]]");
    (void) sql_close(sql);
}

static void test_settings_end_with_their_operation(void **state)
{
    struct sql *sql = rig_open_sql("settings");

    (void) state;
    check_rows(sql, "SELECT 'a' LIKE 'A'", "[[1]]");
    run_quietly(sql, "PRAGMA case_sensitive_like = ON");
    check_rows(sql, "SELECT 'a' LIKE 'A'", "[[1]]");
    run_quietly(sql, "CREATE TABLE t(a CHECK(a > 0))");
    run_quietly(sql, "PRAGMA ignore_check_constraints = ON");
    check_failure(sql, "INSERT INTO t VALUES(0)", 400,
                  "D1_ERROR: CHECK constraint failed: a > 0: SQLITE_CONSTRAINT");
    (void) sql_close(sql);
}

/* ---- texts */

static void test_a_statement_is_one(void **state)
{
    struct sql *sql = rig_open_sql("one");

    (void) state;
    check_failure(sql, "SELECT 1; SELECT 2", 400,
                  "D1_ERROR: A prepared SQL statement must contain only one statement.");
    check_failure(sql, "", 400, "D1_ERROR: No SQL statements detected.");
    check_failure(sql, " -- nothing\n /* at all */ ;", 400,
                  "D1_ERROR: No SQL statements detected.");
    check_failure(sql, "SELEC 1", 400, "D1_ERROR: near \"SELEC\": syntax error: SQLITE_ERROR");
    check_failure(sql, "SELECT * FROM none", 400, "D1_ERROR: no such table: none: SQLITE_ERROR");
    check_failure(sql, "SELECT \"none\"", 400, "D1_ERROR: no such column: none: SQLITE_ERROR");
    check_rows(sql, " -- one\n SELECT 1 ; /* and */ -- nothing\n ;", "[[1]]");
    check_rows(sql, "SELECT 1 /* not closed", "[[1]]");
    (void) sql_close(sql);
}

static void test_bodies_that_are_no_arguments_are_refused(void **state)
{
    static const char *const names[] = { "query", "exec", "migrate", "get" };
    static const struct {
        const char *data;
        size_t size;
    } bodies[] = {
        { "", 0 },
        { "\1\0\0\0", 4 },
        { "\377\377\377\377", 4 },
        { "\1\0\0\0x", 5 },
        { "\1\0\0\0n", 5 },
        { "\5\0\0\0s\377\377\377\377", 9 },
        { "\6\0\0\0s\0\0\0\0x", 10 },
        { "\13\0\0\0s\7\0\0\0SELECT ?i", 15 },
    };
    struct sql *sql = rig_open_sql("bodies");

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        for (size_t k = 0; k < ARRAY_LEN(bodies); k++) {
            struct call call;
            call_init(&call, names[i]);
            call.operation.is_operator = true;
            call.operation.request = (const uint8_t *) bodies[k].data;
            call.operation.request_size = bodies[k].size;
            assert_int_equal(sql_run(sql, &call.operation), 0);
            assert_int_equal(call.operation.status, 400);
            call_done(&call);
        }
    (void) sql_close(sql);
}

static unsigned exec(struct sql *sql, const char *script, char *text, size_t room)
{
    struct call call;

    call_init(&call, "exec");
    call_text(&call, script);
    const unsigned status = call_sql(&call, sql);
    (void) snprintf(text, room, "%s", call_answer_text(&call));
    call_done(&call);
    return status;
}

/* quick_check reads all of a file in one step: that of a large one is refused. */
static void test_size_is_known_after_exec(void **state)
{
    struct sql *sql = rig_open_sql("size");
    char text[512];
    static const char fill[] = "CREATE TABLE t(a); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL "
                               "SELECT x + 1 FROM c LIMIT 70) "
                               "INSERT INTO t SELECT zeroblob(1000000) FROM c";

    (void) state;
    assert_int_equal(exec(sql, "PRAGMA quick_check", text, sizeof text), 200);
    assert_int_equal(exec(sql, fill, text, sizeof text), 200);
    assert_int_equal(exec(sql, "PRAGMA quick_check", text, sizeof text), 400);
    assert_int_equal(rig_query(sql, "PRAGMA quick_check", text, sizeof text), 400);
    (void) sql_close(sql);
}

static void test_exec_runs_all_or_nothing(void **state)
{
    struct sql *sql = rig_open_sql("exec");
    char text[512];

    (void) state;
    assert_int_equal(exec(sql, "CREATE TABLE t(a);\n-- a comment\nINSERT INTO t VALUES(1);;\n",
                          text, sizeof text),
                     200);
    assert_memory_equal(text, "{\"count\":2,\"duration\":", 22);
    assert_int_equal(
        exec(sql, "INSERT INTO t VALUES(2);\n\nINSERT INTO u VALUES(1)", text, sizeof text), 400);
    assert_string_equal(text, "D1_EXEC_ERROR: Error in line 3: no such table: u: SQLITE_ERROR");
    check_rows(sql, "SELECT a FROM t", "[[1]]");
    assert_int_equal(exec(sql, "-- nothing", text, sizeof text), 400);
    assert_int_equal(exec(sql, "SELECT ?", text, sizeof text), 400);
    assert_int_equal(exec(sql, "SELECT 1; COMMIT; SELECT 2", text, sizeof text), 400);
    (void) sql_close(sql);
}

/* ---- migrations */

static void test_migrations_are_applied_once_and_in_order(void **state)
{
    struct sql *sql = rig_open_sql("migrate");
    struct call call;

    (void) state;
    for (unsigned round = 0; round < 2; round++) {
        call_init(&call, "migrate");
        call.operation.is_operator = true;
        call_text(&call, "0001.sql");
        call_text(&call, "CREATE TABLE t(a); INSERT INTO t VALUES(1);");
        call_text(&call, "0002.sql");
        call_text(&call, "ALTER TABLE t ADD COLUMN b");
        assert_int_equal(call_sql(&call, sql), 200);
        assert_string_equal(call_answer_text(&call),
                            round == 0 ? "[\"0001.sql\",\"0002.sql\"]" : "[]");
        call_done(&call);
    }
    check_rows(sql, "SELECT id, name FROM d1_migrations", "[[1,\"0001.sql\"],[2,\"0002.sql\"]]");
    check_rows(sql, "SELECT * FROM t", "[[1,null]]");
    (void) sql_close(sql);
}

static void test_a_migration_that_fails_leaves_those_before_it(void **state)
{
    struct sql *sql = rig_open_sql("migrates");
    struct call call;

    (void) state;
    call_init(&call, "migrate");
    call_text(&call, "1");
    call_text(&call, "CREATE TABLE t(a)");
    assert_int_equal(call_sql(&call, sql), 400); /* not the operator */
    call.operation.is_operator = true;
    call_text(&call, "2");
    call_text(&call, "CREATE TABLE u(a);\nCREATE TABL v");
    call_text(&call, "3");
    call_text(&call, "CREATE TABLE w(a)");
    assert_int_equal(call_sql(&call, sql), 400);
    assert_true(call.operation.is_changed);
    assert_string_equal(
        call_answer_text(&call),
        "migration 2: D1_EXEC_ERROR: Error in line 2: near \"TABL\": syntax error: SQLITE_ERROR");
    call_done(&call);
    check_rows(sql, "SELECT name FROM sqlite_master WHERE name IN ('t', 'u', 'v', 'w')",
               "[[\"t\"]]");
    check_rows(sql, "SELECT name FROM d1_migrations", "[[\"1\"]]");
    (void) sql_close(sql);
}

/* ---- functions */

static void test_functions_in_place_of_sqlites_are_the_same(void **state)
{
    static const struct {
        const char *expression, *expected;
    } rows[] = {
        { "instr('abc', 'c')", "3" },
        { "instr('\xc3\xa4\xc3\xb6', '\xc3\xb6')", "2" },
        { "instr('abc', '')", "1" },
        { "instr('abc', 'd')", "0" },
        { "instr(NULL, 'd')", "null" },
        { "instr(x'c3a4c3b6', x'b6')", "4" },
        { "instr('\xc3\xa4', x'a4')", "0" },
        { "instr(12345, 34)", "3" },
        { "replace('aaa', 'a', 'bc')", "\"bcbcbc\"" },
        { "replace('aaa', 'aa', '')", "\"a\"" },
        { "replace('aaa', '', 'x')", "\"aaa\"" },
        { "replace('aaa', 'b', 'x')", "\"aaa\"" },
        { "replace('aaa', NULL, 'x')", "null" },
        { "replace(11, 1, 2)", "\"22\"" },
        { "printf('%05d|%-4s|%.2f|%c|%%|%,d', 42, 'a', 1.25, 'xyz', 1234567)",
          "\"00042|a   |1.25|x|%|1,234,567\"" },
        { "printf('%*d', 5, 1)", "\"    1\"" },
        { "format('%s %Q', 'a', NULL)", "\"a NULL\"" },
        { "printf()", "null" },
        { "trim('xxaxx', 'x')", "\"a\"" },
        { "trim('  a ')", "\"a\"" },
        { "ltrim('xya', 'xy') || rtrim('axy', 'yx')", "\"aa\"" },
        { "json_object('a', json_patch('{\"b\":1}', '{\"c\":2}'))",
          "\"{\\\"a\\\":{\\\"b\\\":1,\\\"c\\\":2}}\"" },
    };
    struct sql *sql = rig_open_sql("functions");
    char statement[256], expected[256];

    (void) state;
    for (unsigned round = 0; round < 2; round++)
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            (void) snprintf(statement, sizeof statement, "SELECT %s", rows[i].expression);
            (void) snprintf(expected, sizeof expected, "[[%s]]", rows[i].expected);
            check_rows(sql, statement, expected);
        }
    char text[256];
    assert_int_equal(rig_query(sql, "SELECT json_patch('{', '{}')", text, sizeof text), 400);
    assert_string_equal(text, "D1_ERROR: malformed JSON: SQLITE_ERROR");
    (void) sql_close(sql);
}

/* ---- extensions that are there */

static void test_fts5_and_json_work(void **state)
{
    struct sql *sql = rig_open_sql("fts");
    char text[512];

    (void) state;
    check_rows(sql, "SELECT key, value FROM json_each('{\"a\":1}')", "[[\"a\",1]]");
    check_rows(sql, "SELECT '{\"a\":[1,2]}' ->> '$.a[1]'", "[[2]]");
    assert_int_equal(exec(sql,
                          "CREATE TABLE d(id INTEGER PRIMARY KEY, a);"
                          "CREATE VIRTUAL TABLE f USING fts5(a, content=d, content_rowid=id);"
                          "CREATE TRIGGER i AFTER INSERT ON d BEGIN INSERT INTO f(rowid, a) "
                          "VALUES(new.id, new.a); END;"
                          "INSERT INTO d(a) VALUES('the quick fox'), ('a slow one');",
                          text, sizeof text),
                     200);
    check_rows(sql,
               "SELECT rowid, highlight(f, 0, '<', '>') FROM f WHERE f MATCH 'quick' ORDER BY rank",
               "[[1,\"the <quick> fox\"]]");
    check_rows(sql, "SELECT count(*) FROM d WHERE a LIKE '%slow%'", "[[1]]");
    check_rows(sql,
               "SELECT highlight(f, 0, '[', ']') FROM f WHERE f MATCH '\"quick fox\" OR \"the "
               "quick\" OR slow'",
               "[[\"[the quick fox]\"],[\"a [slow] one\"]]");
    check_rows(sql, "SELECT highlight(f, 7, '[', ']') FROM f WHERE f MATCH 'quick'", "[[\"\"]]");
    run_quietly(sql, "DROP TABLE f");
    (void) sql_close(sql);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_all_kinds_come_back),
        cmocka_unit_test(test_numbers_are_read_as_they_were),
        cmocka_unit_test(test_numbers_are_short_where_that_is_exact),
        cmocka_unit_test(test_figures_say_what_has_changed),
        cmocka_unit_test(test_changes_are_noted_once_they_are_durable),
        cmocka_unit_test(test_columns_are_those_of_the_new_schema),
        cmocka_unit_test(test_numbers_of_parameters_must_fit),
        cmocka_unit_test(test_a_statement_may_come_again_with_other_parameters),
        cmocka_unit_test(test_more_statements_than_the_cache_has),
        cmocka_unit_test(test_an_error_undoes_the_whole_batch),
        cmocka_unit_test(test_statements_that_roll_back_undo_the_whole_batch),
        cmocka_unit_test(test_foreign_keys_are_kept),
        cmocka_unit_test(test_settings_end_with_their_operation),
        cmocka_unit_test(test_a_statement_is_one),
        cmocka_unit_test(test_bodies_that_are_no_arguments_are_refused),
        cmocka_unit_test(test_size_is_known_after_exec),
        cmocka_unit_test(test_exec_runs_all_or_nothing),
        cmocka_unit_test(test_migrations_are_applied_once_and_in_order),
        cmocka_unit_test(test_a_migration_that_fails_leaves_those_before_it),
        cmocka_unit_test(test_functions_in_place_of_sqlites_are_the_same),
        cmocka_unit_test(test_fts5_and_json_work),
    };

    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
