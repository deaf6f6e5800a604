/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of names, by c-ares on the loop: absolute names only, by DNS only, but for localhost. The resolvers are those of
 * /etc/resolv.conf as it was when the process started, or those that were given. Egress process.
 */
#pragma once

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define NAMES_ADDRESSES_MAX 16 /* most addresses of one name; more are left out */

struct names;

struct name_addresses {
    struct sockaddr_storage list[NAMES_ADDRESSES_MAX]; /* without ports */
    size_t n;
    uint32_t ttl_s; /* the shortest */
};

/* Answers a look-up. addresses: NULL if there are none: then error is -ENOENT for a name without addresses,
 * -ETIMEDOUT or -EHOSTUNREACH for resolvers that do not answer or fail, or another -errno. */
typedef void (*names_answer_fn)(void *owner, int error, const struct name_addresses *addresses);

/* Reads files: before confinement. servers: "127.0.0.1:5353,[::1]:53"; NULL: those of the system. 0 or -errno. */
int names_new(const char *servers, struct names **ret_names);
/* Attaches to a loop. base: borrowed. 0 or -ENOMEM. */
int names_attach(struct names *names, struct event_base *base);
/* Frees names; look-ups that are under way are answered with -ECANCELED before. NULL is allowed. Returns NULL. */
struct names *names_free(struct names *names);
/* Looks a name up: NUL-ended, as host_name_parse writes it, no address. answer may be called before it returns; once in
 * any case. */
void names_ask(struct names *names, const char *name, names_answer_fn answer, void *owner);
