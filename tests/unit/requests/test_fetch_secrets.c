/* SPDX-License-Identifier: Apache-2.0 */
/* supervisor/requests/fetch_secrets.h: the head of a fetch with the secrets that it must have, and without what the tenant has
 * set in their place. */
#include "supervisor/requests/fetch_secrets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* needs some of the above */

#include <errno.h>

#include "common/cleanup.h"
#include "egress/program.h"
#include "proto/head.h"

#define TEXT(literal)                  \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

static const char yaml[] = "name: shop\n"
                           "main: a.js\n"
                           "secrets: [ { name: KEY, inject: { host: a.test, path: /x, header: "
                           "authorization, format: 'Bearer {}' } } ]\n";

struct fixture {
    struct config config;
    struct given_secret given;
    struct secrets *secrets;
    struct manifest *manifest;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct config_errors errors = { 0 };

    assert_non_null(fixture);
    assert_int_equal(setenv("TEST_KEY", "k1", 1), 0);
    fixture->given = (struct given_secret){ .tenant = (char *) (uintptr_t) "shop",
                                            .name = (char *) (uintptr_t) "KEY",
                                            .source = SECRET_VARIABLE,
                                            .place = (char *) (uintptr_t) "TEST_KEY" };
    fixture->config.secrets.given = &fixture->given;
    fixture->config.secrets.n_given = 1;
    const struct secrets_options options = { .config = &fixture->config };
    assert_int_equal(secrets_new(&options, &fixture->secrets), 0);
    assert_int_equal(manifest_parse("skep.yaml", yaml, strlen(yaml), &fixture->manifest, &errors),
                     0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    (void) secrets_free(fixture->secrets);
    (void) manifest_free(fixture->manifest);
    free(fixture);
    return 0;
}

static void make(const struct call_field *fields, size_t n_fields, const char *path,
                 struct fetch_parts *ret)
{
    const struct call_head head = {
        .method = TEXT("GET"),
        .scheme = TEXT("https"),
        .host = TEXT("a.test"),
        .path = { path, strlen(path) },
        .port = 443,
        .fields = fields,
        .n_fields = n_fields,
        .end = true,
    };
    const char *reason = "";

    *ret = (struct fetch_parts){ .length = 0 };
    if (fetch_parts_make(&head, ret, &reason) < 0)
        fail_msg("%s", reason);
}

/* Compares the head with "NAME: VALUE;" of each header. */
static void expect_head(const struct fetch_head *made, const char *expected)
{
    struct head head;
    char text[512] = "";
    size_t at = 0;

    assert_int_equal(head_open(made->data, made->size, 0, EGRESS_FIELDS_MAX, &head), 0);
    while (head.n_texts >= 2) {
        struct head_text name = head_next(&head), value = head_next(&head);
        at += (size_t) snprintf(text + at, sizeof text - at, "%.*s: %.*s;", (int) name.size,
                                name.data, (int) value.size, value.data);
    }
    assert_string_equal(text, expected);
}

static void test_what_the_tenant_has_set_is_replaced(void **state)
{
    static const struct call_field fields[] = {
        { TEXT("x-a"), TEXT("1") },
        { TEXT("Authorization"), TEXT("mine") },
        { TEXT("x-b"), TEXT("2") },
        { TEXT("authorization"), TEXT("mine, too") },
    };
    const struct fixture *fixture = *state;
    struct fetch_head head = { 0 };
    const char *name = NULL;
    struct fetch_parts parts;

    make(fields, ARRAY_LEN(fields), "/x?y", &parts);
    assert_int_equal(fetch_secrets_add(fixture->secrets, fixture->manifest, &parts, &head, &name),
                     0);
    expect_head(&head, "x-a: 1;x-b: 2;authorization: Bearer k1;");
    fetch_head_done(&head);
    fetch_parts_done(&parts);
}

static void test_another_path_gets_nothing_and_keeps_all(void **state)
{
    static const struct call_field fields[] = { { TEXT("authorization"), TEXT("mine") } };
    const struct fixture *fixture = *state;
    struct fetch_head head = { 0 };
    const char *name = NULL;
    struct fetch_parts parts;

    make(fields, 1, "/y", &parts);
    assert_int_equal(fetch_secrets_add(fixture->secrets, fixture->manifest, &parts, &head, &name),
                     0);
    assert_null(head.data);
    fetch_parts_done(&parts);
}

static void test_a_secret_that_is_missing_stops_the_request(void **state)
{
    const struct fixture *fixture = *state;
    struct fetch_head head = { 0 };
    const char *name = NULL;
    struct fetch_parts parts;

    make(NULL, 0, "/x", &parts);
    assert_int_equal(fetch_secrets_add(NULL, fixture->manifest, &parts, &head, &name), -ENOENT);
    assert_string_equal(name, "KEY");
    assert_null(head.data);
    fetch_parts_done(&parts);
}

static void test_bounds_count_with_the_secret(void **state)
{
    static struct call_field fields[EGRESS_FIELDS_MAX];
    const struct fixture *fixture = *state;
    struct fetch_head head = { 0 };
    const char *name = NULL;
    struct fetch_parts parts;

    for (size_t i = 0; i < EGRESS_FIELDS_MAX; i++)
        fields[i] = (struct call_field){ TEXT("x-a"), TEXT("1") };
    make(fields, EGRESS_FIELDS_MAX, "/x", &parts);
    assert_int_equal(fetch_secrets_add(fixture->secrets, fixture->manifest, &parts, &head, &name),
                     -EMSGSIZE);
    assert_null(name);
    assert_null(head.data);
    fetch_parts_done(&parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_the_tenant_has_set_is_replaced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_another_path_gets_nothing_and_keeps_all, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_secret_that_is_missing_stops_the_request, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_bounds_count_with_the_secret, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
