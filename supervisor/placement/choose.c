/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses the slot for a version. Supervisor, loop thread.
 */
#include "supervisor/placement/placement.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/workers/slots.h"

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

static struct slot *best_shared(const struct slots *slots, const struct version *version,
                                bool is_joining)
{
    struct slot *slot = NULL, *best = NULL;
    uint64_t best_rank = 0;

    while ((slot = slots_next(slots, slot))) {
        if (slot->kind != SLOT_SHARED || slot->cordon != version->cordon ||
            slot->is_joining != is_joining || !slot_is_usable(slot))
            continue;
        uint64_t r = rank(version->tenant->name, slot->position);
        if (!best || r > best_rank) {
            best = slot;
            best_rank = r;
        }
    }
    return best;
}

struct slot *placement_find_slot(struct slots *slots, const struct version *version)
{
    const struct cordon_config *cordon = version->cordon;
    struct slot *slot;

    if (seclude_is_wanted(version)) {
        slot = seclude_find_slot(slots, version);
        if (slot || cordon->is_solitary)
            return slot && slot_is_usable(slot) ? slot : NULL;
    }
    slot = best_shared(slots, version, false);
    return slot ? slot : best_shared(slots, version, true);
}

struct worker *placement_find_worker(struct slots *slots, const struct version *version)
{
    return slot_find_ready(placement_find_slot(slots, version));
}
