/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants that go apart because they take the time of others, and that are let back, and workers
 * apart when the config or a tenant's version changes: seclude.c with the rules of conduct.h and
 * holdup.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>

#include "common/io.h"
#include "supervisor/placement/seclude.h"
#include "tests/events/clock.h"
#include "tests/unit/placement/town.h"

enum { A, B, C, D };

#define BUSY_LOOKS 10
#define LOOK_MS 5

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

/* ---- busy, by the second */

static void use_cpu(struct town *town, unsigned tenant, uint64_t ms)
{
    struct tenant *user = town->tenant[tenant];

    user->books.cpu_ns += ms * NSEC_PER_MSEC;
    user->cpu_us = user->books.cpu_ns / NSEC_PER_USEC;
}

/* Lets seconds pass in which the tenant uses most of its worker, and D a little. */
static void be_busy(struct town *town, unsigned tenant, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        use_cpu(town, tenant, 600);
        use_cpu(town, D, 10);
        town_pass_s(town, 1);
    }
}

/* Makes the tenant go apart. Returns the slot, whose worker is ready and has the tenant loaded. */
static struct slot *go_apart(struct town *town, unsigned tenant)
{
    be_busy(town, tenant, BUSY_LOOKS + 1); /* the look at D may come after the one at the tenant */
    struct slot *slot = town_find_slot(town, tenant);
    assert_int_equal(town_seclusion(town, tenant), SECLUSION_BUSY);
    assert_int_equal(slot->kind, SLOT_CROWD);
    if (slot->worker->state == WORKER_BOOTING)
        (void) town_make_ready(town, slot);
    (void) town_load(town, tenant, slot->worker);
    return slot;
}

static void test_tenant_that_is_busy_for_ten_looks_in_a_row_goes_apart_at_once(void **state)
{
    struct town *town = *state;

    be_busy(town, A, BUSY_LOOKS - 1);
    town_pass_s(town, 1);
    be_busy(town, A, BUSY_LOOKS - 1);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    assert_int_equal(town->pumped[A], 0);
    be_busy(town, A, 2);
    assert_int_equal(town_seclusion(town, A), SECLUSION_BUSY);
    assert_non_null(town->tenant[A]->own);
    assert_int_equal(town_find_slot(town, A)->kind, SLOT_CROWD);
    assert_int_equal(town->pumped[A], 1);
    assert_int_equal(town_find(town, A, shared(town))->state, PLACEMENT_UNLOADING);
    assert_int_equal(town_find_slot(town, D)->kind, SLOT_SHARED);
}

static void
test_busy_tenant_is_let_back_after_a_minute_of_calm_and_the_next_time_after_two(void **state)
{
    struct town *town = *state;
    struct slot *slot = go_apart(town, A);

    town_pass_s(town, CONDUCT_CALM_S - 1);
    use_cpu(town, A, 600); /* not calm: the minute begins anew */
    town_pass_s(town, 1);
    town->pumped[A] = 0;
    town_pass_s(town, CONDUCT_CALM_S - 1);
    assert_int_equal(town_seclusion(town, A), SECLUSION_BUSY);
    town_pass_s(town, 1);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    assert_int_equal(town->pumped[A], 1);
    assert_true(slot->is_dropped);
    (void) town_load(town, A, town_find_worker(town, A));
    (void) go_apart(town, A);
    town_pass_s(town, 2 * CONDUCT_CALM_S - 1);
    assert_int_equal(town_seclusion(town, A), SECLUSION_BUSY);
    town_pass_s(town, 1);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
}

static void test_busy_tenants_share_a_worker_unless_processors_are_left_for_more(void **state)
{
    struct town *town = *state;

    town->slots->processors = 2;
    struct slot *slot = go_apart(town, A);
    assert_ptr_equal(seclude_owner(slot), town->tenant[A]);
    assert_ptr_equal(go_apart(town, B), slot);
    assert_int_equal(slot->members, 2);
    assert_null(seclude_owner(slot)); /* the slot is no tenant's alone */
    town->slots->processors = 3;
    struct slot *second = go_apart(town, C);
    assert_ptr_not_equal(second, slot);
    seclude_release(town->tenant[A]);
    assert_false(slot->is_dropped); /* the slot is still the other tenant's */
    assert_ptr_equal(seclude_owner(slot), town->tenant[B]);
    seclude_release(town->tenant[B]);
    assert_true(slot->is_dropped);
    assert_false(second->is_dropped);
}

static void test_cordon_without_workers_apart_lets_busy_tenants_be(void **state)
{
    struct town *town = *state;

    town->cordon->solitary = 0;
    be_busy(town, A, 3 * BUSY_LOOKS);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    assert_int_equal(town->pumped[A], 0);
    town->tenant[B]->conduct.seclusion = SECLUSION_BUSY; /* set before the config was changed */
    assert_int_equal(town_find_slot(town, B)->kind, SLOT_SHARED);
}

static void test_tenant_with_too_many_stops_goes_apart_with_its_next_load(void **state)
{
    struct town *town = *state;
    struct version *version = town->tenant[A]->version;

    version->limits.renewals = 2;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
        version->boots.is_due = true;
        assert_int_equal(placement_load(version, shared(town)), i < 2 ? 0 : -EAGAIN);
    }
    assert_int_equal(town_seclusion(town, A), SECLUSION_BUSY);
    assert_int_equal(town->pumped[A], 0); /* the caller does that */
    assert_null(town->tenant[A]->own);
    assert_int_equal(town_find_slot(town, A)->kind, SLOT_CROWD);
}

/* ---- holding up others, within milliseconds */

struct running {
    struct attempt attempt;
    unsigned slot;
};

/* Starts a request of the tenant in the shared worker, whose JavaScript runs. */
static void run(struct town *town, unsigned tenant, struct running *ret_running)
{
    struct worker *worker = shared(town);
    struct placement *placement = town_find(town, tenant, worker);

    *ret_running = (struct running){
        .attempt = { .tenant = town->tenant[tenant],
                     .version = placement->version,
                     .version_id = placement->version->id,
                     .placement = placement },
    };
    assert_int_equal(worker_take_row(worker, &ret_running->attempt, &ret_running->slot), 0);
    ret_running->attempt.id = SCOREBOARD_REQUESTS * 7 + ret_running->slot;
    placement->in_flight++;
    atomic_store(&worker->board->threads[0].running_request, ret_running->attempt.id);
    atomic_store(&worker->board->threads[0].running_placement, placement->id);
    atomic_store(&worker->board->threads[0].running_since_ns, io_now_ns());
}

static void end(struct running *running)
{
    struct placement *placement = running->attempt.placement;

    atomic_store(&placement->worker->board->threads[0].running_request, 0);
    placement->in_flight--;
    worker_give_row(placement->worker, &running->attempt);
}

/* Lets that many ms pass, all of them in the worker's JavaScript. */
static void hold_up(struct worker *worker, unsigned ms)
{
    for (unsigned i = 0; i < ms; i += LOOK_MS) {
        clock_pass(LOOK_MS * NSEC_PER_MSEC);
        clock_burn(worker->pid, LOOK_MS * NSEC_PER_MSEC);
        seclude_look(worker, io_now_ns());
    }
}

static void
test_tenant_that_holds_up_others_goes_apart_and_their_requests_are_taken_back(void **state)
{
    struct town *town = *state;
    struct running running;

    town_pass_s(town, CONDUCT_CALM_S);
    town->others_wait = true;
    run(town, A, &running);
    hold_up(shared(town), HOLDUP_PRESSED_MS);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    assert_int_equal(town->n_withdrawn, 0);
    hold_up(shared(town), 4 * LOOK_MS); /* the count decays a little meanwhile */
    assert_int_equal(town_seclusion(town, A), SECLUSION_BUSY);
    assert_int_equal(town_find_slot(town, A)->kind, SLOT_CROWD);
    assert_int_equal(town->pumped[A], 1);
    assert_true(town->n_withdrawn > 0);
    assert_int_equal(town_seclusion(town, B), SECLUSION_NONE);
    town_pass_s(town, 1); /* the calm before does not count */
    assert_int_equal(town_seclusion(town, A), SECLUSION_BUSY);
    end(&running);
}

static void
test_tenant_holds_up_nobody_where_nobody_waits_or_the_worker_is_no_shared_one(void **state)
{
    struct town *town = *state;
    struct running running;

    run(town, A, &running);
    hold_up(shared(town), 1000);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    town->others_wait = true;
    town->cordon->solitary = 0;
    hold_up(shared(town), 1000);
    town->cordon->solitary = 3;
    shared(town)->slot->kind = SLOT_OWN;
    hold_up(slots_next(town->slots, NULL)->worker, 1000);
    shared(town)->slot->kind = SLOT_SHARED;
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    assert_int_equal(town->n_withdrawn, 0);
    end(&running);
}

static void test_load_has_more_time_than_a_request_until_it_holds_up_others(void **state)
{
    struct town *town = *state;
    struct worker *worker = shared(town);
    struct placement *placement = town_find(town, A, worker);

    town->others_wait = true;
    placement->state = PLACEMENT_LOADING;
    atomic_store(&worker->board->threads[0].running_placement, placement->id);
    atomic_store(&worker->board->threads[0].running_since_ns, io_now_ns());
    hold_up(worker, HOLDUP_LOAD_MS + HOLDUP_PRESSED_MS);
    assert_int_equal(town_seclusion(town, A), SECLUSION_NONE);
    hold_up(worker, HOLDUP_PRESSED_MS);
    assert_int_equal(town_seclusion(town, A), SECLUSION_BUSY);
    placement->state = PLACEMENT_READY;
}

static struct slot *find_spare(const struct town *town)
{
    struct slot *slot = NULL;

    while ((slot = slots_next(town->slots, slot)))
        if (slot->kind == SLOT_SPARE)
            return slot;
    fail_msg("no spare was started");
    return NULL;
}

static void
test_worker_that_stays_held_up_is_left_to_that_and_a_spare_serves_the_others(void **state)
{
    struct town *town = *state;
    struct worker *before = shared(town);
    struct slot *slot = before->slot;
    struct running running;

    town->others_wait = true;
    run(town, A, &running);
    running.attempt.cost_us = 500000; /* the request is expected to go on */
    town->tenant[A]->version->limits.cpu_ms = 1000;
    hold_up(before, 2 * HOLDUP_PRESSED_MS);
    assert_ptr_equal(slot->worker, before); /* there is no spare, so one is made */
    const struct worker *next = town_make_ready(town, find_spare(town));
    hold_up(before, 2 * LOOK_MS);
    assert_ptr_equal(slot->worker, next);
    assert_int_equal(before->state, WORKER_DRAINING);
    assert_ptr_equal(town_find_worker(town, B), next);
    assert_int_equal(town_find_slot(town, A)->kind, SLOT_CROWD);
    end(&running);
}

static void test_worker_whose_work_is_nearly_over_is_not_replaced(void **state)
{
    struct town *town = *state;
    const struct worker *before = shared(town);
    struct running running;

    struct slot *spare = slots_add(town->slots, town->cordon, SLOT_SPARE);
    assert_non_null(spare);
    town->cordon->spare = true;
    slot_start(spare);
    (void) town_make_ready(town, spare);
    town->others_wait = true;
    run(town, A, &running);
    running.attempt.cost_us = (HOLDUP_PRESSED_MS + 6 * LOOK_MS) * 1000;
    hold_up(shared(town), HOLDUP_PRESSED_MS + 4 * LOOK_MS);
    assert_int_equal(town_seclusion(town, A), SECLUSION_BUSY);
    assert_ptr_equal(shared(town), before);
    end(&running);
}

static void
test_spare_that_was_made_for_a_worker_that_was_held_up_goes_when_it_is_not_wanted(void **state)
{
    struct town *town = *state;
    struct running running;

    town->others_wait = true;
    run(town, A, &running);
    running.attempt.cost_us = 500000;
    town->tenant[A]->version->limits.cpu_ms = 1000;
    hold_up(shared(town), 2 * HOLDUP_PRESSED_MS);
    end(&running);
    const struct worker *spare = town_make_ready(town, find_spare(town));
    assert_int_equal(spare->state, WORKER_READY);
    town_care(town);
    assert_int_equal(spare->state, WORKER_READY);
    town_pass_s(town, 2);
    town_care(town);
    assert_int_equal(spare->state, WORKER_KILLED);
    assert_int_equal(shared(town)->state, WORKER_READY);
}

/* ---- changes */

static void
test_those_that_need_no_worker_of_their_own_any_more_share_when_the_config_says_so(void **state)
{
    struct town *town = *state;

    town->cordon->is_solitary = true;
    struct slot *slot = town_find_slot(town, A), *other = town_find_slot(town, B);
    struct worker *worker = town_make_ready(town, slot);
    town->tenant[B]->conduct.seclusion = SECLUSION_STRIKES;
    seclude_fit(town->slots);
    assert_false(slot->is_dropped);
    town->cordon->is_solitary = false;
    seclude_fit(town->slots);
    assert_true(slot->is_dropped);
    assert_null(town->tenant[A]->own);
    assert_int_equal(worker->state, WORKER_READY); /* until the tenant is loaded elsewhere */
    assert_int_equal(town->pumped[A], 1);
    assert_false(other->is_dropped);
    assert_ptr_equal(town->tenant[B]->own, other);
}

/* Makes a next version, which is of another cordon: it loads there, apart as its tenant is. */
static struct slot *make_next(struct town *town, unsigned tenant, struct version *ret_version)
{
    *ret_version = *town->tenant[tenant]->version;
    ret_version->cordon = town->other;
    LIST_INIT(&ret_version->placements);
    struct slot *slot = placement_find_slot(town->slots, ret_version);
    assert_ptr_equal(slot, town->tenant[tenant]->next_own);
    return slot;
}

static void test_candidate_of_another_cordon_has_a_worker_there_which_its_tenant_keeps(void **state)
{
    struct town *town = *state;
    struct tenant *tenant = town->tenant[A];
    struct version *before = tenant->version, next;

    tenant->conduct.seclusion = SECLUSION_STRIKES;
    struct slot *own = town_find_slot(town, A), *next_own = make_next(town, A, &next);
    assert_ptr_equal(tenant->own, own);
    assert_ptr_equal(seclude_owner(next_own), tenant);
    tenant->version = &next;
    seclude_follow(tenant);
    assert_true(own->is_dropped);
    assert_ptr_equal(tenant->own, next_own);
    assert_null(tenant->next_own);
    tenant->version = before;
}

static void test_worker_that_was_made_for_a_candidate_goes_if_its_tenant_shares_again(void **state)
{
    struct town *town = *state;
    struct tenant *tenant = town->tenant[A];
    struct version *before = tenant->version, next;

    tenant->conduct.seclusion = SECLUSION_SUSPECT;
    const struct slot *next_own = make_next(town, A, &next);
    tenant->conduct.seclusion = SECLUSION_NONE;
    tenant->version = &next;
    seclude_follow(tenant);
    assert_true(next_own->is_dropped);
    assert_null(tenant->own);
    tenant->version = before;
}

static void test_workers_that_were_made_for_a_candidate_or_a_tenant_go_with_it(void **state)
{
    struct town *town = *state;
    struct tenant *tenant = town->tenant[A];
    struct version next;

    tenant->conduct.seclusion = SECLUSION_STRIKES;
    struct slot *own = town_find_slot(town, A), *next_own = make_next(town, A, &next);
    seclude_forget_next(tenant);
    assert_true(next_own->is_dropped);
    assert_false(own->is_dropped);
    next_own = make_next(town, A, &next);
    seclude_forget(tenant);
    assert_true(own->is_dropped);
    assert_true(next_own->is_dropped);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_tenant_that_is_busy_for_ten_looks_in_a_row_goes_apart_at_once),
        TEST(test_busy_tenant_is_let_back_after_a_minute_of_calm_and_the_next_time_after_two),
        TEST(test_busy_tenants_share_a_worker_unless_processors_are_left_for_more),
        TEST(test_cordon_without_workers_apart_lets_busy_tenants_be),
        TEST(test_tenant_with_too_many_stops_goes_apart_with_its_next_load),
        TEST(test_tenant_that_holds_up_others_goes_apart_and_their_requests_are_taken_back),
        TEST(test_tenant_holds_up_nobody_where_nobody_waits_or_the_worker_is_no_shared_one),
        TEST(test_load_has_more_time_than_a_request_until_it_holds_up_others),
        TEST(test_worker_that_stays_held_up_is_left_to_that_and_a_spare_serves_the_others),
        TEST(test_worker_whose_work_is_nearly_over_is_not_replaced),
        TEST(test_spare_that_was_made_for_a_worker_that_was_held_up_goes_when_it_is_not_wanted),
        TEST(test_those_that_need_no_worker_of_their_own_any_more_share_when_the_config_says_so),
        TEST(test_candidate_of_another_cordon_has_a_worker_there_which_its_tenant_keeps),
        TEST(test_worker_that_was_made_for_a_candidate_goes_if_its_tenant_shares_again),
        TEST(test_workers_that_were_made_for_a_candidate_or_a_tenant_go_with_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
