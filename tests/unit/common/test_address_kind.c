/* SPDX-License-Identifier: Apache-2.0 */
#include "common/address_kind.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "common/cleanup.h"

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage storage = { .ss_family = AF_UNSPEC };
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(&storage, &in, sizeof in);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
        memcpy(&storage, &in6, sizeof in6);
    }
    return storage;
}

static enum address_kind kind_of(const char *text)
{
    const struct sockaddr_storage storage = address(text);

    return address_kind_of((const struct sockaddr *) &storage);
}

/* The first and last address of each range, and those beside it. */
static const struct {
    const char *text;
    enum address_kind kind;
} rows[] = {
    { "0.0.0.0", ADDRESS_UNSPECIFIED },
    { "0.255.255.255", ADDRESS_UNSPECIFIED },
    { "1.0.0.0", ADDRESS_PUBLIC },
    { "9.255.255.255", ADDRESS_PUBLIC },
    { "10.0.0.0", ADDRESS_PRIVATE },
    { "10.255.255.255", ADDRESS_PRIVATE },
    { "11.0.0.0", ADDRESS_PUBLIC },
    { "100.63.255.255", ADDRESS_PUBLIC },
    { "100.64.0.0", ADDRESS_SHARED },
    { "100.100.100.200", ADDRESS_SHARED },
    { "100.127.255.255", ADDRESS_SHARED },
    { "100.128.0.0", ADDRESS_PUBLIC },
    { "126.255.255.255", ADDRESS_PUBLIC },
    { "127.0.0.0", ADDRESS_LOOPBACK },
    { "127.255.255.255", ADDRESS_LOOPBACK },
    { "128.0.0.0", ADDRESS_PUBLIC },
    { "168.63.129.15", ADDRESS_PUBLIC },
    { "168.63.129.16", ADDRESS_METADATA },
    { "168.63.129.17", ADDRESS_PUBLIC },
    { "169.253.255.255", ADDRESS_PUBLIC },
    { "169.254.0.0", ADDRESS_LINK_LOCAL },
    { "169.254.169.254", ADDRESS_LINK_LOCAL },
    { "169.254.255.255", ADDRESS_LINK_LOCAL },
    { "169.255.0.0", ADDRESS_PUBLIC },
    { "172.15.255.255", ADDRESS_PUBLIC },
    { "172.16.0.0", ADDRESS_PRIVATE },
    { "172.31.255.255", ADDRESS_PRIVATE },
    { "172.32.0.0", ADDRESS_PUBLIC },
    { "191.255.255.255", ADDRESS_PUBLIC },
    { "192.0.0.0", ADDRESS_RESERVED },
    { "192.0.0.192", ADDRESS_RESERVED },
    { "192.0.1.0", ADDRESS_PUBLIC },
    { "192.0.2.0", ADDRESS_DOCUMENTATION },
    { "192.0.3.0", ADDRESS_PUBLIC },
    { "192.88.98.255", ADDRESS_PUBLIC },
    { "192.88.99.1", ADDRESS_6TO4 },
    { "192.167.255.255", ADDRESS_PUBLIC },
    { "192.168.0.0", ADDRESS_PRIVATE },
    { "192.168.255.255", ADDRESS_PRIVATE },
    { "192.169.0.0", ADDRESS_PUBLIC },
    { "198.17.255.255", ADDRESS_PUBLIC },
    { "198.18.0.0", ADDRESS_BENCHMARK },
    { "198.19.255.255", ADDRESS_BENCHMARK },
    { "198.20.0.0", ADDRESS_PUBLIC },
    { "198.51.100.7", ADDRESS_DOCUMENTATION },
    { "203.0.113.7", ADDRESS_DOCUMENTATION },
    { "223.255.255.255", ADDRESS_PUBLIC },
    { "224.0.0.0", ADDRESS_MULTICAST },
    { "239.255.255.255", ADDRESS_MULTICAST },
    { "240.0.0.0", ADDRESS_RESERVED },
    { "255.255.255.254", ADDRESS_RESERVED },
    { "255.255.255.255", ADDRESS_MULTICAST },
    { "::", ADDRESS_UNSPECIFIED },
    { "::1", ADDRESS_LOOPBACK },
    { "::2", ADDRESS_MAPPED },
    { "::7f00:1", ADDRESS_MAPPED },
    { "::1:0:0", ADDRESS_RESERVED },
    { "::ffff:10.0.0.1", ADDRESS_MAPPED },
    { "::ffff:8.8.8.8", ADDRESS_MAPPED },
    { "::ffff:0:8.8.8.8", ADDRESS_MAPPED },
    { "64:ff9b::10.0.0.1", ADDRESS_NAT64 },
    { "64:ff9b:0:0:0:1::", ADDRESS_RESERVED },
    { "64:ff9b:1::1", ADDRESS_NAT64 },
    { "64:ff9b:2::1", ADDRESS_RESERVED },
    { "100::1", ADDRESS_RESERVED },
    { "1fff:ffff::", ADDRESS_RESERVED },
    { "2000::", ADDRESS_PUBLIC },
    { "2001::1", ADDRESS_TEREDO },
    { "2001:0:ffff::", ADDRESS_TEREDO },
    { "2001:1::1", ADDRESS_RESERVED },
    { "2001:2::1", ADDRESS_BENCHMARK },
    { "2001:2:1::1", ADDRESS_RESERVED },
    { "2001:10::1", ADDRESS_RESERVED },
    { "2001:1ff:ffff::", ADDRESS_RESERVED },
    { "2001:200::", ADDRESS_PUBLIC },
    { "2001:db7:ffff::", ADDRESS_PUBLIC },
    { "2001:db8::1", ADDRESS_DOCUMENTATION },
    { "2001:db9::", ADDRESS_PUBLIC },
    { "2002:a00:1::", ADDRESS_6TO4 },
    { "2003::", ADDRESS_PUBLIC },
    { "2606:4700::1111", ADDRESS_PUBLIC },
    { "3fff:fff:ffff::", ADDRESS_DOCUMENTATION },
    { "3fff:1000::", ADDRESS_PUBLIC },
    { "4000::", ADDRESS_RESERVED },
    { "5f00::1", ADDRESS_RESERVED },
    { "fbff:ffff::", ADDRESS_RESERVED },
    { "fc00::", ADDRESS_PRIVATE },
    { "fd00:ec2::254", ADDRESS_PRIVATE },
    { "fdff:ffff::", ADDRESS_PRIVATE },
    { "fe00::", ADDRESS_RESERVED },
    { "fe80::1", ADDRESS_LINK_LOCAL },
    { "febf:ffff::", ADDRESS_LINK_LOCAL },
    { "fec0::1", ADDRESS_PRIVATE },
    { "ff02::1", ADDRESS_MULTICAST },
    { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ADDRESS_MULTICAST },
};

static const struct address_rules no_rules = { NULL, 0, NULL, 0 };

static void test_each_address_has_the_kind_of_its_range(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (kind_of(rows[i].text) != rows[i].kind)
            fail_msg("%s is %s", rows[i].text, address_kind_text(kind_of(rows[i].text)));
}

static void test_public_addresses_alone_are_reachable_without_a_name(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct sockaddr_storage storage = address(rows[i].text);
        enum address_kind kind = ADDRESS_KINDS;
        assert_int_equal(address_is_reachable((const struct sockaddr *) &storage, &no_rules, &kind),
                         rows[i].kind == ADDRESS_PUBLIC);
        assert_int_equal(kind, rows[i].kind);
    }
}

static bool reaches(const char *text, const char *named, enum address_kind *ret_kind)
{
    const struct sockaddr_storage storage = address(text);
    struct address_prefix prefixes[2];

    assert_int_equal(address_prefix_parse("192.0.2.77", &prefixes[0]), 0);
    assert_int_equal(address_prefix_parse(named, &prefixes[1]), 0);
    const struct address_rules rules = { prefixes, ARRAY_LEN(prefixes), NULL, 0 };
    return address_is_reachable((const struct sockaddr *) &storage, &rules, ret_kind);
}

/* Returns the kind for which the address is not reachable where all are named and one prefix is denied. */
static enum address_kind kind_denied(const char *text, const char *denied)
{
    const struct sockaddr_storage storage = address(text);
    struct address_prefix all[2], prefix;
    enum address_kind kind;

    assert_int_equal(address_prefix_parse("0.0.0.0/0", &all[0]), 0);
    assert_int_equal(address_prefix_parse("::/0", &all[1]), 0);
    assert_int_equal(address_prefix_parse(denied, &prefix), 0);
    const struct address_rules rules = { all, ARRAY_LEN(all), &prefix, 1 };
    return address_is_reachable((const struct sockaddr *) &storage, &rules, &kind) ? ADDRESS_KINDS
                                                                                   : kind;
}

static void test_a_denied_address_is_not_reachable_by_any_way(void **state)
{
    (void) state;
    assert_int_equal(kind_denied("93.184.216.34", "93.184.216.0/24"), ADDRESS_DENIED);
    assert_int_equal(kind_denied("93.184.217.34", "93.184.216.0/24"), ADDRESS_KINDS);
    assert_int_equal(kind_denied("10.0.0.1", "10.0.0.0/8"), ADDRESS_DENIED);
    assert_int_equal(kind_denied("2a00:1450::1", "2a00:1450::/32"), ADDRESS_DENIED);
    /* The IPv4 address in it: NAT64, 6to4, Teredo. */
    assert_int_equal(kind_denied("64:ff9b::5db8:d822", "93.184.216.0/24"), ADDRESS_DENIED);
    assert_int_equal(kind_denied("2002:5db8:d822::1", "93.184.216.0/24"), ADDRESS_DENIED);
    assert_int_equal(kind_denied("2001:0:1:2:3:4:a247:27dd", "93.184.216.0/24"), ADDRESS_DENIED);
    assert_int_equal(kind_denied("64:ff9b::5db8:d922", "93.184.216.0/24"), ADDRESS_KINDS);
}

static void test_a_named_address_is_reachable_and_its_neighbour_is_not(void **state)
{
    static const struct {
        const char *text, *named;
        bool is_reachable;
        enum address_kind kind;
    } tries[] = {
        { "10.1.2.3", "10.1.0.0/16", true, ADDRESS_PRIVATE },
        { "10.2.0.0", "10.1.0.0/16", false, ADDRESS_PRIVATE },
        { "127.0.0.1", "127.0.0.1", true, ADDRESS_LOOPBACK },
        { "127.0.0.2", "127.0.0.1", false, ADDRESS_LOOPBACK },
        { "::1", "127.0.0.1", false, ADDRESS_LOOPBACK },
        { "::1", "::1", true, ADDRESS_LOOPBACK },
        { "fd00::5", "fd00::/8", true, ADDRESS_PRIVATE },
        { "192.0.2.77", "::1", true, ADDRESS_DOCUMENTATION },
        /* The mapped form of a named address. */
        { "::ffff:10.1.2.3", "10.1.0.0/16", false, ADDRESS_MAPPED },
        { "::ffff:10.1.2.3", "::/0", false, ADDRESS_MAPPED },
        { "::10.1.2.3", "10.1.0.0/16", false, ADDRESS_MAPPED },
        /* A translator that is named leads to the addresses that are reachable without it. */
        { "64:ff9b::8.8.8.8", "10.0.0.0/8", false, ADDRESS_NAT64 },
        { "64:ff9b::8.8.8.8", "64:ff9b::/96", true, ADDRESS_PUBLIC },
        { "64:ff9b::10.0.0.1", "64:ff9b::/96", false, ADDRESS_PRIVATE },
        { "64:ff9b::127.0.0.1", "64:ff9b::/96", false, ADDRESS_LOOPBACK },
        { "64:ff9b::192.0.2.77", "64:ff9b::/96", true, ADDRESS_DOCUMENTATION },
        { "2002:808:808::1", "2002::/16", true, ADDRESS_PUBLIC },
        { "2002:7f00:1::1", "2002::/16", false, ADDRESS_LOOPBACK },
        { "2002:a9fe:a9fe::", "2002::/16", false, ADDRESS_LINK_LOCAL },
        /* The client's address of Teredo is inverted: 8.8.8.8 and 10.0.0.1. */
        { "2001:0:102:304:0:0:f7f7:f7f7", "2001::/32", true, ADDRESS_PUBLIC },
        { "2001:0:102:304:0:0:f5ff:fffe", "2001::/32", false, ADDRESS_PRIVATE },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
        enum address_kind kind = ADDRESS_KINDS;
        if (reaches(tries[i].text, tries[i].named, &kind) != tries[i].is_reachable ||
            kind != tries[i].kind)
            fail_msg("%s with %s: %s", tries[i].text, tries[i].named, address_kind_text(kind));
    }
}

static void test_other_families_are_never_reachable(void **state)
{
    const struct sockaddr_un unix_address = { .sun_family = AF_UNIX, .sun_path = "/run/x" };
    struct address_prefix all[2];
    enum address_kind kind = ADDRESS_KINDS;

    (void) state;
    assert_int_equal(address_prefix_parse("0.0.0.0/0", &all[0]), 0);
    assert_int_equal(address_prefix_parse("::/0", &all[1]), 0);
    const struct address_rules rules = { all, ARRAY_LEN(all), NULL, 0 };
    assert_false(address_is_reachable((const struct sockaddr *) &unix_address, &rules, &kind));
    assert_int_equal(kind, ADDRESS_FOREIGN);
}

static void test_each_kind_has_a_text(void **state)
{
    (void) state;
    for (unsigned kind = 0; kind < ADDRESS_KINDS; kind++)
        assert_true(strlen(address_kind_text((enum address_kind) kind)) > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_address_has_the_kind_of_its_range),
        cmocka_unit_test(test_public_addresses_alone_are_reachable_without_a_name),
        cmocka_unit_test(test_a_named_address_is_reachable_and_its_neighbour_is_not),
        cmocka_unit_test(test_a_denied_address_is_not_reachable_by_any_way),
        cmocka_unit_test(test_other_families_are_never_reachable),
        cmocka_unit_test(test_each_kind_has_a_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
