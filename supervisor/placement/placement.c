/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where versions have their isolates, and how they get there: loading, its failures, unloading.
 * Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "proto/channel.h"
#include "supervisor/placement/placement.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/link.h"
#include "supervisor/workers/worker.h"

/* In which renewals count. */
#define RENEWALS_WINDOW_NS (10 * NSEC_PER_SEC)
/* Stopped isolates of a version in which requests may go on. */
#define STOPPED_MAX 2

struct placement *placement_find(const struct version *version, const struct worker *worker)
{
    struct placement *placement;

    LIST_FOREACH (placement, &version->placements, in_version)
        if (placement->worker == worker && !placement->is_stopped)
            return placement;
    return NULL;
}

/* Numbers come round after 2^32 isolates, when the first ones are long gone. */
static uint32_t next_id(struct tenants *tenants)
{
    if (++tenants->last_placement == 0)
        tenants->last_placement = 1;
    return tenants->last_placement;
}

int placement_new(struct version *version, struct worker *worker, struct placement **ret_placement)
{
    struct placement *placement;

    if (worker->n_free_places == 0)
        return -EAGAIN;
    placement = calloc(1, sizeof *placement);
    if (!placement)
        return -ENOMEM;
    placement->id = next_id(version->tenant->tenants);
    placement->place = worker->free_places[--worker->n_free_places];
    placement->version = version_ref(version);
    placement->worker = worker;
    placement->since_ns = io_now_ns();
    placement->waited_ns = worker->own.waited_ns;
    placement->books.clock_from_ns = worker->clock.clock_ns;
    LIST_INSERT_HEAD(&version->placements, placement, in_version);
    LIST_INSERT_HEAD(&worker->placements, placement, in_worker);
    worker->n_placements++;
    if (worker->first_tenant == 0)
        worker->first_tenant = version->tenant->number;
    worker->is_shared = worker->is_shared || worker->first_tenant != version->tenant->number;
    *ret_placement = placement;
    return 0;
}

void placement_free(struct placement *placement)
{
    cpu_forget(placement);
    preload_end(placement);
    load_drop(placement);
    LIST_REMOVE(placement, in_version);
    LIST_REMOVE(placement, in_worker);
    placement->worker->n_placements--;
    placement->worker->free_places[placement->worker->n_free_places++] = placement->place;
    (void) version_unref(placement->version);
    free(placement);
}

void placement_leave_others(const struct version *version, const struct worker *worker)
{
    struct placement *placement, *next;

    for (placement = LIST_FIRST(&version->placements); placement; placement = next) {
        next = LIST_NEXT(placement, in_version);
        if (placement->worker == worker)
            continue;
        placement_retire(placement);
    }
}

void placement_retire(struct placement *placement)
{
    placement->is_retiring = true;
    if (placement->state == PLACEMENT_READY && placement->in_flight > 0)
        (void) link_send_retire(placement->worker, placement->id);
    placement_on_idle(placement);
}

/* A worker that is killed or has hung up takes its isolates with it. One that would begin to unload now, when that
 * cannot be heard any more, would be a candidate for the blame of a death that has happened already. */
static void unload(struct placement *placement)
{
    if (placement->worker->state == WORKER_KILLED ||
        link_send_unload(placement->worker, placement->id) == -EPIPE)
        return;
    placement->state = PLACEMENT_UNLOADING;
    placement->since_ns = io_now_ns();
    placement->waited_ns = placement->worker->own.waited_ns;
    placements_watch(placements_of_worker(placement->worker));
}

/* The worker is full: the isolate that was used least recently makes room. */
static void evict_one(struct worker *worker)
{
    struct placement *placement, *oldest = NULL;

    LIST_FOREACH (placement, &worker->placements, in_worker) {
        if (placement->state == PLACEMENT_UNLOADING)
            return; /* room is being made already */
        if (placement->state == PLACEMENT_READY && placement->in_flight == 0 &&
            (!oldest || placement->since_ns < oldest->since_ns))
            oldest = placement;
    }
    if (!oldest)
        return;
    worker->evictions++;
    unload(oldest);
}

/* ---- after a stop */

static void note_empty_bucket(struct version *version)
{
    struct tenant *tenant = version->tenant;
    char text[160];

    if (version->boots.is_empty)
        return;
    version->boots.is_empty = true;
    int n =
        snprintf(text, sizeof text,
                 "its requests were stopped too often: %u new isolates in 10 s (renewals) are used "
                 "up, requests wait for the next one",
                 version->limits.renewals);
    tenant_log(tenant, TENANT_WARN, text, (size_t) n);
    seclude_for_renewals(tenant);
}

/* Each stop costs a new isolate, and clients can cause stops: a token for each. In a worker of its own, or
 * among its like, a tenant needs none: it has one isolate made at a time and holds up no honest one. */
static bool may_boot(struct version *version, const struct worker *worker)
{
    struct boot_bucket *boots = &version->boots;
    uint32_t renewals = version->limits.renewals;
    bool is_own = worker_is_in(worker, SLOT_CROWD) ||
                  (worker_is_in(worker, SLOT_OWN) && worker->slot->owner == version->tenant);
    uint64_t now = io_now_ns();

    if (!boots->is_due || is_own || renewals == LIMIT_UNLIMITED)
        return true;
    uint64_t full_ns = boots->full_ns > now ? boots->full_ns : now;
    uint64_t each_ns = RENEWALS_WINDOW_NS / renewals;
    if (full_ns + each_ns > now + RENEWALS_WINDOW_NS) {
        note_empty_bucket(version);
        return false;
    }
    boots->full_ns = full_ns + each_ns;
    boots->is_empty = false;
    return true;
}

/* The one that was stopped first, if there are more than may go on; NULL: none. */
static struct placement *find_too_many(const struct version *version)
{
    struct placement *placement, *oldest = NULL;
    unsigned n = 0;

    LIST_FOREACH (placement, &version->placements, in_version) {
        if (!placement->is_stopped || placement->state != PLACEMENT_READY)
            continue;
        n++;
        if (!oldest || placement->stopped_ns < oldest->stopped_ns)
            oldest = placement;
    }
    return n > STOPPED_MAX ? oldest : NULL;
}

void placement_on_stopped(struct placement *placement)
{
    struct version *version = placement->version;
    struct tenant *tenant = version->tenant;
    struct placement *oldest;

    placement->is_stopped = placement->is_retiring = true;
    placement->stopped_ns = io_now_ns();
    version->boots.is_due = true;
    oldest = find_too_many(version);
    if (oldest)
        unload(oldest); /* its requests end with it: ledger_on_not_loaded */
    placement_on_idle(placement);
    placements_of_tenant(tenant)->ops->on_tenant(tenant);
}

int placement_load(struct version *version, struct worker *worker)
{
    struct placement *placement;

    if (channel_is_congested(worker->channel))
        return -EAGAIN; /* tried again when it has read */
    if (worker->n_placements >= SCOREBOARD_TENANTS) {
        evict_one(worker);
        return -EAGAIN;
    }
    if (!may_boot(version, worker))
        return -EAGAIN; /* tried again with the ledger's tick */
    int r = placement_new(version, worker, &placement);
    if (r < 0)
        return r;
    r = load_send(placement);
    if (r < 0) {
        placement_free(placement);
        return r;
    }
    version->boots.is_due = false;
    worker->loads++;
    placements_watch(placements_of_worker(worker));
    return 0;
}

void placement_on_loaded(struct placement *placement, enum error_code code, const char *text,
                         size_t size, uint64_t cpu_us)
{
    struct version *version = placement->version;
    struct tenant *tenant = version->tenant;
    struct worker *worker = placement->worker;
    const struct placements *placements = placements_of_tenant(tenant);

    cpu_collect_load(placement, cpu_us);
    preload_end(placement);
    if (code != ERROR_NONE) {
        (void) version_ref(version); /* the placement may have the last one */
        placement_free(placement);
        placements->versions->refused(version, code, text, size);
        (void) version_unref(version);
        preload_run(worker);
        return;
    }
    placement->state = PLACEMENT_READY;
    placement->ready_ns = io_now_ns();
    placements->versions->loaded(version);
    if (tenant->version == version &&
        placement_find_worker(placements_of_tenant(tenant)->slots, version) == worker)
        placement_leave_others(version, worker); /* it has moved */
    placement_on_idle(placement);
    placements_of_tenant(tenant)->ops->on_tenant(tenant);
    preload_run(worker);
}

void placement_on_unloaded(struct placement *placement)
{
    struct worker *worker = placement->worker;

    /* Not asked for: the isolate held too much memory. The next one is bounded like any after a stop. */
    if (placement->state == PLACEMENT_READY)
        placement->version->boots.is_due = true;
    if (placement->in_flight > 0) {
        placement->state = PLACEMENT_GONE;
        return;
    }
    placement_free(placement);
    placements_of_worker(worker)->ops->on_room(worker); /* whoever waited for room in it */
    preload_run(worker);
}

void placement_on_idle(struct placement *placement)
{
    if (placement->in_flight > 0)
        return;
    if (placement->state == PLACEMENT_GONE) {
        placement_on_unloaded(placement);
    } else if (placement->state == PLACEMENT_READY) {
        placement->since_ns = io_now_ns();
        if (placement->is_retiring)
            unload(placement);
    }
}

void placement_on_load_death(struct version *version, enum error_code code, const char *cause)
{
    placements_of_tenant(version->tenant)->versions->died(version, code, cause);
}
