/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of requests as clients, logs and operators see them. The numbers on the wire to the
 * workers are a count, which would tell each client how much the others ask; outside, the same
 * numbers are permuted by a key of this start. Supervisor, loop thread.
 */
#include <errno.h>
#include <sys/random.h>

#include "supervisor/record/ids.h"

/* Both halves together fit into the integers that JSON's readers keep exactly. */
#define HALF_BITS 26
#define HALF_MASK ((UINT64_C(1) << HALF_BITS) - 1)

/* A keyed hash of one half, after MurmurHash3's finalizer. */
static uint64_t mix(uint64_t half, uint64_t key)
{
    uint64_t x = (half + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ key;

    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * (key | 1);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (x ^ x >> 33) & HALF_MASK;
}

int public_ids_init(struct public_ids *ids)
{
    ssize_t n = getrandom(ids->keys, sizeof ids->keys, 0);

    ids->is_made = n == (ssize_t) sizeof ids->keys;
    return ids->is_made ? 0 : n < 0 ? -errno : -EIO;
}

/* A Feistel network: each round can be undone, so no two numbers become one. */
uint64_t public_id(const struct public_ids *ids, uint64_t id)
{
    uint64_t left = id >> HALF_BITS & HALF_MASK, right = id & HALF_MASK;

    if (id == 0 || !ids->is_made)
        return id;
    for (unsigned i = 0; i < PUBLIC_ID_KEYS; i++) {
        uint64_t next = left ^ mix(right, ids->keys[i]);
        left = right;
        right = next;
    }
    return left << HALF_BITS | right;
}
