/* SPDX-License-Identifier: Apache-2.0 */
/* The first credit of an isolate: once in 60 s for a version in a process, and none in exchange for a stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/io.h"
#include "supervisor/placement/first_credit.h"
#include "supervisor/placement/placement.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/workers/slot.h"

#define NOW (1000 * NSEC_PER_SEC)

static void test_credit_is_given_once_in_a_minute_for_each_process(void **state)
{
    static const struct {
        struct first_credit credit;
        pid_t pid;
        bool is_due;
    } rows[] = {
        { { 0 }, 7, true },
        { { .given_ns = NOW - 1, .pid = 7 }, 7, false },
        { { .given_ns = NOW - 59 * NSEC_PER_SEC, .pid = 7 }, 7, false },
        { { .given_ns = NOW - 60 * NSEC_PER_SEC, .pid = 7 }, 7, true },
        { { .given_ns = NOW - 1, .pid = 7 }, 8, true },
        { { .given_ns = NOW - 1, .pid = 7, .is_forfeited = true }, 8, false },
        { { .given_ns = NOW - 60 * NSEC_PER_SEC, .pid = 7, .is_forfeited = true }, 7, true },
    };

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(first_credit_is_due(&rows[i].credit, rows[i].pid, NOW), rows[i].is_due);
}

static void test_requests_use_what_the_load_has_left(void **state)
{
    struct worker worker = { .pid = 7 };
    const struct cordon_config cordon = { .first_credit = true };
    struct version version = { .cordon = &cordon,
                               .limits = { .cpu_ms = 50, .cpu_startup_ms = 400 } };
    struct placement placement = { .version = &version, .worker = &worker };

    (void) state;
    assert_int_equal(first_credit_begin(&placement), 400000);
    first_credit_on_loaded(&placement, 100500);
    assert_int_equal(first_credit_left_ms(&placement), 300);
    first_credit_on_done(&placement, 200000);
    assert_int_equal(first_credit_left_ms(&placement), 100);
    first_credit_on_done(&placement, 200000);
    assert_int_equal(first_credit_left_ms(&placement), 0);
    assert_int_equal(first_credit_begin(&placement), 0);
    worker.pid = 8;
    assert_int_equal(first_credit_begin(&placement), 400000);
    first_credit_forfeit(&version);
    assert_int_equal(first_credit_begin(&placement), 0);
}

static void test_credit_is_bounded_where_the_load_is_not(void **state)
{
    struct worker worker = { .pid = 7 };
    const struct cordon_config cordon = { .first_credit = true };
    struct version version = { .cordon = &cordon,
                               .limits = { .cpu_ms = 50, .cpu_startup_ms = LIMIT_UNLIMITED } };
    struct placement placement = { .version = &version, .worker = &worker };

    (void) state;
    assert_int_equal(first_credit_begin(&placement), 60000000);
    version.limits.cpu_startup_ms = 10;
    assert_int_equal(first_credit_begin(&placement), 10000);
}

static void test_stop_where_no_credit_may_be_used_does_not_forfeit_it(void **state)
{
    struct slot slot = { .last_retired = SECLUDE_HELD_UP, .last_retired_ns = io_now_ns() };
    struct worker worker = { .pid = 7, .slot = &slot };
    const struct cordon_config cordon = { .first_credit = true };
    struct version version = { .cordon = &cordon,
                               .limits = { .cpu_ms = 50, .cpu_startup_ms = 400 } };
    struct placement placement = { .version = &version, .worker = &worker };

    (void) state;
    assert_int_equal(first_credit_barred_until_ns(&worker),
                     slot.last_retired_ns + 5 * NSEC_PER_SEC);
    (void) first_credit_begin(&placement);
    first_credit_on_loaded(&placement, 1000);
    first_credit_on_stop(&placement);
    assert_int_equal(first_credit_begin(&placement), 400000);
    first_credit_on_loaded(&placement, 1000);
    first_credit_on_done(&placement, 1);
    first_credit_on_stop(&placement);
    assert_int_equal(first_credit_begin(&placement), 0);
    version.first_credit = (struct first_credit){ 0 };
    slot.last_retired = "age";
    assert_int_equal(first_credit_barred_until_ns(&worker), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_credit_is_given_once_in_a_minute_for_each_process),
        cmocka_unit_test(test_requests_use_what_the_load_has_left),
        cmocka_unit_test(test_credit_is_bounded_where_the_load_is_not),
        cmocka_unit_test(test_stop_where_no_credit_may_be_used_does_not_forfeit_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
