/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements that mean harm, tests/data/sql: each has one of the statuses that its second line says, ends in its time, and leaves a
 * database that works.
 */
#include <fcntl.h>
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

#define FOLDER "tests/data/sql"
#define STATUS_LINE "-- status: "
#define TIME_MS 20
/* CPU time in which no progress handler is called, at most 900 ms on a machine of 2024 that has nothing else to do, and more where it shares
 * its cores; the process lets a statement run over its time by a second. Statements that cannot be interrupted take minutes. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LATE_MS 60000
#else
#define LATE_MS 3000
#endif
#define SCRIPT_MAX_BYTES ((size_t) 1 << 20)

static uint64_t cpu_ms(void)
{
    return io_clock_ns(CLOCK_THREAD_CPUTIME_ID) / NSEC_PER_MSEC;
}

static void limit(struct call *call)
{
    call->operation.limits.sql_mib = 16;
    call->operation.limits.sql_rows_mib = 2;
    call->operation.limits.sql_ms = TIME_MS;
    call->operation.deadline_ns = io_now_ns() + TIME_MS * NSEC_PER_MSEC;
}

/* Reads the statuses of a file. */
static bool has_status(const char *script, unsigned status)
{
    const char *line = strstr(script, STATUS_LINE);
    char *end;

    assert_non_null(line);
    line += strlen(STATUS_LINE);
    for (unsigned long n; (n = strtoul(line, &end, 10)) && end != line; line = end)
        if (n == status)
            return true;
    return false;
}

/* Runs a script; its statements are those of one operation, or a batch of one statement. */
static bool run(struct sql *sql, const char *name, const char *script, const char *operation)
{
    struct call call;
    const uint64_t start = cpu_ms(), start_ns = io_now_ns();

    call_init(&call, operation);
    limit(&call);
    call_add(&call, strcmp(operation, "exec") == 0 ? VALUE_TEXT : VALUE_STATEMENT, script,
             strlen(script));
    const unsigned status = call_sql(&call, sql);
    const uint64_t ms = cpu_ms() - start;
    const bool is_several = strstr(script, ";\n") != NULL;
    const bool is_right = has_status(script, status) || (is_several && operation[0] == 'q') ||
                          (status == 413 && has_status(script, 504)) ||
                          (status == 504 && io_now_ns() - start_ns >= TIME_MS * NSEC_PER_MSEC);
    if (!is_right || ms > TIME_MS + LATE_MS)
        print_error("%s, %s: %u, %lu ms of CPU: %.300s\n", name, operation, status,
                    (unsigned long) ms, call_answer_text(&call));
    call_done(&call);
    return is_right && ms <= TIME_MS + LATE_MS;
}

static unsigned run_file(const char *name)
{
    static const char *const operations[] = { "exec", "query" };
    char path[512], text[256];
    _cleanup_free_ char *script = NULL;
    size_t size;
    unsigned failed = 0;

    (void) snprintf(path, sizeof path, FOLDER "/%s", name);
    assert_int_equal(io_read_file(AT_FDCWD, path, SCRIPT_MAX_BYTES, &script, &size), 0);
    for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
        struct sql *sql = rig_open_sql("hostile");
        failed += !run(sql, name, script, operations[i]);
        assert_int_equal(rig_query(sql, "CREATE TABLE works(a)", text, sizeof text), 200);
        assert_int_equal(rig_query(sql, "INSERT INTO works VALUES(1)", text, sizeof text), 200);
        assert_int_equal(rig_query(sql, "PRAGMA quick_check", text, sizeof text), 200);
        assert_non_null(strstr(text, "[[\"ok\"]]"));
        sql = sql_close(sql);
        sql = rig_open_sql("hostile");
        assert_int_equal(rig_query(sql, "SELECT a FROM works", text, sizeof text), 200);
        assert_non_null(strstr(text, "[[1]]"));
        (void) sql_close(sql);
        assert_int_equal(rig_count_files("hostile.corrupt"), 0);
        rig_remove("hostile");
    }
    return failed;
}

static void test_statements_of_the_corpus(void **state)
{
    _cleanup_dir_ DIR *dir = opendir(FOLDER);
    unsigned n = 0, failed = 0;

    (void) state;
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (strstr(entry->d_name, ".sql")) {
            failed += run_file(entry->d_name);
            n++;
        }
    assert_true(n > 50);
    assert_int_equal(failed, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements_of_the_corpus),
    };

    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
