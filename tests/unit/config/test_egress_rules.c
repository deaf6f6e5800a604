/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of the way out in skepd.yaml and skep.yaml, and the decision that is made of both. */
#include "config/egress_rules.h"
#include "tests/unit/config/config_fixture.h"

#include "common/cleanup.h"
#include "config/config_changes.h"

#define TENANT "name: a\nmain: a.js\n"

static struct manifest *tenant(const char *text)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;

    if (manifest_parse("skep.yaml", text, strlen(text), &manifest, &errors) < 0)
        fail_msg("%s", errors.text ? errors.text : "no memory");
    config_errors_done(&errors);
    return manifest;
}

static struct host_text text_of(const char *text)
{
    return (struct host_text){ text, strlen(text) };
}

/* Asks for "METHOD SCHEME HOST PORT PATH", of a tenant of the first cordon. */
static enum fetch_verdict ask(const struct config *config, const struct manifest *manifest,
                              const char *request, char text[static FETCH_TEXT_BYTES])
{
    char method[40], scheme[8], host[300], path[300];
    unsigned port;

    assert_int_equal(sscanf(request, "%39s %7s %299s %u %299s", method, scheme, host, &port, path),
                     5);
    const struct host_question question = {
        .is_https = strcmp(scheme, "https") == 0,
        .port = port,
        .method = text_of(method),
        .host = text_of(host),
        .path = text_of(path),
    };
    return egress_rules_ask(config, config->cordons[0], manifest, &question, text);
}

static void test_there_is_no_way_out_where_nothing_is_said(void **state)
{
    struct config *config = parse(LISTEN);
    struct manifest *manifest = tenant(TENANT "allowed_hosts: [a.test]\n");
    char text[FETCH_TEXT_BYTES];

    (void) state;
    assert_false(config->egress.fetch);
    assert_int_equal(ask(config, manifest, "GET https a.test 443 /", text), FETCH_OFF);
    assert_string_equal(text, "this skepd has no way out: its operator has to write egress: {} in "
                              "skepd.yaml, without fetch: off");
    (void) config_free(config);
    config = parse(LISTEN "egress: { fetch: off, allow: [a.test] }\n");
    assert_int_equal(ask(config, manifest, "GET https a.test 443 /", text), FETCH_OFF);
    (void) config_free(config);
    config = parse(LISTEN "egress: {}\n");
    assert_true(config->egress.fetch);
    assert_false(config->egress.allow.is_given);
    assert_null(config->egress.socket);
    assert_int_equal(ask(config, manifest, "GET https a.test 443 /", text), FETCH_ALLOWED);
    assert_string_equal(text, "");
    (void) manifest_free(manifest);
    manifest = tenant(TENANT);
    assert_int_equal(manifest->hosts.n, 0);
    assert_int_equal(ask(config, manifest, "GET https a.test 443 /", text), FETCH_NOT_IN_MANIFEST);
    assert_string_equal(text,
                        "the host a.test is not in allowed_hosts of skep.yaml: expected \"a.test\" "
                        "there");
    (void) manifest_free(manifest);
    (void) config_free(config);
}

static void test_each_key_is_read_as_it_stands(void **state)
{
    struct config *config =
        parse("egress:\n  dns: [192.0.2.53, \"192.0.2.53:5353\", \"2001:db8::53\", "
              "\"[2001:db8::53]:53\"]\n"
              "  ca: more.pem\n  allow: [\"GET *.a.test/v1\"]\n  deny: [b.test, \"*.c.test\", "
              "\"[::1]\"]\n  addresses: [10.0.0.0/8, \"fd00::/8\"]\n"
              "  deny_addresses: [203.0.113.0/24]\n"
              "cordons:\n  - { name: x, allowed_hosts: [], addresses: [] }\n  - { name: y }\n");

    (void) state;
    assert_int_equal(config->egress.n_dns, 4);
    assert_string_equal(config->egress.dns[3], "[2001:db8::53]:53");
    assert_string_equal(config->egress.ca, "/etc/skep/more.pem");
    assert_int_equal(config->egress.allow.n, 1);
    assert_int_equal(config->egress.allow.items[0].line, 4);
    assert_int_equal(config->egress.deny.n, 3);
    assert_int_equal(config->egress.addresses.n, 2);
    assert_true(config->cordons[0]->hosts.is_given && config->cordons[0]->addresses.is_given);
    assert_false(config->cordons[1]->hosts.is_given || config->cordons[1]->addresses.is_given);
    struct address_rules rules = egress_rules_addresses(config, config->cordons[0]);
    assert_true(rules.n_named == 0 && rules.n_denied == 1);
    rules = egress_rules_addresses(config, config->cordons[1]);
    assert_true(rules.n_named == 2 && rules.n_denied == 1);
    assert_true(rules.named[1].bits == 8 && rules.denied[0].bits == 96 + 24);
    (void) config_free(config);
    config = parse("egress: { socket: e.sock }\n");
    assert_string_equal(config->egress.socket, "/etc/skep/e.sock");
    (void) config_free(config);
}

static void test_what_is_wrong_is_told_with_what_is_right(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "egress:", "egress: no value: expected a mapping (key: value), or no such key" },
        { "egress: { fetch: maybe }",
          "egress.fetch: \"maybe\" is not a switch: expected on or off" },
        { "egress: { alow: [] }",
          "unknown key \"alow\" in egress: did you mean \"allow\"? Expected "
          "one of fetch, socket, dns, ca, allow, deny, addresses, deny_addresses" },
        { "egress: { dns: [] }", "egress.dns: empty list: expected at least 1" },
        { "egress: { dns: [dns.test] }",
          "egress.dns[0]: \"dns.test\" is not a resolver: expected an address, as 192.0.2.53, "
          "192.0.2.53:5353, 2001:db8::53 or [2001:db8::53]:5353" },
        { "egress: { socket: /e, ca: /c }",
          "egress.ca: this key is for a program that skepd starts: expected no socket beside it, "
          "or the option in the unit skep-egress" },
        { "egress: { allow: [a.test, \"https://A.test\"] }",
          "egress.allow[1]: duplicate rule \"https://A.test\": expected each once" },
        { "egress: { deny: [\"http://a.test\"] }",
          "egress.deny[0]: \"http://a.test\" is not a host: expected one like example.com, "
          "\"*.example.com\" or \"*\", for it counts for all schemes, ports, methods and paths" },
        { "egress: { addresses: [a.test] }",
          "egress.addresses[0]: \"a.test\" is not an address or prefix: expected one like "
          "192.0.2.1, 10.0.0.0/8 or 2001:db8::/32" },
        { "egress: { addresses: [10.0.0.1/8] }",
          "egress.addresses[0]: \"10.0.0.1/8\" has bits behind its prefix: expected 10.0.0.0/8" },
        { "egress: { addresses: [\"2001:db8::1/32\"] }",
          "egress.addresses[0]: \"2001:db8::1/32\" has bits behind its prefix: expected "
          "2001:db8::/32" },
        { "egress: { allow: [\"GET http://user:secret@a.test\"] }",
          "egress.allow[0]: \"GET http://...@a.test\" is not a rule: expected no user and "
          "password" },
        { "egress: { allow: [\"http:secret://x@a.test\"] }",
          "egress.allow[0]: \"...@a.test\" is not a rule: expected http:// or https://" },
        { "cordons: [{ name: a, allowed_hosts: [\"a.test:25\"] }]",
          "cordons[0].allowed_hosts[0]: \"a.test:25\" is not a rule: expected a port that browsers "
          "do not block, too" },
    };
    static const char *const not_resolvers[] = { "unix:/x",      "192.0.2.53:0", "192.0.2.0/24",
                                                 "192.0.2.53:x", "[::1",         "::1:" };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[200], message[400];
        (void) snprintf(text, sizeof text, "%s\n", rows[i].text);
        (void) snprintf(message, sizeof message, "1: %s", rows[i].message);
        expect_errors(text, message);
    }
    for (size_t i = 0; i < ARRAY_LEN(not_resolvers); i++) {
        struct config_errors errors = { 0 };
        struct config *config = NULL;
        char text[200];
        int n = snprintf(text, sizeof text, "egress: { dns: [\"%s\"] }\n", not_resolvers[i]);
        assert_int_equal(config_parse("c", text, (size_t) n, &config, &errors), -EINVAL);
        config_errors_done(&errors);
    }
}

static void test_a_reload_follows_the_lists_and_keeps_the_rest(void **state)
{
    struct config *running = parse("egress: { ca: /c, deny: [a.test], addresses: [10.0.0.0/8] }\n"
                                   "cordons: [{ name: a, allowed_hosts: [b.test] }]\n");
    struct config *next = parse("log_level: info\ncordons: [{ name: a, addresses: [] }]\n");
    struct config_changes changes = { 0 };
    static const struct {
        const char *key, *before, *after;
        bool needs_restart;
    } rows[] = {
        { "egress.fetch", "on", "off", true },
        { "egress.ca", "/c", "not set", true },
        { "egress.deny", "[a.test]", "not set", false },
        { "egress.addresses", "[10.0.0.0/8]", "not set", false },
        { "cordons.a.allowed_hosts", "[b.test]", "not set", false },
        { "cordons.a.addresses", "not set", "[]", false },
    };

    (void) state;
    assert_int_equal(config_compare(running, next, &changes), 0);
    assert_int_equal(changes.count, ARRAY_LEN(rows));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(changes.items[i].key, rows[i].key);
        assert_string_equal(changes.items[i].before, rows[i].before);
        assert_string_equal(changes.items[i].after, rows[i].after);
        assert_int_equal(changes.items[i].needs_restart, rows[i].needs_restart);
    }
    config_changes_done(&changes);
    config_keep_running(running, next);
    assert_true(next->egress.fetch);
    assert_string_equal(next->egress.ca, "/c");
    assert_int_equal(next->egress.deny.n, 0);
    assert_int_equal(next->egress.addresses.n, 0);
    (void) config_free(running);
    (void) config_free(next);
}

/* ---- the decision */

static void test_the_refusal_says_which_rule(void **state)
{
    static const char yaml[] =
        "egress: { deny: [\"*.evil.test\", evil.test], allow: [\"*:*\", \"http://c.test\"] }\n"
        "cordons: [{ name: x }]\n";
    static const char hosts[] =
        TENANT "allowed_hosts: [a.test, \"GET,HEAD http://a.test:8080/v1\", \"http://c.test\",\n"
               "  \"*.evil.test:*\", \"evil.test\", \"http://d.test\"]\n";
    static const struct {
        const char *request;
        enum fetch_verdict verdict;
        const char *text;
    } rows[] = {
        { "PUT https a.test 443 /x", FETCH_ALLOWED, "" },
        { "GET http c.test 80 /", FETCH_ALLOWED, "" },
        { "GET https b.test 443 /", FETCH_NOT_IN_MANIFEST,
          "the host b.test is not in allowed_hosts of skep.yaml: expected \"b.test\" there" },
        { "GET https c.test 443 /", FETCH_NOT_IN_MANIFEST,
          "https:// is not allowed for the host c.test: allowed_hosts of skep.yaml has "
          "\"http://c.test\": expected \"c.test\" there" },
        { "GET https a.test 8443 /", FETCH_NOT_IN_MANIFEST,
          "port 8443 is not allowed for the host a.test: allowed_hosts of skep.yaml has "
          "\"a.test\": expected "
          "\"a.test:8443\" there" },
        { "POST http a.test 8080 /v1", FETCH_NOT_IN_MANIFEST,
          "POST is not allowed for the host a.test: allowed_hosts of skep.yaml has "
          "\"GET,HEAD http://a.test:8080/v1\"" },
        { "GET http a.test 8080 /v2", FETCH_NOT_IN_MANIFEST,
          "the path /v2 is not allowed for the host a.test: allowed_hosts of skep.yaml has "
          "\"GET,HEAD http://a.test:8080/v1\"" },
        { "GET http a.test 8080 /v1/..%2fx", FETCH_NOT_IN_MANIFEST,
          "the path /v1/..%2fx is not allowed for the host a.test, as servers may read it in more "
          "than one way: allowed_hosts of skep.yaml has \"GET,HEAD http://a.test:8080/v1\"" },
        { "GET https x.evil.test 8443 /", FETCH_DENIED,
          "egress.deny, the operator's list, denies the host x.evil.test" },
        { "GET https evil.test 443 /", FETCH_DENIED,
          "egress.deny, the operator's list, denies the host evil.test" },
        { "GET https x.evil.test 22 /", FETCH_BAD_PORT, "port 22 is one that browsers block, too" },
        { "GET https a.test 0 /", FETCH_BAD_PORT, "port 0 is one that browsers block, too" },
        { "GET http d.test 80 /", FETCH_NOT_IN_ALLOW,
          "http:// is not allowed for the host d.test: egress.allow, the operator's list, does not "
          "say so" },
    };
    struct config *config = parse(yaml);
    struct manifest *manifest = tenant(hosts);
    char text[FETCH_TEXT_BYTES];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(ask(config, manifest, rows[i].request, text), rows[i].verdict);
        assert_string_equal(text, rows[i].text);
    }
    (void) config_free(config);
    (void) manifest_free(manifest);
}

static void test_the_list_of_a_cordon_is_in_place_of_that_of_all(void **state)
{
    struct config *config =
        parse("egress: { allow: [a.test], deny: [c.test] }\n"
              "cordons: [{ name: x, allowed_hosts: [\"GET b.test\", c.test] }]\n");
    struct manifest *manifest = tenant(TENANT "allowed_hosts: [\"*\"]\n");
    char text[FETCH_TEXT_BYTES];

    (void) state;
    assert_int_equal(ask(config, manifest, "GET https b.test 443 /", text), FETCH_ALLOWED);
    assert_int_equal(ask(config, manifest, "GET https c.test 443 /", text), FETCH_DENIED);
    assert_int_equal(ask(config, manifest, "GET https a.test 443 /", text), FETCH_NOT_IN_CORDON);
    assert_string_equal(text, "the host a.test is not in allowed_hosts of cordon \"x\", the "
                              "operator's list");
    assert_int_equal(ask(config, manifest, "PUT https b.test 443 /", text), FETCH_NOT_IN_CORDON);
    assert_string_equal(text, "PUT is not allowed for the host b.test: allowed_hosts of cordon "
                              "\"x\", the operator's list, does not say so");
    (void) config_free(config);
    config = parse("egress: {}\ncordons: [{ name: x, allowed_hosts: [] }]\n");
    assert_int_equal(ask(config, manifest, "GET https a.test 443 /", text), FETCH_NOT_IN_CORDON);
    assert_string_equal(text, "cordon \"x\" allows no fetch");
    (void) config_free(config);
    (void) manifest_free(manifest);
}

/* Returns whether the text is for people, as a whole. */
static bool is_printable(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            return false;
    return true;
}

static void test_texts_are_bounded_and_printable(void **state)
{
    struct config *config = parse(LISTEN "egress: {}\n");
    char hosts[HOST_RULE_TEXT_MAX + 100], name[HOST_NAME_MAX_BYTES + 1], any[4000];
    char text[FETCH_TEXT_BYTES + 1];

    (void) state;
    for (size_t i = 0; i < HOST_NAME_MAX_BYTES; i++)
        name[i] = i % 60 == 59 ? '.' : 'a';
    name[HOST_NAME_MAX_BYTES] = '\0';
    int n = snprintf(hosts, sizeof hosts, TENANT "allowed_hosts: [\"GET %s/", name);
    memset(hosts + n, 'p', 700);
    (void) strcpy(hosts + n + 700, "\"]\n");
    struct manifest *manifest = tenant(hosts);
    for (size_t i = 0; i < sizeof any; i++)
        any[i] = (char) i;
    const struct host_text whole = { name, HOST_NAME_MAX_BYTES }, bytes = { any, sizeof any };
    const struct host_text get = text_of("GET");
    const struct host_question questions[] = {
        { true, 443, bytes, bytes, bytes },     { true, 443, bytes, whole, bytes },
        { true, 443, get, whole, bytes },       { false, 443, get, whole, bytes },
        { true, 4443, get, whole, { any, 0 } }, { true, 443, { any, 0 }, { any, 0 }, { any, 0 } },
    };
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        text[FETCH_TEXT_BYTES] = 'x';
        assert_int_equal(
            egress_rules_ask(config, config->cordons[0], manifest, &questions[i], text),
            FETCH_NOT_IN_MANIFEST);
        assert_int_equal(text[FETCH_TEXT_BYTES], 'x');
        assert_true(strlen(text) > 20 && strlen(text) < FETCH_TEXT_BYTES - 1 && is_printable(text));
    }
    (void) config_free(config);
    (void) manifest_free(manifest);
}

static void test_a_rule_is_suggested_that_allows_the_question(void **state)
{
    static const struct {
        bool is_https;
        uint32_t port;
        const char *host, *rule;
    } rows[] = {
        { true, 443, "a.test", "a.test" },
        { true, 80, "a.test", "a.test:80" },
        { false, 80, "a.test", "http://a.test" },
        { false, 8080, "[::1]", "http://[::1]:8080" },
        { true, 25, "a.test", "" },
        { true, 0, "a.test", "" },
        { true, 443, "", "" },
    };
    char rule[HOST_RULE_TEXT_MAX + 1];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct host_question question = { .is_https = rows[i].is_https,
                                                .port = rows[i].port,
                                                .host = text_of(rows[i].host) };
        assert_string_equal(egress_rules_suggest(&question, rule), rows[i].rule);
    }
}

static void test_each_verdict_has_a_name(void **state)
{
    (void) state;
    for (unsigned i = 0; i < FETCH_VERDICTS; i++)
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(fetch_verdict_name(i), fetch_verdict_name(j));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_is_no_way_out_where_nothing_is_said),
        cmocka_unit_test(test_each_key_is_read_as_it_stands),
        cmocka_unit_test(test_what_is_wrong_is_told_with_what_is_right),
        cmocka_unit_test(test_a_reload_follows_the_lists_and_keeps_the_rest),
        cmocka_unit_test(test_the_refusal_says_which_rule),
        cmocka_unit_test(test_the_list_of_a_cordon_is_in_place_of_that_of_all),
        cmocka_unit_test(test_texts_are_bounded_and_printable),
        cmocka_unit_test(test_a_rule_is_suggested_that_allows_the_question),
        cmocka_unit_test(test_each_verdict_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
