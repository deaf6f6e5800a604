/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The budget of lines in the log for each second.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "supervisor/record/log_budget.h"

static const struct log_config limits = {
    .tenant_lines = 50, .tenant_kib = 16, .lines = 150, .kib = 64
};
static const struct log_cost line = { .lines = 1, .bytes = 10 };

/* Logs n lines; returns how many of them were written. */
static unsigned log_lines(struct log_window *all, struct log_share *share, unsigned n)
{
    unsigned written = 0;

    for (unsigned i = 0; i < n; i++)
        written += log_budget_take(all, share, &limits, 7, line) == LOG_TAKEN;
    return written;
}

static void test_lines_and_bytes_of_a_tenant_are_bounded(void **state)
{
    const struct log_cost kib = { .lines = 1, .bytes = 1024 };
    struct log_share share = { 0 }, other = { 0 };
    struct log_window all = { 0 };
    unsigned taken = 0;

    (void) state;
    assert_int_equal(log_lines(&all, &share, 1000), limits.tenant_lines);
    assert_int_equal(log_budget_take(&all, &share, &limits, 7, line), LOG_OVER_TENANT);
    assert_int_equal(log_budget_take(&all, &share, &limits, 8, line), LOG_TAKEN);
    for (unsigned i = 0; i < 100; i++)
        taken += log_budget_take(&all, &other, &limits, 8, kib) == LOG_TAKEN;
    assert_int_equal(taken, limits.tenant_kib);
    assert_int_equal(log_budget_take(&all, &other, &limits, 8, line), LOG_OVER_TENANT);
}

static void test_all_together_are_bounded_and_share_evenly(void **state)
{
    struct log_share shares[20] = { 0 };
    struct log_window all = { 0 };
    unsigned written[ARRAY_LEN(shares)] = { 0 }, total = 0;

    (void) state;
    for (unsigned round = 0; round < 40; round++)
        for (size_t i = 0; i < ARRAY_LEN(shares); i++)
            written[i] += log_lines(&all, &shares[i], 1);
    for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
        assert_in_range(written[i], 4, 6); /* a twentieth, without the part for others */
        total += written[i];
    }
    assert_in_range(total, 1, limits.lines);
    assert_int_equal(log_budget_take(&all, &shares[0], &limits, 7, line), LOG_OVER_ALL);
}

static void test_tenant_that_logs_little_finds_room_beside_those_that_flood(void **state)
{
    struct log_share floods[6] = { 0 }, quiet = { 0 };
    struct log_window all = { 0 };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(floods); i++)
        (void) log_lines(&all, &floods[i], 1000);
    assert_int_equal(log_lines(&all, &quiet, 3), 3);
}

static void test_a_text_counts_by_its_lines(void **state)
{
    (void) state;
    assert_int_equal(log_cost_of("", 0).lines, 1);
    assert_int_equal(log_cost_of("a", 1).lines, 1);
    assert_int_equal(log_cost_of("a\nb", 3).lines, 2);
    assert_int_equal(log_cost_of("\n\n\n", 3).lines, 4);
    assert_int_equal(log_cost_of("a\nb", 3).bytes, 3 + 2 * 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_and_bytes_of_a_tenant_are_bounded),
        cmocka_unit_test(test_all_together_are_bounded_and_share_evenly),
        cmocka_unit_test(test_tenant_that_logs_little_finds_room_beside_those_that_flood),
        cmocka_unit_test(test_a_text_counts_by_its_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
