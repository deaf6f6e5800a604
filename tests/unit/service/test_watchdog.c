/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule of watchdog.h for feeding the watchdog, as a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "supervisor/service/watchdog.h"

static void test_views_of_a_worker(void **state)
{
    static const struct {
        struct watchdog_facts facts;
        enum watchdog_view view;
    } rows[] = {
        { { .state = WORKER_READY, .has_sign = true, .was_asked = true }, WATCHDOG_ANSWERED },
        { { .state = WORKER_DRAINING, .has_sign = true, .was_asked = true }, WATCHDOG_ANSWERED },
        { { .state = WORKER_READY, .is_new = true }, WATCHDOG_ANSWERED },
        { { .state = WORKER_READY }, WATCHDOG_EXCUSED }, /* not pinged yet */
        { { .state = WORKER_READY, .was_asked = true }, WATCHDOG_SILENT },
        { { .state = WORKER_DRAINING, .was_asked = true }, WATCHDOG_SILENT },
        /* A worker that a tenant keeps busy is excused. */
        { { .state = WORKER_READY, .was_asked = true, .has_work = true }, WATCHDOG_EXCUSED },
        { { .state = WORKER_READY, .was_asked = true, .has_work = true, .in_state_ms = 3600000 },
          WATCHDOG_EXCUSED },
        { { .state = WORKER_BOOTING, .in_state_ms = 60000 }, WATCHDOG_EXCUSED },
        { { .state = WORKER_BOOTING, .in_state_ms = 65001 }, WATCHDOG_SILENT },
        { { .state = WORKER_KILLED, .in_state_ms = 5000 }, WATCHDOG_EXCUSED },
        { { .state = WORKER_KILLED, .in_state_ms = 10001 }, WATCHDOG_SILENT },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (watchdog_judge(&rows[i].facts) != rows[i].view)
            fail_msg("row %zu: %d", i, (int) watchdog_judge(&rows[i].facts));
}

static void test_fed_if_one_answers_or_none_could(void **state)
{
    static const struct {
        unsigned n[WATCHDOG_VIEWS];
        bool may_feed;
    } rows[] = {
        { { 0 }, true }, /* no worker at all */
        { { [WATCHDOG_ANSWERED] = 1 }, true },
        { { [WATCHDOG_ANSWERED] = 1, [WATCHDOG_SILENT] = 9 }, true },
        { { [WATCHDOG_EXCUSED] = 3 }, true },
        { { [WATCHDOG_SILENT] = 1 }, false },
        { { [WATCHDOG_SILENT] = 1, [WATCHDOG_EXCUSED] = 3 }, false },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (watchdog_may_feed(rows[i].n) != rows[i].may_feed)
            fail_msg("row %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_of_a_worker),
        cmocka_unit_test(test_fed_if_one_answers_or_none_could),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
