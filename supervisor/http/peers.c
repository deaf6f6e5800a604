/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts connections for each client address, so that one client cannot take all of them: IPv4 by
 * address, IPv6 by /64, the usual share of one customer. Supervisor, loop thread.
 */
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "supervisor/http/internal.h"

#define BUCKETS 4096 /* a power of two */

struct http_peer {
    struct http_peer *next; /* owned by the bucket */
    uint64_t key;
    uint64_t id;
    uint64_t slow_ms;
    uint64_t buffered;
    sa_family_t family;
    uint32_t connections;
};

struct http_peers {
    uint64_t seed; /* so that nobody can aim at one bucket */
    uint32_t max_per_peer;
    struct address_prefix *proxies; /* owned */
    size_t n_proxies;
    struct http_peer *buckets[BUCKETS];
};

static uint64_t hash_key(const struct http_peers *peers, uint64_t key, sa_family_t family)
{
    uint64_t hash = (key ^ peers->seed) + family;

    /* The finalizer of splitmix64. */
    hash = (hash ^ (hash >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ (hash >> 27)) * UINT64_C(0x94d049bb133111eb);
    return hash ^ (hash >> 31);
}

static struct http_peer **bucket(struct http_peers *peers, uint64_t key, sa_family_t family)
{
    return &peers->buckets[hash_key(peers, key, family) & (BUCKETS - 1)];
}

uint64_t http_peer_id(const struct http_peer *peer)
{
    return peer->id;
}

uint64_t *http_peer_slow_ms(struct http_peer *peer)
{
    return &peer->slow_ms;
}

uint64_t *http_peer_buffered(struct http_peer *peer)
{
    return &peer->buffered;
}

/* Makes the key of an address. False for families that have no limit. */
static bool make_key(const struct sockaddr *address, uint64_t *ret_key, sa_family_t *ret_family)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, address, sizeof(in));
        *ret_key = ntohl(in.sin_addr.s_addr);
        *ret_family = AF_INET;
        return true;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        uint64_t prefix;
        uint32_t last;

        memcpy(&in6, address, sizeof(in6));
        memcpy(&prefix, &in6.sin6_addr, sizeof(prefix));
        memcpy(&last, &in6.sin6_addr.s6_addr[12], sizeof(last));
        if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
            *ret_key = ntohl(last);
            *ret_family = AF_INET;
        } else {
            *ret_key = be64toh(prefix);
            *ret_family = AF_INET6;
        }
        return true;
    }
    return false;
}

int http_peers_new(uint32_t max_per_peer, struct http_peers **ret_peers)
{
    struct http_peers *peers = calloc(1, sizeof(*peers));

    if (!peers)
        return -ENOMEM;
    peers->max_per_peer = max_per_peer;
    if (getrandom(&peers->seed, sizeof(peers->seed), 0) != (ssize_t) sizeof(peers->seed)) {
        free(peers);
        return -EIO;
    }
    *ret_peers = peers;
    return 0;
}

void http_peers_set_max(struct http_peers *peers, uint32_t max_per_peer)
{
    peers->max_per_peer = max_per_peer;
}

int http_peers_set_proxies(struct http_peers *peers, const struct address_prefix *proxies, size_t n)
{
    struct address_prefix *copy = NULL;

    if (n > 0) {
        copy = calloc(n, sizeof(*copy));
        if (!copy)
            return -ENOMEM;
        memcpy(copy, proxies, n * sizeof(*copy));
    }
    free(peers->proxies);
    peers->proxies = copy;
    peers->n_proxies = n;
    return 0;
}

static bool is_proxy(const struct http_peers *peers, const struct sockaddr *address)
{
    struct address_prefix peer;

    if (peers->n_proxies == 0 || !address_of(address, &peer))
        return false;
    for (size_t i = 0; i < peers->n_proxies; i++)
        if (address_prefix_has(&peers->proxies[i], &peer))
            return true;
    return false;
}

struct http_peers *http_peers_free(struct http_peers *peers)
{
    if (!peers)
        return NULL;
    for (size_t i = 0; i < BUCKETS; i++) {
        struct http_peer *next;

        for (struct http_peer *peer = peers->buckets[i]; peer; peer = next) {
            next = peer->next;
            free(peer);
        }
    }
    free(peers->proxies);
    free(peers);
    return NULL;
}

int http_peer_enter(struct http_peers *peers, const struct sockaddr *address,
                    struct http_peer **ret_peer)
{
    struct http_peer **first;
    struct http_peer *peer;
    sa_family_t family;
    uint64_t key;

    if (is_proxy(peers, address) || !make_key(address, &key, &family)) {
        *ret_peer = NULL;
        return 0;
    }
    first = bucket(peers, key, family);
    for (peer = *first; peer; peer = peer->next) {
        if (peer->key == key && peer->family == family)
            break;
    }
    if (peer && peer->connections >= peers->max_per_peer)
        return -EDQUOT;
    if (!peer) {
        peer = calloc(1, sizeof(*peer));
        if (!peer)
            return -ENOMEM;
        peer->key = key;
        peer->id = hash_key(peers, key, family) | 1;
        peer->family = family;
        peer->next = *first;
        *first = peer;
    }
    peer->connections++;
    *ret_peer = peer;
    return 0;
}

void http_peer_leave(struct http_peers *peers, struct http_peer *peer)
{
    struct http_peer **link;

    if (!peer || --peer->connections > 0)
        return;
    for (link = bucket(peers, peer->key, peer->family); *link != peer; link = &(*link)->next)
        ;
    *link = peer->next;
    free(peer);
}
