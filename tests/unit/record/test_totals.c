/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of bounds: each row's figure is read from the module that keeps the data, and has a
 * line in docs/limits.md.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "supervisor/record/totals.h"

static void read_seven(void *owner, struct total *total)
{
    *total = (struct total){ .used = *(const unsigned *) owner, .limit = 10, .refused = 1 };
}

static void test_row_is_read_from_the_module_that_keeps_the_thing_while_it_is_there(void **state)
{
    struct total_source sources[TOTALS] = { 0 };
    unsigned seven = 7;
    struct total total;

    (void) state;
    for (unsigned i = 0; i < TOTALS; i++) {
        total_read(sources, (enum total_kind) i, &total);
        assert_int_not_equal(total.limit, 0);
        assert_int_equal(total.used + total.refused, 0);
    }
    total_set(sources, TOTAL_SCRAPES, read_seven, &seven);
    total_read(sources, TOTAL_SCRAPES, &total);
    assert_int_equal(total.used, 7);
    assert_int_equal(total.limit, 10);
    assert_int_equal(total.refused, 1);
    total_set(sources, TOTAL_SCRAPES, NULL, NULL);
    total_read(sources, TOTAL_SCRAPES, &total);
    assert_int_equal(total.used, 0);
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
        cmocka_unit_test(test_row_is_read_from_the_module_that_keeps_the_thing_while_it_is_there),
        cmocka_unit_test(test_limits_md_has_each_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
