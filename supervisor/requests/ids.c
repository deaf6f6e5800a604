/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of requests as clients, logs and operators see them. On the wire to the workers requests are counted, which
 * would tell each client how much the others ask; outside, the same numbers are permuted by a key of this
 * start. Supervisor, loop thread.
 */
#include <errno.h>
#include <sys/random.h>

#include "supervisor/requests/internal.h"

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

int ledger_make_id_keys(struct ledger *ledger)
{
    ssize_t n = getrandom(ledger->id_keys, sizeof ledger->id_keys, 0);

    return n == (ssize_t) sizeof ledger->id_keys ? 0 : n < 0 ? -errno : -EIO;
}

/* A Feistel network: each round can be undone, so no two numbers become one. */
uint64_t ledger_public_id(const struct ledger *ledger, uint64_t id)
{
    uint64_t left = id >> HALF_BITS & HALF_MASK, right = id & HALF_MASK;

    if (id == 0 || !ledger)
        return id;
    for (unsigned i = 0; i < LEDGER_ID_KEYS; i++) {
        uint64_t next = left ^ mix(right, ledger->id_keys[i]);
        left = right;
        right = next;
    }
    return left << HALF_BITS | right;
}
