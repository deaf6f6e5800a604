/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds addresses to the judgement about what a fetch may reach: 4 or 16 bytes are the address, the next 17 a named
 * prefix. An address without a name is reachable only if it is of the few ranges that are public.
 */
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/address_kind.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Checks by another way than the table. */
static void check_public_ipv4(uint32_t address)
{
    const uint32_t first = address >> 24, two = address >> 16;

    require(first != 0 && first != 10 && first != 127 && first < 224);
    require(two != 0xa9fe && two != 0xc0a8 && (two & 0xfff0) != 0xac10);
    require((two & 0xfffe) != 0xc612 && (two & 0xffc0) != 0x6440);
}

static const struct address_rules no_rules = { NULL, 0, NULL, 0 };

static void check(const struct sockaddr *address, const struct address_prefix *named)
{
    enum address_kind kind = ADDRESS_KINDS, again = ADDRESS_KINDS;
    const struct address_rules with = { named, 1, NULL, 0 }, against = { named, 1, named, 1 };
    const bool alone = address_is_reachable(address, &no_rules, &kind);
    const bool with_name = address_is_reachable(address, &with, &again);

    require(kind < ADDRESS_KINDS && again < ADDRESS_KINDS && address_kind_text(kind));
    require(alone == (kind == ADDRESS_PUBLIC) && kind == address_kind_of(address));
    require(with_name || !alone);
    if (with_name && !alone)
        require(address_is_named(address, named, 1) && kind != ADDRESS_MAPPED);
    if (address_is_named(address, named, 1))
        require(!address_is_reachable(address, &against, &again) && again == ADDRESS_DENIED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    struct address_prefix named = { .bits = 128 };
    const size_t length = size >= 16 + 17 ? 16 : 4;
    enum address_kind kind;

    if (size < 4 + 17)
        return 0;
    memcpy(named.bytes, data + length, 16);
    named.bits = data[length + 16] % 129;
    if (length == 16) {
        memcpy(&in6.sin6_addr, data, 16);
        check((const struct sockaddr *) &in6, &named);
        if (address_is_reachable((const struct sockaddr *) &in6, &no_rules, &kind))
            require((data[0] & 0xe0) == 0x20);
        return 0;
    }
    memcpy(&in.sin_addr, data, 4);
    check((const struct sockaddr *) &in, &named);
    if (address_is_reachable((const struct sockaddr *) &in, &no_rules, &kind))
        check_public_ipv4(ntohl(in.sin_addr.s_addr));
    return 0;
}
