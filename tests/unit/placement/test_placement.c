/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of a placement's states and events: what each event does in each state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "supervisor/placement/placement.h"

#define LOADING PLACEMENT_LOADING
#define UNWANTED PLACEMENT_UNWANTED
#define READY PLACEMENT_READY
#define RETIRING PLACEMENT_RETIRING
#define UNLOADING PLACEMENT_UNLOADING
#define GONE PLACEMENT_GONE

#define LOADED PLACEMENT_EVENT_LOADED
#define REFUSED PLACEMENT_EVENT_REFUSED
#define STOPPED PLACEMENT_EVENT_STOPPED
#define UNLOADED PLACEMENT_EVENT_UNLOADED
#define RETIRE PLACEMENT_EVENT_RETIRE
#define WORN PLACEMENT_EVENT_WORN
#define IDLE PLACEMENT_EVENT_IDLE
#define EVICT PLACEMENT_EVENT_EVICT

static void expect(enum placement_state state, enum placement_event event, const char *action,
                   enum placement_state after)
{
    enum placement_state next = PLACEMENT_STATES;
    const struct placement placement = { .state = state };
    const char *name = placement_action_name(state, event, &next);

    assert_true(placement_expects(&placement, event));
    assert_non_null(name);
    assert_string_equal(name, action);
    assert_int_equal(next, after);
}

static void expect_nothing(enum placement_state state, enum placement_event event)
{
    enum placement_state next = PLACEMENT_STATES;
    const struct placement placement = { .state = state };

    assert_null(placement_action_name(state, event, &next));
    assert_int_equal(next, PLACEMENT_STATES);
    assert_false(placement_expects(&placement, event));
}

static void test_version_that_is_new_in_a_worker_loads_and_then_serves_or_is_dropped(void **state)
{
    (void) state;
    assert_int_equal(LOADING, 0); /* the state of a placement that was just made */
    expect(LOADING, LOADED, "serve", READY);
    expect(LOADING, REFUSED, "drop", GONE);
    expect_nothing(LOADING, IDLE); /* no request is in it yet */
}

static void test_version_that_is_not_wanted_any_more_is_unloaded_once_it_has_loaded(void **state)
{
    (void) state;
    expect(LOADING, RETIRE, "go", UNWANTED);
    expect(LOADING, WORN, "go", UNWANTED);
    expect_nothing(UNWANTED, RETIRE);
    expect_nothing(UNWANTED, WORN);
    expect_nothing(UNWANTED, IDLE);
    expect(UNWANTED, REFUSED, "drop", GONE);
    expect(UNWANTED, LOADED, "serve", RETIRING);
    expect(RETIRING, IDLE, "unload", UNLOADING);
}

static void test_isolate_without_requests_stays_unless_it_retires(void **state)
{
    (void) state;
    expect(READY, IDLE, "rest", READY);
    expect(READY, RETIRE, "tell_retire", RETIRING);
    expect(RETIRING, RETIRE, "tell_retire", RETIRING); /* a Retire may come twice */
    expect(RETIRING, IDLE, "unload", UNLOADING);
}

static void test_isolate_whose_requests_were_stopped_too_often_goes_when_it_is_idle(void **state)
{
    (void) state;
    expect(READY, WORN, "go", RETIRING); /* and the worker is not told */
    expect_nothing(RETIRING, WORN);
    expect_nothing(UNLOADING, WORN);
    expect_nothing(GONE, WORN);
}

static void test_isolate_in_which_javascript_was_stopped_retires(void **state)
{
    (void) state;
    expect(READY, STOPPED, "note_stop", RETIRING);
    expect(RETIRING, STOPPED, "note_stop", RETIRING);
    expect(UNLOADING, STOPPED, "note_stop",
           UNLOADING); /* the worker sent it before it read the Unload */
    expect_nothing(LOADING, STOPPED);
    expect_nothing(UNWANTED, STOPPED);
    expect_nothing(GONE, STOPPED);
}

static void test_isolate_that_makes_room_is_unloaded_whatever_is_in_it(void **state)
{
    (void) state;
    expect(READY, EVICT, "unload", UNLOADING);
    expect(RETIRING, EVICT, "unload", UNLOADING);
    expect_nothing(LOADING, EVICT);
    expect_nothing(UNWANTED, EVICT);
    expect_nothing(UNLOADING, EVICT); /* the placement unloads already */
    expect_nothing(GONE, EVICT);
}

static void test_isolate_that_is_gone_leaves_its_room_when_its_requests_have_come_back(void **state)
{
    (void) state;
    expect(UNLOADING, UNLOADED, "go", GONE);
    expect(READY, UNLOADED, "note_loss", GONE); /* without an Unload: the isolate held too much */
    expect(RETIRING, UNLOADED, "note_loss", GONE);
    expect(GONE, IDLE, "make_room", GONE);
    expect_nothing(GONE, RETIRE);
    expect_nothing(UNLOADING, IDLE);
    expect_nothing(UNLOADING, RETIRE);
}

/* A frame that does not fit ends the worker: see placement/frames.c. */
static void test_workers_say_nothing_of_what_they_were_not_asked_for(void **state)
{
    static const enum placement_state loaded[] = { READY, RETIRING, UNLOADING, GONE };

    (void) state;
    for (unsigned i = 0; i < ARRAY_LEN(loaded); i++) {
        expect_nothing(loaded[i], LOADED);
        expect_nothing(loaded[i], REFUSED);
    }
    expect_nothing(LOADING, UNLOADED);
    expect_nothing(UNWANTED, UNLOADED);
    expect_nothing(GONE, UNLOADED);
}

/* The isolates end with their worker: one that began to unload now could be blamed for the death. */
static void test_isolate_of_a_worker_that_dies_does_not_begin_to_unload(void **state)
{
    struct worker worker = { .state = WORKER_KILLED };
    struct placement placement = { .worker = &worker, .state = READY };

    (void) state;
    placement_retire(&placement);
    assert_int_equal(placement.state, RETIRING);
    assert_false(placement_is_candidate(&placement));
    worker.state = WORKER_READY; /* and its channel has ended */
    placement_on_idle(&placement);
    assert_int_equal(placement.state, RETIRING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_that_is_new_in_a_worker_loads_and_then_serves_or_is_dropped),
        cmocka_unit_test(test_version_that_is_not_wanted_any_more_is_unloaded_once_it_has_loaded),
        cmocka_unit_test(test_isolate_without_requests_stays_unless_it_retires),
        cmocka_unit_test(test_isolate_whose_requests_were_stopped_too_often_goes_when_it_is_idle),
        cmocka_unit_test(test_isolate_in_which_javascript_was_stopped_retires),
        cmocka_unit_test(test_isolate_that_makes_room_is_unloaded_whatever_is_in_it),
        cmocka_unit_test(
            test_isolate_that_is_gone_leaves_its_room_when_its_requests_have_come_back),
        cmocka_unit_test(test_workers_say_nothing_of_what_they_were_not_asked_for),
        cmocka_unit_test(test_isolate_of_a_worker_that_dies_does_not_begin_to_unload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
