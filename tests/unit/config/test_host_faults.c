/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of a tenant that allow nothing as things are. */
#include "config/host_faults.h"
#include "tests/unit/config/config_fixture.h"

#include "common/cleanup.h"

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

/* config: NULL for none. expected: the notes, each a line. */
static void expect_notes(const char *yaml, const char *hosts, const char *expected)
{
    struct config *config = yaml ? parse(yaml) : NULL;
    struct manifest *manifest = tenant(hosts);
    struct config_errors notes = { 0 };

    manifest_note_hosts(manifest, config, &notes);
    assert_string_equal(notes.text ? notes.text : "", expected);
    config_errors_done(&notes);
    (void) manifest_free(manifest);
    (void) config_free(config);
}

#define EXPECTED(section)                                                 \
    ": expected a public one, or one that the operator names in " section \
    ".addresses of skepd.yaml\n"
#define LOOPBACK(section)                                                                  \
    "skep.yaml:4: allowed_hosts: \"http://127.0.0.1:8080\" allows nothing: the host is a " \
    "loopback "                                                                            \
    "address" EXPECTED(section)
#define REST(section)                                                                            \
    "skep.yaml:5: allowed_hosts: \"192.0.2.1\" allows nothing: the host is a documentation "     \
    "address" EXPECTED(section) "skep.yaml:6: allowed_hosts: \"[fd00::1]\" allows nothing: the " \
                                "host is a private "                                             \
                                "address" EXPECTED(section)

static void test_addresses_that_are_not_public_have_to_be_named(void **state)
{
    static const char hosts[] =
        TENANT "allowed_hosts:\n  - http://127.0.0.1:8080\n  - 192.0.2.1\n  - \"[fd00::1]\"\n"
               "  - 9.9.9.9\n  - \"[2600::1]\"\n  - a.test\n  - \"*\"\n";
    static const char all[] = LOOPBACK("egress") REST("egress");
    static const char own[] = LOOPBACK("cordons.default") REST("cordons.default");
    static const char alone[] =
        "skep.yaml:4: allowed_hosts: \"http://127.0.0.1:8080\" is reached by skep dev alone; on a "
        "service the operator must name 127.0.0.1 in egress.addresses\n" REST("egress");

    (void) state;
    expect_notes(NULL, hosts, alone);
    expect_notes("egress: {}\n", hosts, all);
    expect_notes(NULL, TENANT "allowed_hosts: [\"[::1]:81\", \"http://a.localhost\"]\n",
                 "skep.yaml:3: allowed_hosts: \"[::1]:81\" is reached by skep dev alone; on a "
                 "service the operator must name ::1 in egress.addresses\n"
                 "skep.yaml:3: allowed_hosts: \"http://a.localhost\" is reached by skep dev alone; "
                 "on a service the operator must name 127.0.0.1 and ::1 in egress.addresses\n");
    expect_notes("egress: { addresses: [127.0.0.0/8, \"fd00::/8\", 192.0.2.0/24] }\n", hosts, "");
    expect_notes("egress: { addresses: [127.0.0.0/8, \"fd00::/8\", 192.0.2.0/24] }\n"
                 "cordons: [{ name: default, addresses: [] }]\n",
                 hosts, own);
    static const char local[] =
        TENANT "allowed_hosts: [\"http://localhost:3000\", mylocalhost, a.localhost]\n";
    static const char names[] =
        "skep.yaml:3: allowed_hosts: \"http://localhost:3000\" allows nothing: the host is a "
        "loopback address: expected a public one, or one that the operator names in "
        "egress.addresses of skepd.yaml\n"
        "skep.yaml:3: allowed_hosts: \"a.localhost\" allows nothing: the host is a loopback "
        "address: expected a public one, or one that the operator names in egress.addresses of "
        "skepd.yaml\n";
    expect_notes("egress: {}\n", local, names);
    expect_notes("egress: { addresses: [127.0.0.0/8] }\n", local, names);
    expect_notes("egress: { addresses: [127.0.0.0/8, \"::1\"] }\n", local, "");
}

static void test_lists_of_the_operator_stand_against_a_rule(void **state)
{
    static const char hosts[] =
        TENANT "allowed_hosts:\n  - a.test\n  - b.test:81\n  - \"*.c.test\"\n";

    (void) state;
    expect_notes(
        LISTEN, hosts,
        "skep.yaml:4: allowed_hosts: this skepd has no way out: expected egress: {} in its "
        "skepd.yaml, without fetch: off\n");
    expect_notes(LISTEN, TENANT, "");
    expect_notes("egress: { deny: [\"*.test\"] }\n", hosts,
                 "skep.yaml:4: allowed_hosts: \"a.test\" allows nothing: egress.deny of skepd.yaml "
                 "has the host\n"
                 "skep.yaml:5: allowed_hosts: \"b.test:81\" allows nothing: egress.deny of "
                 "skepd.yaml has the host\n"
                 "skep.yaml:6: allowed_hosts: \"*.c.test\" allows nothing: egress.deny of "
                 "skepd.yaml has the hosts\n");
    expect_notes(
        "egress: { deny: [\"*.c.test\"] }\n", hosts,
        "skep.yaml:6: allowed_hosts: \"*.c.test\" allows nothing: egress.deny of skepd.yaml "
        "has the hosts\n");
    expect_notes(
        "egress: { allow: [\"GET http://a.test\", x.c.test] }\n", hosts,
        "skep.yaml:4: allowed_hosts: \"a.test\" allows nothing: egress.allow has no rule for https "
        "and port 443\n"
        "skep.yaml:5: allowed_hosts: \"b.test:81\" allows nothing: egress.allow in skepd.yaml does "
        "not have the host\n");
    expect_notes("egress: { allow: [\"*:*\"] }\n", hosts, "");
    expect_notes(
        "egress: { allow: [a.test] }\ncordons: [{ name: default, allowed_hosts: [b.test] }]\n",
        hosts,
        "skep.yaml:4: allowed_hosts: \"a.test\" allows nothing: allowed_hosts of its cordon "
        "in skepd.yaml does not have the host\n"
        "skep.yaml:5: allowed_hosts: \"b.test:81\" allows nothing: allowed_hosts of its cordon has "
        "no rule for https and port 81\n"
        "skep.yaml:6: allowed_hosts: \"*.c.test\" allows nothing: allowed_hosts of its cordon in "
        "skepd.yaml does not have the hosts\n");
}

static void test_rule_needs_all_its_parts_in_one_rule_of_the_operator(void **state)
{
    static const struct {
        const char *operators, *tenants, *fault;
    } rows[] = {
        { "https://a.test:18202", "http://a.test:18201", "http and port 18201" },
        { "\"*:*\", http://db.test:18201", "http://x.test", "http and port 80" },
        { "a.test", "a.test:*", NULL },
        { "http://a.test", "a.test:*", "https and any port" },
        { "GET a.test", "\"POST,PUT https://a.test\"", "a method of it" },
        { "\"GET,PUT a.test\"", "\"POST,PUT https://a.test\"", NULL },
        { "a.test/v1", "a.test/v2", "a path of it" },
        { "a.test/v1", "a.test/v1/x", NULL },
        { "a.test/v1/x", "a.test", NULL },
        { "\"*.a.test\"", "\"*.b.a.test\"", NULL },
        { "\"*.b.a.test\"", "\"*.a.test\"", NULL },
        { "http://x.b.a.test", "\"*.a.test\"", "https and port 443" },
        { "x.a.test", "\"*\"", NULL },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char yaml[256], hosts[256], text[HOST_FAULT_BYTES], expected[HOST_FAULT_BYTES] = "";
        (void) snprintf(yaml, sizeof yaml, "egress: { allow: [%s] }\n", rows[i].operators);
        (void) snprintf(hosts, sizeof hosts, TENANT "allowed_hosts: [%s]\n", rows[i].tenants);
        if (rows[i].fault)
            (void) snprintf(expected, sizeof expected, "egress.allow has no rule for %s",
                            rows[i].fault);
        struct config *config = parse(yaml);
        struct manifest *manifest = tenant(hosts);
        (void) host_rule_fault(&manifest->hosts.items[0], config, config->cordons[0], text);
        assert_string_equal(text, expected);
        (void) manifest_free(manifest);
        (void) config_free(config);
    }
}

static void test_longest_rule_has_a_bounded_fault(void **state)
{
    char hosts[HOST_RULE_TEXT_MAX + 100], name[HOST_NAME_MAX_BYTES + 1];
    char text[HOST_FAULT_BYTES + 1] = "";
    struct config *config = parse("egress: { allow: [] }\n");

    (void) state;
    for (size_t i = 0; i < HOST_NAME_MAX_BYTES; i++)
        name[i] = i % 60 == 59 ? '.' : 'a';
    name[HOST_NAME_MAX_BYTES] = '\0';
    (void) snprintf(hosts, sizeof hosts, TENANT "allowed_hosts: [\"%s\"]\n", name);
    struct manifest *manifest = tenant(hosts);
    text[HOST_FAULT_BYTES] = 'x';
    (void) host_rule_fault(&manifest->hosts.items[0], config, config->cordons[0], text);
    assert_string_equal(text, "egress.allow in skepd.yaml does not have the host");
    assert_int_equal(text[HOST_FAULT_BYTES], 'x');
    (void) manifest_free(manifest);
    (void) config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_that_are_not_public_have_to_be_named),
        cmocka_unit_test(test_lists_of_the_operator_stand_against_a_rule),
        cmocka_unit_test(test_rule_needs_all_its_parts_in_one_rule_of_the_operator),
        cmocka_unit_test(test_longest_rule_has_a_bounded_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
