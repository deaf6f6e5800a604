/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request that was sent is either entered by the worker or withdrawn by the supervisor.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/scoreboard.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/worker.h"

#define ROUNDS 20000
#define SLOT 7
#define ID(round) (((uint64_t) (round) << 10) + SLOT)

static struct scoreboard board;

/* ---- both at the same time */

struct race {
    pthread_barrier_t start;
    bool entered[ROUNDS];
};

static void *run_worker(void *arg)
{
    struct race *race = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        (void) pthread_barrier_wait(&race->start);
        race->entered[i] = scoreboard_enter(&board, SLOT, ID(i + 1));
    }
    return NULL;
}

static void test_one_of_both_has_each_request(void **state)
{
    static struct race race;
    static bool withdrawn[ROUNDS];
    pthread_t worker;
    unsigned n = 0;

    (void) state;
    memset(&board, 0, sizeof board);
    assert_int_equal(pthread_barrier_init(&race.start, NULL, 2), 0);
    assert_int_equal(pthread_create(&worker, NULL, run_worker, &race), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        (void) pthread_barrier_wait(&race.start);
        withdrawn[i] = scoreboard_withdraw(&board, SLOT, ID(i + 1));
    }
    assert_int_equal(pthread_join(worker, NULL), 0);
    (void) pthread_barrier_destroy(&race.start);
    for (unsigned i = 0; i < ROUNDS; i++)
        n += withdrawn[i] != race.entered[i];
    assert_int_equal(n, ROUNDS);
}

/* ---- one after the other */

static void test_what_has_begun_stays(void **state)
{
    (void) state;
    memset(&board, 0, sizeof board);
    assert_true(scoreboard_enter(&board, SLOT, ID(1)));
    assert_false(scoreboard_withdraw(&board, SLOT, ID(1)));
    assert_true(board.entered[SLOT] == ID(1));
}

static void test_what_was_withdrawn_never_begins(void **state)
{
    (void) state;
    memset(&board, 0, sizeof board);
    assert_true(scoreboard_withdraw(&board, SLOT, ID(1)));
    assert_false(scoreboard_enter(&board, SLOT, ID(1)));
    assert_false(scoreboard_enter(&board, SLOT, ID(1)));
    assert_true(board.entered[SLOT] != ID(1));
    /* The row's next request is independent. */
    assert_true(scoreboard_enter(&board, SLOT, ID(2)));
}

/* ---- the supervisor's record of that */

struct fixture {
    struct record record;
    struct slots slots;
    struct cordon_config cordon;
    struct worker *worker;
};

static void set_up(struct fixture *fixture)
{
    *fixture = (struct fixture){ 0 };
    memset(&board, 0, sizeof board);
    fixture->slots.base = event_base_new();
    fixture->slots.record = &fixture->record;
    fixture->worker = worker_new(&fixture->slots, &fixture->cordon, 0);
    assert_non_null(fixture->worker);
    fixture->worker->board = &board;
}

static void tear_down(struct fixture *fixture)
{
    fixture->worker->board = NULL; /* not mapped */
    (void) worker_free(fixture->worker);
    event_base_free(fixture->slots.base);
}

static void take(struct worker *worker, struct attempt *attempt, uint64_t round)
{
    unsigned slot;

    assert_int_equal(worker_take_row(worker, attempt, &slot), 0);
    attempt->id = round * SCOREBOARD_REQUESTS + slot;
}

static void test_slot_of_a_withdrawn_request_is_taken_until_its_worker_says_so(void **state)
{
    struct attempt attempt = { 0 };
    struct fixture fixture;

    (void) state;
    set_up(&fixture);
    struct worker *worker = fixture.worker;
    take(worker, &attempt, 1);
    assert_true(worker_withdraw(worker, &attempt));
    worker_give_row(worker, &attempt);
    assert_null(worker_find_attempt(worker, attempt.id));
    assert_int_equal(worker->in_flight, 0);
    assert_int_equal(worker->n_free_rows, SCOREBOARD_REQUESTS - 1);
    assert_false(worker_end_withdrawn(worker, attempt.id + SCOREBOARD_REQUESTS));
    assert_false(worker_end_withdrawn(worker, 0));
    assert_true(worker_end_withdrawn(worker, attempt.id));
    assert_int_equal(worker->n_free_rows, SCOREBOARD_REQUESTS);
    assert_false(worker_end_withdrawn(worker, attempt.id)); /* only once */
    tear_down(&fixture);
}

static void test_open_withdrawals_leave_slots_to_others(void **state)
{
    static struct attempt attempts[SCOREBOARD_REQUESTS];
    struct fixture fixture;
    unsigned n = 0;

    (void) state;
    set_up(&fixture);
    for (unsigned i = 0; i < SCOREBOARD_REQUESTS; i++) {
        take(fixture.worker, &attempts[i], 1);
        n += worker_withdraw(fixture.worker, &attempts[i]);
    }
    assert_int_equal(n, SCOREBOARD_REQUESTS / 4);
    assert_int_equal(fixture.worker->n_withdrawn, n);
    /* Counted once, however often it is tried, until there is room again. */
    assert_int_equal(fixture.record.counters.not_withdrawn, 1);
    assert_true(worker_end_withdrawn(fixture.worker, attempts[0].id));
    assert_true(worker_withdraw(fixture.worker, &attempts[n]));
    assert_false(worker_withdraw(fixture.worker, &attempts[n + 1]));
    assert_int_equal(fixture.record.counters.not_withdrawn, 2);
    tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_both_has_each_request),
        cmocka_unit_test(test_what_has_begun_stays),
        cmocka_unit_test(test_what_was_withdrawn_never_begins),
        cmocka_unit_test(test_slot_of_a_withdrawn_request_is_taken_until_its_worker_says_so),
        cmocka_unit_test(test_open_withdrawals_leave_slots_to_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
