/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one account of CPU time for each tenant. Charges the figures that workers write on their
 * scoreboards, but never more than their processes have used by the kernel's clock. Supervisor,
 * loop thread.
 */
#include <stdatomic.h>

#include "common/io.h"
#include "supervisor/placement/blame.h"
#include "supervisor/placement/placement.h"
#include "supervisor/workers/clock.h"
#include "supervisor/workers/running.h"
#include "supervisor/workers/slots.h"

/* ---- cpu_rate */

static void charge(struct tenant *tenant, uint64_t used_ns)
{
    struct tenant_books *books = &tenant->books;
    uint32_t rate = tenant->version->limits.cpu_rate;

    books->cpu_ns += used_ns;
    tenant->cpu_us = books->cpu_ns / 1000;
    stats_add_cpu(&tenant->counted, used_ns);
    if (rate == LIMIT_UNLIMITED)
        return;
    rate_refill(&books->rate, rate, io_now_ns());
    rate_charge(&books->rate, used_ns);
}

/* ---- placements */

void cpu_collect(struct placement *placement)
{
    struct placement_books *books = &placement->books;
    struct worker *worker = placement->worker;

    if (!worker->board)
        return;
    const struct scoreboard_placement *slot = &worker->board->placements[placement->row];
    if (atomic_load(&slot->placement) != placement->id)
        return;
    uint64_t claim = atomic_load(&slot->cpu_ns);
    if (claim <= books->cpu_seen_ns) {
        books->cpu_seen_ns = claim; /* an honest figure never shrinks; only later growth counts */
        return;
    }
    uint64_t taken =
        worker_take_uncharged(worker, claim - books->cpu_seen_ns, books->clock_from_ns);
    books->cpu_seen_ns = claim;
    /* The running entry is not in the claim yet. The running entry has begun since the last look,
     * because the one before has ended since. */
    books->clock_from_ns += taken;
    if (books->clock_from_ns < books->clock_seen_ns)
        books->clock_from_ns = books->clock_seen_ns;
    books->clock_seen_ns = worker->clock.clock_ns;
    charge(placement->version->tenant, taken);
}

void cpu_collect_load(struct placement *placement, uint64_t cpu_us)
{
    struct placement_books *books = &placement->books;

    struct tenant *tenant = placement->version->tenant;
    uint64_t before_us = tenant->cpu_us;

    cpu_collect(placement);
    if (books->cpu_seen_ns == 0) { /* the time is not on the board */
        uint64_t claim_ns = (cpu_us < UINT32_MAX ? cpu_us : UINT32_MAX) * 1000;
        charge(tenant, worker_take_uncharged(placement->worker, claim_ns, 0));
    }
    placements_of_worker(placement->worker)
        ->ops->on_load_cost(tenant, placement->worker, tenant->cpu_us - before_us);
}

void cpu_use(struct placement *placement)
{
    if (placement->books.is_used)
        return;
    placement->books.is_used = true;
    LIST_INSERT_HEAD(&placements_of_worker(placement->worker)->used, placement, books.used);
}

void cpu_forget(struct placement *placement)
{
    if (placement->books.is_used)
        LIST_REMOVE(placement, books.used);
    placement->books.is_used = false;
}

void cpu_collect_all(struct placements *placements)
{
    const struct slots *slots = placements->slots;
    struct placement *placement, *next;
    struct worker *worker;

    TAILQ_FOREACH (worker, &slots->workers, entry)
        if (worker->in_flight > 0)
            worker_look_at_clock(worker);
    for (placement = LIST_FIRST(&placements->used); placement; placement = next) {
        next = LIST_NEXT(placement, books.used);
        cpu_collect(placement);
        if (placement->in_flight == 0)
            cpu_forget(placement);
    }
}

/* ---- death */

static struct placement *find_version(const struct worker *worker, uint32_t version)
{
    struct placement *placement;

    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (version != 0 && placement->version->id == version)
            return placement;
    return NULL;
}

/* Returns the placement whose code ran last: the worker's claim, if native code cannot have written it; else the
 * culprit's. NULL: not known. */
static struct placement *find_last(const struct worker *worker, const struct verdict *verdict)
{
    const struct attempt *attempt = worker_find_attempt(worker, worker->clock.claim);

    if (verdict->is_untrusted)
        return find_version(worker, verdict->version);
    if (attempt)
        return attempt->placement;
    uint32_t loading = placement_loading_version(worker, worker_ran_last(worker).placement);
    return find_version(worker, loading != 0 ? loading : verdict->version);
}

/* Returns the earliest time of the worker's CPU clock at which that code may have begun. */
static uint64_t last_since_ns(const struct worker *worker, const struct placement *last)
{
    const struct worker_clock *clock = &worker->clock;
    uint64_t since_ns = last->books.clock_from_ns;

    return worker_find_attempt(worker, clock->claim) && since_ns < clock->claim_clock_ns
               ? clock->claim_clock_ns
               : since_ns;
}

void cpu_charge_death(struct worker *worker, const struct verdict *verdict)
{
    struct placement *placement;

    worker_look_at_clock(worker);
    const struct placement *last = find_last(worker, verdict);
    uint64_t since_ns = last ? last_since_ns(worker, last) : 0;
    uint64_t uncharged_ns = worker->clock.uncharged_ns;
    LIST_FOREACH (placement, &worker->placements, in_worker)
        cpu_collect(placement);
    since_ns +=
        uncharged_ns - worker->clock.uncharged_ns; /* also for entries that ended in that time */
    if (last)
        charge(last->version->tenant, worker_take_uncharged(worker, UINT64_MAX, since_ns));
}
