/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor/requests/failure.h: the lines in a tenant's log about answers that skep makes.
 */
#include "supervisor/requests/failure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h> /* needs some of the above */

static void test_each_code_of_500_and_above_has_a_reason_in_words(void **state)
{
    (void) state;
    for (unsigned code = ERROR_NONE + 1; code < ERROR_CODES; code++) {
        const struct error_info *info = error_info((enum error_code) code);
        if (info->status >= 500 && !failure_reason((enum error_code) code))
            fail_msg("supervisor/requests/failure.c has no reason for %s", info->code);
        if (info->status < 500)
            assert_null(failure_reason((enum error_code) code));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_code_of_500_and_above_has_a_reason_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
