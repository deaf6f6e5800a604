/* SPDX-License-Identifier: Apache-2.0 */
#include "config/allowed_hosts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"

static struct host_text text_of(const char *text)
{
    return (struct host_text){ text, strlen(text) };
}

static struct host_question question(const char *method, bool is_https, const char *host,
                                     uint32_t port, const char *path)
{
    return (struct host_question){
        .is_https = is_https,
        .port = port,
        .method = text_of(method),
        .host = text_of(host),
        .path = text_of(path),
    };
}

static enum host_verdict ask(const char *rule_text, const struct host_question *asked)
{
    struct host_rule rule;
    const struct host_rule *found;
    const char *reason = "";

    if (host_rule_parse(rule_text, &rule, &reason) < 0)
        fail_msg("%s: %s", rule_text, reason);
    enum host_verdict verdict = host_rules_ask(&rule, 1, asked, &found);
    assert_int_equal(found == NULL, verdict == HOST_NOT_ALLOWED);
    host_rule_done(&rule);
    return verdict;
}

static void test_a_rule_allows_what_it_says(void **state)
{
    static const struct {
        const char *rule, *method, *scheme, *host;
        uint32_t port;
        const char *path;
        enum host_verdict verdict;
    } rows[] = {
        { "a.test", "GET", "https", "a.test", 443, "/", HOST_ALLOWED },
        { "a.test/", "PATCH", "https", "a.test", 443, "/x?y", HOST_ALLOWED },
        { "A.Test.", "GET", "https", "a.test", 443, "/", HOST_ALLOWED },
        { "a.test", "GET", "http", "a.test", 80, "/", HOST_SCHEME_NOT_ALLOWED },
        { "a.test", "GET", "https", "a.test", 8443, "/", HOST_PORT_NOT_ALLOWED },
        { "a.test", "GET", "https", "b.a.test", 443, "/", HOST_NOT_ALLOWED },
        { "a.test", "GET", "https", "a.test.evil", 443, "/", HOST_NOT_ALLOWED },
        { "a.test", "GET", "https", "a.tes", 443, "/", HOST_NOT_ALLOWED },
        { "a.test:8443", "GET", "https", "a.test", 8443, "/", HOST_ALLOWED },
        { "a.test:8443", "GET", "https", "a.test", 443, "/", HOST_PORT_NOT_ALLOWED },
        { "a.test:*", "GET", "https", "a.test", 1, "/", HOST_ALLOWED },
        { "http://a.test", "GET", "http", "a.test", 80, "/", HOST_ALLOWED },
        { "http://a.test", "GET", "https", "a.test", 443, "/", HOST_SCHEME_NOT_ALLOWED },
        { "http://127.0.0.1:*", "GET", "http", "127.0.0.1", 8080, "/", HOST_ALLOWED },
        { "http://[::1]:81", "GET", "http", "[::1]", 81, "/", HOST_ALLOWED },
        { "[0:0::1]", "GET", "https", "[::1]", 443, "/", HOST_ALLOWED },
        { "*.a.test", "GET", "https", "b.a.test", 443, "/", HOST_ALLOWED },
        { "*.a.test", "GET", "https", "c.b.a.test", 443, "/", HOST_ALLOWED },
        { "*.a.test", "GET", "https", "a.test", 443, "/", HOST_NOT_ALLOWED },
        { "*.a.test", "GET", "https", "evila.test", 443, "/", HOST_NOT_ALLOWED },
        { "*.a.test", "GET", "https", ".a.test", 443, "/", HOST_NOT_ALLOWED },
        { "*", "GET", "https", "anything.test", 443, "/", HOST_ALLOWED },
        { "*", "GET", "http", "anything.test", 80, "/", HOST_SCHEME_NOT_ALLOWED },
        { "http://*:*", "GET", "http", "anything.test", 81, "/", HOST_ALLOWED },
        { "GET a.test", "GET", "https", "a.test", 443, "/", HOST_ALLOWED },
        { "GET,HEAD a.test", "HEAD", "https", "a.test", 443, "/", HOST_ALLOWED },
        { "GET,HEAD a.test", "POST", "https", "a.test", 443, "/", HOST_METHOD_NOT_ALLOWED },
        { "GET,HEAD a.test", "GET,HEAD", "https", "a.test", 443, "/", HOST_METHOD_NOT_ALLOWED },
        { "GET,HEAD a.test", "GE", "https", "a.test", 443, "/", HOST_METHOD_NOT_ALLOWED },
        { "GET,HEAD a.test", "", "https", "a.test", 443, "/", HOST_METHOD_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v1", HOST_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v1/x", HOST_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v1?x=/..", HOST_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v10", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/?/v1", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/V1", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1/", "GET", "https", "a.test", 443, "/v1/", HOST_ALLOWED },
        { "a.test/v1/", "GET", "https", "a.test", 443, "/v1", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v1/../x", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v1/..", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v1/..;a/x", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v1/%2e%2E/x", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v1/.%2e/x", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v1/..%2fx", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v1/..%5Cx", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v1\\x/", HOST_PATH_NOT_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v1/...", HOST_ALLOWED },
        { "a.test/v1", "GET", "https", "a.test", 443, "/v1/.x/%2ex", HOST_ALLOWED },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const bool is_https = strcmp(rows[i].scheme, "https") == 0;
        const struct host_question asked =
            question(rows[i].method, is_https, rows[i].host, rows[i].port, rows[i].path);
        if (ask(rows[i].rule, &asked) != rows[i].verdict)
            fail_msg("row %zu: %s for %s %s%s", i, rows[i].rule, rows[i].method, rows[i].host,
                     rows[i].path);
    }
}

static void test_what_is_no_rule_is_refused_with_a_reason(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "/",
        "https://",
        "https:///x",
        "ftp://a.test",
        "HTTPS://a.test",
        "https://https://a.test",
        "a.test:",
        "a.test:0",
        "a.test:65536",
        "a.test:99999999999999999999",
        "a.test:8 ",
        "a.test:+8",
        "a.test:80:80",
        "user@a.test",
        "user:pass@a.test",
        "a.*.test",
        "*a.test",
        "**",
        "*.",
        "*.*",
        "*.1.2.3.4",
        "*.[::1]",
        "a..test",
        "-a.test",
        "1.2.3",
        "0x7f.1",
        "[::1",
        "::1",
        "a.test/a b",
        "a.test/?x",
        "a.test/#x",
        "a.test/*",
        "a.test/../x",
        "a.test/x/%2E",
        "a.test/x%2fy",
        "a.test/x\\y",
        "a.test/\x7f",
        "a.test/\xc3\xa4",
        "GET ",
        ",GET a.test",
        "GET, a.test",
        "GET,,PUT a.test",
        "GET, PUT a.test",
        "GE T a.test",
        "G:T a.test",
        "A,B,C,D,E,F,G,H,I,J,K,L,M,N,O,P,Q a.test",
        "get a.test",
        "GET,Post a.test",
        "CONNECT a.test",
        "GET,trace a.test",
        "GET",
        "PATCH",
        "a.test:22",
        "http://a.test:6000",
        "b\xc3\xbc"
        "cher.test",
        "xn--a.test",
    };
    struct host_rule rule;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *reason = NULL;
        if (host_rule_parse(bad[i], &rule, &reason) != -EINVAL)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_non_null(reason);
        assert_memory_equal(reason, "expected ", strlen("expected "));
    }
    char text[HOST_RULE_TEXT_MAX + 2];
    const char *reason = NULL;
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "a.test/", strlen("a.test/"));
    text[sizeof text - 1] = '\0';
    assert_int_equal(host_rule_parse(text, &rule, &reason), -EINVAL);
    text[sizeof text - 2] = '\0';
    assert_int_equal(host_rule_parse(text, &rule, &reason), 0);
    host_rule_done(&rule);
}

static void test_the_rule_that_fits_longest_says_why(void **state)
{
    static const char *const texts[] = { "b.test", "a.test:81", "PUT a.test", "GET a.test/v1" };
    struct host_rule list[ARRAY_LEN(texts)];
    const struct host_rule *found;
    const char *reason;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_int_equal(host_rule_parse(texts[i], &list[i], &reason), 0);
    struct host_question asked = question("GET", true, "a.test", 443, "/v2");
    assert_int_equal(host_rules_ask(list, ARRAY_LEN(list), &asked, &found), HOST_PATH_NOT_ALLOWED);
    assert_ptr_equal(found, &list[3]);
    asked = question("POST", true, "a.test", 443, "/v2");
    assert_int_equal(host_rules_ask(list, ARRAY_LEN(list), &asked, &found),
                     HOST_METHOD_NOT_ALLOWED);
    assert_ptr_equal(found, &list[2]);
    asked = question("PUT", true, "a.test", 443, "/v2");
    assert_int_equal(host_rules_ask(list, ARRAY_LEN(list), &asked, &found), HOST_ALLOWED);
    assert_ptr_equal(found, &list[2]);
    asked = question("PUT", true, "c.test", 443, "/v2");
    assert_int_equal(host_rules_ask(list, ARRAY_LEN(list), &asked, &found), HOST_NOT_ALLOWED);
    assert_null(found);
    assert_int_equal(host_rules_ask(NULL, 0, &asked, &found), HOST_NOT_ALLOWED);
    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        host_rule_done(&list[i]);
}

static void test_a_rule_is_written_as_short_as_it_may_be(void **state)
{
    static const struct {
        const char *rule, *text; /* text: NULL for the same */
    } rows[] = {
        { "a.test", NULL },
        { "https://A.test:443/", "a.test" },
        { "http://a.test.:80", "http://a.test" },
        { "http://a.test:443", NULL },
        { "a.test:80", NULL },
        { "a.test:*/v1/", NULL },
        { "GET,patch http://*.a.test:*/x", NULL },
        { "*", NULL },
        { "http://*", NULL },
        { "[0:0::1]:8080", "[::1]:8080" },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[HOST_RULE_TEXT_MAX + 1];
        struct host_rule rule, again;
        const char *reason = "";
        if (host_rule_parse(rows[i].rule, &rule, &reason) < 0)
            fail_msg("%s: %s", rows[i].rule, reason);
        assert_string_equal(host_rule_text(&rule, text),
                            rows[i].text ? rows[i].text : rows[i].rule);
        assert_int_equal(host_rule_parse(text, &again, &reason), 0);
        assert_true(host_rule_is_same(&rule, &again));
        host_rule_done(&again);
        assert_int_equal(host_rule_parse("b.test", &again, &reason), 0);
        assert_false(host_rule_is_same(&rule, &again));
        host_rule_done(&again);
        host_rule_done(&rule);
    }
}

static void test_ports_of_other_protocols_are_bad(void **state)
{
    static const uint32_t bad[] = { 0, 1, 22, 25, 110, 143, 587, 993, 6000, 6697, 10080, 65536 };
    static const uint32_t good[] = { 80, 443, 8080, 8443, 5432, 10081, 65535 };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(host_port_is_bad(bad[i]));
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_false(host_port_is_bad(good[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rule_allows_what_it_says),
        cmocka_unit_test(test_what_is_no_rule_is_refused_with_a_reason),
        cmocka_unit_test(test_the_rule_that_fits_longest_says_why),
        cmocka_unit_test(test_a_rule_is_written_as_short_as_it_may_be),
        cmocka_unit_test(test_ports_of_other_protocols_are_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
