/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's own part of the time, with clocks of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/io.h"
#include "supervisor/workers/own_time.h"

#define MS NSEC_PER_MSEC
#define LOOK_MS 5

struct worker {
    struct own_time own;
    uint64_t now_ns, cpu_ns;
};

static struct worker start(bool is_runnable)
{
    struct worker worker = { .now_ns = 1000 * NSEC_PER_SEC };

    own_time_look(&worker.own, worker.now_ns, 0, is_runnable);
    return worker;
}

/* Lets the time pass; each look finds that the worker has used this part of it, in percent. */
static void pass(struct worker *worker, uint64_t ms, unsigned percent, bool is_runnable)
{
    for (uint64_t at = 0; at < ms; at += LOOK_MS) {
        worker->now_ns += LOOK_MS * MS;
        worker->cpu_ns += LOOK_MS * MS * percent / 100;
        own_time_look(&worker->own, worker->now_ns, worker->cpu_ns, is_runnable);
    }
}

static uint64_t own_ms(const struct worker *worker, const struct own_mark *mark)
{
    return own_time_since_ns(&worker->own, mark, worker->now_ns) / MS;
}

static void test_worker_that_sleeps_or_runs_has_all_the_time(void **state)
{
    struct worker worker = start(false);
    struct own_mark mark = own_time_mark(&worker.own, worker.now_ns);

    (void) state;
    pass(&worker, 1000, 0, false);
    assert_int_equal(own_ms(&worker, &mark), 1000);
    pass(&worker, 1000, 100, true);
    assert_in_range(own_ms(&worker, &mark), 1990, 2000);
    pass(&worker, 1000, 30, false); /* the worker runs and sleeps in turn */
    assert_in_range(own_ms(&worker, &mark), 2990, 3000);
}

static void test_time_without_a_processor_is_not_the_workers(void **state)
{
    struct worker worker = start(true);
    struct own_mark mark = own_time_mark(&worker.own, worker.now_ns);

    (void) state;
    pass(&worker, 1000, 40, true);
    assert_int_equal(own_ms(&worker, &mark), 400);
    pass(&worker, 1000, 0, false); /* then it hangs */
    assert_int_equal(own_ms(&worker, &mark), 1400);
}

static void test_deadline_moves_while_the_worker_waits_and_not_for_ever(void **state)
{
    struct worker worker = start(true);
    struct own_mark mark = own_time_mark(&worker.own, worker.now_ns);
    uint64_t begin_ns = worker.now_ns;

    (void) state;
    assert_int_equal(own_time_deadline_ns(&worker.own, &mark, 100 * MS), begin_ns + 100 * MS);
    pass(&worker, 200, 40, true);
    assert_int_equal(own_time_deadline_ns(&worker.own, &mark, 100 * MS), begin_ns + 220 * MS);
    pass(&worker, 10000, 0, true);
    assert_int_equal(own_time_deadline_ns(&worker.own, &mark, 100 * MS),
                     begin_ns + OWN_TIME_LEAST * 100 * MS);
}

static void test_patience_with_a_starved_worker_is_bounded(void **state)
{
    struct worker worker = start(true);
    struct own_mark mark = own_time_mark(&worker.own, worker.now_ns);

    (void) state;
    pass(&worker, 10000, 0, true);
    assert_int_equal(own_ms(&worker, &mark), 10000 / OWN_TIME_LEAST);
}

static void test_time_in_which_nobody_looked_is_not_the_workers(void **state)
{
    struct worker worker = start(false);
    struct own_mark mark = own_time_mark(&worker.own, worker.now_ns);

    (void) state;
    worker.now_ns += 500 * MS; /* the supervisor got no processor */
    own_time_look(&worker.own, worker.now_ns, 0, false);
    assert_int_equal(own_ms(&worker, &mark), OWN_TIME_LOOK_MS);
}

static void test_time_with_nothing_to_do_is_the_workers(void **state)
{
    struct worker worker = start(true);
    struct own_mark mark = own_time_mark(&worker.own, worker.now_ns);

    (void) state;
    own_time_rest(&worker.own);
    worker.now_ns += 5000 * MS;
    own_time_look(&worker.own, worker.now_ns, 0, true);
    assert_int_equal(own_ms(&worker, &mark), 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worker_that_sleeps_or_runs_has_all_the_time),
        cmocka_unit_test(test_time_without_a_processor_is_not_the_workers),
        cmocka_unit_test(test_deadline_moves_while_the_worker_waits_and_not_for_ever),
        cmocka_unit_test(test_patience_with_a_starved_worker_is_bounded),
        cmocka_unit_test(test_time_in_which_nobody_looked_is_not_the_workers),
        cmocka_unit_test(test_time_with_nothing_to_do_is_the_workers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
