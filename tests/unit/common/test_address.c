/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/address.h"
#include "common/cleanup.h"

static struct address_prefix parse(const char *text)
{
    struct address_prefix prefix;

    assert_int_equal(address_prefix_parse(text, &prefix), 0);
    return prefix;
}

static void test_only_addresses_and_prefixes_are_taken(void **state)
{
    static const char *const bad[] = {
        "",        "a",      "10.0.0.0/",   "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.1/8", "10.0.0/8",
        "::1/129", "::1/64", "10.0.0.0/8 ", "/8",          "1.2.3.4/0x8", "::/0000",    "1.2.3.4:8",
    };
    struct address_prefix prefix;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(address_prefix_parse(bad[i], &prefix), -EINVAL);
}

static void test_a_prefix_has_what_begins_like_it(void **state)
{
    static const struct {
        const char *prefix, *other;
        bool has;
    } rows[] = {
        { "10.0.0.0/8", "10.255.1.2", true },       { "10.0.0.0/8", "11.0.0.0", false },
        { "10.0.0.0/9", "10.127.0.1", true },       { "10.0.0.0/9", "10.128.0.1", false },
        { "192.0.2.1", "192.0.2.1", true },         { "192.0.2.1", "192.0.2.2", false },
        { "192.0.2.1", "::ffff:192.0.2.1", true },  { "0.0.0.0/0", "9.9.9.9", true },
        { "0.0.0.0/0", "2001:db8::1", false },      { "::/0", "9.9.9.9", true },
        { "2001:db8::/32", "2001:db8:1::2", true }, { "2001:db8::/33", "2001:db8:8000::", false },
        { "10.0.0.0/8", "10.0.0.0/7", false },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].has)
            assert_true(address_prefix_has(&(struct address_prefix[]){ parse(rows[i].prefix) }[0],
                                           &(struct address_prefix[]){ parse(rows[i].other) }[0]));
        else if (address_prefix_parse(rows[i].other, &(struct address_prefix){ .bits = 0 }) == 0)
            assert_false(address_prefix_has(&(struct address_prefix[]){ parse(rows[i].prefix) }[0],
                                            &(struct address_prefix[]){ parse(rows[i].other) }[0]));
    }
}

static void test_peers_of_both_families_have_addresses(void **state)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    struct sockaddr other = { .sa_family = AF_UNIX };
    struct address_prefix prefix = parse("127.0.0.0/8"), address;

    (void) state;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(address_of((struct sockaddr *) &in, &address));
    assert_true(address_prefix_has(&prefix, &address));
    assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.9", &in6.sin6_addr), 1);
    assert_true(address_of((struct sockaddr *) &in6, &address));
    assert_true(address_prefix_has(&prefix, &address));
    in6.sin6_addr = in6addr_loopback;
    assert_true(address_of((struct sockaddr *) &in6, &address));
    assert_false(address_prefix_has(&prefix, &address));
    assert_false(address_of(&other, &address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_addresses_and_prefixes_are_taken),
        cmocka_unit_test(test_a_prefix_has_what_begins_like_it),
        cmocka_unit_test(test_peers_of_both_families_have_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
