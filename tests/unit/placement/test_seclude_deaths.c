/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants that get a worker of their own, or no requests, because of deaths or of the operator, and
 * that are let back: seclude.c with the rules of conduct.h, which have tests of their own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/io.h"
#include "supervisor/placement/seclude.h"
#include "tests/events/clock.h"
#include "tests/unit/placement/town.h"

enum { A, B, C, D };

static int set_up(void **state)
{
    *state = town_new();
    return 0;
}

static int tear_down(void **state)
{
    *state = town_free(*state);
    return 0;
}

static struct worker *shared(const struct town *town)
{
    return slots_next(town->slots, NULL)->worker;
}

static bool is_shared(const struct town *town, unsigned tenant)
{
    return town_find_slot(town, tenant)->kind == SLOT_SHARED;
}

/* Blames the tenant for a death in the worker where it is. */
static void blame(struct town *town, unsigned tenant, enum error_code code, enum evidence evidence)
{
    const struct verdict verdict = { .code = code, .evidence = evidence };
    const struct worker *worker = town_find_worker(town, tenant);

    assert_non_null(worker);
    seclude_on_blame(town->tenant[tenant], worker, &verdict);
}

static void strike(struct town *town, unsigned tenant, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        blame(town, tenant, ERROR_WORKER_CRASHED, EVIDENCE_PROOF);
}

/* Makes the tenant's own worker ready, with the tenant loaded. Returns the slot. */
static struct slot *move_to_own(struct town *town, unsigned tenant)
{
    struct slot *slot = town_find_slot(town, tenant);

    assert_int_equal(slot->kind, SLOT_OWN);
    assert_ptr_equal(seclude_owner(slot), town->tenant[tenant]);
    (void) town_load(town, tenant, town_make_ready(town, slot));
    return slot;
}

/* ---- strikes */

static void test_third_strike_brings_a_worker_of_its_own_and_others_stay(void **state)
{
    struct town *town = *state;
    const struct worker *before = shared(town);

    strike(town, A, 2);
    assert_true(is_shared(town, A));
    strike(town, A, 1);
    assert_int_equal(town_seclusion(town, A), SECLUSION_STRIKES);
    assert_int_equal(town_find(town, A, before)->state, PLACEMENT_READY);
    struct slot *slot = town_find_slot(town, A);
    assert_int_equal(slot->kind, SLOT_OWN);
    assert_int_equal(slot->worker->state, WORKER_BOOTING);
    /* The tenant leaves its neighbours at once. */
    assert_int_equal(town_find(town, A, before)->state, PLACEMENT_UNLOADING);
    assert_ptr_equal(seclude_owner(slot), town->tenant[A]);
    assert_ptr_equal(town_find_slot(town, A), slot);
    assert_true(is_shared(town, B));
    assert_null(seclude_owner(town_find_slot(town, B)));
}

static void
test_third_strike_there_is_quarantine_then_probation_and_then_it_is_let_back(void **state)
{
    struct town *town = *state;

    strike(town, A, 3);
    struct slot *slot = move_to_own(town, A);
    strike(town, A, 2);
    assert_int_equal(town->n_refused, 0);
    strike(town, A, 1);
    assert_int_equal(town->n_refused, 1);
    assert_ptr_equal(town->refused, town->tenant[A]);
    assert_int_equal(town->refused_code, ERROR_QUARANTINED);
    assert_int_equal(town->refused_retry_s, 60);
    assert_null(town->tenant[A]->own);
    assert_true(slot->is_dropped); /* the worker is not kept for the tenant */

    town_pass_s(town, 59);
    assert_int_equal(conduct_retry_after_s(&town->tenant[A]->conduct, io_now_ns()), 1);
    town_pass_s(town, 1);
    assert_int_equal(conduct_retry_after_s(&town->tenant[A]->conduct, io_now_ns()), 0);
    slot = move_to_own(town, A);
    town->pumped[A] = 0;
    town_pass_s(town, CONDUCT_PROBATION_S - 1);
    assert_int_equal(town_seclusion(town, A), SECLUSION_STRIKES);
    assert_int_equal(town->pumped[A], 0);
    town_pass_s(town, 1);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    assert_int_equal(town->pumped[A], 1); /* waiting requests go to the shared worker */
    assert_true(slot->is_dropped);
    assert_true(is_shared(town, A));
}

static void test_strikes_that_are_only_observed_change_nothing(void **state)
{
    struct town *town = *state;

    town->cordon->observe_strikes = true;
    strike(town, A, 9);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    town->cordon->observe_strikes = false;
    town->config->observe_strikes = true; /* for all cordons */
    strike(town, A, 9);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    assert_int_equal(town->n_refused, 0);
    assert_int_equal(town->tenant[A]->conduct.strikes, 18); /* strikes are counted */
    town->config->observe_strikes = false;
    strike(town, A, 3);
    assert_int_equal(town_seclusion(town, A), SECLUSION_STRIKES);
    (void) move_to_own(town, A);
    town->cordon->observe_strikes = true;
    strike(town, A, 9);
    assert_int_equal(town->n_refused, 0);
    assert_int_equal(conduct_retry_after_s(&town->tenant[A]->conduct, io_now_ns()), 0);
}

static void test_only_deaths_with_evidence_and_by_an_error_that_counts_are_strikes(void **state)
{
    struct town *town = *state;

    for (unsigned i = 0; i < 9; i++) {
        blame(town, A, ERROR_WORKER_CRASHED, EVIDENCE_NONE);
        blame(town, A, ERROR_EXCEPTION, EVIDENCE_PROOF);
    }
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    for (unsigned i = 0; i < 3; i++)
        blame(town, A, ERROR_CPU_REQUEST, EVIDENCE_CLAIM);
    assert_int_equal(town_seclusion(town, A), SECLUSION_STRIKES);
    assert_int_equal(town->tenant[A]->conduct.strikes, 0); /* none was proof */
}

static void test_cordon_without_workers_of_single_tenants_has_quarantine_instead(void **state)
{
    struct town *town = *state;

    town->cordon->solitary = 0;
    strike(town, A, 5);
    assert_true(is_shared(town, A));
    assert_int_equal(town->n_refused, 0);
    strike(town, A, 1);
    assert_int_equal(town->n_refused, 1);
}

/* ---- room */

static void test_tenant_with_strikes_gets_the_worker_of_one_without(void **state)
{
    struct town *town = *state;

    town->cordon->solitary = 1;
    town_find(town, A, shared(town))->in_flight = 1;
    assert_true(seclude_suspects(shared(town), false));
    town_find(town, A, shared(town))->in_flight = 0;
    struct slot *slot = move_to_own(town, A);
    town->tenant[B]->conduct.seclusion = SECLUSION_SUSPECT;
    assert_true(is_shared(town, B)); /* neither has more strikes */
    strike(town, B, 3);
    struct slot *next = town_find_slot(town, B);
    assert_true(slot->is_dropped);
    assert_ptr_equal(seclude_owner(next), town->tenant[B]);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    assert_true(is_shared(town, A));
}

static void test_among_those_with_strikes_the_one_that_is_calm_makes_room(void **state)
{
    struct town *town = *state;

    town->cordon->solitary = 1;
    strike(town, A, 3);
    struct slot *slot = move_to_own(town, A);
    strike(town, B, 3);
    assert_true(is_shared(town, B)); /* both have just got strikes */
    town_pass_s(town, CONDUCT_WINDOW_S / town->cordon->strikes);
    assert_true(is_shared(town, B));
    town_pass_s(town, 1);
    assert_ptr_equal(seclude_owner(town_find_slot(town, B)), town->tenant[B]);
    assert_true(slot->is_dropped);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
}

static void test_solitary_cordon_lets_nobody_back_and_takes_no_room_from_others(void **state)
{
    struct town *town = *state;

    town->cordon->is_solitary = true;
    town->cordon->solitary = 1;
    struct slot *slot = move_to_own(town, A);
    assert_null(town_find_slot(town, B)); /* B may not have a shared one */
    town->tenant[B]->conduct.seclusion = SECLUSION_STRIKES;
    assert_null(town_find_slot(town, B));
    assert_ptr_equal(town_find_slot(town, A), slot);
    strike(town, A, 3);
    town_pass_s(town, CONDUCT_PROBATION_S);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    assert_ptr_equal(town_find_slot(town, A), slot);
    assert_false(slot->is_dropped);
}

/* ---- suspects */

static void
test_those_that_had_something_in_the_worker_are_suspects_and_for_memory_all(void **state)
{
    struct town *town = *state;

    town_find(town, A, shared(town))->in_flight = 1;
    town_find(town, B, shared(town))->in_flight = 2;
    assert_true(seclude_suspects(shared(town), false));
    assert_int_equal(town_seclusion(town, A), SECLUSION_SUSPECT);
    assert_int_equal(town_seclusion(town, B), SECLUSION_SUSPECT);
    assert_int_equal(town_seclusion(town, C), SECLUSION_NONE);
    assert_int_equal(town->tenant[A]->conduct.suspicion, town->tenant[B]->conduct.suspicion);
    town->cordon->solitary = 8;
    assert_true(seclude_suspects(shared(town), true));
    for (unsigned i = 0; i < TOWN_TENANTS; i++)
        assert_int_equal(town_seclusion(town, i), SECLUSION_SUSPECT);
}

static void test_suspects_are_let_back_after_a_minute_without_a_death(void **state)
{
    struct town *town = *state;

    town_find(town, A, shared(town))->in_flight = 1;
    assert_true(seclude_suspects(shared(town), false));
    town_find(town, A, shared(town))->in_flight = 0;
    (void) move_to_own(town, A);
    town->pumped[A] = 0;
    town_pass_s(town, CONDUCT_SUSPICION_S - 1);
    assert_int_equal(town_seclusion(town, A), SECLUSION_SUSPECT);
    town_pass_s(town, 1);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    assert_int_equal(town->pumped[A], 1);
    assert_true(is_shared(town, A));
}

static void
test_proof_against_one_clears_those_that_were_suspected_with_it_and_no_others(void **state)
{
    struct town *town = *state;

    for (unsigned i = A; i <= B; i++)
        town_find(town, i, shared(town))->in_flight = 1;
    assert_true(seclude_suspects(shared(town), false));
    for (unsigned i = A; i <= B; i++)
        town_find(town, i, shared(town))->in_flight = 0;
    town_find(town, C, shared(town))->in_flight = 1;
    assert_true(seclude_suspects(shared(town), false));
    town_find(town, C, shared(town))->in_flight = 0;
    (void) move_to_own(town, A);
    (void) move_to_own(town, B);
    blame(town, A, ERROR_CPU_REQUEST, EVIDENCE_CLAIM);
    assert_int_equal(town_seclusion(town, B), SECLUSION_SUSPECT);
    strike(town, A, 1);
    assert_int_equal(town_seclusion(town, B), SECLUSION_NONE);
    assert_true(is_shared(town, B));
    assert_int_equal(town_seclusion(town, C), SECLUSION_SUSPECT); /* because of another death */
    assert_int_equal(town_seclusion(town, A), SECLUSION_SUSPECT);
}

static void test_where_there_is_not_room_for_all_each_death_asks_about_others(void **state)
{
    struct town *town = *state;
    struct worker *worker = shared(town);

    town->cordon->solitary = 1;
    for (unsigned i = 0; i < TOWN_TENANTS; i++)
        town_find(town, i, worker)->in_flight = 1;
    town_find(town, D, worker)->grown_kib = 10; /* a fact counts before the worker's claim */
    atomic_store(&worker->board->threads[0].running_placement, town_find(town, C, worker)->id);
    assert_true(seclude_suspects(worker, false));
    assert_int_equal(town_seclusion(town, D), SECLUSION_SUSPECT);
    assert_int_equal(town_seclusion(town, A) | town_seclusion(town, B) | town_seclusion(town, C),
                     SECLUSION_NONE);
    town_pass_s(town, CONDUCT_SUSPICION_S);
    assert_true(seclude_suspects(worker, false));
    assert_int_equal(town_seclusion(town, D), SECLUSION_NONE);
    assert_int_equal(town_seclusion(town, C), SECLUSION_SUSPECT);
    town_pass_s(town, CONDUCT_SUSPICION_S);
    assert_true(seclude_suspects(worker, false));
    assert_true(town_seclusion(town, A) == SECLUSION_SUSPECT ||
                town_seclusion(town, B) == SECLUSION_SUSPECT);
}

static void test_nobody_is_a_suspect_where_there_is_no_room_or_only_one_it_can_be(void **state)
{
    struct town *town = *state;

    town_find(town, A, shared(town))->in_flight = 1;
    town->cordon->solitary = 0;
    assert_false(seclude_suspects(shared(town), false));
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    town->cordon->solitary = 2;
    town_find(town, A, shared(town))->in_flight = 0;
    strike(town, A, 3);
    struct slot *slot = move_to_own(town, A);
    town_find(town, A, slot->worker)->in_flight = 1;
    assert_false(seclude_suspects(slot->worker, false));
    town_find(town, A, slot->worker)->in_flight = 0;
}

/* ---- the operator */

static void test_operator_puts_into_quarantine_and_only_he_ends_it_if_he_says_so(void **state)
{
    struct town *town = *state;

    seclude_quarantine(town->tenant[A], 0);
    assert_int_equal(town->n_refused, 1);
    assert_int_equal(town->refused_retry_s, 0); /* the end is not known */
    town_pass_s(town, CONDUCT_QUARANTINE_MAX_S + 1);
    assert_int_equal(conduct_retry_after_s(&town->tenant[A]->conduct, io_now_ns()), UINT32_MAX);
    town->pumped[A] = 0;
    seclude_release(town->tenant[A]);
    assert_int_equal(conduct_retry_after_s(&town->tenant[A]->conduct, io_now_ns()), 0);
    assert_int_equal(town->pumped[A], 1);
    seclude_quarantine(town->tenant[A], 30);
    assert_int_equal(town->refused_retry_s, 30);
    town_pass_s(town, 30);
    assert_int_equal(conduct_retry_after_s(&town->tenant[A]->conduct, io_now_ns()), 0);
}

static void test_operator_lets_back_at_once_who_has_a_worker_of_its_own(void **state)
{
    struct town *town = *state;

    strike(town, A, 3);
    struct slot *slot = move_to_own(town, A);
    town->pumped[A] = 0;
    seclude_release(town->tenant[A]);
    assert_true(slot->is_dropped);
    assert_true(is_shared(town, A));
    assert_int_equal(town->pumped[A], 1);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_third_strike_brings_a_worker_of_its_own_and_others_stay),
        TEST(test_third_strike_there_is_quarantine_then_probation_and_then_it_is_let_back),
        TEST(test_strikes_that_are_only_observed_change_nothing),
        TEST(test_only_deaths_with_evidence_and_by_an_error_that_counts_are_strikes),
        TEST(test_cordon_without_workers_of_single_tenants_has_quarantine_instead),
        TEST(test_tenant_with_strikes_gets_the_worker_of_one_without),
        TEST(test_among_those_with_strikes_the_one_that_is_calm_makes_room),
        TEST(test_solitary_cordon_lets_nobody_back_and_takes_no_room_from_others),
        TEST(test_those_that_had_something_in_the_worker_are_suspects_and_for_memory_all),
        TEST(test_suspects_are_let_back_after_a_minute_without_a_death),
        TEST(test_proof_against_one_clears_those_that_were_suspected_with_it_and_no_others),
        TEST(test_where_there_is_not_room_for_all_each_death_asks_about_others),
        TEST(test_nobody_is_a_suspect_where_there_is_no_room_or_only_one_it_can_be),
        TEST(test_operator_puts_into_quarantine_and_only_he_ends_it_if_he_says_so),
        TEST(test_operator_lets_back_at_once_who_has_a_worker_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
