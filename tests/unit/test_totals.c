/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of bounds: each row has a limit, also where no module is there yet, and a line in
 * docs/limits.md.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "supervisor/host/descriptors.h"
#include "supervisor/record/totals.h"
#include "supervisor/server.h"

static void test_each_row_has_a_limit_and_uses_nothing_at_first(void **state)
{
    struct config config = { .http = { .connections = 10, .buffer_mib = 1 },
                             .log = { .lines = 5 } };
    struct server server = { .config = &config };

    (void) state;
    for (unsigned i = 0; i < TOTALS; i++) {
        struct total total;
        total_read(&server, (enum total_kind) i, &total);
        assert_int_not_equal(total.limit, 0);
        /* The reserve is kept from the start. */
        assert_int_equal(total.used, i == TOTAL_DESCRIPTORS ? descriptors_reserve(&config) : 0);
        assert_int_equal(total.refused, 0);
    }
}

static void test_limits_md_has_each_row(void **state)
{
    static char text[1 << 17];
    _cleanup_file_ FILE *file = fopen("docs/limits.md", "re");
    char name[64], end[256];

    (void) state;
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    assert_in_range(size, 1, sizeof text - 2);
    for (unsigned i = 0; i < TOTALS; i++) {
        const struct total_info *info = &total_table[i];
        (void) snprintf(name, sizeof name, "| `%s` | ", info->name);
        (void) snprintf(end, sizeof end, "| %s%s%s | %s |\n", info->key ? "`" : "",
                        info->key ? info->key : "-", info->key ? "`" : "", info->help);
        if (!strstr(text, name) || !strstr(text, end))
            fail_msg("docs/limits.md lacks this row: %s … %s", name, end);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row_has_a_limit_and_uses_nothing_at_first),
        cmocka_unit_test(test_limits_md_has_each_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
