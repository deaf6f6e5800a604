/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/io.h"
#include "supervisor/workers/idle.h"

#define NEVER 1000

/* Looks until the worker is found to burn CPU time; in each second it uses used_ms, and gets
 * requests or none. */
static unsigned looks_until_over(const uint64_t *used_ms, unsigned n_used, uint64_t requests,
                                 bool is_idle)
{
    struct idle_watch watch = { 0 };
    struct idle_look look = { .is_idle = is_idle };

    for (unsigned i = 0; i < NEVER; i++) {
        if (idle_is_over(&watch, &look))
            return i;
        look.now_ns += NSEC_PER_SEC;
        look.unclaimed_ns += used_ms[i % n_used] * NSEC_PER_MSEC;
        look.sent += requests;
    }
    return NEVER;
}

static unsigned looks_of(uint64_t used_ms)
{
    return looks_until_over(&used_ms, 1, 0, true);
}

static void test_idle_worker_that_burns_is_over_soon(void **state)
{
    (void) state;
    assert_in_range(looks_of(1000), 1, 3);
    assert_in_range(looks_of(500), 3, 5);
}

static void test_idle_worker_that_burns_in_small_slices_is_over_too(void **state)
{
    static const uint64_t alternating[] = { 900, 0, 0, 0, 0 }, rising[] = { 100, 200, 300 };

    (void) state;
    assert_in_range(looks_of(200), 8, 12); /* 20 % of the time */
    assert_in_range(looks_of(80), 40, 60);
    assert_in_range(looks_until_over(alternating, 5, 0, true), 5, 15);
    assert_in_range(looks_until_over(rising, 3, 0, true), 5, 15);
}

static void test_worker_may_use_a_little_for_ever(void **state)
{
    static const uint64_t warming_up[] = { 900, 300, 30, 10, 10, 10, 10, 10, 10, 10, 10, 10,
                                           10,  10,  10, 10, 10, 10, 10, 10, 10, 10, 10, 10 };

    (void) state;
    assert_int_equal(looks_of(0), NEVER);
    assert_int_equal(looks_of(50), NEVER);
    struct idle_watch watch = { 0 };
    struct idle_look look = { .is_idle = true };
    for (unsigned i = 0; i < sizeof warming_up / sizeof *warming_up; i++) {
        assert_false(idle_is_over(&watch, &look));
        look.now_ns += NSEC_PER_SEC;
        look.unclaimed_ns += warming_up[i] * NSEC_PER_MSEC;
    }
}

static void test_few_requests_do_not_hide_what_is_used_between_them(void **state)
{
    uint64_t half = 500, little = 60;

    (void) state;
    assert_in_range(looks_until_over(&half, 1, 1, true), 3, 6);
    assert_int_equal(looks_until_over(&little, 1, 3, true), NEVER); /* work for requests */
}

static void test_busy_worker_is_not_judged(void **state)
{
    uint64_t all = 1000;

    (void) state;
    assert_int_equal(looks_until_over(&all, 1, 0, false), NEVER);
    assert_int_equal(looks_until_over(&all, 1, IDLE_REQUESTS + 1, true), NEVER);
}

static void test_what_a_tenants_account_takes_over_is_no_debt(void **state)
{
    struct idle_watch watch = { 0 };
    struct idle_look look = { .is_idle = true };

    (void) state;
    for (unsigned i = 0; i < 50; i++) {
        look.now_ns += NSEC_PER_SEC;
        look.unclaimed_ns += NSEC_PER_SEC;
        assert_false(idle_is_over(&watch, &look));
        look.now_ns += NSEC_PER_SEC;
        look.unclaimed_ns -= NSEC_PER_SEC;
        assert_false(idle_is_over(&watch, &look));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle_worker_that_burns_is_over_soon),
        cmocka_unit_test(test_idle_worker_that_burns_in_small_slices_is_over_too),
        cmocka_unit_test(test_worker_may_use_a_little_for_ever),
        cmocka_unit_test(test_few_requests_do_not_hide_what_is_used_between_them),
        cmocka_unit_test(test_busy_worker_is_not_judged),
        cmocka_unit_test(test_what_a_tenants_account_takes_over_is_no_debt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
