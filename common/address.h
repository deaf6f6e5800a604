/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses and prefixes of clients, IPv4 and IPv6 alike. Any process; no state.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* IPv4 is ::ffff:0:0/96 and longer, so that a mapped address counts as the one that it stands for. */
struct address_prefix {
    uint8_t bytes[16];
    unsigned bits; /* 0 to 128 */
};

/* Parses "192.0.2.1", "10.0.0.0/8", "::1", "2001:db8::/32". Bits behind the prefix must be 0. 0 or
 * -EINVAL. */
int address_prefix_parse(const char *text, struct address_prefix *ret_prefix);
/* Writes what a text whose bits behind the prefix are not 0 may have meant: "10.0.0.0/8" for "10.0.0.1/8". Returns false for
 * another text. */
#define ADDRESS_PREFIX_TEXT 64
bool address_prefix_suggest(const char *text, char ret_text[static ADDRESS_PREFIX_TEXT]);
/* Returns the whole address as a prefix of 128 bits. False for a family without such addresses, as
 * Unix sockets. */
bool address_of(const struct sockaddr *address, struct address_prefix *ret_prefix);
/* Returns whether all addresses of `other` are in the prefix. */
bool address_prefix_has(const struct address_prefix *prefix, const struct address_prefix *other);

/* Parses an address ("127.0.0.1:8080", "[::1]:80", "unix:/path"; numeric only) as bind(2) takes it.
 * 0, -EINVAL for another form, -ENAMETOOLONG. */
int address_parse_listen(const char *address, struct sockaddr_storage *ret_address,
                         socklen_t *ret_size);
