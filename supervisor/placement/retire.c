/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/placement/retire.h"
#include "supervisor/placement/placement.h"
#include "supervisor/workers/clock.h"

#include "common/io.h"
#include "common/log.h"
#include "common/rss.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/workers/slots.h"

#define RSS_EVERY_NS (20 * NSEC_PER_MSEC)
#define DRIFTING_LOOKS 3 /* looks in a row, one each second */
#define DRAIN_ALONE_S 60
#define AT_ONCE_MAX 2 /* most workers of a cordon that leave for retire_at_once */
#define FULL_WINDOW_S 60
#define FULL_SAID_EVERY_S 600
/* A worker that was full sooner than this is full of its normal work: another would be, too. */
#define FULL_LEAST_AGE_S 10
#define BYTES_PER_MIB (UINT64_C(1) << 20)
#define BYTES_PER_KIB UINT64_C(1024)
/* Most memory that a worker may claim for isolates that it has made ahead. */
#define OWN_MAX_KIB (64 * BYTES_PER_KIB)

/* ---- taking over */

/* Gives the slot the spare's worker. The one before leaves, and ends with its last request; the next spare is
 * started. */
static void replace(struct slot *slot, struct slot *spare)
{
    struct placements *placements = slot->slots->owner;
    struct worker *old = slot->worker;

    log_event(LOG_LEVEL_INFO, LOG_ABOUT_WORKER(old),
              "worker %u (pid %d) retires: %s; worker %u (pid %d) takes over slot %u of cordon %s",
              old->number, (int) old->pid, old->retire_reason, spare->number,
              (int) spare->worker->pid, slot->position, slot->cordon->name);
    slot->last_retired = old->retire_reason;
    slot->last_retired_ns = io_now_ns();
    slot_swap(slot, spare);
    worker_drain(slot_detach(spare));
    slot_fill(spare);
    placements->ops->on_room(slot->worker);
    placement_preload_candidates(placements);
}

/* Returns whether a worker of the cordon drains: one at a time, so that memory is never needed twice for all; but a
 * stream that does not end holds up the others for a while only. */
static bool has_draining(const struct slots *slots, const struct cordon_config *cordon)
{
    uint64_t now = io_now_ns();
    const struct worker *worker;

    TAILQ_FOREACH (worker, &slots->workers, entry)
        if (worker->cordon == cordon && worker->state == WORKER_DRAINING && worker->retire_reason &&
            now - worker->drain_since_ns < DRAIN_ALONE_S * NSEC_PER_SEC)
            return true;
    return false;
}

/* Returns whether the slot's worker waits for a spare. */
static bool may_replace(const struct slot *slot)
{
    const struct worker *worker = slot_find_ready(slot);

    return worker && worker->retire_reason && slot->kind != SLOT_SPARE;
}

bool retire_use_spare(struct slot *spare)
{
    struct slot *slot = NULL;

    if (has_draining(spare->slots, spare->cordon))
        return false;
    while ((slot = slots_next(spare->slots, slot)))
        if (slot->cordon == spare->cordon && may_replace(slot)) {
            replace(slot, spare);
            return true;
        }
    return false;
}

bool retire_wants_spare(const struct slot *spare, uint64_t now_ns)
{
    const struct slot *slot = NULL;

    if (spare->cordon->spare)
        return true;
    while ((slot = slots_next(spare->slots, slot)))
        if (slot->cordon == spare->cordon && slot->kind == SLOT_SHARED && slot_find_ready(slot) &&
            holdup_is_pressed(&slot->worker->held, now_ns))
            return true;
    return false;
}

static void look_for_spare(struct worker *worker)
{
    struct slots *slots = worker->slots;
    struct slot *spare = slots_find_spare(slots, worker->cordon);

    if (has_draining(slots, worker->cordon))
        return;
    if (spare)
        replace(worker->slot, spare);
    else
        slots_keep_spare(slots, worker->cordon, true);
}

void retire_worker(struct worker *worker, const char *reason)
{
    if (worker->state != WORKER_READY || worker->retire_reason || !worker->slot)
        return;
    worker->retire_reason = reason;
    if (worker_is_in(worker, SLOT_SPARE))
        worker_kill(worker, KILL_STOP, 0); /* the worker is idle: the next one starts */
    else
        look_for_spare(worker);
}

void retire_at_once(struct worker *worker, const char *reason)
{
    struct slots *slots = worker->slots;
    struct slot *spare = slots_find_spare(slots, worker->cordon);

    if (worker->state != WORKER_READY || !worker_is_in(worker, SLOT_SHARED) ||
        slots_count_leaving(slots, worker->cordon) >= AT_ONCE_MAX)
        return;
    if (!spare) {
        slots_keep_spare(slots, worker->cordon, true);
        return;
    }
    worker->retire_reason = reason;
    spare->worker->held = worker->held; /* tenants that had no turn yet may do the same there */
    spare->worker->held_at_ns = worker->held_at_ns;
    replace(worker->slot, spare);
}

/* ---- reasons */

static bool is_over(uint64_t value, uint32_t limit)
{
    return limit != LIMIT_UNLIMITED && value >= limit;
}

/* Returns the memory that its isolates account for, by its own claim. */
static uint64_t accounted_bytes(const struct worker *worker)
{
    const struct placement *placement;
    uint64_t kib = 0;

    LIST_FOREACH (placement, &worker->placements, in_worker)
        kib += placement_held_kib(placement);
    uint64_t own_kib = atomic_load(&worker->board->own_kib);
    kib += own_kib < OWN_MAX_KIB ? own_kib : OWN_MAX_KIB;
    return kib * BYTES_PER_KIB + worker->ready_rss_bytes;
}

static bool has_drifted(struct worker *worker)
{
    uint32_t most = worker->cordon->drift_mib;
    uint64_t accounted = accounted_bytes(worker);
    bool is_far = most != LIMIT_UNLIMITED && worker->rss_bytes > accounted &&
                  worker->rss_bytes - accounted > most * BYTES_PER_MIB;

    worker->drifting = is_far ? worker->drifting + 1 : 0;
    return worker->drifting >= DRIFTING_LOOKS;
}

/* Returns whether an idle worker uses CPU time: native code of a tenant that has left. */
static bool is_burning(struct worker *worker, uint64_t now_ns)
{
    struct idle_look look = { .now_ns = now_ns, .is_idle = true };
    const struct placement *placement;

    worker_look_at_clock(worker);
    look.unclaimed_ns = worker->clock.uncharged_ns;
    look.sent = worker->served + worker->loads;
    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (placement_is_candidate(placement))
            look.is_idle = false;
    return idle_is_over(&worker->idle, &look);
}

/* Warns if each row was taken over within the minute, so that each request has its isolate made
 * anew. */
static void say_if_full(struct worker *worker, uint64_t now_ns)
{
    if (now_ns - worker->evictions_ns < FULL_WINDOW_S * NSEC_PER_SEC)
        return;
    bool is_full = worker->evictions > SCOREBOARD_PLACEMENTS;
    if (is_full && (worker->slot->full_said_ns == 0 ||
                    now_ns - worker->slot->full_said_ns >= FULL_SAID_EVERY_S * NSEC_PER_SEC)) {
        worker->slot->full_said_ns = now_ns;
        log_event(
            LOG_LEVEL_WARNING, LOG_ABOUT_WORKER(worker),
            "cordon %s has more active tenants than its workers have places for, %u each: in a "
            "minute %u isolates of worker %u made room for others; give it more workers",
            worker->cordon->name, SCOREBOARD_PLACEMENTS, worker->evictions, worker->number);
    }
    worker->evictions = 0;
    worker->evictions_ns = now_ns;
}

static const char *find_reason(struct worker *worker, uint64_t now_ns)
{
    const struct cordon_config *cordon = worker->cordon;
    uint64_t rss_mib = worker->rss_bytes / BYTES_PER_MIB;
    uint64_t age_s = (now_ns - worker->ready_ns) / NSEC_PER_SEC;

    if (worker_is_stale(worker))
        return RETIRE_STALE_REASON;
    if (is_over(age_s, cordon->retire_after_s))
        return "over retire_after_s";
    if (is_over(worker->served, cordon->retire_after_requests))
        return "over retire_after_requests";
    if (is_burning(worker, now_ns))
        return "uses CPU time with nothing to do";
    if (age_s < FULL_LEAST_AGE_S)
        return NULL;
    if (cordon->rss_mib != LIMIT_UNLIMITED && !worker_is_rss_observed(worker) &&
        rss_mib * 100 >= (uint64_t) cordon->rss_mib * RETIRE_RSS_PERCENT)
        return "holds 80 % of rss_mib";
    if (has_drifted(worker))
        return "holds more than drift_mib beyond what its isolates account for";
    return NULL;
}

void retire_check(struct worker *worker, uint64_t now_ns)
{
    if (worker->state != WORKER_READY)
        return;
    retire_check_rss(worker, now_ns);
    if (worker->state != WORKER_READY || !worker->slot)
        return;
    say_if_full(worker, now_ns);
    if (worker->retire_reason) {
        look_for_spare(worker); /* the worker waits for a spare */
        return;
    }
    const char *reason = find_reason(worker, now_ns);
    if (reason)
        retire_worker(worker, reason);
}

/* ---- memory */

static void note_rss(struct worker *worker, uint64_t limit_mib)
{
    struct incident incident = {
        .stage = STAGE_OBSERVED,
        .cause = CAUSE_RSS,
        .limit_milli = limit_mib * 1000,
        .used_milli = worker->rss_bytes * 1000 / BYTES_PER_MIB,
        .worker = worker->number,
        .pid = worker->pid,
    };

    incident_note(placements_of_worker(worker)->record, NULL, &incident);
}

bool retire_must_look(const struct worker *worker)
{
    bool is_up = worker->state == WORKER_READY || worker->state == WORKER_DRAINING;

    return is_up && !worker->cgroup && worker->statm_fd >= 0 && worker->first_tenant != 0 &&
           worker->rss_mib != LIMIT_UNLIMITED;
}

/* Notes the growth of the worker since the last look for each tenant with work in it:
 * if its memory is in no account, these are separated first. */
static void note_growth(const struct worker *worker, uint64_t before)
{
    struct placement *placement;

    if (before == 0 || worker->rss_bytes <= before)
        return;
    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (placement_is_candidate(placement))
            placement->grown_kib += (worker->rss_bytes - before) / 1024;
}

void retire_check_rss(struct worker *worker, uint64_t now_ns)
{
    uint64_t limit_mib = worker->rss_mib;

    /* Only a worker that has started has ready_rss_bytes. */
    if (worker->ready_ns == 0 || worker->statm_fd < 0 || now_ns - worker->rss_at_ns < RSS_EVERY_NS)
        return;
    bool was_over = worker->rss_bytes > limit_mib * BYTES_PER_MIB;
    uint64_t before = worker->rss_bytes;
    worker->rss_at_ns = now_ns;
    worker->rss_bytes = rss_read_bytes(worker->statm_fd);
    note_growth(worker, before);
    if (worker->ready_rss_bytes == 0)
        worker->ready_rss_bytes = worker->rss_bytes;
    if (limit_mib == LIMIT_UNLIMITED || worker->rss_bytes <= limit_mib * BYTES_PER_MIB)
        return;
    if (worker_is_rss_observed(worker)) {
        if (!was_over && now_ns - worker->rss_noted_ns >= NSEC_PER_SEC) {
            worker->rss_noted_ns = now_ns;
            note_rss(worker, limit_mib);
        }
        return;
    }
    if (worker->cgroup) /* the kernel enforces the limit, and counts the worker's own memory only */
        return;
    worker->limit_milli = limit_mib * 1000;
    worker->used_milli = worker->rss_bytes * 1000 / BYTES_PER_MIB;
    worker_kill(worker, KILL_RSS, 0);
}
