/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests of a tenant get which secrets as headers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/secrets/secrets.h"

static const char yaml[] =
    "name: shop\n"
    "main: a.js\n"
    "secrets:\n"
    "  - { name: PLAIN }\n"
    "  - { name: KEY, inject: { host: api.example.com, header: Authorization,"
    " format: 'Bearer {}', path: /v1 } }\n"
    "  - { name: OTHER, inject: { host: 'api.example.com:8443',"
    " header: x-api-key } }\n";

struct fixture {
    struct config config;
    struct given_secret given[3];
    struct secrets *secrets;
    struct manifest *manifest;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct config_errors errors = { 0 };
    static char *names[] = { (char *) (uintptr_t) "PLAIN", (char *) (uintptr_t) "KEY",
                             (char *) (uintptr_t) "OTHER" };
    static char *variables[] = { (char *) (uintptr_t) "TEST_PLAIN", (char *) (uintptr_t) "TEST_KEY",
                                 (char *) (uintptr_t) "TEST_OTHER" };

    assert_non_null(fixture);
    for (size_t i = 0; i < 3; i++) {
        fixture->given[i] = (struct given_secret){ .tenant = (char *) (uintptr_t) "shop",
                                                   .name = names[i],
                                                   .source = SECRET_VARIABLE,
                                                   .place = variables[i] };
        assert_int_equal(setenv(variables[i], i == 0 ? "plain" : i == 1 ? "k1" : "o1", 1), 0);
    }
    fixture->config.secrets.given = fixture->given;
    fixture->config.secrets.n_given = 3;
    assert_int_equal(
        secrets_new(&(struct secrets_options){ .config = &fixture->config }, &fixture->secrets), 0);
    int r = manifest_parse("skep.yaml", yaml, strlen(yaml), &fixture->manifest, &errors);
    if (r < 0)
        (void) fprintf(stderr, "%s\n", errors.text);
    assert_int_equal(r, 0);
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

static struct host_text text(const char *from)
{
    return (struct host_text){ from, strlen(from) };
}

/* Returns "NAME: VALUE" of all headers. */
static const char *ask(const struct fixture *fixture, bool is_https, const char *host,
                       uint32_t port, const char *path)
{
    static char out[512];
    const struct host_question question = {
        .is_https = is_https,
        .port = port,
        .method = text("GET"),
        .host = text(host),
        .path = text(path),
    };
    struct injected injected;
    const char *name = NULL;
    size_t at = 0;

    out[0] = '\0';
    assert_int_equal(
        secrets_inject(fixture->secrets, fixture->manifest, &question, &injected, &name), 0);
    for (size_t i = 0; i < injected.n; i++)
        at += (size_t) snprintf(out + at, sizeof out - at, "%s: %s;", injected.headers[i].name,
                                injected.headers[i].value.data);
    injected_done(&injected);
    return out;
}

static void test_only_the_named_server_gets_it(void **state)
{
    const struct fixture *fixture = *state;

    assert_string_equal(ask(fixture, true, "api.example.com", 443, "/v1"),
                        "authorization: Bearer k1;");
    assert_string_equal(ask(fixture, true, "api.example.com", 443, "/v1/a?b=c"),
                        "authorization: Bearer k1;");
    assert_string_equal(ask(fixture, true, "api.example.com", 443, "/v1?x"),
                        "authorization: Bearer k1;");
    assert_string_equal(ask(fixture, true, "api.example.com", 8443, "/any"), "x-api-key: o1;");
    assert_string_equal(ask(fixture, false, "api.example.com", 443, "/v1"), "");
    assert_string_equal(ask(fixture, false, "api.example.com", 80, "/v1"), "");
    assert_string_equal(ask(fixture, true, "api.example.com", 444, "/v1"), "");
    assert_string_equal(ask(fixture, true, "a.api.example.com", 443, "/v1"), "");
    assert_string_equal(ask(fixture, true, "example.com", 443, "/v1"), "");
    assert_string_equal(ask(fixture, true, "api.example.com.evil.example", 443, "/v1"), "");
}

static void test_only_its_path_gets_it(void **state)
{
    const struct fixture *fixture = *state;

    assert_string_equal(ask(fixture, true, "api.example.com", 443, "/"), "");
    assert_string_equal(ask(fixture, true, "api.example.com", 443, "/v10"), "");
    assert_string_equal(ask(fixture, true, "api.example.com", 443, "/v1/../admin"), "");
    assert_string_equal(ask(fixture, true, "api.example.com", 443, "/v1/%2e%2e/admin"), "");
    assert_string_equal(ask(fixture, true, "api.example.com", 443, "/v1/..%2fadmin"), "");
    assert_string_equal(ask(fixture, true, "api.example.com", 443, "/x?/v1"), "");
}

static void test_a_secret_that_is_gone_stops_the_request(void **state)
{
    const struct fixture *fixture = *state;
    const struct host_question question = {
        .is_https = true,
        .port = 443,
        .method = text("GET"),
        .host = text("api.example.com"),
        .path = text("/v1"),
    };
    struct injected injected;
    const char *name = NULL;

    assert_int_equal(secrets_inject(NULL, fixture->manifest, &question, &injected, &name), -ENOENT);
    assert_string_equal(name, "KEY");
    assert_int_equal(injected.n, 0);
}

static void test_values_that_would_arrive_as_others_are_none_for_a_header(void **state)
{
    static char bad[][4] = { "", " ", "   ", " a", "a ", "a\nb", "a\tb", "\xc3\xa4" };
    char words[] = "a b";
    const struct secret_value good = { words, 3 };

    (void) state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct secret_value value = { bad[i], strlen(bad[i]) };
        assert_non_null(secret_check_header(&value));
    }
    assert_null(secret_check_header(&good));
}

static void refused(const char *entry, const char *message)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;
    char source[1024];

    (void) snprintf(source, sizeof source,
                    "name: shop\nmain: a.js\nenv: { TAKEN: x }\nsecrets: [ %s ]\n", entry);
    assert_int_equal(manifest_parse("skep.yaml", source, strlen(source), &manifest, &errors),
                     -EINVAL);
    if (!strstr(errors.text, message))
        fail_msg("\"%s\" is not in \"%s\"", message, errors.text);
    config_errors_done(&errors);
}

static void test_manifests_that_are_refused(void **state)
{
    (void) state;
    refused("{ name: TAKEN }", "is taken");
    refused("{ name: 9A }", "is not a name");
    refused("{ name: A }, { name: A }", "duplicate");
    refused("{ name: A, inject: { host: '*.example.com', header: a } }", "exactly one host");
    refused("{ name: A, inject: { host: '*', header: a } }", "exactly one host");
    refused("{ name: A, inject: { host: 'http://a.example', header: a } }", "exactly one host");
    refused("{ name: A, inject: { host: 'a.example/x', header: a } }", "exactly one host");
    refused("{ name: A, inject: { host: 'a.example:*', header: a } }", "exactly one host");
    refused("{ name: A, inject: { header: a } }", "missing key \"host\"");
    refused("{ name: A, inject: { host: a.example } }", "missing key \"header\"");
    refused("{ name: A, inject: { host: a.example, header: Host } }", "by skep alone");
    refused("{ name: A, inject: { host: a.example, header: Skep-A } }", "by skep alone");
    refused("{ name: A, inject: { host: a.example, header: content-length } }", "by skep alone");
    refused("{ name: A, inject: { host: a.example, header: 'a b' } }", "not the name of a header");
    refused("{ name: A, inject: { host: a.example, header: a, format: Bearer } }", "{} once");
    refused("{ name: A, inject: { host: a.example, header: a, format: '{}{}' } }", "{} once");
    refused("{ name: A, inject: { host: a.example, header: a, path: v1 } }", "not a path");
    refused("{ name: A, inject: { host: a.example, header: a } },"
            "{ name: B, inject: { host: a.example, header: A } }",
            "same header");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_only_the_named_server_gets_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_its_path_gets_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_secret_that_is_gone_stops_the_request, set_up,
                                        tear_down),
        cmocka_unit_test(test_values_that_would_arrive_as_others_are_none_for_a_header),
        cmocka_unit_test(test_manifests_that_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
