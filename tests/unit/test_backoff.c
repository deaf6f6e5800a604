/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times at which a failed start is tried again.
 */
#include "common/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/io.h"

static void test_the_first_failures_do_not_wait_and_later_ones_wait_ever_longer(void **state)
{
    (void) state;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(backoff_ms(i, 255), 0);
    assert_int_equal(backoff_ms(5, 0), 100);
    assert_int_equal(backoff_ms(6, 0), 200);
    assert_int_equal(backoff_ms(7, 255), 400 + 400 * 255 / 1024);
    for (unsigned i = 14; i < 100; i++)
        assert_int_equal(backoff_ms(i, 0), 30000);
}

static void test_failures_that_are_far_apart_are_no_row(void **state)
{
    struct backoff backoff = { 0 };

    (void) state;
    for (uint64_t second = 100; second < 1000; second += 31) {
        backoff_note(&backoff, second * NSEC_PER_SEC);
        assert_int_equal(backoff.failures, 1);
    }
}

/* A row of failures with 30 s between them is not forgiven while it goes on. */
static void test_row_of_failures_is_forgiven_30_s_after_the_last(void **state)
{
    struct backoff backoff = { 0 };
    uint64_t now = 100 * NSEC_PER_SEC;

    (void) state;
    for (unsigned i = 1; i <= 20; i++) {
        backoff_note(&backoff, now);
        assert_int_equal(backoff.failures, i);
        now += i < 5 ? 1 : backoff_ms(i, 255) * NSEC_PER_MSEC + 29 * NSEC_PER_SEC;
    }
    now += 2 * NSEC_PER_SEC;
    backoff_note(&backoff, now);
    assert_int_equal(backoff.failures, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_failures_do_not_wait_and_later_ones_wait_ever_longer),
        cmocka_unit_test(test_failures_that_are_far_apart_are_no_row),
        cmocka_unit_test(test_row_of_failures_is_forgiven_30_s_after_the_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
