/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/io.h"
#include "supervisor/tenants/rate.h"

#define RATE 100 /* ms of each second */
#define START NSEC_PER_SEC

static void test_new_bucket_holds_one_second_s_worth(void **state)
{
    struct rate rate = { 0 };

    (void) state;
    rate_refill(&rate, RATE, START);
    assert_int_equal(rate.left_ns, RATE * NSEC_PER_MSEC);
    assert_int_equal(rate_wait_ns(&rate, RATE), 0);
}

static void test_idle_time_saves_no_more_than_that(void **state)
{
    struct rate rate = { 0 };

    (void) state;
    rate_refill(&rate, RATE, START);
    rate_refill(&rate, RATE, START + 1000 * NSEC_PER_SEC);
    assert_int_equal(rate.left_ns, RATE * NSEC_PER_MSEC);
}

static void test_debt_is_paid_at_the_rate(void **state)
{
    struct rate rate = { 0 };

    (void) state;
    rate_refill(&rate, RATE, START);
    rate_charge(&rate, 150 * NSEC_PER_MSEC);
    assert_in_range(rate_wait_ns(&rate, RATE), 500 * NSEC_PER_MSEC, 501 * NSEC_PER_MSEC);
    rate_refill(&rate, RATE, START + 499 * NSEC_PER_MSEC);
    assert_true(rate_wait_ns(&rate, RATE) > 0);
    rate_refill(&rate, RATE, START + 501 * NSEC_PER_MSEC);
    assert_int_equal(rate_wait_ns(&rate, RATE), 0);
}

static void test_waiting_as_long_as_it_says_is_enough(void **state)
{
    static const uint32_t rates[] = { 1, 3, 7, 999, 64000 };

    (void) state;
    for (unsigned i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct rate rate = { 0 };
        rate_refill(&rate, rates[i], START);
        rate_charge(&rate, rates[i] * NSEC_PER_MSEC + 12345);
        rate_refill(&rate, rates[i], START + rate_wait_ns(&rate, rates[i]));
        assert_int_equal(rate_wait_ns(&rate, rates[i]), 0);
    }
}

static void test_small_steps_add_up_to_the_rate(void **state)
{
    struct rate rate = { 0 };
    uint64_t used_ns = 0;

    (void) state;
    for (uint64_t t = 0; t < 10000; t++) { /* ms */
        rate_refill(&rate, RATE, START + t * NSEC_PER_MSEC);
        if (rate_wait_ns(&rate, RATE) > 0)
            continue;
        rate_charge(&rate, 3 * NSEC_PER_MSEC);
        used_ns += 3 * NSEC_PER_MSEC;
    }
    assert_in_range(used_ns / NSEC_PER_MSEC, 11 * RATE - 5, 11 * RATE + 5);
}

static void test_no_number_overflows(void **state)
{
    struct rate rate = { 0 };

    (void) state;
    rate_refill(&rate, 64000, START);
    for (int i = 0; i < 5; i++)
        rate_charge(&rate, UINT64_MAX);
    assert_true(rate.left_ns < 0);
    assert_true(rate_wait_ns(&rate, 1) > NSEC_PER_SEC);
    rate_refill(&rate, 64000, UINT64_MAX);
    assert_true(rate.left_ns <= (int64_t) (64000 * NSEC_PER_MSEC));
    rate_refill(&rate, 64000, START); /* back in time */
    assert_true(rate.left_ns <= (int64_t) (64000 * NSEC_PER_MSEC));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_bucket_holds_one_second_s_worth),
        cmocka_unit_test(test_idle_time_saves_no_more_than_that),
        cmocka_unit_test(test_debt_is_paid_at_the_rate),
        cmocka_unit_test(test_waiting_as_long_as_it_says_is_enough),
        cmocka_unit_test(test_small_steps_add_up_to_the_rate),
        cmocka_unit_test(test_no_number_overflows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
