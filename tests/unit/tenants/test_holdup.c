/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants that hold up others and the steps that follow, with clocks of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/io.h"
#include "supervisor/record/holdup.h"
#include "supervisor/tenants/conduct.h"

#define MS NSEC_PER_MSEC
#define LOOK_MS 5
#define UNLIMITED_MS UINT64_MAX

/* A worker, and the times of skepd's looks at it. */
struct worker {
    struct holdup_piece piece;
    struct holdup held;
    uint64_t now_ns, cpu_ns, request;
};

static const struct worker fresh = { .now_ns = 1000 * NSEC_PER_SEC };

/* Lets the tenant run for that long, while others wait. Returns the first step that is due. */
static enum holdup_step run(struct worker *worker, struct holdup *tenant, uint64_t ms,
                            uint64_t remaining_ms)
{
    uint64_t since_ns = worker->now_ns;
    enum holdup_step step = HOLDUP_STAY;

    worker->request++;
    for (uint64_t at = 0; at <= ms && step == HOLDUP_STAY; at += LOOK_MS) {
        uint64_t grown_ns =
            holdup_look(&worker->piece, worker->request, since_ns, worker->cpu_ns + at * MS, 0);
        holdup_add(&worker->held, grown_ns, since_ns + at * MS);
        holdup_add(tenant, grown_ns, since_ns + at * MS);
        struct holdup_facts facts = {
            .worker_ns = holdup_held_ns(&worker->held, since_ns + at * MS),
            .tenant_ns = holdup_held_ns(tenant, since_ns + at * MS),
            .remaining_ms = remaining_ms,
        };
        step = holdup_decide(&facts);
    }
    worker->now_ns += ms * MS;
    worker->cpu_ns += ms * MS;
    return step;
}

static void pass(struct worker *worker, uint64_t ms)
{
    worker->now_ns += ms * MS;
}

static void test_spinner_goes_apart_in_its_second_spin(void **state)
{
    struct worker worker = fresh;
    struct holdup tenant = { 0 };

    (void) state;
    assert_int_equal(run(&worker, &tenant, 50, 20), HOLDUP_STAY);
    assert_int_equal(run(&worker, &tenant, 50, 20), HOLDUP_PART);
    assert_in_range(worker.now_ns - fresh.now_ns, 0, 200 * MS);
}

static void test_tenant_just_under_its_budget_goes_apart_as_well(void **state)
{
    struct worker worker = fresh;
    struct holdup tenant = { 0 };

    (void) state;
    assert_int_equal(run(&worker, &tenant, 45, 5), HOLDUP_STAY);
    assert_int_equal(run(&worker, &tenant, 45, 5), HOLDUP_PART);
}

static void test_of_many_spinners_each_goes_apart_in_its_first_spin(void **state)
{
    struct worker worker = fresh;
    struct holdup tenants[10] = { 0 };

    (void) state;
    assert_int_equal(run(&worker, &tenants[0], 50, 0), HOLDUP_STAY);
    for (unsigned i = 1; i < 10; i++) {
        assert_int_equal(run(&worker, &tenants[i], 50, 0), HOLDUP_PART);
        pass(&worker, HOLDUP_PAUSE_MS);
    }
    /* Also the first tenant, when the worker is looked at for the second. */
    assert_in_range(holdup_held_ns(&tenants[0], fresh.now_ns + 100 * MS), HOLDUP_PART_MS * MS,
                    50 * MS);
}

static void test_others_leave_a_worker_that_is_likely_to_be_held_up_for_long(void **state)
{
    struct worker worker = fresh, other = fresh;
    struct holdup one = { 0 }, many = { 0 };

    (void) state;
    assert_int_equal(run(&worker, &one, 2000, UNLIMITED_MS), HOLDUP_REPLACE);
    assert_int_equal(run(&other, &many, 50, 63 * 50), HOLDUP_STAY);
    assert_int_equal(run(&other, &many, 50, 62 * 50), HOLDUP_REPLACE);
}

static void test_others_leave_also_if_what_is_apart_has_left_much_behind(void **state)
{
    struct holdup_facts facts = { .worker_ns = 100 * MS, .remaining_ms = 150, .is_apart = true };

    (void) state;
    assert_int_equal(holdup_decide(&facts), HOLDUP_REPLACE);
    facts.remaining_ms = HOLDUP_REMAINING_MS - 1;
    assert_int_equal(holdup_decide(&facts), HOLDUP_STAY);
}

static void test_short_pieces_hold_up_nobody_however_many(void **state)
{
    struct worker worker = fresh;
    struct holdup tenant = { 0 };

    (void) state;
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(run(&worker, &tenant, HOLDUP_PIECE_MS - 1, 0), HOLDUP_STAY);
    assert_int_equal(worker.held.held_ns, 0);
}

static void test_cheap_tenant_beside_a_slow_one_stays(void **state)
{
    struct worker worker = fresh;
    struct holdup cheap = { 0 }, slow = { 0 };
    enum holdup_step step = HOLDUP_STAY;

    (void) state;
    for (unsigned i = 0; i < 100 && step == HOLDUP_STAY; i++) {
        for (unsigned j = 0; j < 20; j++)
            assert_int_equal(run(&worker, &cheap, 1, 0), HOLDUP_STAY);
        step = run(&worker, &slow, 30, 0);
    }
    assert_int_equal(step, HOLDUP_PART);
    assert_int_equal(cheap.held_ns, 0);
}

static void test_tenant_that_holds_up_others_now_and_then_stays(void **state)
{
    struct worker worker = fresh;
    struct holdup tenant = { 0 };

    (void) state;
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(run(&worker, &tenant, 45, 0), HOLDUP_STAY);
        pass(&worker, 455);
    }
}

/* The host is busy: the piece has lasted for a second and used almost no CPU time. */
static void test_time_without_use_of_the_processor_is_nobodys(void **state)
{
    struct holdup_piece piece = { 0 };

    (void) state;
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(holdup_look(&piece, 7, 100, 3 * MS + i * 10000, 0), 0);
}

static void test_piece_is_counted_once_and_the_next_anew(void **state)
{
    struct holdup_piece piece = { 0 };

    (void) state;
    assert_int_equal(holdup_look(&piece, 7, 100, 0, 0), 0);
    assert_int_equal(holdup_look(&piece, 7, 100, HOLDUP_PIECE_MS * MS - 1, 0), 0);
    assert_int_equal(holdup_look(&piece, 7, 100, 12 * MS, 0), 12 * MS);
    assert_int_equal(holdup_look(&piece, 7, 100, 20 * MS, 0), 8 * MS);
    assert_int_equal(holdup_look(&piece, 7, 100, 20 * MS, 0), 0);
    assert_int_equal(holdup_look(&piece, 7, 900, 40 * MS, 0), 0); /* entered again */
    assert_int_equal(holdup_look(&piece, 8, 900, 60 * MS, 0), 0);
    assert_int_equal(holdup_look(&piece, 8, 900, 50 * MS, 0),
                     0); /* no clock goes back; nor does this one */
}

static void test_of_a_load_only_what_honest_tenants_do_not_need_counts(void **state)
{
    struct holdup_piece piece = { 0 };
    uint64_t spared = HOLDUP_LOAD_MS * MS;

    (void) state;
    assert_int_equal(holdup_look(&piece, 7, 100, 10 * MS, spared), 0);
    assert_int_equal(holdup_look(&piece, 7, 100, 10 * MS + spared, spared), 0);
    assert_int_equal(holdup_look(&piece, 7, 100, 30 * MS + spared, spared), 20 * MS);
    assert_int_equal(holdup_look(&piece, 7, 100, 40 * MS + spared, spared), 10 * MS);
    assert_int_equal(holdup_look(&piece, 8, 200, 50 * MS + spared, spared), 0);
    assert_int_equal(holdup_look(&piece, 8, 200, 90 * MS + spared, spared), 0);
}

static uint64_t at(uint64_t second)
{
    return (1000 + second) * NSEC_PER_SEC;
}

static void test_tenant_that_is_let_back_too_soon_stays_apart_for_twice_as_long(void **state)
{
    struct conduct conduct = { 0 };
    uint64_t second = 0;

    (void) state;
    for (uint64_t wait_s = CONDUCT_CALM_S; wait_s <= CONDUCT_CALM_MAX_S; wait_s *= 2) {
        assert_true(conduct_part(&conduct, at(second)));
        assert_false(conduct_part(&conduct, at(second)));
        assert_false(conduct_rejoin(&conduct, wait_s - 1, at(second += wait_s)));
        assert_true(conduct_rejoin(&conduct, wait_s, at(second)));
    }
    assert_true(conduct_part(&conduct, at(second)));
    assert_true(conduct_rejoin(&conduct, CONDUCT_CALM_MAX_S, at(second)));
    second += CONDUCT_CALM_FORGET_S;
    assert_true(conduct_part(&conduct, at(second)));
    assert_true(conduct_rejoin(&conduct, CONDUCT_CALM_S, at(second)));
    assert_int_equal(conduct.strikes, 0);
    assert_int_equal(conduct_marks(&conduct, at(second)), 0);
}

static void test_tenant_with_strikes_is_not_let_back_for_being_calm(void **state)
{
    struct conduct conduct = { .seclusion = SECLUSION_STRIKES };

    (void) state;
    assert_false(conduct_part(&conduct, at(0)));
    assert_false(conduct_rejoin(&conduct, 100000, at(0)));
    assert_int_equal(conduct.seclusion, SECLUSION_STRIKES);
}

static void test_nothing_is_forgotten_while_the_worker_waits_for_a_processor(void **state)
{
    struct holdup busy = { 0 }, idle = { 0 };
    uint64_t now_ns = fresh.now_ns;

    (void) state;
    holdup_add(&busy, 50 * MS, now_ns);
    holdup_add(&idle, 50 * MS, now_ns);
    for (unsigned i = 0; i < 200; i++) {
        now_ns += LOOK_MS * MS;
        holdup_wait(&busy, LOOK_MS * MS, now_ns);
    }
    assert_int_equal(holdup_held_ns(&busy, now_ns), 50 * MS);
    assert_int_equal(holdup_held_ns(&idle, now_ns), 0);
    /* The tenant's own time goes on. */
    assert_in_range(holdup_held_ns(&busy, now_ns + 200 * MS), 29 * MS, 31 * MS);
    holdup_wait(&idle, 10000 * MS, now_ns); /* the time is never later than now */
    assert_true(idle.at_ns <= now_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_forgotten_while_the_worker_waits_for_a_processor),
        cmocka_unit_test(test_spinner_goes_apart_in_its_second_spin),
        cmocka_unit_test(test_tenant_just_under_its_budget_goes_apart_as_well),
        cmocka_unit_test(test_of_many_spinners_each_goes_apart_in_its_first_spin),
        cmocka_unit_test(test_others_leave_a_worker_that_is_likely_to_be_held_up_for_long),
        cmocka_unit_test(test_others_leave_also_if_what_is_apart_has_left_much_behind),
        cmocka_unit_test(test_short_pieces_hold_up_nobody_however_many),
        cmocka_unit_test(test_cheap_tenant_beside_a_slow_one_stays),
        cmocka_unit_test(test_tenant_that_holds_up_others_now_and_then_stays),
        cmocka_unit_test(test_time_without_use_of_the_processor_is_nobodys),
        cmocka_unit_test(test_piece_is_counted_once_and_the_next_anew),
        cmocka_unit_test(test_of_a_load_only_what_honest_tenants_do_not_need_counts),
        cmocka_unit_test(test_tenant_that_is_let_back_too_soon_stays_apart_for_twice_as_long),
        cmocka_unit_test(test_tenant_with_strikes_is_not_let_back_for_being_calm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
