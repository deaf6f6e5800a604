/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that writes is killed at any moment: whatever it has reported as durable is there, and the files are sound. The argument
 * is the number of kills.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "common/cleanup.h"
#include "rig.h"

#define KILLS 30
#define SLOTS 40
#define BATCH 3
#define REPORTS_MAX 60
#define VALUE_MAX_BYTES 60000
/* One in so many values is written in another way. */
#define LARGE_EACH 29
#define LARGE_BYTES 1200000

static unsigned kills = KILLS;

/* The value of a number: its size follows from the number, so that a part of it is seen. */
static size_t make_value(uint64_t number, uint8_t *to)
{
    const size_t size = number % LARGE_EACH == 0
                            ? LARGE_BYTES
                            : 8 + (size_t) (number * 7919 % VALUE_MAX_BYTES) / (number % 4 + 1);

    memcpy(to, &number, 8);
    memset(to + 8, (int) (number % 251), size - 8);
    return size;
}

/* ---- the process that is killed */

static void write_batch(struct kv *kv, uint64_t number)
{
    static uint8_t value[LARGE_BYTES];
    struct call calls[BATCH];
    struct data_operation *operations[BATCH];
    char key[16];

    for (unsigned i = 0; i < BATCH; i++) {
        call_init(&calls[i], "put");
        (void) snprintf(key, sizeof key, "%u", (unsigned) ((number + i) % SLOTS));
        call_text(&calls[i], key);
        call_null(&calls[i]);
        call_null(&calls[i]);
        call_rest(&calls[i], value, make_value(number + i, value));
        operations[i] = call_ready(&calls[i]);
    }
    if (kv_run(kv, operations, BATCH) < 0)
        _exit(1);
    for (unsigned i = 0; i < BATCH; i++) {
        if (calls[i].operation.status != 200)
            _exit(1);
        call_done(&calls[i]);
    }
}

static void insert(struct sql *sql, uint64_t number)
{
    struct call call;

    call_init(&call, "query");
    for (unsigned i = 0; i < BATCH; i++) {
        call_statement(&call, "INSERT INTO t(id, a) VALUES(?, randomblob(3000))");
        call_integer(&call, (int64_t) number + i + 1);
    }
    if (sql_run(sql, call_ready(&call)) < 0 || call.operation.status != 200)
        _exit(1);
    call_done(&call);
}

/* Writes from a number on, and reports each that is durable. */
static void write_forever(int fd, uint64_t number)
{
    char notice[512], text[128];
    struct kv *kv = NULL;
    struct sql *sql = NULL;

    if (kv_open(rig_path("kv"), &kv, notice) < 0 || notice[0] ||
        sql_open(rig_path("sql"), &sql, notice) < 0 || notice[0])
        _exit(1);
    if (rig_query(sql, "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, a)", text,
                  sizeof text) != 200)
        _exit(1);
    for (;; number += BATCH) {
        write_batch(kv, number);
        insert(sql, number);
        const uint64_t last = number + BATCH;
        if (write(fd, &last, sizeof last) != sizeof last)
            _exit(0);
    }
}

/* Starts the process, kills it after so many reports, and returns the last one. */
static uint64_t run_and_kill(uint64_t number, unsigned reports)
{
    int fds[2];
    uint64_t last = number, report;
    int status;

    assert_int_equal(pipe(fds), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void) close(fds[0]);
        write_forever(fds[1], number);
    }
    (void) close(fds[1]);
    for (unsigned i = 0; i < reports && read(fds[0], &report, sizeof report) == sizeof report; i++)
        last = report;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    while (read(fds[0], &report, sizeof report) == sizeof report)
        last = report;
    (void) close(fds[0]);
    return last;
}

/* ---- what is left */

static void check_sound(const char *name, const char *statement, const char *expected)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *prepared = NULL;

    assert_int_equal(sqlite3_open(rig_path(name), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, statement, -1, &prepared, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(prepared), SQLITE_ROW);
    assert_string_equal((const char *) sqlite3_column_text(prepared, 0), expected);
    (void) sqlite3_finalize(prepared);
    (void) sqlite3_close(db);
}

/* Checks that each slot has a whole value, which is not older than what was reported. */
static void check_slots(struct kv *kv, uint64_t last)
{
    static uint8_t value[LARGE_BYTES];
    char key[16];

    for (uint64_t slot = 0; slot < SLOTS && slot < last; slot++) {
        struct call call;
        size_t size;
        uint64_t number;
        (void) snprintf(key, sizeof key, "%u", (unsigned) slot);
        call_init(&call, "get");
        call_text(&call, key);
        assert_int_equal(call_kv(&call, kv), 200);
        const uint8_t *rest = call_answer_rest(&call, &size);
        assert_true(size >= 8);
        memcpy(&number, rest, 8);
        const uint64_t reported = slot + (last - 1 - slot) / SLOTS * SLOTS;
        assert_true(number >= reported && number % SLOTS == slot);
        assert_int_equal(make_value(number, value), size);
        assert_memory_equal(rest, value, size);
        call_done(&call);
    }
}

/* Returns the number of rows, which are those of a prefix of all that was written. */
static uint64_t check_rows(struct sql *sql, uint64_t last)
{
    char text[256];
    unsigned long n = 0, most = 0;

    assert_int_equal(
        rig_query(sql, "SELECT count(*) || ' ' || coalesce(max(id), 0) FROM t", text, sizeof text),
        200);
    const char *rows = strstr(text, "[[\"");
    assert_non_null(rows);
    assert_int_equal(sscanf(rows, "[[\"%lu %lu", &n, &most), 2);
    assert_int_equal(n, most);
    assert_true(n >= last && n <= last + BATCH);
    return n;
}

static void test_nothing_that_was_reported_is_lost(void **state)
{
    uint64_t next = 0;

    (void) state;
    srandom((unsigned) getpid());
    for (unsigned i = 0; i < kills; i++) {
        const uint64_t last = run_and_kill(next, 1 + (unsigned) (random() % REPORTS_MAX));
        struct kv *kv = rig_open_kv("kv");
        struct sql *sql = rig_open_sql("sql");
        assert_true(last > next);
        check_slots(kv, last);
        next = check_rows(sql, last);
        (void) kv_close(kv);
        (void) sql_close(sql);
        check_sound("kv", "PRAGMA integrity_check", "ok");
        check_sound("sql", "PRAGMA integrity_check", "ok");
        check_sound(
            "kv",
            "SELECT t.bytes = e.bytes AND t.keys = e.keys FROM total t, (SELECT "
            "sum(length(key) + coalesce(length(metadata), 0) + size) AS bytes, count(*) AS keys "
            "FROM entry) e",
            "1");
        check_sound("kv",
                    "SELECT (SELECT count(*) FROM content) = (SELECT count(content) FROM entry)",
                    "1");
    }
    assert_int_equal(rig_count_files("kv.corrupt") + rig_count_files("sql.corrupt"), 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_that_was_reported_is_lost),
    };

    if (argc > 1)
        kills = (unsigned) strtoul(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
