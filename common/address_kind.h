/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses that a tenant's fetch may reach: public unicast, and what the operator has named. A name
 * of a host is worth nothing here, because its owner decides which addresses it has; so each address is
 * judged as it is about to be used. Pure functions; any process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "common/address.h"

/* Kinds by the special-purpose registries of IANA. ADDRESS_PUBLIC alone is reachable without being named. */
enum address_kind {
    ADDRESS_PUBLIC,
    ADDRESS_UNSPECIFIED, /* 0.0.0.0/8 and ::, which are this host */
    ADDRESS_LOOPBACK,
    ADDRESS_PRIVATE,    /* RFC 1918, fc00::/7, and fec0::/10 of old */
    ADDRESS_LINK_LOCAL, /* here clouds have their metadata services */
    ADDRESS_METADATA,   /* such a service at an address that looks public */
    ADDRESS_SHARED,     /* 100.64.0.0/10, between a provider and its customers */
    ADDRESS_BENCHMARK,
    ADDRESS_DOCUMENTATION,
    ADDRESS_MULTICAST, /* and broadcast */
    ADDRESS_RESERVED,  /* not assigned, or assigned to a protocol */
    ADDRESS_MAPPED,    /* IPv4 written as IPv6: ::ffff:0:0/96, ::ffff:0:0:0/96, ::/96 */
    ADDRESS_NAT64,     /* IPv4 behind a translator: 64:ff9b::/96, 64:ff9b:1::/48 */
    ADDRESS_6TO4,
    ADDRESS_TEREDO,
    ADDRESS_FOREIGN, /* neither IPv4 nor IPv6 */
    ADDRESS_OWN,     /* an address of this host, which the address alone does not tell */
    ADDRESS_DENIED,  /* one that the operator has denied, whatever it is */
    ADDRESS_KINDS,
};

/* Returns the kind by the address alone; never ADDRESS_OWN or ADDRESS_DENIED. address: as long as its family says. */
enum address_kind address_kind_of(const struct sockaddr *address);
/* Returns the kind for people: "a loopback address". Static string. */
const char *address_kind_text(enum address_kind kind);

/* The operator's prefixes. Borrowed. */
struct address_rules {
    const struct address_prefix *named; /* reachable although they are not public */
    size_t n_named;
    const struct address_prefix *denied; /* never reachable, named or not */
    size_t n_denied;
};

/*
 * Returns whether the address is public or in one of the named prefixes, and in none of the denied ones. An address that has an IPv4
 * address in it (NAT64, 6to4, Teredo) must be named, and the address in it be reachable by itself. A
 * mapped address, which stands for the IPv4 address that could be used instead, is never reachable.
 * *ret_kind: its kind, or that of the address in it which is to blame.
 */
bool address_is_reachable(const struct sockaddr *address, const struct address_rules *rules,
                          enum address_kind *ret_kind);
/* Returns whether one of the prefixes has the address. */
bool address_is_named(const struct sockaddr *address, const struct address_prefix *named,
                      size_t n_named);
