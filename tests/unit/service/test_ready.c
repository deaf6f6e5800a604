/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a skepd is ready: the rule of ready.h, as a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "supervisor/service/ready.h"

struct row {
    struct ready_facts facts;
    enum ready_verdict verdict;
};

static void check(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ready_judge(&rows[i].facts) != rows[i].verdict)
            fail_msg("row %zu: %d", i, (int) ready_judge(&rows[i].facts));
}

static void test_first_skepd_waits_until_each_worker_was_ready_or_has_failed(void **state)
{
    static const struct row rows[] = {
        { { .workers = 0 }, READY_NOW },
        { { .workers = 3, .ready = 3 }, READY_NOW },
        { { .workers = 3, .ready = 2 }, READY_LATER },
        { { .workers = 3, .ready = 2, .failed = 1 }, READY_NOW },
        { { .workers = 3, .failed = 3, .hopeless = 3 }, READY_NOW },
        { { .workers = 3, .ready = 1, .failed = 1 }, READY_LATER },
        { { .workers = 3, .is_late = true }, READY_NOW },
    };

    (void) state;
    check(rows, ARRAY_LEN(rows));
}

static void test_skepd_that_replaces_another_takes_over_with_all_workers_or_not_at_all(void **state)
{
    static const struct row rows[] = {
        { { .replaces = true, .workers = 3, .ready = 3 }, READY_NOW },
        { { .replaces = true, .workers = 3, .ready = 3, .is_late = true }, READY_NOW },
        { { .replaces = true, .workers = 3, .ready = 2 }, READY_LATER },
        { { .replaces = true, .workers = 3, .ready = 2, .failed = 1 }, READY_LATER },
        { { .replaces = true, .workers = 3, .ready = 2, .failed = 1, .hopeless = 1 }, READY_NEVER },
        { { .replaces = true, .workers = 3, .ready = 2, .is_late = true }, READY_NEVER },
    };

    (void) state;
    check(rows, ARRAY_LEN(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_skepd_waits_until_each_worker_was_ready_or_has_failed),
        cmocka_unit_test(
            test_skepd_that_replaces_another_takes_over_with_all_workers_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
