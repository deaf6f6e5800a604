/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The placements of versions in workers: loading, its failures, unloading.
 * Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "proto/channel.h"
#include "supervisor/placement/first_credit.h"
#include "supervisor/placement/placement.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/link.h"
#include "supervisor/workers/worker.h"

/* Time in which renewals count. */
#define RENEWALS_WINDOW_NS (10 * NSEC_PER_SEC)
/* Most stopped isolates of a version in which requests may go on. */
#define STOPPED_MAX 2

struct placement *placement_find(const struct version *version, const struct worker *worker)
{
    struct placement *placement;

    LIST_FOREACH (placement, &version->placements, in_version)
        if (placement->worker == worker && !placement->is_stopped)
            return placement;
    return NULL;
}

/* Returns the next number. Numbers wrap after 2^32 isolates, when the first ones are long gone. */
static uint32_t next_id(struct tenants *tenants)
{
    if (++tenants->last_placement == 0)
        tenants->last_placement = 1;
    return tenants->last_placement;
}

int placement_new(struct version *version, struct worker *worker, struct placement **ret_placement)
{
    struct placement *placement;

    if (worker->n_free_placement_rows == 0)
        return -EAGAIN;
    placement = calloc(1, sizeof *placement);
    if (!placement)
        return -ENOMEM;
    placement->id = next_id(version->tenant->tenants);
    placement->row = worker->free_placement_rows[--worker->n_free_placement_rows];
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
    placement->worker->free_placement_rows[placement->worker->n_free_placement_rows++] =
        placement->row;
    (void) version_unref(placement->version);
    free(placement);
}

/* ---- life: actions of the table. 0, or -errno, after which the state is unchanged */

static void on_event(struct placement *placement, enum placement_event event);

/* Only changes the state. */
static int go(struct placement *placement)
{
    (void) placement;
    return 0;
}

static int serve(struct placement *placement)
{
    struct version *version = placement->version;
    struct placements *placements = placements_of_worker(placement->worker);

    placement->ready_ns = io_now_ns();
    placements->versions->loaded(version);
    if (version->tenant->version == version &&
        placement_find_worker(placements->slots, version) == placement->worker)
        placement_leave_others(version, placement->worker); /* the version has moved */
    return 0;
}

static int rest(struct placement *placement)
{
    placement->since_ns = io_now_ns();
    return 0;
}

static int tell_retire(struct placement *placement)
{
    if (placement->in_flight > 0)
        (void) link_send_retire(placement->worker, placement->id);
    return 0;
}

/* Unloads the isolate. A worker that is killed or has hung up takes its isolates with it: one that began to unload now
 * would become a candidate for the blame of a death that has happened already. */
static int unload(struct placement *placement)
{
    struct worker *worker = placement->worker;

    if (worker->state == WORKER_KILLED || link_send_unload(worker, placement->id) == -EPIPE)
        return -EPIPE;
    placement->since_ns = io_now_ns();
    placement->waited_ns = worker->own.waited_ns;
    placements_watch(placements_of_worker(worker));
    return 0;
}

/* Returns the isolate that was stopped first, if more are stopped than may go on; NULL: none. */
static struct placement *find_too_many(const struct version *version)
{
    struct placement *placement, *oldest = NULL;
    unsigned n = 0;

    LIST_FOREACH (placement, &version->placements, in_version) {
        if (!placement->is_stopped || !placement_is_up(placement))
            continue;
        n++;
        if (!oldest || placement->stopped_ns < oldest->stopped_ns)
            oldest = placement;
    }
    return n > STOPPED_MAX ? oldest : NULL;
}

static int note_stop(struct placement *placement)
{
    struct version *version = placement->version;
    struct placement *oldest;

    placement->is_stopped = true;
    placement->stopped_ns = io_now_ns();
    version->boots.is_due = true;
    first_credit_on_stop(placement);
    oldest = find_too_many(version);
    if (oldest)
        /* The requests end with the isolate: ledger_on_not_loaded. */
        on_event(oldest, PLACEMENT_EVENT_EVICT);
    return 0;
}

/* Notes an isolate that the worker has unloaded by itself, because it held too much memory. The next one is bounded like
 * any after a stop. */
static int note_loss(struct placement *placement)
{
    placement->version->boots.is_due = true;
    first_credit_forfeit(placement->version);
    return 0;
}

static int drop(struct placement *placement)
{
    placement_free(placement);
    return 0;
}

static int make_room(struct placement *placement)
{
    struct worker *worker = placement->worker;

    placement_free(placement);
    placements_of_worker(worker)->ops->on_room(worker); /* for versions that wait for room in it */
    preload_run(worker);
    return 0;
}

struct placement_step {
    const char *name;
    int (*run)(struct placement *placement);
    enum placement_state next;
};

/* clang-format off */
#define STEP(to, fn) { .name = #fn, .run = fn, .next = PLACEMENT_##to }
/* clang-format on */
static const struct placement_step steps[PLACEMENT_STATES][PLACEMENT_EVENTS] = {
    [PLACEMENT_LOADING] = {
        [PLACEMENT_EVENT_LOADED] = STEP(READY, serve),
        [PLACEMENT_EVENT_REFUSED] = STEP(GONE, drop),
        [PLACEMENT_EVENT_RETIRE] = STEP(UNWANTED, go),
        [PLACEMENT_EVENT_WORN] = STEP(UNWANTED, go),
    },
    [PLACEMENT_UNWANTED] = {
        [PLACEMENT_EVENT_LOADED] = STEP(RETIRING, serve),
        [PLACEMENT_EVENT_REFUSED] = STEP(GONE, drop),
    },
    [PLACEMENT_READY] = {
        [PLACEMENT_EVENT_STOPPED] = STEP(RETIRING, note_stop),
        [PLACEMENT_EVENT_UNLOADED] = STEP(GONE, note_loss),
        [PLACEMENT_EVENT_RETIRE] = STEP(RETIRING, tell_retire),
        [PLACEMENT_EVENT_WORN] = STEP(RETIRING, go),
        [PLACEMENT_EVENT_IDLE] = STEP(READY, rest),
        [PLACEMENT_EVENT_EVICT] = STEP(UNLOADING, unload),
    },
    [PLACEMENT_RETIRING] = {
        [PLACEMENT_EVENT_STOPPED] = STEP(RETIRING, note_stop),
        [PLACEMENT_EVENT_UNLOADED] = STEP(GONE, note_loss),
        [PLACEMENT_EVENT_RETIRE] = STEP(RETIRING, tell_retire),
        [PLACEMENT_EVENT_IDLE] = STEP(UNLOADING, unload),
        [PLACEMENT_EVENT_EVICT] = STEP(UNLOADING, unload),
    },
    [PLACEMENT_UNLOADING] = {
        [PLACEMENT_EVENT_STOPPED] = STEP(UNLOADING, note_stop),
        [PLACEMENT_EVENT_UNLOADED] = STEP(GONE, go),
    },
    [PLACEMENT_GONE] = {
        [PLACEMENT_EVENT_IDLE] = STEP(GONE, make_room),
    },
};

/* Does the step of the event. The placement may be gone afterwards. */
static void on_event(struct placement *placement, enum placement_event event)
{
    enum placement_state before = placement->state;
    const struct placement_step *step = &steps[before][event];

    if (!step->run)
        return;
    placement->state = step->next;
    if (step->run(placement) < 0)
        placement->state = before;
}

const char *placement_action_name(enum placement_state state, enum placement_event event,
                                  enum placement_state *ret_next)
{
    const struct placement_step *step = &steps[state][event];

    if (step->name)
        *ret_next = step->next;
    return step->name;
}

bool placement_expects(const struct placement *placement, enum placement_event event)
{
    return steps[placement->state][event].run;
}

/* ---- life: events */

void placement_on_idle(struct placement *placement)
{
    if (placement->in_flight == 0)
        on_event(placement, PLACEMENT_EVENT_IDLE);
}

void placement_retire(struct placement *placement)
{
    on_event(placement, PLACEMENT_EVENT_RETIRE);
    placement_on_idle(placement);
}

void placement_wear_out(struct placement *placement)
{
    on_event(placement, PLACEMENT_EVENT_WORN);
}

void placement_on_stopped(struct placement *placement)
{
    struct tenant *tenant = placement->version->tenant;

    on_event(placement, PLACEMENT_EVENT_STOPPED);
    placement_on_idle(placement);
    placements_of_tenant(tenant)->ops->on_tenant(tenant);
}

static void refuse(struct placement *placement, enum error_code code, const char *text, size_t size)
{
    /* The placement may have the last reference. */
    struct version *version = version_ref(placement->version);
    struct placements *placements = placements_of_worker(placement->worker);

    on_event(placement, PLACEMENT_EVENT_REFUSED);
    placements->versions->refused(version, code, text, size);
    (void) version_unref(version);
}

void placement_on_loaded(struct placement *placement, enum error_code code, const char *text,
                         size_t size, uint64_t cpu_us)
{
    struct tenant *tenant = placement->version->tenant;
    struct worker *worker = placement->worker;

    cpu_collect_load(placement, cpu_us);
    preload_end(placement);
    if (code == ERROR_NONE)
        first_credit_on_loaded(placement, cpu_us);
    if (code != ERROR_NONE) {
        refuse(placement, code, text, size);
    } else {
        on_event(placement, PLACEMENT_EVENT_LOADED);
        placement_on_idle(placement);
        placements_of_tenant(tenant)->ops->on_tenant(tenant);
    }
    preload_run(worker);
}

void placement_on_unloaded(struct placement *placement)
{
    on_event(placement, PLACEMENT_EVENT_UNLOADED);
    placement_on_idle(placement);
}

void placement_on_load_death(struct version *version, enum error_code code, const char *cause)
{
    placements_of_tenant(version->tenant)->versions->died(version, code, cause);
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

/* ---- loading */

/* Makes room in a full worker: unloads the isolate that was used least recently. */
static void evict_one(struct worker *worker)
{
    struct placement *placement, *oldest = NULL;

    LIST_FOREACH (placement, &worker->placements, in_worker) {
        if (placement->state == PLACEMENT_UNLOADING)
            return; /* an isolate is unloading already */
        if (placement_is_up(placement) && placement->in_flight == 0 &&
            (!oldest || placement->since_ns < oldest->since_ns))
            oldest = placement;
    }
    if (!oldest)
        return;
    worker->evictions++;
    on_event(oldest, PLACEMENT_EVENT_EVICT);
}

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

/* Takes a token for a new isolate. Each stop costs a new isolate, and clients can cause stops. In a worker of its own, or
 * among tenants of its kind, a tenant needs no token: its isolates are made one at a time and hold
 * up no honest tenant. */
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

static int load(struct version *version, struct worker *worker, bool is_preload)
{
    struct placement *placement;

    const struct version_ops *ops = placements_of_worker(worker)->versions;

    if (ops && ops->may_load && !ops->may_load(version))
        return -EAGAIN; /* tried again when it is ready */
    if (channel_is_congested(worker->channel))
        return -EAGAIN; /* tried again when the worker has read */
    if (worker->n_placements >= SCOREBOARD_PLACEMENTS) {
        evict_one(worker);
        return -EAGAIN;
    }
    if (!may_boot(version, worker))
        return -EAGAIN; /* tried again with the ledger's tick */
    int r = placement_new(version, worker, &placement);
    if (r < 0)
        return r;
    placement->is_preload = is_preload;
    worker->n_preloads += is_preload;
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

int placement_load(struct version *version, struct worker *worker)
{
    return load(version, worker, false);
}

int placement_load_early(struct version *version, struct worker *worker)
{
    return load(version, worker, true);
}
