/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proto/scoreboard.h"
#include "supervisor/blame.h"

#define DIED_OF(signal) (signal) /* a wait status of a death by signal */
#define EXITED_WITH(code) ((code) << 8)

static struct verdict decide(struct death death)
{
    struct verdict verdict;

    blame_decide(&death, &verdict);
    return verdict;
}

static void test_a_kill_from_outside_blames_nobody(void **state)
{
    struct verdict v = decide((struct death){
        .wait_status = DIED_OF(SIGKILL), .running_request = 7, .last_words = LAST_WORDS_HEAP_OOM });

    (void) state;
    assert_int_equal(v.request, 0);
    assert_false(v.counts_as_failure);
}

static void test_last_words_of_heap_make_it_mem_isolate(void **state)
{
    struct verdict v = decide((struct death){
        .wait_status = DIED_OF(SIGTRAP), .running_request = 7, .last_words = LAST_WORDS_HEAP_OOM });

    (void) state;
    assert_int_equal(v.request, 7);
    assert_int_equal(v.code, ERROR_MEM_ISOLATE);
    assert_false(v.counts_as_failure);
}

static void test_last_words_of_a_worker_that_just_exits_count_for_nothing(void **state)
{
    struct verdict v = decide((struct death){
        .wait_status = EXITED_WITH(0), .running_request = 7, .last_words = LAST_WORDS_HEAP_OOM });

    (void) state;
    assert_int_equal(v.code, ERROR_WORKER_CRASHED);
}

static void test_a_forbidden_call_is_reported_as_such(void **state)
{
    struct verdict v =
        decide((struct death){ .wait_status = DIED_OF(SIGSYS), .running_request = 7 });

    (void) state;
    assert_string_equal(v.cause, "forbidden system call");
    assert_int_equal(v.request, 7);
    assert_int_equal(v.code, ERROR_WORKER_CRASHED);
}

static void test_a_crash_with_nobody_running_counts_against_the_slot(void **state)
{
    struct verdict v = decide((struct death){ .wait_status = DIED_OF(SIGSEGV) });

    (void) state;
    assert_int_equal(v.request, 0);
    assert_true(v.counts_as_failure);
}

static void test_a_crash_while_loading_blames_the_version(void **state)
{
    struct verdict v = decide((struct death){
        .wait_status = DIED_OF(SIGTRAP), .loading_version = 3, .last_words = LAST_WORDS_HEAP_OOM });

    (void) state;
    assert_int_equal(v.version, 3);
    assert_int_equal(v.request, 0);
    assert_int_equal(v.code, ERROR_MEM_ISOLATE);
}

static void test_a_kill_for_cpu_blames_the_request_it_was_for(void **state)
{
    struct verdict v = decide((struct death){ .reason = KILL_CPU,
                                              .wait_status = DIED_OF(SIGKILL),
                                              .blamed_request = 9,
                                              .running_request = 7 });

    (void) state;
    assert_int_equal(v.request, 9);
    assert_int_equal(v.code, ERROR_CPU_REQUEST);
}

static void test_what_had_not_entered_is_sent_again(void **state)
{
    struct fate_facts facts = { .sendings = 1 };

    (void) state;
    assert_int_equal(blame_fate(&facts), FATE_SEND_AGAIN);
    facts.deaths = 1;
    assert_int_equal(blame_fate(&facts), FATE_SEND_AGAIN);
}

static void test_a_broken_protocol_with_nobody_to_blame_counts_against_the_slot(void **state)
{
    struct verdict v = decide((struct death){ .reason = KILL_PROTOCOL });

    (void) state;
    assert_true(v.counts_as_failure);
    v = decide((struct death){ .reason = KILL_PROTOCOL, .loading_version = 3 });
    assert_int_equal(v.version, 3);
    assert_false(v.counts_as_failure);
    v = decide(
        (struct death){ .reason = KILL_PROTOCOL, .loading_version = 3, .running_request = 7 });
    assert_int_equal(v.request, 7);
    assert_int_equal(v.version, 0);
}

static void test_a_worker_that_is_silent_blames_only_what_loads(void **state)
{
    struct verdict v = decide((struct death){ .reason = KILL_SILENT, .running_request = 7 });

    (void) state;
    assert_int_equal(v.request, 0);
    assert_true(v.counts_as_failure);
    v = decide((struct death){ .reason = KILL_SILENT, .loading_version = 3 });
    assert_int_equal(v.version, 3);
    assert_false(v.counts_as_failure);
}

static void test_what_had_entered_is_sent_again_once_if_idempotent(void **state)
{
    struct fate_facts facts = { .has_entered = true, .is_idempotent = true, .sendings = 1 };

    (void) state;
    assert_int_equal(blame_fate(&facts), FATE_SEND_AGAIN);
    facts.deaths = 1;
    assert_int_equal(blame_fate(&facts), FATE_FAIL);
}

static void test_what_had_entered_and_is_not_idempotent_fails(void **state)
{
    struct fate_facts facts = { .has_entered = true, .sendings = 1 };

    (void) state;
    assert_int_equal(blame_fate(&facts), FATE_FAIL);
}

static void test_what_was_answered_or_lost_its_body_is_never_sent_again(void **state)
{
    struct fate_facts answered = { .is_idempotent = true, .has_answered = true, .sendings = 1 };
    struct fate_facts lost = { .is_idempotent = true, .is_body_lost = true, .sendings = 1 };

    (void) state;
    assert_int_equal(blame_fate(&answered), FATE_FAIL);
    assert_int_equal(blame_fate(&lost), FATE_FAIL);
}

/* A worker may say for ever that it has not entered. */
static void test_sendings_are_bounded_whatever_the_claims(void **state)
{
    struct fate_facts facts = { .sendings = SENDINGS_MAX };

    (void) state;
    assert_int_equal(blame_fate(&facts), FATE_FAIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_kill_from_outside_blames_nobody),
        cmocka_unit_test(test_last_words_of_heap_make_it_mem_isolate),
        cmocka_unit_test(test_last_words_of_a_worker_that_just_exits_count_for_nothing),
        cmocka_unit_test(test_a_forbidden_call_is_reported_as_such),
        cmocka_unit_test(test_a_crash_with_nobody_running_counts_against_the_slot),
        cmocka_unit_test(test_a_crash_while_loading_blames_the_version),
        cmocka_unit_test(test_a_kill_for_cpu_blames_the_request_it_was_for),
        cmocka_unit_test(test_a_broken_protocol_with_nobody_to_blame_counts_against_the_slot),
        cmocka_unit_test(test_a_worker_that_is_silent_blames_only_what_loads),
        cmocka_unit_test(test_what_had_not_entered_is_sent_again),
        cmocka_unit_test(test_what_had_entered_is_sent_again_once_if_idempotent),
        cmocka_unit_test(test_what_had_entered_and_is_not_idempotent_fails),
        cmocka_unit_test(test_what_was_answered_or_lost_its_body_is_never_sent_again),
        cmocka_unit_test(test_sendings_are_bounded_whatever_the_claims),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
