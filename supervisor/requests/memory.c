/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/memory.h"

#include "supervisor/requests/ledger.h"
#include "supervisor/workers/worker.h"

#define BYTES_PER_KIB UINT64_C(1024)
#define KIB_PER_MIB UINT64_C(1024)
/* A claim of memory may be over its limit by this factor (V8 goes over for a while), and at most this much without a
 * limit. */
#define CLAIM_FACTOR 2
#define CLAIM_MAX_KIB (UINT64_C(64) << 20)

/* Answers that wait hold a tenant up when they fill one of these parts of external_mib, and so many of them are used. */
#define WAITING_PARTS 4
#define WAITING_FULL 3

static uint64_t bounded_claim(uint64_t claim_kib, uint32_t limit_mib)
{
    uint64_t most =
        limit_mib == LIMIT_UNLIMITED ? CLAIM_MAX_KIB : CLAIM_FACTOR * KIB_PER_MIB * limit_mib;

    return claim_kib < most ? claim_kib : most;
}

void memory_add_isolate(const struct placement *placement, struct memory_use *memory)
{
    struct scoreboard *board = placement->worker->board;
    const struct limits *limits = &placement->version->limits;

    if (!board)
        return;
    struct scoreboard_placement *claim = &board->placements[placement->row];
    /* While it loads, the row may still have the figures of the isolate before. */
    if (atomic_load_explicit(&claim->placement, memory_order_relaxed) != placement->id)
        return;
    memory->heap_kib += bounded_claim(atomic_load_explicit(&claim->heap_kib, memory_order_relaxed),
                                      limits->heap_mib);
    uint64_t external =
        (uint64_t) atomic_load_explicit(&claim->external_kib, memory_order_relaxed) +
        atomic_load_explicit(&claim->native_kib, memory_order_relaxed);
    memory->external_kib += bounded_claim(external, limits->external_mib);
}

void memory_add_bodies(const struct tenant *tenant, struct memory_use *memory)
{
    memory->bodies_kib += (ledger_queued_bytes(tenant) + BYTES_PER_KIB - 1) / BYTES_PER_KIB;
}

static void add_version(const struct version *version, struct memory_use *memory)
{
    const struct placement *placement;

    if (version)
        LIST_FOREACH (placement, &version->placements, in_version)
            memory_add_isolate(placement, memory);
}

void memory_add_tenant(const struct tenant *tenant, struct memory_use *memory)
{
    add_version(tenant->version, memory);
    add_version(tenant->candidate, memory);
    add_version(tenant->deployed.standby, memory);
    memory_add_bodies(tenant, memory);
}

uint64_t memory_sum_kib(const struct memory_use *memory)
{
    return memory->heap_kib + memory->external_kib + memory->bodies_kib;
}

/* Returns what answers of requests will add that were sent and have not begun: as much as the others have on average. */
static uint64_t expected_kib(const struct placement *placement, uint64_t waiting_kib)
{
    unsigned n_unstarted = placement->worker->books.n_unstarted;

    if (n_unstarted >= placement->in_flight)
        return waiting_kib;
    return waiting_kib / (placement->in_flight - n_unstarted) * n_unstarted;
}

bool memory_is_held_by_clients(const struct placement *placement)
{
    const struct limits *limits = &placement->version->limits;
    const struct scoreboard *board = placement->worker->board;

    if (!board || placement->in_flight == 0 || limits->external_mib == LIMIT_UNLIMITED)
        return false;
    const struct scoreboard_placement *claim = &board->placements[placement->row];
    uint64_t part = limits->external_mib * KIB_PER_MIB / WAITING_PARTS;
    uint64_t waiting = atomic_load_explicit(&claim->waiting_kib, memory_order_relaxed);
    uint64_t external = atomic_load_explicit(&claim->external_kib, memory_order_relaxed);
    return waiting >= part && external + expected_kib(placement, waiting) >= WAITING_FULL * part;
}
