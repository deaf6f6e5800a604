/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proto/scoreboard.h"
#include "supervisor/placement/blame.h"
#include "supervisor/record/incident.h"

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
    struct verdict v = decide((struct death){ .wait_status = DIED_OF(SIGKILL),
                                              .candidates = 1,
                                              .only_version = 3,
                                              .claimed_version = 3,
                                              .claimed_request = 7,
                                              .last_words = LAST_WORDS_HEAP_OOM });

    (void) state;
    assert_int_equal(v.version, 0);
    assert_int_equal(v.evidence, EVIDENCE_NONE);
    assert_false(v.counts_as_failure);
    assert_false(v.must_separate);
    assert_int_equal(v.incident, CAUSE_OUTSIDE);
}

/* The kernel reports that its OOM killer did it: no claim of the worker is needed for that. */
static void test_a_kill_by_the_kernel_for_memory_blames_who_holds_it(void **state)
{
    struct death death = { .wait_status = DIED_OF(SIGKILL),
                           .is_kernel_oom = true,
                           .is_memory = true,
                           .candidates = 2,
                           .claimed_version = 3 };
    struct verdict v = decide(death);

    (void) state;
    assert_int_equal(v.version, 3);
    assert_int_equal(v.code, ERROR_MEM_PROCESS);
    assert_int_equal(v.incident, CAUSE_RSS);
    assert_int_equal(v.evidence, EVIDENCE_CLAIM);
    death.candidates = 1;
    death.only_version = 3;
    assert_int_equal(decide(death).evidence, EVIDENCE_PROOF);
}

/* memory_share.h says which tenant the accounts name. */
static void test_memory_that_nobody_accounts_for_separates_those_who_may_have_it(void **state)
{
    struct death death = {
        .reason = KILL_RSS, .is_memory = true, .candidates = 3, .is_shared = true
    };
    struct verdict v = decide(death);

    (void) state;
    assert_int_equal(v.version, 0);
    assert_true(v.must_separate);
    assert_int_equal(v.evidence, EVIDENCE_NONE);
    assert_int_equal(v.code, ERROR_MEM_PROCESS);
    /* Another, which has left, may have left it there. */
    death.candidates = 1;
    death.only_version = 3;
    v = decide(death);
    assert_int_equal(v.version, 0);
    assert_true(v.must_separate);
    /* No other tenant was ever in the worker. */
    death.is_shared = false;
    death.is_own = true;
    v = decide(death);
    assert_int_equal(v.version, 3);
    assert_int_equal(v.evidence, EVIDENCE_PROOF);
}

static void test_nothing_is_proof_where_others_were_in_the_process(void **state)
{
    for (unsigned reason = 0; reason < KILL_REASONS; reason++) {
        struct death death = { .reason = (enum kill_reason) reason,
                               .wait_status = DIED_OF(SIGSEGV),
                               .candidates = 1,
                               .only_version = 3,
                               .claimed_version = 3,
                               .claimed_request = 7,
                               .is_shared = true };
        struct verdict v = decide(death);

        assert_int_not_equal(v.evidence, EVIDENCE_PROOF);
        death.is_shared = false;
        if (reason == KILL_NONE || reason == KILL_CPU)
            assert_int_equal(decide(death).evidence, EVIDENCE_PROOF);
    }
    (void) state;
}

static void test_last_words_of_heap_make_it_mem_isolate(void **state)
{
    struct verdict v = decide((struct death){ .wait_status = DIED_OF(SIGTRAP),
                                              .candidates = 2,
                                              .claimed_version = 3,
                                              .claimed_request = 7,
                                              .last_words = LAST_WORDS_HEAP_OOM });

    (void) state;
    assert_int_equal(v.request, 7);
    assert_int_equal(v.version, 3);
    assert_int_equal(v.code, ERROR_MEM_ISOLATE);
    assert_int_equal(v.evidence, EVIDENCE_CLAIM);
    assert_false(v.counts_as_failure);
}

static void test_last_words_of_a_worker_that_just_exits_count_for_nothing(void **state)
{
    struct verdict v = decide((struct death){ .wait_status = EXITED_WITH(0),
                                              .candidates = 1,
                                              .only_version = 3,
                                              .claimed_version = 3,
                                              .claimed_request = 7,
                                              .last_words = LAST_WORDS_HEAP_OOM });

    (void) state;
    assert_int_equal(v.code, ERROR_WORKER_CRASHED);
}

/* Only native code makes such a call, and it may have written anything on the scoreboard. */
static void test_a_forbidden_call_does_not_let_the_worker_name_the_culprit(void **state)
{
    struct death death = {
        .wait_status = DIED_OF(SIGSYS), .candidates = 2, .claimed_version = 3, .claimed_request = 7
    };
    struct verdict v = decide(death);

    (void) state;
    assert_string_equal(v.cause, "forbidden system call");
    assert_int_equal(v.incident, CAUSE_JAIL);
    assert_int_equal(v.version, 0);
    assert_true(v.must_separate);
    assert_true(v.is_untrusted);
    death.candidates = 1;
    death.only_version = 4;
    v = decide(death);
    assert_int_equal(v.version, 4);
    assert_int_equal(v.evidence, EVIDENCE_PROOF);
    assert_false(v.must_separate);
}

static void test_a_broken_protocol_does_not_either(void **state)
{
    struct verdict v =
        decide((struct death){ .reason = KILL_PROTOCOL, .candidates = 2, .claimed_version = 3 });

    (void) state;
    assert_int_equal(v.version, 0);
    assert_true(v.must_separate);
    v = decide((struct death){ .reason = KILL_PROTOCOL, .candidates = 1, .only_version = 3 });
    assert_int_equal(v.version, 3);
    assert_int_equal(v.evidence, EVIDENCE_PROOF);
}

/* Native code of another tenant may have waited until only this one had a request there. */
static void test_the_only_candidate_of_a_shared_worker_is_separated_too(void **state)
{
    struct death death = {
        .reason = KILL_PROTOCOL, .candidates = 1, .only_version = 3, .is_shared = true
    };
    struct verdict v = decide(death);

    (void) state;
    assert_int_equal(v.version, 3);
    assert_int_equal(v.evidence, EVIDENCE_CLAIM);
    assert_true(v.must_separate);
    assert_false(v.counts_as_failure);
    death.is_shared = false;
    v = decide(death);
    assert_int_equal(v.evidence, EVIDENCE_PROOF);
    assert_false(v.must_separate);
}

static void test_a_crash_with_nothing_in_it_counts_against_the_slot(void **state)
{
    struct verdict v = decide((struct death){ .wait_status = DIED_OF(SIGSEGV) });

    (void) state;
    assert_int_equal(v.version, 0);
    assert_true(v.counts_as_failure);
    assert_true(decide((struct death){ .reason = KILL_PROTOCOL }).counts_as_failure);
    assert_true(decide((struct death){ .reason = KILL_SILENT }).counts_as_failure);
}

static void test_a_crash_in_which_nothing_ran_separates_those_in_it(void **state)
{
    struct verdict v = decide((struct death){ .wait_status = DIED_OF(SIGSEGV), .candidates = 3 });

    (void) state;
    assert_int_equal(v.version, 0);
    assert_true(v.must_separate);
    assert_false(v.counts_as_failure);
    assert_false(v.is_untrusted);
}

/* The worker may have been killed from outside while its only request waited for a timer. */
static void test_a_crash_in_which_nothing_ran_is_no_proof_against_the_only_one(void **state)
{
    struct death death = { .wait_status = DIED_OF(SIGSEGV), .candidates = 1, .only_version = 3 };
    struct verdict v = decide(death);

    (void) state;
    assert_int_equal(v.version, 3);
    assert_int_equal(v.request, 0);
    assert_int_equal(v.evidence, EVIDENCE_CLAIM);
    death.claimed_version = 3;
    assert_int_equal(decide(death).evidence, EVIDENCE_PROOF);
    death.claimed_version = 0;
    death.is_own = true;
    assert_int_equal(decide(death).evidence, EVIDENCE_PROOF);
}

static void test_a_crash_while_loading_blames_the_version(void **state)
{
    struct verdict v = decide((struct death){ .wait_status = DIED_OF(SIGTRAP),
                                              .candidates = 2,
                                              .claimed_version = 3,
                                              .last_words = LAST_WORDS_HEAP_OOM });

    (void) state;
    assert_int_equal(v.version, 3);
    assert_int_equal(v.request, 0);
    assert_int_equal(v.code, ERROR_MEM_ISOLATE);
}

static void test_a_kill_for_cpu_blames_who_ran_and_is_proof_only_if_it_was_alone(void **state)
{
    struct death death = { .reason = KILL_CPU,
                           .wait_status = DIED_OF(SIGKILL),
                           .candidates = 2,
                           .claimed_version = 3,
                           .claimed_request = 9 };
    struct verdict v = decide(death);

    (void) state;
    assert_int_equal(v.request, 9);
    assert_int_equal(v.code, ERROR_CPU_REQUEST);
    assert_int_equal(v.evidence, EVIDENCE_CLAIM);
    death.candidates = 1;
    death.only_version = 3;
    assert_int_equal(decide(death).evidence, EVIDENCE_PROOF);
}

static void test_a_worker_that_is_silent_is_never_proof(void **state)
{
    struct death death = { .reason = KILL_SILENT,
                           .candidates = 1,
                           .only_version = 3,
                           .claimed_version = 3,
                           .is_own = true };

    (void) state;
    assert_int_equal(decide(death).evidence, EVIDENCE_CLAIM);
    death.is_stopped = true; /* by a SIGSTOP from outside */
    assert_int_equal(decide(death).version, 0);
    assert_false(decide(death).must_separate);
}

static void test_a_worker_that_was_stopped_blames_nobody(void **state)
{
    static const enum kill_reason reasons[] = { KILL_STOP, KILL_OPERATOR };

    (void) state;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        struct verdict v = decide((struct death){
            .reason = reasons[i], .candidates = 1, .only_version = 3, .claimed_version = 3 });
        assert_int_equal(v.version, 0);
        assert_false(v.counts_as_failure);
    }
}

static void test_what_had_not_entered_is_sent_again(void **state)
{
    struct fate_facts facts = { .sendings = 1 };

    (void) state;
    assert_int_equal(blame_fate(&facts), FATE_SEND_AGAIN);
    facts.deaths = 1;
    assert_int_equal(blame_fate(&facts), FATE_SEND_AGAIN);
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

static void test_what_was_in_two_deaths_that_nothing_explains_is_not_sent_a_third_time(void **state)
{
    struct fate_facts facts = { .is_suspect = true, .sendings = 1 };

    (void) state;
    assert_int_equal(blame_fate(&facts), FATE_SEND_AGAIN);
    facts.deaths = 1;
    assert_int_equal(blame_fate(&facts), FATE_FAIL);
    assert_true(decide((struct death){
                           .wait_status = DIED_OF(SIGSEGV), .candidates = 1, .only_version = 3 })
                    .is_unexplained);
    assert_false(decide((struct death){
                            .wait_status = DIED_OF(SIGKILL), .candidates = 1, .only_version = 3 })
                     .is_unexplained);
}

/* After native code of a tenant ran, the marks may be forged. */
static void test_marks_of_a_worker_that_was_taken_over_are_not_believed(void **state)
{
    struct fate_facts facts = { .is_untrusted = true, .sendings = 1 };

    (void) state;
    assert_int_equal(blame_fate(&facts), FATE_FAIL);
    facts.is_idempotent = true;
    assert_int_equal(blame_fate(&facts), FATE_SEND_AGAIN);
    facts.deaths = 1;
    assert_int_equal(blame_fate(&facts), FATE_FAIL);
}

/* A worker may report again and again that a request has not entered. */
static void test_what_a_blamed_tenant_takes_back_is_sent_again_once(void **state)
{
    struct fate_facts facts = { .is_suspect = true, .sendings = 1 };

    (void) state;
    assert_int_equal(blame_fate(&facts), FATE_SEND_AGAIN);
    facts.deaths = 1;
    assert_int_equal(blame_fate(&facts), FATE_FAIL);
    facts.is_suspect = false; /* another is blamed, and this request was only behind it */
    assert_int_equal(blame_fate(&facts), FATE_SEND_AGAIN);
}

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
        cmocka_unit_test(test_a_kill_by_the_kernel_for_memory_blames_who_holds_it),
        cmocka_unit_test(test_memory_that_nobody_accounts_for_separates_those_who_may_have_it),
        cmocka_unit_test(test_nothing_is_proof_where_others_were_in_the_process),
        cmocka_unit_test(test_last_words_of_heap_make_it_mem_isolate),
        cmocka_unit_test(test_last_words_of_a_worker_that_just_exits_count_for_nothing),
        cmocka_unit_test(test_a_forbidden_call_does_not_let_the_worker_name_the_culprit),
        cmocka_unit_test(test_a_broken_protocol_does_not_either),
        cmocka_unit_test(test_the_only_candidate_of_a_shared_worker_is_separated_too),
        cmocka_unit_test(test_a_crash_with_nothing_in_it_counts_against_the_slot),
        cmocka_unit_test(test_a_crash_in_which_nothing_ran_separates_those_in_it),
        cmocka_unit_test(test_a_crash_in_which_nothing_ran_is_no_proof_against_the_only_one),
        cmocka_unit_test(test_a_crash_while_loading_blames_the_version),
        cmocka_unit_test(test_a_kill_for_cpu_blames_who_ran_and_is_proof_only_if_it_was_alone),
        cmocka_unit_test(test_a_worker_that_is_silent_is_never_proof),
        cmocka_unit_test(test_a_worker_that_was_stopped_blames_nobody),
        cmocka_unit_test(test_what_had_not_entered_is_sent_again),
        cmocka_unit_test(test_what_had_entered_is_sent_again_once_if_idempotent),
        cmocka_unit_test(test_what_had_entered_and_is_not_idempotent_fails),
        cmocka_unit_test(test_what_was_answered_or_lost_its_body_is_never_sent_again),
        cmocka_unit_test(
            test_what_was_in_two_deaths_that_nothing_explains_is_not_sent_a_third_time),
        cmocka_unit_test(test_marks_of_a_worker_that_was_taken_over_are_not_believed),
        cmocka_unit_test(test_what_a_blamed_tenant_takes_back_is_sent_again_once),
        cmocka_unit_test(test_sendings_are_bounded_whatever_the_claims),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
