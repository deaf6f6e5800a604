/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of metrics: each has all that the endpoint and the documentation need, and
 * docs/metrics.md agrees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "supervisor/stats/families.h"

static bool ends_with(const char *string, const char *end)
{
    size_t length = strlen(string), end_length = strlen(end);

    return length >= end_length && strcmp(string + length - end_length, end) == 0;
}

static void test_row_reads_by_one_function(void **state)
{
    const struct family *family;

    (void) state;
    for (unsigned i = 0; (family = family_get(i)); i++) {
        const bool readers[] = { family->read,        family->list,           family->read_slot,
                                 family->read_tenant, family->read_histogram, family->list_tenant };
        unsigned n = 0;
        for (size_t j = 0; j < ARRAY_LEN(readers); j++)
            n += readers[j];
        if (n != 1)
            fail_msg("%s has %u", family->name, n);
    }
}

/* https://prometheus.io/docs/practices/naming/ */
static void test_names_say_unit_and_type(void **state)
{
    const struct family *family;

    (void) state;
    for (unsigned i = 0; (family = family_get(i)); i++) {
        if (ends_with(family->name, "_total") != (family->type == FAMILY_COUNTER))
            fail_msg("%s is a %s", family->name, family_type_name(family->type));
        if (!strstr(family->name, "_seconds") != (family->unit != UNIT_US))
            fail_msg("%s: what unit?", family->name);
        if (!strstr(family->name, "_bytes") != (family->unit != UNIT_BYTES))
            fail_msg("%s: what unit?", family->name);
        if (family->type == FAMILY_HISTOGRAM && family->unit == UNIT_NONE)
            fail_msg("%s: a histogram of what?", family->name);
    }
}

static void test_names_are_of_one_row_each(void **state)
{
    const struct family *one, *other;

    (void) state;
    for (unsigned i = 0; (one = family_get(i)); i++)
        for (unsigned j = 0; j < i && (other = family_get(j)); j++)
            assert_string_not_equal(one->name, other->name);
}

static void test_help_is_one_sentence(void **state)
{
    const struct family *family;

    (void) state;
    for (unsigned i = 0; (family = family_get(i)); i++)
        if (!family->help || strpbrk(family->help, "\\\n") || !ends_with(family->help, "."))
            fail_msg("%s", family->name);
}

static void test_labels_are_those_of_the_kind(void **state)
{
    const struct family *family;

    (void) state;
    for (unsigned i = 0; (family = family_get(i)); i++) {
        bool is_of_tenants = family->read_tenant || family->read_histogram || family->list_tenant;
        bool has_tenant = family->labels[0] && strcmp(family->labels[0], "tenant") == 0;
        if (is_of_tenants != has_tenant || (family->list && !family->labels[0]) ||
            (family->read && family->labels[0]))
            fail_msg("%s", family->name);
    }
}

/* ---- docs/metrics.md */

/* Writes the row as the page has it, without the last column. */
static void write_row(const struct family *family, char *text, size_t size)
{
    int n = snprintf(text, size, "| `%s` | %s |", family->name, family_type_name(family->type));

    for (unsigned i = 0; i < FAMILY_LABELS_MAX && family->labels[i]; i++)
        n += snprintf(text + n, size - (size_t) n, "%s `%s`", i == 0 ? "" : ",", family->labels[i]);
    (void) snprintf(text + n, size - (size_t) n, " | ");
}

/* Finds the first line of the page's table; the page stays open. */
static FILE *open_page(char *line, size_t size)
{
    FILE *page = fopen("docs/metrics.md", "re");

    assert_non_null(page);
    while (fgets(line, (int) size, page))
        if (strncmp(line, "| `", 3) == 0)
            return page;
    fail_msg("no table in docs/metrics.md");
    return NULL;
}

static void test_page_has_each_row_in_order_and_no_other(void **state)
{
    const struct family *family;
    char line[2048], row[256];
    FILE *page = open_page(line, sizeof line);
    bool has_line = true;

    (void) state;
    for (unsigned i = 0; (family = family_get(i)); i++) {
        write_row(family, row, sizeof row);
        if (!has_line || strncmp(line, row, strlen(row)) != 0)
            fail_msg("docs/metrics.md: expected %s\nin place of %s", row,
                     has_line ? line : "the end");
        has_line = fgets(line, sizeof line, page) != NULL && strncmp(line, "| `", 3) == 0;
    }
    if (has_line)
        fail_msg("docs/metrics.md has a family that is not there: %s", line);
    assert_int_equal(fclose(page), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_reads_by_one_function),
        cmocka_unit_test(test_names_say_unit_and_type),
        cmocka_unit_test(test_names_are_of_one_row_each),
        cmocka_unit_test(test_help_is_one_sentence),
        cmocka_unit_test(test_labels_are_those_of_the_kind),
        cmocka_unit_test(test_page_has_each_row_in_order_and_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
