/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots and the workers that come and go in them, without processes: their places after an end, a
 * promotion, a retirement.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <event2/event.h>
#include <stdlib.h>

#include "supervisor/workers/slots.h"

struct scene {
    struct event_base *base;
    struct life life;
    struct cordon_config cordon;
    struct slots *slots;
};

static unsigned n_lost, n_freed;

static void on_ready(struct worker *worker)
{
    (void) worker;
}

static bool on_end(struct worker *worker, bool was_booting)
{
    (void) worker;
    (void) was_booting;
    return false;
}

static void on_lost(void *owner)
{
    (void) owner;
    n_lost++;
}

static void on_free(struct worker *worker)
{
    (void) worker;
    n_freed++;
}

static const struct slot_ops ops = {
    .on_ready = on_ready,
    .on_end = on_end,
    .on_lost = on_lost,
    .on_drained = on_ready,
    .on_load_turn = on_ready,
    .on_free = on_free,
};

static int set_up(void **state)
{
    static char name[] = "c";
    struct scene *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->cordon.name = name;
    s->cordon.workers = 1;
    s->cordon.spare = true;
    s->base = event_base_new();
    const struct slots_options options = { .base = s->base, .life = &s->life };
    assert_int_equal(slots_new(&options, &s->slots), 0);
    slots_attach(s->slots, &ops, NULL);
    n_lost = n_freed = 0;
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    (void) slots_free(s->slots);
    event_base_free(s->base);
    free(s);
    return 0;
}

static struct slot *add(struct scene *s, enum slot_kind kind)
{
    struct slot *slot = slots_add(s->slots, &s->cordon, kind);

    assert_non_null(slot);
    struct worker *worker = worker_new(s->slots, &s->cordon, slot->number);
    assert_non_null(worker);
    worker->state = WORKER_READY;
    slots_put(s->slots, slot, worker);
    return slot;
}

static bool is_start_planned(const struct slot *slot)
{
    return event_pending(slot->timer, EV_TIMEOUT, NULL) != 0;
}

static void test_spare_takes_over_the_slot_of_a_worker_that_ends_with_its_number(void **state)
{
    struct scene *s = *state;
    struct slot *slot = add(s, SLOT_SHARED), *spare = add(s, SLOT_SPARE);
    struct worker *second = spare->worker;

    slot->requests = 7;
    slot_on_end(slot->worker, false);
    assert_ptr_equal(slot->worker, second);
    assert_ptr_equal(second->slot, slot);
    assert_int_equal(slot->number, 1);
    assert_int_equal(second->number, 1);
    assert_int_equal(slot->requests, 7);
    assert_false(is_start_planned(slot));
    assert_null(spare->worker);
    assert_int_equal(spare->number, 0);
    assert_true(is_start_planned(spare));
    assert_int_equal(n_freed, 1);
    assert_int_equal(n_lost, 1);
}

static void test_slot_that_keeps_failing_leaves_the_spare_alone_and_waits(void **state)
{
    struct scene *s = *state;
    struct slot *slot = add(s, SLOT_SHARED), *spare = add(s, SLOT_SPARE);

    slot->failures = 10;
    slot_on_end(slot->worker, true);
    assert_null(slot->worker);
    assert_int_equal(slot->failures, 11);
    assert_true(slot_has_failed(slot));
    assert_true(is_start_planned(slot));
    assert_non_null(spare->worker);
    assert_false(is_start_planned(spare));
}

static void test_worker_that_leaves_keeps_its_number_and_is_listed_behind_the_slots(void **state)
{
    struct scene *s = *state;
    struct slot *slot = add(s, SLOT_SHARED);
    struct worker *worker = slot->worker;
    struct listed listed = { 0 };

    slot_swap(slot, add(s, SLOT_SPARE));
    struct slot *spare = worker->slot;
    assert_ptr_equal(slot_detach(spare), worker);
    assert_int_equal(worker->number, 0);
    assert_int_equal(spare->number, 2); /* 0 leaves, and 1 is the slot's */
    assert_true(slots_next_listed(s->slots, &listed) && listed.slot == slot);
    assert_true(slots_next_listed(s->slots, &listed) && listed.slot == spare);
    assert_null(listed.worker);
    assert_true(slots_next_listed(s->slots, &listed) && listed.worker == worker);
    assert_null(listed.slot);
    assert_false(slots_next_listed(s->slots, &listed));
    assert_int_equal(worker->list_position, 2); /* 0 and 1 are the slots' */
    assert_int_equal(slots_count_leaving(s->slots, &s->cordon), 1);
    slot_on_end(worker, false); /* no slot has to be filled */
    assert_false(is_start_planned(spare));
    assert_int_equal(slots_count_leaving(s->slots, &s->cordon), 0);
}

static void test_slot_that_is_closed_is_gone_and_its_worker_drains(void **state)
{
    struct scene *s = *state;
    struct slot *slot = add(s, SLOT_OWN);
    struct worker *worker = slot->worker;

    worker->in_flight = 1;
    slot_close(slot);
    assert_null(slots_next(s->slots, NULL));
    assert_null(worker->slot);
    assert_int_equal(worker->state, WORKER_DRAINING);
    worker->in_flight = 0;
}

static void test_slot_that_is_closed_softly_leaves_a_ready_worker_to_its_tenants(void **state)
{
    struct scene *s = *state;
    struct slot *slot = add(s, SLOT_SHARED);
    struct worker *worker = slot->worker;

    slot_close_softly(slot);
    assert_null(slots_next(s->slots, NULL));
    assert_int_equal(worker->state, WORKER_READY);
    assert_true(worker->leave_since_ns > 0);
}

static void test_slot_is_usable_until_too_many_of_its_workers_have_failed(void **state)
{
    struct scene *s = *state;
    struct slot *slot = add(s, SLOT_SHARED);

    s->cordon.spare = false;
    for (unsigned i = 1; i <= 5; i++) {
        slot_on_end(slot->worker, true);
        assert_int_equal(slot->failures, i);
        assert_int_equal(slot_is_usable(slot), i < 5);
        struct worker *worker = worker_new(s->slots, &s->cordon, slot->number);
        assert_non_null(worker);
        slots_put(s->slots, slot, worker);
    }
    slot->worker->state = WORKER_READY;
    assert_true(slot_is_usable(slot));
    slot_on_end(slot->worker, false);
    assert_int_equal(slot->failures, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_spare_takes_over_the_slot_of_a_worker_that_ends_with_its_number),
        TEST(test_slot_that_keeps_failing_leaves_the_spare_alone_and_waits),
        TEST(test_worker_that_leaves_keeps_its_number_and_is_listed_behind_the_slots),
        TEST(test_slot_that_is_closed_is_gone_and_its_worker_drains),
        TEST(test_slot_that_is_closed_softly_leaves_a_ready_worker_to_its_tenants),
        TEST(test_slot_is_usable_until_too_many_of_its_workers_have_failed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
