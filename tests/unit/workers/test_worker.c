/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of worker states and events, without processes: the effect of each event in each state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "supervisor/workers/worker.h"

static void expect(enum worker_state state, enum worker_event event, const char *name)
{
    const char *action = worker_action_name(state, event);

    if (name)
        assert_string_equal(action, name);
    else
        assert_null(action);
}

static void test_a_worker_that_is_new_boots_and_has_no_other_beginning(void **state)
{
    (void) state;
    assert_int_equal(WORKER_BOOTING, 0); /* the state of a worker that was just made */
    expect(WORKER_BOOTING, EVENT_SPAWNED, "worker_attest");
    expect(WORKER_BOOTING, EVENT_SPAWN_FAILED, "give_up_start");
    expect(WORKER_READY, EVENT_SPAWNED, NULL);
    expect(WORKER_READY, EVENT_SPAWN_FAILED, NULL);
}

static void test_a_worker_that_retires_drains_and_ends_when_it_is_idle(void **state)
{
    (void) state;
    expect(WORKER_READY, EVENT_RETIRE, "drain");
    expect(WORKER_READY, EVENT_IDLE, NULL);
    expect(WORKER_DRAINING, EVENT_IDLE, "stop_drained");
    expect(WORKER_DRAINING, EVENT_STUCK, "kill_now");
    expect(WORKER_DRAINING, EVENT_CLOSED, "await_exit");
    expect(WORKER_DRAINING, EVENT_TIMEOUT, "kill_hung_up");
}

static void test_a_worker_that_does_not_serve_yet_leaves_at_once(void **state)
{
    (void) state;
    expect(WORKER_BOOTING, EVENT_RETIRE, "stop_drained");
    expect(WORKER_KILLED, EVENT_RETIRE, NULL); /* on its way out already */
}

static void test_a_boot_that_takes_too_long_is_killed(void **state)
{
    (void) state;
    expect(WORKER_BOOTING, EVENT_TIMEOUT, "kill_boot");
}

static void test_hello_is_only_heard_while_booting(void **state)
{
    (void) state;
    expect(WORKER_BOOTING, EVENT_HELLO, "note_hello");
    expect(WORKER_READY, EVENT_HELLO, NULL);
    expect(WORKER_KILLED, EVENT_HELLO, NULL);
}

static void test_a_worker_whose_channel_closes_is_killed_if_it_stays(void **state)
{
    (void) state;
    expect(WORKER_BOOTING, EVENT_CLOSED, "await_exit");
    expect(WORKER_BOOTING, EVENT_TIMEOUT, "kill_boot");
    expect(WORKER_READY, EVENT_CLOSED, "await_exit");
    expect(WORKER_READY, EVENT_TIMEOUT, "kill_hung_up");
}

static void test_an_exit_is_reaped_in_every_state(void **state)
{
    (void) state;
    for (unsigned s = 0; s < WORKER_STATES; s++)
        expect(s, EVENT_EXIT, "reap");
}

static void test_a_killed_worker_that_stays_is_killed_again(void **state)
{
    (void) state;
    expect(WORKER_KILLED, EVENT_TIMEOUT, "kill_again");
    expect(WORKER_KILLED, EVENT_STUCK, NULL);
}

/* The spawner's answer may come after the kill was decided. */
static void test_a_worker_that_appears_after_its_kill_is_killed(void **state)
{
    (void) state;
    expect(WORKER_KILLED, EVENT_SPAWNED, "kill_now");
}

static void test_every_state_has_a_name(void **state)
{
    (void) state;
    for (unsigned s = 0; s < WORKER_STATES; s++)
        assert_non_null(worker_state_name(s));
}

static void test_worker_that_waits_for_a_processor_has_more_time_to_boot(void **state)
{
    (void) state;
    assert_true(worker_may_boot_on(10000, 40, true));
    assert_true(worker_may_boot_on(59000, 0, true));
    assert_false(worker_may_boot_on(60000, 0, true));
    assert_false(worker_may_boot_on(10000, 40, false));  /* the process sleeps, or was stopped */
    assert_false(worker_may_boot_on(10000, 9000, true)); /* had a processor all the time */
}

static void test_backoff_is_none_for_the_first_failures_then_doubles_to_its_limit(void **state)
{
    (void) state;
    assert_int_equal(slot_backoff_ms(0, 0), 0);
    assert_int_equal(slot_backoff_ms(4, 0), 0);
    assert_int_equal(slot_backoff_ms(5, 0), 100);
    assert_int_equal(slot_backoff_ms(6, 0), 200);
    assert_int_equal(slot_backoff_ms(13, 0), 25600);
    assert_int_equal(slot_backoff_ms(14, 0), 30000);
    assert_int_equal(slot_backoff_ms(1000000, 0), 30000);
}

static void test_backoff_has_at_most_a_quarter_of_jitter(void **state)
{
    (void) state;
    for (uint32_t random = 0; random < 1024; random++) {
        uint64_t ms = slot_backoff_ms(5, random);
        assert_in_range(ms, 100, 125);
    }
    assert_int_not_equal(slot_backoff_ms(5, 0), slot_backoff_ms(5, 255));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_worker_that_is_new_boots_and_has_no_other_beginning),
        cmocka_unit_test(test_a_worker_that_retires_drains_and_ends_when_it_is_idle),
        cmocka_unit_test(test_a_worker_that_does_not_serve_yet_leaves_at_once),
        cmocka_unit_test(test_a_boot_that_takes_too_long_is_killed),
        cmocka_unit_test(test_hello_is_only_heard_while_booting),
        cmocka_unit_test(test_a_worker_whose_channel_closes_is_killed_if_it_stays),
        cmocka_unit_test(test_an_exit_is_reaped_in_every_state),
        cmocka_unit_test(test_a_killed_worker_that_stays_is_killed_again),
        cmocka_unit_test(test_a_worker_that_appears_after_its_kill_is_killed),
        cmocka_unit_test(test_every_state_has_a_name),
        cmocka_unit_test(test_worker_that_waits_for_a_processor_has_more_time_to_boot),
        cmocka_unit_test(test_backoff_is_none_for_the_first_failures_then_doubles_to_its_limit),
        cmocka_unit_test(test_backoff_has_at_most_a_quarter_of_jitter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
