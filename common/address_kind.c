/* SPDX-License-Identifier: Apache-2.0 */
#include "common/address_kind.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "common/cleanup.h"

/* First bytes of an address; the rest is 0. */
struct range {
    uint8_t bytes[16];
    uint8_t bits;
    uint8_t kind; /* enum address_kind */
};

/* The first row that has an address decides. https://www.iana.org/assignments/iana-ipv4-special-registry,
 * https://www.iana.org/assignments/ipv4-address-space */
static const struct range ipv4_ranges[] = {
    { { 0 }, 8, ADDRESS_UNSPECIFIED },
    { { 10 }, 8, ADDRESS_PRIVATE },
    { { 100, 64 }, 10, ADDRESS_SHARED },
    { { 127 }, 8, ADDRESS_LOOPBACK },
    { { 168, 63, 129, 16 }, 32, ADDRESS_METADATA }, /* Azure's, from inside of each machine */
    { { 169, 254 }, 16, ADDRESS_LINK_LOCAL },
    { { 172, 16 }, 12, ADDRESS_PRIVATE },
    { { 192, 0, 0 }, 24, ADDRESS_RESERVED }, /* also Oracle's metadata, 192.0.0.192 */
    { { 192, 0, 2 }, 24, ADDRESS_DOCUMENTATION },
    { { 192, 88, 99 }, 24, ADDRESS_6TO4 }, /* relays of old */
    { { 192, 168 }, 16, ADDRESS_PRIVATE },
    { { 198, 18 }, 15, ADDRESS_BENCHMARK },
    { { 198, 51, 100 }, 24, ADDRESS_DOCUMENTATION },
    { { 203, 0, 113 }, 24, ADDRESS_DOCUMENTATION },
    { { 224 }, 4, ADDRESS_MULTICAST },
    { { 255, 255, 255, 255 }, 32, ADDRESS_MULTICAST },
    { { 240 }, 4, ADDRESS_RESERVED },
    { { 0 }, 0, ADDRESS_PUBLIC },
};

/* https://www.iana.org/assignments/iana-ipv6-special-registry. Only 2000::/3 is handed out to be reached from
 * everywhere. */
static const struct range ipv6_ranges[] = {
    { { 0 }, 128, ADDRESS_UNSPECIFIED },
    { { [15] = 1 }, 128, ADDRESS_LOOPBACK },
    { { [10] = 0xff, 0xff }, 96, ADDRESS_MAPPED },
    { { [8] = 0xff, 0xff }, 96, ADDRESS_MAPPED },
    { { 0 }, 96, ADDRESS_MAPPED },
    { { 0x00, 0x64, 0xff, 0x9b }, 96, ADDRESS_NAT64 },
    { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, ADDRESS_NAT64 },
    { { 0x20, 0x01, 0x00, 0x00 }, 32, ADDRESS_TEREDO },
    { { 0x20, 0x01, 0x00, 0x02, 0x00, 0x00 }, 48, ADDRESS_BENCHMARK },
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32, ADDRESS_DOCUMENTATION },
    { { 0x20, 0x01, 0x00 }, 23, ADDRESS_RESERVED },
    { { 0x20, 0x02 }, 16, ADDRESS_6TO4 },
    { { 0x3f, 0xff, 0x00 }, 20, ADDRESS_DOCUMENTATION },
    { { 0x20 }, 3, ADDRESS_PUBLIC },
    { { 0xfc }, 7, ADDRESS_PRIVATE },
    { { 0xfe, 0x80 }, 10, ADDRESS_LINK_LOCAL },
    { { 0xfe, 0xc0 }, 10, ADDRESS_PRIVATE },
    { { 0xff }, 8, ADDRESS_MULTICAST },
    { { 0 }, 0, ADDRESS_RESERVED },
};

static bool range_has(const struct range *range, const uint8_t *bytes)
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;
    uint8_t mask = (uint8_t) (0xff00 >> rest);

    return memcmp(range->bytes, bytes, whole) == 0 &&
           (rest == 0 || ((range->bytes[whole] ^ bytes[whole]) & mask) == 0);
}

static enum address_kind look_up(const struct range *range, const uint8_t *bytes)
{
    while (!range_has(range, bytes))
        range++;
    return range->kind;
}

static void read_ipv4(const struct sockaddr *address, uint8_t bytes[static 4])
{
    struct sockaddr_in in;

    memcpy(&in, address, sizeof in);
    memcpy(bytes, &in.sin_addr, 4);
}

static void read_ipv6(const struct sockaddr *address, uint8_t bytes[static 16])
{
    struct sockaddr_in6 in6;

    memcpy(&in6, address, sizeof in6);
    memcpy(bytes, &in6.sin6_addr, 16);
}

enum address_kind address_kind_of(const struct sockaddr *address)
{
    uint8_t bytes[16];

    if (address->sa_family == AF_INET) {
        read_ipv4(address, bytes);
        return look_up(ipv4_ranges, bytes);
    }
    if (address->sa_family != AF_INET6)
        return ADDRESS_FOREIGN;
    read_ipv6(address, bytes);
    return look_up(ipv6_ranges, bytes);
}

const char *address_kind_text(enum address_kind kind)
{
    static const char *const texts[ADDRESS_KINDS] = {
        [ADDRESS_PUBLIC] = "a public address",
        [ADDRESS_UNSPECIFIED] = "an unspecified address",
        [ADDRESS_LOOPBACK] = "a loopback address",
        [ADDRESS_PRIVATE] = "a private address",
        [ADDRESS_LINK_LOCAL] = "a link-local address",
        [ADDRESS_METADATA] = "an address of a metadata service",
        [ADDRESS_SHARED] = "a shared address",
        [ADDRESS_BENCHMARK] = "a benchmark address",
        [ADDRESS_DOCUMENTATION] = "a documentation address",
        [ADDRESS_MULTICAST] = "a multicast or broadcast address",
        [ADDRESS_RESERVED] = "a reserved address",
        [ADDRESS_MAPPED] = "an IPv4 address written as IPv6",
        [ADDRESS_NAT64] = "a NAT64 address",
        [ADDRESS_6TO4] = "a 6to4 address",
        [ADDRESS_TEREDO] = "a Teredo address",
        [ADDRESS_FOREIGN] = "neither an IPv4 nor an IPv6 address",
        [ADDRESS_OWN] = "an address of this host",
        [ADDRESS_DENIED] = "an address that is denied",
    };

    return texts[kind];
}

bool address_is_named(const struct sockaddr *address, const struct address_prefix *named,
                      size_t n_named)
{
    struct address_prefix whole;

    if (n_named == 0 || !address_of(address, &whole))
        return false;
    for (size_t i = 0; i < n_named; i++)
        if (address_prefix_has(&named[i], &whole))
            return true;
    return false;
}

/* Reads the IPv4 address inside of an IPv6 address; false if the kind has none at a known place. */
static bool read_inner(const struct sockaddr *address, enum address_kind kind,
                       struct sockaddr_in *ret_inner)
{
    uint8_t bytes[16], inner[4];

    if (address->sa_family != AF_INET6)
        return false;
    read_ipv6(address, bytes);
    if (kind == ADDRESS_NAT64 &&
        range_has(&(struct range){ { 0, 0x64, 0xff, 0x9b }, 96, 0 }, bytes))
        memcpy(inner, bytes + 12, 4);
    else if (kind == ADDRESS_6TO4)
        memcpy(inner, bytes + 2, 4);
    else if (kind == ADDRESS_TEREDO)
        for (size_t i = 0; i < 4; i++) /* the client's, with each bit inverted: RFC 4380, 4 */
            inner[i] = (uint8_t) ~bytes[12 + i];
    else
        return false;
    *ret_inner = (struct sockaddr_in){ .sin_family = AF_INET };
    memcpy(&ret_inner->sin_addr, inner, 4);
    return true;
}

bool address_is_reachable(const struct sockaddr *address, const struct address_rules *rules,
                          enum address_kind *ret_kind)
{
    enum address_kind kind = address_kind_of(address);
    struct sockaddr_in inner;

    *ret_kind = kind;
    if (address_is_named(address, rules->denied, rules->n_denied)) {
        *ret_kind = ADDRESS_DENIED;
        return false;
    }
    if (kind == ADDRESS_PUBLIC)
        return true;
    if (kind == ADDRESS_MAPPED || !address_is_named(address, rules->named, rules->n_named))
        return false;
    return !read_inner(address, kind, &inner) ||
           address_is_reachable((const struct sockaddr *) &inner, rules, ret_kind);
}
