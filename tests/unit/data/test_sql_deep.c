/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schemas whose parts lead to each other, thousands of them: a statement that needs all is answered or refused, on the stack of a thread of the
 * process, and the database works afterwards.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "common/cleanup.h"
#include "data/threads.h"
#include "rig.h"

struct kind {
    const char *name;
    const char *first;               /* statements that make part 0 */
    const char *part;                /* the same of part %2$u, which leads to part %1$u */
    const char *const statements[5]; /* with %1$u, the number of the last part */
    unsigned shallow, deep; /* depths that are answered, and that are refused or answered */
};

static const struct kind kinds[] = {
    {
        .name = "views",
        .first = "CREATE TABLE v0(x); INSERT INTO v0 VALUES(1);",
        .part = "CREATE VIEW v%2$u AS SELECT*FROM v%1$u;",
        .statements = { "SELECT * FROM v%1$u", "SELECT count(*) FROM v%1$u a, v%1$u b",
                        "PRAGMA table_info(v%1$u)" },
        .shallow = 100,
        .deep = 500,
    },
    {
        .name = "views of aggregates",
        .first = "CREATE TABLE v0(x); INSERT INTO v0 VALUES(1);",
        .part = "CREATE VIEW v%2$u AS SELECT max(x) x,1 y FROM v%1$u GROUP BY x;",
        .statements = { "SELECT x FROM v%1$u" },
        .shallow = 50,
        .deep = 500,
    },
    {
        .name = "views of unions",
        .first = "CREATE TABLE v0(x); INSERT INTO v0 VALUES(1);",
        .part = "CREATE VIEW v%2$u AS SELECT x FROM v%1$u UNION SELECT 2;",
        .statements = { "SELECT x FROM v%1$u" },
        .shallow = 50,
        .deep = 500,
    },
    {
        .name = "views in expressions",
        .first = "CREATE TABLE v0(x); INSERT INTO v0 VALUES(1);",
        .part = "CREATE VIEW v%2$u AS SELECT (SELECT x FROM v%1$u)+1 x;",
        .statements = { "SELECT x FROM v%1$u", "SELECT 1 WHERE 1 IN (SELECT x FROM v%1$u)" },
        .shallow = 20,
        .deep = 500,
    },
    {
        .name = "triggers",
        .first = "CREATE TABLE t0(x);",
        .part = "CREATE TABLE t%2$u(x); CREATE TRIGGER g%2$u AFTER INSERT ON t%2$u BEGIN "
                "INSERT INTO t%1$u VALUES(NEW.x); END;",
        .statements = { "INSERT INTO t%1$u VALUES(1)", "INSERT OR IGNORE INTO t%1$u VALUES(1)",
                 },
        .shallow = 9,
        .deep = 500,
    },
    {
        .name = "triggers of views",
        .first = "CREATE TABLE v0(x);",
        .part = "CREATE VIEW v%2$u AS SELECT x FROM v%1$u; CREATE TRIGGER g%2$u INSTEAD OF INSERT "
                "ON v%2$u BEGIN INSERT INTO v%1$u SELECT NEW.x FROM v%1$u; END;",
        .statements = { "INSERT INTO v%1$u VALUES(1)", "SELECT x FROM v%1$u" },
        .shallow = 9,
        .deep = 500,
    },
    {
        .name = "foreign keys",
        .first = "CREATE TABLE t0(x PRIMARY KEY);",
        .part = "CREATE TABLE t%2$u(x PRIMARY KEY REFERENCES t%1$u ON DELETE CASCADE ON UPDATE "
                "CASCADE);",
        .statements = { "DELETE FROM t0", "UPDATE t0 SET x = 2" },
        .shallow = 9,
        .deep = 7000,
    },
};

/* ---- a schema, made without the bounds of the engine */

static void execute(sqlite3 *db, const char *statements)
{
    char *error = NULL;

    if (sqlite3_exec(db, statements, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", statements, error);
}

__attribute__((format(printf, 2, 0))) static void execute_part(sqlite3 *db, const char *format,
                                                               unsigned before, unsigned number)
{
    char text[512];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void) snprintf(text, sizeof text, format, before, number);
#pragma GCC diagnostic pop
    execute(db, text);
}

static void make(const struct kind *kind, unsigned depth)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(rig_path("deep"), &db), SQLITE_OK);
    execute(db, "PRAGMA page_size=512; PRAGMA synchronous=OFF; BEGIN;");
    execute(db, kind->first);
    for (unsigned i = 1; i <= depth; i++)
        execute_part(db, kind->part, i - 1, i);
    execute(db, "COMMIT");
    (void) sqlite3_close(db);
}

/* ---- statements, in a thread as the process has them */

struct turn {
    const char *statement;
    unsigned depth;
    unsigned status;
};

static void *run(void *arg)
{
    struct turn *turn = arg;
    char text[256], statement[128];
    struct sql *sql = rig_open_sql("deep");

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void) snprintf(statement, sizeof statement, turn->statement, turn->depth);
#pragma GCC diagnostic pop
    turn->status = rig_query(sql, statement, text, sizeof text);
    assert_int_equal(rig_query(sql, "CREATE TABLE works(a)", text, sizeof text), 200);
    assert_int_equal(rig_query(sql, "DROP TABLE works", text, sizeof text), 200);
    (void) sql_close(sql);
    return NULL;
}

static unsigned run_in_thread(const char *statement, unsigned depth)
{
    struct turn turn = { .statement = statement, .depth = depth };
    pthread_attr_t attributes;
    pthread_t thread;

    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, THREADS_STACK_BYTES), 0);
    assert_int_equal(pthread_create(&thread, &attributes, run, &turn), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void) pthread_attr_destroy(&attributes);
    return turn.status;
}

static void test_deep(const struct kind *kind, unsigned depth, bool is_answered)
{
    make(kind, depth);
    for (size_t i = 0; i < ARRAY_LEN(kind->statements) && kind->statements[i]; i++) {
        const unsigned status = run_in_thread(kind->statements[i], depth);
        if (status != 200 && (is_answered || (status != 400 && status != 503)))
            fail_msg("%s, %u: %s: %u", kind->name, depth, kind->statements[i], status);
    }
    rig_remove("deep");
}

static void test_parts_that_lead_to_each_other_end_nothing(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        test_deep(&kinds[i], kinds[i].shallow, true);
        test_deep(&kinds[i], kinds[i].deep, false);
    }
}

/* ---- the number of views and triggers */

static unsigned make_view(struct sql *sql, unsigned number, char text[static 256])
{
    char statement[128];

    if (number % 2 == 0)
        (void) snprintf(statement, sizeof statement, "CREATE VIEW v%u AS SELECT 1", number);
    else
        (void) snprintf(statement, sizeof statement,
                        "CREATE TRIGGER g%u AFTER INSERT ON t BEGIN SELECT 1; END", number);
    return rig_query(sql, statement, text, 256);
}

static void test_views_and_triggers_are_bounded(void **state)
{
    struct sql *sql = rig_open_sql("many");
    char text[256];

    (void) state;
    assert_int_equal(rig_query(sql, "CREATE TABLE t(x)", text, sizeof text), 200);
    for (unsigned i = 0; i < SQL_VIEWS_MAX; i++)
        assert_int_equal(make_view(sql, i, text), 200);
    assert_int_equal(make_view(sql, SQL_VIEWS_MAX, text), 400);
    assert_non_null(strstr(text, "not authorized: at most 500 views and triggers"));
    sql = sql_close(sql);
    sql = rig_open_sql("many");
    assert_int_equal(make_view(sql, SQL_VIEWS_MAX + 1, text), 400);
    assert_int_equal(rig_query(sql, "DROP VIEW v0", text, sizeof text), 200);
    assert_int_equal(make_view(sql, SQL_VIEWS_MAX, text), 200);
    assert_int_equal(make_view(sql, SQL_VIEWS_MAX + 1, text), 400);
    (void) sql_close(sql);
    rig_remove("many");
}

/* Statements that are undone have counted only for their operation. */
static void test_views_are_bounded_within_one_operation(void **state)
{
    struct sql *sql = rig_open_sql("many");
    char script[SQL_VIEWS_MAX * 40], text[256];
    struct call call;
    size_t size = 0;

    (void) state;
    for (unsigned i = 0; i <= SQL_VIEWS_MAX; i++)
        size += (size_t) snprintf(script + size, sizeof script - size,
                                  "CREATE VIEW v%u AS SELECT 1;\n", i);
    call_init(&call, "exec");
    call_text(&call, script);
    assert_int_equal(call_sql(&call, sql), 400);
    assert_non_null(strstr(call_answer_text(&call), "at most 500 views and triggers"));
    call_done(&call);
    assert_int_equal(make_view(sql, 0, text), 200);
    (void) sql_close(sql);
    rig_remove("many");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_and_triggers_are_bounded),
        cmocka_unit_test(test_views_are_bounded_within_one_operation),
        cmocka_unit_test(test_parts_that_lead_to_each_other_end_nothing),
    };

    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
