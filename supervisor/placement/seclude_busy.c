/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants that hold up others in their worker, or use far more CPU time than they do: how they are found, each second and each
 * few milliseconds, and sent apart. conduct.h and holdup.h have the rules, seclude.c the workers apart. Supervisor, loop
 * thread.
 */
#include <inttypes.h>
#include <stdio.h>

#include "common/io.h"
#include "common/log.h"
#include "supervisor/placement/first_credit.h"
#include "supervisor/placement/placement.h"
#include "supervisor/placement/retire.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/workers/running.h"
#include "supervisor/workers/slots.h"

#define BUSY_LOOKS 10 /* looks in a row, one each second, until a tenant goes apart */

/* ---- each second */

/* Returns the CPU time of the busiest other tenant in the worker, between the last two looks at
 * that tenant. */
static uint64_t busiest_neighbour_us(const struct tenant *tenant)
{
    const struct placement *own = LIST_FIRST(&tenant->version->placements), *other;
    uint64_t most = 0;

    if (!own)
        return 0;
    LIST_FOREACH (other, &own->worker->placements, in_worker)
        if (other->version->tenant != tenant && other->version->tenant->spent_us > most)
            most = other->version->tenant->spent_us;
    return most;
}

/* Returns how much of its own time the tenant's worker has had since the last look, and begins anew. */
static uint64_t take_own_us(struct tenant *tenant, uint64_t now_ns)
{
    const struct placement *placement = LIST_FIRST(&tenant->version->placements);
    const struct own_time nobody = { 0 }, *own = placement ? &placement->worker->own : &nobody;
    const struct own_mark looked = { tenant->looked_ns, tenant->looked_waited_ns };

    tenant->looked_ns = now_ns;
    tenant->looked_waited_ns = own->waited_ns;
    return own_time_since_ns(own, &looked, now_ns) / NSEC_PER_USEC;
}

static void go_apart(struct tenant *tenant)
{
    (void) placement_find_slot(placements_of_tenant(tenant)->slots, tenant->version);
    placements_of_tenant(tenant)->ops->on_tenant(tenant);
}

static void check_busy(struct tenant *tenant, uint64_t now_ns)
{
    uint64_t spent_us = tenant->cpu_us - tenant->cpu_seen_us, own_us = take_own_us(tenant, now_ns);

    tenant->cpu_seen_us = tenant->cpu_us;
    tenant->spent_us = spent_us;
    bool is_busy = conduct_is_busy(spent_us, busiest_neighbour_us(tenant), own_us);

    tenant->busy_looks = is_busy ? tenant->busy_looks + 1 : 0;
    tenant->calm_looks = conduct_is_calm(spent_us, own_us) ? tenant->calm_looks + 1 : 0;
    if (tenant->busy_looks >= BUSY_LOOKS) {
        if (seclude_begin(tenant, "uses far more CPU time than its neighbours"))
            go_apart(tenant);
    } else if (conduct_rejoin(&tenant->conduct, tenant->calm_looks, now_ns) &&
               !tenant->version->cordon->is_solitary) {
        seclude_let_back(tenant);
    }
}

static void check(struct tenant *tenant, uint64_t now_ns)
{
    if (conduct_expire(&tenant->conduct, now_ns) && !tenant->version->cordon->is_solitary)
        seclude_let_back(tenant);
    if (tenant->version) /* otherwise the tenant serves nothing yet */
        check_busy(tenant, now_ns);
}

bool seclude_check_some(struct tenants *tenants, uint64_t now_ns)
{
    struct tenant_cursor *cursor = &tenants->care;
    struct tenant *tenant;

    if (!cursor->tenants)
        tenant_cursor_open(cursor, tenants);
    for (unsigned i = 0; i < TENANT_LOOKS_MAX; i++) {
        tenant = tenant_cursor_take(cursor);
        if (!tenant) {
            tenant_cursor_close(cursor);
            return false;
        }
        check(tenant, now_ns);
    }
    return true;
}

/* ---- at once */

/* Returns the CPU time that a piece may still use: as much again, if it has used more than expected, but not more than
 * its limits allow. */
static uint64_t rest_ms(uint64_t expected_ms, uint64_t used_ms, uint64_t most_ms, uint64_t grace_ms)
{
    uint64_t rest = expected_ms > used_ms ? expected_ms - used_ms : used_ms;

    if (used_ms > most_ms) /* V8 has not stopped the piece */
        most_ms += grace_ms;
    return most_ms < used_ms ? 0 : rest < most_ms - used_ms ? rest : most_ms - used_ms;
}

/* A piece of JavaScript that is no request's: the load of a version, timers of its modules. */
#define NO_REQUEST (UINT64_C(1) << 63)

static uint64_t load_piece(const struct placement *placement)
{
    return NO_REQUEST | placement->id;
}

/* Returns the CPU time that the placement's work in its worker is likely to use. */
static uint64_t remaining_ms(const struct placement *placement, uint64_t cpu_ns)
{
    const struct worker *worker = placement->worker;
    const struct limits *limits = &placement->version->limits;
    const struct attempt *running = worker_find_attempt(worker, worker->piece.request);
    uint64_t cost_us = placement->version->tenant->books.cost_us;
    uint64_t used_ms = holdup_piece_ns(&worker->piece, cpu_ns) / NSEC_PER_MSEC;

    if (placement_is_loading(placement) && worker->piece.request == load_piece(placement))
        return rest_ms(0, used_ms, limits->cpu_startup_ms, limits->grace_ms);
    if (!running || running->placement != placement)
        return placement->in_flight * cost_us / 1000;
    return (placement->in_flight - 1) * cost_us / 1000 +
           rest_ms(running->cost_us / 1000, used_ms,
                   (uint64_t) limits->cpu_ms + first_credit_left_ms(placement), limits->grace_ms);
}

/* Returns whether the tenant's next requests go to another worker already. */
static bool is_apart(const struct tenant *tenant, const struct worker *worker)
{
    return tenant->conduct.seclusion != SECLUSION_NONE && tenant->own &&
           tenant->own != worker->slot;
}

static bool begin_hold_part(const struct worker *worker, struct tenant *tenant, uint64_t now_ns)
{
    char reason[128];

    (void) snprintf(reason, sizeof reason,
                    "uses far more CPU time than its neighbours: has held up worker %u for %" PRIu64
                    " ms",
                    worker->number, holdup_held_ns(&tenant->held, now_ns) / NSEC_PER_MSEC);
    return seclude_begin(tenant, reason);
}

/* Has each tenant that holds up the worker begin to go apart. Returns how many do. */
static unsigned part_holders(const struct worker *worker, struct holdup_facts *facts,
                             struct tenant *parted[static SCOREBOARD_PLACEMENTS], uint64_t now_ns)
{
    const struct placement *placement;
    unsigned n = 0;

    LIST_FOREACH (placement, &worker->placements, in_worker) {
        struct tenant *tenant = placement->version->tenant;
        facts->tenant_ns = holdup_held_ns(&tenant->held, now_ns);
        facts->is_apart = is_apart(tenant, worker);
        facts->remaining_ms = 0;
        if (!facts->is_apart && holdup_decide(facts) != HOLDUP_STAY &&
            begin_hold_part(worker, tenant, now_ns))
            parted[n++] = tenant;
    }
    return n;
}

/* Chooses all requests behind the piece that holds up the worker, of any tenant: none has to wait there. Those of tenants
 * that are apart, or go just now, follow them; the others' are sent again, in turn, when the piece
 * is over, or to the worker that takes over. */
static bool is_behind(const struct worker *worker, const struct attempt *attempt)
{
    (void) worker;
    (void) attempt;
    return true;
}

/* Chooses the requests of the other tenants, after another worker has taken over the slot. */
static bool has_moved(const struct worker *worker, const struct attempt *attempt)
{
    const struct worker *place = placement_find_worker(worker->slots, attempt->tenant->version);

    return place && place != worker;
}

/* Returns whether the work that tenants apart still have in the worker keeps the others waiting for
 * too long. */
static bool must_replace(const struct worker *worker, struct holdup_facts *facts)
{
    uint64_t cpu_ns = worker_cpu_ns(worker);
    const struct placement *placement;

    LIST_FOREACH (placement, &worker->placements, in_worker) {
        const struct tenant *tenant = placement->version->tenant;
        facts->is_apart = is_apart(tenant, worker) || tenant->conduct.seclusion == SECLUSION_BUSY;
        facts->tenant_ns = 0;
        facts->remaining_ms = remaining_ms(placement, cpu_ns);
        if (holdup_decide(facts) == HOLDUP_REPLACE)
            return true;
    }
    return false;
}

/* Sends tenants that hold up the worker apart, and replaces the worker if the others would wait too
 * long for their work. */
static void relieve(struct worker *worker, uint64_t now_ns)
{
    struct holdup_facts facts = { .worker_ns = holdup_held_ns(&worker->held, now_ns) };
    struct tenant *parted[SCOREBOARD_PLACEMENTS];
    unsigned n = part_holders(worker, &facts, parted, now_ns);

    (void) placements_of_worker(worker)->ops->withdraw(worker, is_behind);
    /* The spare is for the others. */
    if (must_replace(worker, &facts))
        retire_at_once(worker, SECLUDE_HELD_UP);
    while (n > 0)
        go_apart(parted[--n]);
    if (!worker->slot)
        (void) placements_of_worker(worker)->ops->withdraw(worker, has_moved);
}

/* Returns the tenant whose JavaScript runs in the worker, by its claim; NULL: none. */
static struct tenant *find_running(const struct worker *worker, const struct running *running,
                                   uint64_t *ret_piece, uint64_t *ret_spared_ns)
{
    const struct attempt *attempt = worker_find_attempt(worker, running->request);
    uint32_t claim = attempt ? 0 : running->placement;
    const struct placement *placement;

    *ret_piece = attempt ? attempt->id : 0;
    *ret_spared_ns = 0;
    if (attempt)
        return attempt->tenant;
    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (placement->id == claim) {
            *ret_piece = load_piece(placement);
            if (placement_is_loading(placement))
                *ret_spared_ns = HOLDUP_LOAD_MS * NSEC_PER_MSEC;
            return placement->version->tenant;
        }
    return NULL;
}

/* Keeps the counts from decaying in the time in which the worker waited for a processor. */
static void keep_counts(struct worker *worker, uint64_t now_ns)
{
    uint64_t waited_ns = worker->own.waited_ns - worker->held_waited_ns;
    const struct placement *placement;

    worker->held_waited_ns = worker->own.waited_ns;
    if (waited_ns == 0 || worker->held.held_ns == 0)
        return;
    holdup_wait(&worker->held, waited_ns, now_ns);
    LIST_FOREACH (placement, &worker->placements, in_worker)
        holdup_wait(&placement->version->tenant->held, waited_ns, now_ns);
}

void seclude_look(struct worker *worker, uint64_t now_ns)
{
    bool is_up = worker->state == WORKER_READY || worker->state == WORKER_DRAINING;
    bool is_shared = !worker->slot || worker_is_in(worker, SLOT_SHARED);
    uint64_t piece, spared_ns;

    if (!is_up || !is_shared || worker->cordon->is_solitary || worker->cordon->solitary == 0)
        return;
    keep_counts(worker, now_ns);
    struct running running = worker_running(worker);
    struct tenant *tenant = find_running(worker, &running, &piece, &spared_ns);
    uint64_t grown_ns = tenant ? holdup_look(&worker->piece, piece, running.since_ns,
                                             worker_cpu_ns(worker), spared_ns)
                               : holdup_look(&worker->piece, 0, 0, 0, 0);
    if (grown_ns == 0 || !placements_of_worker(worker)->ops->others_wait(worker, tenant))
        return;
    holdup_add(&worker->held, grown_ns, now_ns);
    holdup_add(&tenant->held, grown_ns, now_ns);
    worker->held_at_ns = now_ns;
    if (holdup_is_pressed(&worker->held, now_ns))
        relieve(worker, now_ns);
}
