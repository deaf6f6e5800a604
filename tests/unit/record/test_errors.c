/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Causes of failures, and their counts: the rules of the table, and the table of
 * docs/errors.md against it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/error_codes.h"

static const struct {
    unsigned bit;
    const char *name;
} parties[] = {
    { BY_CLIENT, "client" },     { BY_TENANT, "tenant" }, { BY_NEIGHBOUR, "neighbour" },
    { BY_OPERATOR, "operator" }, { BY_HOST, "host" },
};

static const enum error_account accounts[] = { FOR_STRIKES, FOR_WATCH, FOR_BACK_OFF, FOR_FIGURES };

static void test_every_code_has_somebody_who_can_cause_it(void **state)
{
    (void) state;
    for (unsigned code = ERROR_NONE + 1; code < ERROR_CODES; code++)
        assert_int_not_equal(error_info((enum error_code) code)->causes, 0);
}

static void test_what_a_client_can_cause_counts_for_nothing(void **state)
{
    (void) state;
    for (unsigned code = 0; code < ERROR_CODES; code++) {
        if ((error_info((enum error_code) code)->causes & BY_CLIENT) == 0)
            continue;
        for (size_t i = 0; i < ARRAY_LEN(accounts); i++)
            assert_false(error_counts((enum error_code) code, accounts[i], true));
    }
}

static void test_what_others_can_cause_counts_only_against_who_is_blamed(void **state)
{
    unsigned counted = 0;

    (void) state;
    for (unsigned code = 0; code < ERROR_CODES; code++) {
        const struct error_info *info = error_info((enum error_code) code);
        for (size_t i = 0; i < ARRAY_LEN(accounts); i++) {
            bool may = (info->accounts & accounts[i]) != 0;
            assert_int_equal(error_counts((enum error_code) code, accounts[i], true), may);
            assert_int_equal(error_counts((enum error_code) code, accounts[i], false),
                             may && info->causes == BY_TENANT);
            counted += may;
        }
    }
    assert_int_not_equal(counted, 0);
}

static void test_what_is_no_tenants_doing_counts_for_nothing(void **state)
{
    (void) state;
    for (unsigned code = 0; code < ERROR_CODES; code++) {
        const struct error_info *info = error_info((enum error_code) code);
        if ((info->causes & BY_TENANT) == 0)
            assert_int_equal(info->accounts, 0);
    }
}

/* Writes a line of the table of docs/errors.md as it should be. */
static void write_row(enum error_code code, char *line, size_t size)
{
    const struct error_info *info = error_info(code);
    const char *yes = info->causes == BY_TENANT ? "yes" : "if it was it";
    int at = snprintf(line, size, "| `%s` | ", info->code);
    const char *comma = "";

    for (size_t i = 0; i < ARRAY_LEN(parties); i++) {
        if ((info->causes & parties[i].bit) == 0)
            continue;
        at += snprintf(line + at, size - (size_t) at, "%s%s", comma, parties[i].name);
        comma = ", ";
    }
    for (size_t i = 0; i < ARRAY_LEN(accounts); i++)
        at += snprintf(line + at, size - (size_t) at, " | %s",
                       (info->accounts & accounts[i]) != 0 ? yes : "-");
    (void) snprintf(line + at, size - (size_t) at, " |\n");
}

static void test_errors_md_says_who_can_cause_what(void **state)
{
    static char text[1 << 16];
    _cleanup_file_ FILE *file = fopen("docs/errors.md", "re");
    char line[256];

    (void) state;
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    assert_in_range(size, 1, sizeof text - 2);
    for (unsigned code = ERROR_NONE + 1; code < ERROR_CODES; code++) {
        write_row((enum error_code) code, line, sizeof line);
        if (!strstr(text, line))
            fail_msg("docs/errors.md lacks this line: %s", line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_has_somebody_who_can_cause_it),
        cmocka_unit_test(test_what_a_client_can_cause_counts_for_nothing),
        cmocka_unit_test(test_what_others_can_cause_counts_only_against_who_is_blamed),
        cmocka_unit_test(test_what_is_no_tenants_doing_counts_for_nothing),
        cmocka_unit_test(test_errors_md_says_who_can_cause_what),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
