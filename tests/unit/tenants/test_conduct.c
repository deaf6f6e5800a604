/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strikes, seclusion and quarantine, with a clock of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/io.h"
#include "supervisor/tenants/conduct.h"

static const struct conduct_rules rules = { .strikes = 3, .quarantine_s = 60 };

static uint64_t at(uint64_t second)
{
    return (1000 + second) * NSEC_PER_SEC;
}

static enum conduct_step strike(struct conduct *conduct, bool has_own, uint64_t second)
{
    return conduct_on_death(conduct, &rules, EVIDENCE_PROOF, has_own, at(second));
}

/* Brings the tenant into a worker of its own, by three deaths. */
static void seclude(struct conduct *conduct, uint64_t second)
{
    assert_int_equal(strike(conduct, false, second), CONDUCT_NO_STEP);
    assert_int_equal(strike(conduct, false, second), CONDUCT_NO_STEP);
    assert_int_equal(strike(conduct, false, second), CONDUCT_SECLUDE);
}

static void test_three_deaths_in_a_minute_seclude_and_three_more_there_quarantine(void **state)
{
    struct conduct conduct = { 0 };

    (void) state;
    seclude(&conduct, 0);
    assert_int_equal(conduct.seclusion, SECLUSION_STRIKES);
    assert_int_equal(conduct_retry_after_s(&conduct, at(0)), 0);
    assert_int_equal(strike(&conduct, true, 1), CONDUCT_NO_STEP);
    assert_int_equal(strike(&conduct, true, 1), CONDUCT_NO_STEP);
    assert_int_equal(strike(&conduct, true, 1), CONDUCT_QUARANTINE);
    assert_int_equal(conduct_retry_after_s(&conduct, at(1)), 60);
    assert_int_equal(conduct_retry_after_s(&conduct, at(60)), 1);
    assert_int_equal(conduct_retry_after_s(&conduct, at(61)), 0);
    assert_int_equal(conduct.strikes, 6);
}

static void test_deaths_that_are_a_minute_apart_do_not_add_up(void **state)
{
    struct conduct conduct = { 0 };

    (void) state;
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(strike(&conduct, false, i * 31), CONDUCT_NO_STEP);
        assert_in_range(conduct_marks(&conduct, at(i * 31)), 1, 2);
    }
    assert_int_equal(conduct_marks(&conduct, at(10000)), 0);
}

/* The blame may be wrong, as long as others share the worker. */
static void test_no_number_of_deaths_in_a_shared_worker_quarantines(void **state)
{
    struct conduct conduct = { 0 };

    (void) state;
    for (unsigned i = 0; i < 100; i++)
        assert_int_not_equal(conduct_on_death(&conduct, &rules, EVIDENCE_CLAIM, false, at(0)),
                             CONDUCT_QUARANTINE);
    assert_int_equal(conduct_retry_after_s(&conduct, at(0)), 0);
}

static void test_claims_do_not_quarantine_in_a_worker_of_its_own_either(void **state)
{
    struct conduct conduct = { 0 };

    (void) state;
    seclude(&conduct, 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(conduct_on_death(&conduct, &rules, EVIDENCE_CLAIM, true, at(1)),
                         CONDUCT_NO_STEP);
    assert_false(conduct_expire(&conduct, at(600)));
    assert_true(conduct_expire(&conduct, at(601)));
}

/* Without a worker of its own the claims would have no effect there. */
static void test_claims_quarantine_where_nobody_can_have_a_worker_of_its_own(void **state)
{
    const struct conduct_rules none = { .strikes = 3,
                                        .quarantine_s = 60,
                                        .has_no_seclusion = true };
    struct conduct conduct = { 0 };
    enum conduct_step step = CONDUCT_NO_STEP;

    (void) state;
    for (unsigned i = 0; i < 6; i++)
        step = conduct_on_death(&conduct, &none, EVIDENCE_CLAIM, false, at(0));
    assert_int_equal(step, CONDUCT_QUARANTINE);
}

static void test_a_claim_is_not_a_strike(void **state)
{
    struct conduct conduct = { 0 };

    (void) state;
    (void) conduct_on_death(&conduct, &rules, EVIDENCE_CLAIM, false, at(0));
    assert_int_equal(conduct.strikes, 0);
    assert_int_equal(conduct_marks(&conduct, at(0)), 1);
    (void) conduct_on_death(&conduct, &rules, EVIDENCE_NONE, false, at(0));
    assert_int_equal(conduct_marks(&conduct, at(0)), 1);
}

static void test_each_quarantine_is_twice_as_long_up_to_an_hour(void **state)
{
    static const uint32_t lengths[] = { 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600 };
    struct conduct conduct = { 0 };
    uint64_t now = 0;

    (void) state;
    seclude(&conduct, now);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (unsigned n = 0; n < 3; n++)
            (void) strike(&conduct, true, now);
        assert_int_equal(conduct_retry_after_s(&conduct, at(now)), lengths[i]);
        now += lengths[i];
        (void) conduct_expire(&conduct, at(now));
    }
}

static void test_a_quarantine_that_is_configured_longer_than_an_hour_stays_so(void **state)
{
    const struct conduct_rules long_rules = { .strikes = 1, .quarantine_s = 7200 };
    struct conduct conduct = { 0 };

    (void) state;
    (void) conduct_on_death(&conduct, &long_rules, EVIDENCE_PROOF, false, at(0));
    (void) conduct_on_death(&conduct, &long_rules, EVIDENCE_PROOF, true, at(0));
    assert_int_equal(conduct_retry_after_s(&conduct, at(0)), 7200);
}

static void test_ten_good_minutes_let_it_back_and_forget_its_quarantines(void **state)
{
    struct conduct conduct = { 0 };

    (void) state;
    seclude(&conduct, 0);
    for (unsigned n = 0; n < 3; n++)
        (void) strike(&conduct, true, 0);
    assert_false(conduct_expire(&conduct, at(59)));
    assert_false(conduct_expire(&conduct, at(60)));
    /* Probation begins when the quarantine ends. */
    assert_false(conduct_expire(&conduct, at(60 + 599)));
    assert_true(conduct_expire(&conduct, at(60 + 600)));
    assert_int_equal(conduct.seclusion, SECLUSION_NONE);
    assert_int_equal(conduct.quarantines, 0);
    assert_int_equal(conduct.strikes, 6);
    assert_false(conduct_expire(&conduct, at(10000)));
}

static void test_a_suspect_is_cleared_or_let_back_after_a_minute(void **state)
{
    struct conduct conduct = { 0 };

    (void) state;
    conduct_suspect(&conduct, 7, at(0));
    assert_int_equal(conduct.seclusion, SECLUSION_SUSPECT);
    assert_int_equal(conduct_marks(&conduct, at(0)), 0);
    assert_false(conduct_expire(&conduct, at(59)));
    assert_true(conduct_expire(&conduct, at(60)));
    conduct_suspect(&conduct, 8, at(100));
    conduct_clear(&conduct);
    assert_int_equal(conduct.seclusion, SECLUSION_NONE);
    assert_int_equal(conduct.suspicion, 0);
}

static void test_suspicion_does_not_soften_what_strikes_have_brought(void **state)
{
    struct conduct conduct = { 0 };

    (void) state;
    seclude(&conduct, 0);
    conduct_suspect(&conduct, 7, at(1));
    conduct_clear(&conduct);
    assert_int_equal(conduct.seclusion, SECLUSION_STRIKES);
}

static void test_the_operator_quarantines_and_releases(void **state)
{
    struct conduct conduct = { 0 };

    (void) state;
    conduct_quarantine(&conduct, 10, at(0));
    assert_int_equal(conduct_retry_after_s(&conduct, at(0)), 10);
    conduct_quarantine(&conduct, 0, at(0));
    assert_int_equal(conduct_retry_after_s(&conduct, at(1000000)), UINT32_MAX);
    assert_false(conduct_expire(&conduct, at(1000000)));
    seclude(&conduct, 0);
    conduct_release(&conduct);
    assert_int_equal(conduct_retry_after_s(&conduct, at(0)), 0);
    assert_int_equal(conduct.seclusion, SECLUSION_NONE);
    assert_int_equal(conduct_marks(&conduct, at(0)), 0);
    assert_int_equal(conduct.strikes, 3);
}

static void test_what_the_operator_quarantines_is_known_as_such(void **state)
{
    struct conduct conduct = { 0 };

    (void) state;
    conduct_quarantine(&conduct, 10, at(0));
    assert_true(conduct.is_by_operator);
    (void) conduct_expire(&conduct, at(10));
    assert_false(conduct.is_by_operator);
    conduct_quarantine(&conduct, 0, at(20));
    conduct_release(&conduct);
    assert_false(conduct.is_by_operator);
}

static void test_deaths_do_not_shorten_what_the_operator_said(void **state)
{
    struct conduct conduct = { 0 };

    (void) state;
    seclude(&conduct, 0);
    conduct_quarantine(&conduct, 0, at(1));
    for (unsigned i = 0; i < rules.strikes; i++)
        (void) conduct_on_death(&conduct, &rules, EVIDENCE_PROOF, true, at(2));
    assert_int_equal(conduct_retry_after_s(&conduct, at(3)), UINT32_MAX);
    assert_true(conduct.is_by_operator);
    conduct_quarantine(&conduct, 1, at(3));
    for (unsigned i = 0; i < rules.strikes; i++)
        (void) conduct_on_death(&conduct, &rules, EVIDENCE_PROOF, true, at(3));
    assert_true(conduct_retry_after_s(&conduct, at(3)) > 1);
    assert_false(conduct.is_by_operator);
}

/* Deaths in an hour of a tenant that dies whenever it may, but so many strikes short of what would follow from them. */
static unsigned deaths_in_an_hour(unsigned short_of)
{
    struct conduct conduct = { 0 };
    unsigned n = 0;

    for (uint64_t second = 0; second < 3600; second++) {
        (void) conduct_expire(&conduct, at(second));
        while (conduct_retry_after_s(&conduct, at(second)) == 0 &&
               conduct_marks(&conduct, at(second)) + short_of < rules.strikes) {
            (void) strike(&conduct, conduct.seclusion == SECLUSION_STRIKES, second);
            n++;
        }
    }
    return n;
}

/* As docs/limits.md says. */
static void test_tenant_dies_at_most_twice_a_minute(void **state)
{
    (void) state;
    assert_in_range(deaths_in_an_hour(0), 6, 30); /* longer and longer in quarantine */
    assert_in_range(deaths_in_an_hour(1), 119, 126);
    assert_in_range(deaths_in_an_hour(2), 59, 63);
}

static void test_more_strikes_than_are_kept_still_count(void **state)
{
    const struct conduct_rules most = { .strikes = CONDUCT_STRIKES_MAX, .quarantine_s = 60 };
    struct conduct conduct = { 0 };

    (void) state;
    for (unsigned i = 1; i < CONDUCT_STRIKES_MAX; i++)
        assert_int_equal(conduct_on_death(&conduct, &most, EVIDENCE_PROOF, false, at(0)),
                         CONDUCT_NO_STEP);
    assert_int_equal(conduct_on_death(&conduct, &most, EVIDENCE_PROOF, false, at(0)),
                     CONDUCT_SECLUDE);
}

static void test_what_is_much_depends_on_what_the_host_gives_the_worker(void **state)
{
    (void) state;
    assert_true(conduct_is_busy(600000, 100000, 1000000));
    assert_false(conduct_is_busy(400000, 10000, 1000000));
    assert_false(conduct_is_busy(600000, 200000, 1000000)); /* one neighbour is nearly as busy */
    assert_false(conduct_is_busy(600000, 0, 1000000));      /* no neighbour wants a share */
    assert_true(conduct_is_busy(60000, 10000, 100000));     /* the host gives the worker a tenth */
    assert_true(conduct_is_calm(60000, 1000000));
    assert_false(conduct_is_calm(60000, 100000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_deaths_in_a_minute_seclude_and_three_more_there_quarantine),
        cmocka_unit_test(test_deaths_that_are_a_minute_apart_do_not_add_up),
        cmocka_unit_test(test_no_number_of_deaths_in_a_shared_worker_quarantines),
        cmocka_unit_test(test_claims_do_not_quarantine_in_a_worker_of_its_own_either),
        cmocka_unit_test(test_claims_quarantine_where_nobody_can_have_a_worker_of_its_own),
        cmocka_unit_test(test_a_claim_is_not_a_strike),
        cmocka_unit_test(test_each_quarantine_is_twice_as_long_up_to_an_hour),
        cmocka_unit_test(test_a_quarantine_that_is_configured_longer_than_an_hour_stays_so),
        cmocka_unit_test(test_ten_good_minutes_let_it_back_and_forget_its_quarantines),
        cmocka_unit_test(test_a_suspect_is_cleared_or_let_back_after_a_minute),
        cmocka_unit_test(test_suspicion_does_not_soften_what_strikes_have_brought),
        cmocka_unit_test(test_the_operator_quarantines_and_releases),
        cmocka_unit_test(test_what_the_operator_quarantines_is_known_as_such),
        cmocka_unit_test(test_deaths_do_not_shorten_what_the_operator_said),
        cmocka_unit_test(test_tenant_dies_at_most_twice_a_minute),
        cmocka_unit_test(test_more_strikes_than_are_kept_still_count),
        cmocka_unit_test(test_what_is_much_depends_on_what_the_host_gives_the_worker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
