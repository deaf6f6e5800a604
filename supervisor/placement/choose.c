/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker in which a version should be. Supervisor, loop thread.
 */
#include "supervisor/placement/placement.h"
#include "supervisor/placement/seclude.h"

static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ (hash >> 33);
}

/* FNV-1a, then a mixer, so that slots that differ in one bit rank independently. */
static uint64_t rank(const char *tenant, unsigned slot)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (const char *p = tenant; *p; p++)
        hash = (hash ^ (unsigned char) *p) * UINT64_C(0x100000001b3);
    return mix(hash ^ (uint64_t) slot * UINT64_C(0x9e3779b97f4a7c15));
}

static struct child *best_shared(const struct pool *pool, const struct version *version,
                                 bool is_joining)
{
    struct child *child, *best = NULL;
    uint64_t best_rank = 0;

    TAILQ_FOREACH (child, &pool->children, entry) {
        if (child->slot->kind != PLACE_SHARED || child->cordon != version->cordon ||
            child->slot->is_joining != is_joining || !child_is_usable(child))
            continue;
        uint64_t r = rank(version->tenant->name, child->slot->position);
        if (!best || r > best_rank) {
            best = child;
            best_rank = r;
        }
    }
    return best;
}

struct child *placement_place(struct pool *pool, const struct version *version)
{
    const struct cordon_config *cordon = version->cordon;
    struct child *child;

    if (seclude_is_wanted(version)) {
        child = seclude_place(pool, version);
        if (child || cordon->is_solitary)
            return child && child_is_usable(child) ? child : NULL;
    }
    child = best_shared(pool, version, false);
    return child ? child : best_shared(pool, version, true);
}
