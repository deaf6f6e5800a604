/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of whole databases: out while statements go on, and in over the present one, in one transaction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "rig.h"

#define MIB ((size_t) 1 << 20)
#define ASK_NS (10 * NSEC_PER_SEC)
#define WHOLE_MAX (16 * MIB)

struct whole {
    uint8_t *data;
    size_t size;
};

static void run_ok(struct sql *sql, const char *statement)
{
    char text[512];

    assert_int_equal(rig_query(sql, statement, text, sizeof text), 200);
}

static void check(struct sql *sql, const char *statement, const char *rows)
{
    char text[1024];

    assert_int_equal(rig_query(sql, statement, text, sizeof text), 200);
    assert_non_null(strstr(text, rows));
}

static void run_script(struct sql *sql, const char *script)
{
    struct call call;

    call_init(&call, "exec");
    call_text(&call, script);
    assert_int_equal(call_sql(&call, sql), 200);
    call_done(&call);
}

static void begin(struct call *call, const char *name)
{
    call_init(call, name);
    call->operation.is_operator = true;
}

static int64_t take(struct values *values)
{
    struct value value;

    assert_int_equal(values_take(values, VALUE_INTEGER, false, &value), 0);
    return value.integer;
}

/* Runs an operation of integers; returns the first integer of the answer, or -status. */
static int64_t ask(struct sql *sql, const char *name, const int64_t *arguments, size_t n,
                   bool has_answer)
{
    struct call call;
    int64_t answer = 0;

    begin(&call, name);
    call.operation.deadline_ns = io_now_ns() + ASK_NS;
    for (size_t i = 0; i < n; i++)
        call_integer(&call, arguments[i]);
    const unsigned status = call_sql(&call, sql);
    if (status == 200 && has_answer) {
        struct values values = call_values(&call);
        answer = take(&values);
    }
    call_done(&call);
    return status == 200 ? answer : -(int64_t) status;
}

static size_t read_part(struct sql *sql, int64_t number, struct whole *whole)
{
    struct call call;
    size_t size;

    begin(&call, "copy-read");
    call_integer(&call, number);
    call_integer(&call, (int64_t) whole->size);
    assert_int_equal(call_sql(&call, sql), 200);
    const uint8_t *part = call_answer_rest(&call, &size);
    assert_true(whole->size + size <= WHOLE_MAX);
    memcpy(whole->data + whole->size, part, size);
    whole->size += size;
    call_done(&call);
    return size;
}

/* Copies a database; `meanwhile` runs between any two pieces of it. */
static struct whole copy(struct sql *sql, const char *meanwhile, unsigned *ret_pieces)
{
    struct whole whole = { .data = malloc(WHOLE_MAX) };
    const int64_t number = ask(sql, "copy-begin", NULL, 0, true);

    assert_true(number > 0);
    for (*ret_pieces = 1; ask(sql, "copy-step", &number, 1, true) == 0; ++*ret_pieces)
        run_ok(sql, meanwhile);
    run_ok(sql, "DELETE FROM t WHERE id = 1"); /* after the copy: not in it */
    while (read_part(sql, number, &whole) > 0)
        ;
    assert_int_equal(ask(sql, "copy-end", &number, 1, false), 0);
    return whole;
}

static int64_t begin_restore(struct sql *sql, bool is_replaced)
{
    return ask(sql, "restore-begin", &(const int64_t){ is_replaced }, 1, true);
}

static unsigned write_part(struct sql *sql, int64_t number, size_t at, const uint8_t *data,
                           size_t size)
{
    struct call call;

    begin(&call, "restore-write");
    call_integer(&call, number);
    call_integer(&call, (int64_t) at);
    call_rest(&call, data, size);
    const unsigned status = call_sql(&call, sql);
    call_done(&call);
    return status;
}

static int64_t commit(struct sql *sql, int64_t number, size_t size, bool is_replaced)
{
    const int64_t arguments[] = { number, (int64_t) size, is_replaced };

    return ask(sql, "restore-commit", arguments, ARRAY_LEN(arguments), false);
}

static int64_t restore(struct sql *sql, const struct whole *whole, bool is_replaced)
{
    const int64_t number = begin_restore(sql, is_replaced);

    for (size_t at = 0; number > 0 && at < whole->size; at += MIB / 2) {
        size_t left = whole->size - at;
        assert_int_equal(
            write_part(sql, number, at, whole->data + at, left < MIB / 2 ? left : MIB / 2), 200);
    }
    return number > 0 ? commit(sql, number, whole->size, is_replaced) : number;
}

static void fill(struct sql *sql)
{
    run_ok(sql, "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, data BLOB)");
    run_ok(sql, "CREATE VIRTUAL TABLE f USING fts5(text)");
    run_ok(sql, "INSERT INTO f VALUES ('the quick brown fox')");
    /* More than the pages of one piece, which are 4,000. */
    run_ok(sql, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150) "
                "INSERT INTO t SELECT i, zeroblob(100000) FROM n");
    run_ok(sql, "INSERT INTO t VALUES (200, x'00ff27')");
}

static void test_a_copy_is_the_state_at_its_last_piece(void **state)
{
    struct sql *from = rig_open_sql("a"), *to = rig_open_sql("b");
    unsigned pieces;

    (void) state;
    fill(from);
    run_ok(from, "DELETE FROM t WHERE id BETWEEN 2 AND 20");
    run_ok(from, "CREATE TABLE m (n)");
    run_ok(from, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) "
                 "INSERT INTO t SELECT i + 300, zeroblob(100000) FROM n");
    struct whole whole = copy(from, "INSERT INTO m VALUES (1)", &pieces);
    assert_true(pieces > 1);
    assert_true(whole.size > 4000 * 4096 / 2);
    assert_int_equal(restore(to, &whole, false), 0);
    check(to, "SELECT count(*), min(id) FROM t", "[[152,1]]");
    check(to, "SELECT count(*) > 0 FROM m", "[[1]]");
    check(to, "SELECT hex(data) FROM t WHERE id = 200", "[[\"00FF27\"]]");
    check(to, "SELECT text FROM f WHERE f MATCH 'quick'", "the quick brown fox");
    run_ok(to, "INSERT INTO t (data) VALUES ('next')");
    check(to, "SELECT max(id) FROM t", "[[321]]");
    check(to, "PRAGMA quick_check", "ok");
    assert_int_equal(rig_count_files("a-copy") + rig_count_files("b-restore"), 0);
    free(whole.data);
    (void) sql_close(from);
    (void) sql_close(to);
    to = rig_open_sql("b");
    check(to, "SELECT count(*) FROM t", "[[153]]");
    (void) sql_close(to);
}

static void test_a_database_with_something_is_replaced_only_if_asked(void **state)
{
    struct sql *from = rig_open_sql("c"), *to = rig_open_sql("d");
    unsigned pieces;

    (void) state;
    run_ok(from, "CREATE TABLE t (id)");
    run_ok(from, "INSERT INTO t VALUES (7)");
    struct whole whole = copy(from, "SELECT 1", &pieces);
    run_ok(to, "CREATE TABLE t (other)");
    run_ok(to, "INSERT INTO t VALUES (8)");
    assert_int_equal(restore(to, &whole, false), -400);
    check(to, "SELECT other FROM t", "[[8]]");
    assert_int_equal(restore(to, &whole, true), 0);
    check(to, "SELECT id FROM t", "[[7]]");
    free(whole.data);
    (void) sql_close(from);
    (void) sql_close(to);
}

static void test_a_file_that_is_none_changes_nothing(void **state)
{
    struct sql *sql = rig_open_sql("e");
    struct whole none = { .data = calloc(1, 3 * MIB), .size = 3 * MIB };

    (void) state;
    run_ok(sql, "CREATE TABLE t (id)");
    assert_int_equal(restore(sql, &none, true), -400);
    memcpy(none.data, "SQLite format 3", 16);
    assert_int_equal(restore(sql, &none, true), -400);
    none.size = 5;
    assert_int_equal(restore(sql, &none, true), -400);
    check(sql, "SELECT count(*) FROM t", "[[0]]");
    free(none.data);
    (void) sql_close(sql);
}

/* Instead of SQLite's own, which takes the product of two sizes: hours for the rows of this file. */
static void test_expressions_of_the_file_are_bounded(void **state)
{
    struct sql *from = rig_open_sql("i"), *to = rig_open_sql("j");
    unsigned pieces;

    (void) state;
    run_ok(from, "CREATE TABLE t (id, a, b, c NOT NULL AS (instr(a, b)))");
    run_ok(from, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) "
                 "INSERT INTO t (id, a, b) SELECT i, hex(zeroblob(600000)), "
                 "hex(zeroblob(300000)) || 'y' FROM n");
    struct whole whole = copy(from, "SELECT 1", &pieces);
    assert_int_equal(restore(to, &whole, false), 0);
    check(to, "SELECT count(*), max(c) FROM t", "[[3,0]]");
    free(whole.data);
    (void) sql_close(from);
    (void) sql_close(to);
}

/* Statements may write such rows, with a PRAGMA. */
static void test_rows_against_a_check_are_no_damage(void **state)
{
    struct sql *from = rig_open_sql("k"), *to = rig_open_sql("l");
    unsigned pieces;

    (void) state;
    run_ok(from, "CREATE TABLE t (id CHECK (id < 9))");
    run_script(from, "PRAGMA ignore_check_constraints = ON; INSERT INTO t VALUES (10)");
    struct whole whole = copy(from, "SELECT 1", &pieces);
    assert_int_equal(restore(to, &whole, false), 0);
    check(to, "SELECT id FROM t", "[[10]]");
    free(whole.data);
    (void) sql_close(from);
    (void) sql_close(to);
}

static void test_parts_out_of_order_and_over_the_quota_are_refused(void **state)
{
    struct sql *sql = rig_open_sql("f");
    const int64_t number = begin_restore(sql, false);
    struct call call;

    (void) state;
    assert_int_equal(write_part(sql, number, 5, (const uint8_t *) "x", 1), 400);
    assert_int_equal(write_part(sql, number + 1, 0, (const uint8_t *) "x", 1), 400);
    assert_int_equal(commit(sql, number, 9, false), -400);
    begin(&call, "restore-write");
    call.operation.limits.sql_mib = 0;
    call_integer(&call, number);
    call_integer(&call, 0);
    call_rest(&call, "x", 1);
    assert_int_equal(call_sql(&call, sql), 507);
    call_done(&call);
    (void) sql_close(sql);
}

static void test_another_copy_ends_the_one_before(void **state)
{
    struct sql *sql = rig_open_sql("g");
    const int64_t first = ask(sql, "copy-begin", NULL, 0, true),
                  second = ask(sql, "copy-begin", NULL, 0, true);

    (void) state;
    assert_int_equal(ask(sql, "copy-step", &first, 1, true), -400);
    assert_int_equal(ask(sql, "copy-step", &second, 1, true), 1);
    assert_int_equal(rig_count_files("g-copy"), 1);
    (void) sql_close(sql);
    assert_int_equal(rig_count_files("g-copy"), 0);
}

/* The operator has gone; the tenant goes on. */
static void test_copies_that_nobody_uses_end(void **state)
{
    static const int64_t minutes[] = { 9, 11 };
    struct sql *sql = rig_open_sql("m");

    (void) state;
    assert_true(ask(sql, "copy-begin", NULL, 0, true) > 0);
    assert_true(begin_restore(sql, false) > 0);
    for (unsigned i = 0; i < ARRAY_LEN(minutes); i++) {
        struct call call;
        call_init(&call, "exec");
        call.operation.now_ms += minutes[i] * 60 * 1000;
        call_text(&call, "SELECT 1");
        assert_int_equal(call_sql(&call, sql), 200);
        call_done(&call);
        assert_int_equal(rig_count_files("m-copy") + rig_count_files("m-restore"), i == 0 ? 2 : 0);
    }
    (void) sql_close(sql);
}

static void test_a_tenant_may_not_copy(void **state)
{
    static const char *const names[] = { "copy-begin",    "copy-step",     "copy-read",
                                         "copy-end",      "restore-begin", "restore-write",
                                         "restore-commit" };
    struct sql *sql = rig_open_sql("h");

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct call call;
        call_init(&call, names[i]);
        for (unsigned k = 0; k < 3; k++)
            call_integer(&call, 0);
        assert_int_equal(call_sql(&call, sql), 400);
        assert_non_null(strstr(call_answer_text(&call), "no such operation"));
        call_done(&call);
    }
    (void) sql_close(sql);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_copy_is_the_state_at_its_last_piece),
        cmocka_unit_test(test_a_database_with_something_is_replaced_only_if_asked),
        cmocka_unit_test(test_a_file_that_is_none_changes_nothing),
        cmocka_unit_test(test_expressions_of_the_file_are_bounded),
        cmocka_unit_test(test_rows_against_a_check_are_no_damage),
        cmocka_unit_test(test_parts_out_of_order_and_over_the_quota_are_refused),
        cmocka_unit_test(test_another_copy_ends_the_one_before),
        cmocka_unit_test(test_copies_that_nobody_uses_end),
        cmocka_unit_test(test_a_tenant_may_not_copy),
    };

    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
