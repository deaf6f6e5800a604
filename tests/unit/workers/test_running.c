/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work of a worker's threads, by the rows of a scoreboard that the test writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "supervisor/workers/running.h"

#define LAST (SCOREBOARD_THREADS - 1)

static struct worker *make(void **state)
{
    struct worker *worker = calloc(1, sizeof *worker);

    assert_non_null(worker);
    worker->board = calloc(1, SCOREBOARD_BYTES);
    assert_non_null(worker->board);
    *state = worker;
    return worker;
}

static int tear_down(void **state)
{
    struct worker *worker = *state;

    free(worker->board);
    free(worker);
    return 0;
}

static void run(struct worker *worker, unsigned thread, const struct running *running)
{
    struct scoreboard_thread *row = &worker->board->threads[thread];

    atomic_store(&row->running_request, running->request);
    atomic_store(&row->running_placement, running->placement);
    atomic_store(&row->running_since_ns, running->since_ns);
}

static void assert_request(struct running running, uint64_t request, uint64_t since_ns)
{
    assert_int_equal(running.request, request);
    assert_int_equal(running.since_ns, since_ns);
}

static void test_worker_without_a_scoreboard_runs_nothing(void **state)
{
    struct worker *worker = make(state);

    free(worker->board);
    worker->board = NULL;
    assert_request(worker_running(worker), 0, 0);
    assert_request(worker_ran_last(worker), 0, 0);
    assert_false(worker_runs(worker, 7, NULL));
    assert_false(worker_runs_placement(worker, 1));
    assert_int_equal(worker_heartbeat(worker), 0);
    assert_null(worker_last_words(worker));
}

static void test_thread_that_has_run_for_longest_is_found_in_any_row(void **state)
{
    struct worker *worker = make(state);
    uint64_t since_ns = 0;

    run(worker, 2, &(struct running){ .request = 20, .placement = 2, .since_ns = 500 });
    assert_request(worker_running(worker), 20, 500);
    run(worker, LAST, &(struct running){ .request = 70, .placement = 7, .since_ns = 400 });
    run(worker, 0, &(struct running){ .since_ns = 1 }); /* runs nothing any more */
    assert_request(worker_running(worker), 70, 400);
    assert_true(worker_runs(worker, 20, &since_ns));
    assert_int_equal(since_ns, 500);
    assert_true(worker_runs_placement(worker, 2));
    assert_true(worker_runs_placement(worker, 7));
    assert_false(worker_runs(worker, 30, &since_ns));
    assert_int_equal(since_ns, 500);
    assert_false(worker_runs_placement(worker, 3));
}

static void test_load_runs_without_a_request(void **state)
{
    struct worker *worker = make(state);

    run(worker, 1, &(struct running){ .placement = 4, .since_ns = 9 });
    assert_request(worker_running(worker), 0, 9);
    assert_int_equal(worker_running(worker).placement, 4);
}

static void test_heartbeat_of_each_thread_counts(void **state)
{
    struct worker *worker = make(state);
    uint64_t before = worker_heartbeat(worker);

    for (unsigned i = 0; i < SCOREBOARD_THREADS; i++) {
        atomic_fetch_add(&worker->board->threads[i].heartbeat, 1);
        assert_true(worker_heartbeat(worker) != before);
        before = worker_heartbeat(worker);
    }
}

static void test_last_words_tell_which_thread_has_died(void **state)
{
    struct worker *worker = make(state);

    run(worker, 0, &(struct running){ .request = 10, .placement = 1, .since_ns = 100 });
    assert_request(worker_ran_last(worker), 10, 100);
    run(worker, 5, &(struct running){ .request = 50, .placement = 5, .since_ns = 900 });
    assert_request(worker_ran_last(worker), 0, 0); /* either may have crashed */
    atomic_store(&worker->board->threads[5].last_words, LAST_WORDS_HEAP_OOM);
    assert_request(worker_ran_last(worker), 50, 900);
    assert_ptr_equal(worker_last_words(worker), &worker->board->threads[5]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_worker_without_a_scoreboard_runs_nothing, tear_down),
        cmocka_unit_test_teardown(test_thread_that_has_run_for_longest_is_found_in_any_row,
                                  tear_down),
        cmocka_unit_test_teardown(test_load_runs_without_a_request, tear_down),
        cmocka_unit_test_teardown(test_heartbeat_of_each_thread_counts, tear_down),
        cmocka_unit_test_teardown(test_last_words_tell_which_thread_has_died, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
