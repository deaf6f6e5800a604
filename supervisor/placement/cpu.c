/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one account of CPU time for each tenant. What is charged is what workers write on their
 * scoreboards, and never more than their processes have used by the kernel's clock. Supervisor,
 * loop thread.
 */
#include <stdatomic.h>

#include "common/io.h"
#include "supervisor/requests/internal.h"
#include "supervisor/workers/child.h"

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

uint64_t ledger_debt_ns(struct tenant *tenant)
{
    const struct version *version = tenant->version;
    struct rate *rate = &tenant->books.rate;
    uint32_t ms_per_s = version->limits.cpu_rate;

    if (ms_per_s == LIMIT_UNLIMITED)
        return 0;
    rate_refill(rate, ms_per_s, io_now_ns());
    uint64_t wait_ns = rate_wait_ns(rate, ms_per_s);
    if (wait_ns == 0)
        return 0;
    /* Used in this second: what the second brings, and the debt. */
    uint64_t used_ms = ms_per_s + (uint64_t) -rate->left_ns / NSEC_PER_MSEC;
    bool is_noted = ledger_is_noted(version, NULL, LIMIT_INDEX(cpu_rate));
    if (ledger_meet_limit(version, NULL, LIMIT_INDEX(cpu_rate), used_ms * 1000))
        return wait_ns;
    if (!is_noted) /* only observed: the next second is not told of this one's debt again */
        rate->left_ns = 0;
    return 0;
}

unsigned ledger_retry_after_s(struct tenant *tenant)
{
    uint64_t seconds = (ledger_debt_ns(tenant) + NSEC_PER_SEC - 1) / NSEC_PER_SEC;

    return seconds < 1 ? 1 : seconds < UINT32_MAX ? (unsigned) seconds : UINT32_MAX;
}

/* ---- the process's clock */

void ledger_look_at_clock(struct child *child)
{
    struct child_books *books = &child->books;
    uint64_t clock = child_cpu_ns(child);
    uint64_t claim = child->board ? atomic_load(&child->board->running_request) : 0;

    if (books->pid != child->pid) {
        books->pid = child->pid;
        books->clock_ns = books->spare_ns = books->claim = 0;
    }
    if (clock > books->clock_ns) {
        books->spare_ns += clock - books->clock_ns;
        books->clock_ns = clock;
    }
    if (claim != books->claim) {
        books->claim = claim;
        books->claim_clock_ns = books->clock_ns;
    }
}

/* As much of a claim as the process can have used, which is not there for others any more. */
static uint64_t take_spare(struct child *child, uint64_t claim_ns, uint64_t since_clock_ns)
{
    struct child_books *books = &child->books;

    if (books->pid != child->pid || claim_ns > books->spare_ns ||
        claim_ns > books->clock_ns - since_clock_ns)
        ledger_look_at_clock(child);
    if (since_clock_ns > books->clock_ns)
        return 0;
    uint64_t most = books->clock_ns - since_clock_ns;
    most = most < books->spare_ns ? most : books->spare_ns;
    uint64_t taken = claim_ns < most ? claim_ns : most;
    books->spare_ns -= taken;
    return taken;
}

/* ---- placements */

void ledger_collect_cpu(struct placement *placement)
{
    struct placement_books *books = &placement->books;
    struct child *child = placement->child;

    if (!child->board)
        return;
    const struct scoreboard_tenant *slot = &child->board->tenants[placement->place];
    if (atomic_load(&slot->tenant) != placement->id)
        return;
    uint64_t claim = atomic_load(&slot->cpu_ns);
    if (claim <= books->cpu_seen_ns) {
        books->cpu_seen_ns = claim; /* it cannot shrink; what it says from here on still counts */
        return;
    }
    uint64_t taken = take_spare(child, claim - books->cpu_seen_ns, books->clock_from_ns);
    books->cpu_seen_ns = claim;
    /* What runs now is not in the claim yet. It has begun since the last look, because what ran before
     * it has ended since. */
    books->clock_from_ns += taken;
    if (books->clock_from_ns < books->clock_seen_ns)
        books->clock_from_ns = books->clock_seen_ns;
    books->clock_seen_ns = child->books.clock_ns;
    charge(placement->version->tenant, taken);
}

/* A load is a turn, too: it comes out of the tenant's share of the worker. */
static void charge_turn(struct tenant *tenant, struct child *child, uint64_t used_us)
{
    uint32_t cost_us = used_us < RUN_COST_MAX_US ? (uint32_t) used_us : RUN_COST_MAX_US;

    child = tenant->books.run_child ? tenant->books.run_child : child;
    run_queue_settle(&child->books.queue, &tenant->books.run, 0, cost_us);
}

void ledger_collect_load(struct placement *placement, uint64_t cpu_us)
{
    struct placement_books *books = &placement->books;

    struct tenant *tenant = placement->version->tenant;
    uint64_t before_us = tenant->cpu_us;

    ledger_collect_cpu(placement);
    if (books->cpu_seen_ns == 0) { /* it is not on the board */
        uint64_t claim_ns = (cpu_us < UINT32_MAX ? cpu_us : UINT32_MAX) * 1000;
        charge(tenant, take_spare(placement->child, claim_ns, 0));
    }
    charge_turn(tenant, placement->child, tenant->cpu_us - before_us);
}

void ledger_use_placement(struct placement *placement)
{
    if (placement->books.is_used)
        return;
    placement->books.is_used = true;
    LIST_INSERT_HEAD(&placement->child->server->ledger->used, placement, books.used);
}

void ledger_forget_placement(struct placement *placement)
{
    if (placement->books.is_used)
        LIST_REMOVE(placement, books.used);
    placement->books.is_used = false;
}

void ledger_collect_all(struct ledger *ledger)
{
    const struct pool *pool = ledger->server->pool;
    struct placement *placement, *next;
    struct child *child;

    if (pool)
        TAILQ_FOREACH (child, &pool->children, entry)
            if (child->in_flight > 0)
                ledger_look_at_clock(child);
    for (placement = LIST_FIRST(&ledger->used); placement; placement = next) {
        next = LIST_NEXT(placement, books.used);
        ledger_collect_cpu(placement);
        if (placement->in_flight == 0)
            ledger_forget_placement(placement);
    }
}

/* ---- death */

void ledger_charge_death(struct child *child)
{
    struct child_books *books = &child->books;
    struct placement *placement;

    LIST_FOREACH (placement, &child->placements, in_child)
        ledger_collect_cpu(placement);
    const struct request *request = child_find_request(child, books->claim);
    if (!request || books->pid != child->pid)
        return;
    charge(request->tenant, take_spare(child, UINT64_MAX, books->claim_clock_ns));
}
