/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/placement/retire.h"
#include "supervisor/placement/placement.h"
#include "supervisor/workers/clock.h"

#include "common/io.h"
#include "common/log.h"
#include "common/rss.h"
#include "supervisor/placement/seclude.h"

#define RSS_EVERY_NS (20 * NSEC_PER_MSEC)
#define DRIFTING_LOOKS 3 /* in a row, one each second */
#define DRAIN_ALONE_S 60
#define AT_ONCE_MAX 2 /* workers of a cordon that leave, until no other is left to its requests */
#define FULL_WINDOW_S 60
#define FULL_SAID_EVERY_S 600
/* One that was full sooner than this is full of what it has to do: another would be, too. */
#define FULL_LEAST_AGE_S 10
#define BYTES_PER_MIB (UINT64_C(1) << 20)
#define BYTES_PER_KIB UINT64_C(1024)
#define OWN_MAX_KIB (64 * BYTES_PER_KIB) /* what a worker may say that its spare isolates hold */

/* ---- one takes over from another */

/* The slot gets the spare's worker. The one before leaves and ends when nothing is left in it, and the next spare is
 * started. */
static void replace(struct slot *slot, struct slot *spare)
{
    struct child *old = slot->child;

    log_event(LOG_LEVEL_INFO, LOG_ABOUT_CHILD(old),
              "worker %u (pid %d) retires: %s; worker %u (pid %d) takes over slot %u of cordon %s",
              old->number, (int) old->pid, old->retire_reason, spare->number,
              (int) spare->child->pid, slot->position, slot->cordon->name);
    slot->last_retired = old->retire_reason;
    slot->last_retired_ns = io_now_ns();
    slot_swap(slot, spare);
    child_drain(slot_detach(spare));
    slot_fill(spare);
    slot->pool->server->placements->ops->on_room(slot->child);
    placement_preload_candidates(slot->pool->server);
}

/* One at a time in each cordon, so that memory is never needed twice for all; but a stream that does
 * not end holds up the others for a while only. */
static bool has_draining(const struct pool *pool, const struct cordon_config *cordon)
{
    uint64_t now = io_now_ns();
    const struct child *child;

    TAILQ_FOREACH (child, &pool->children, entry)
        if (child->cordon == cordon && child->state == CHILD_DRAINING && child->retire_reason &&
            now - child->drain_since_ns < DRAIN_ALONE_S * NSEC_PER_SEC)
            return true;
    return false;
}

/* Whether its worker waits for a spare. */
static bool may_replace(const struct slot *slot)
{
    const struct child *child = slot_find_ready(slot);

    return child && child->retire_reason && slot->kind != PLACE_SPARE;
}

bool retire_use_spare(struct slot *spare)
{
    struct slot *slot = NULL;

    if (has_draining(spare->pool, spare->cordon))
        return false;
    while ((slot = pool_next_slot(spare->pool, slot)))
        if (slot->cordon == spare->cordon && may_replace(slot)) {
            replace(slot, spare);
            return true;
        }
    return false;
}

static void look_for_spare(struct child *child)
{
    struct pool *pool = child->server->pool;
    struct slot *spare = pool_find_spare(pool, child->cordon);

    if (has_draining(pool, child->cordon))
        return;
    if (spare)
        replace(child->slot, spare);
    else
        pool_keep_spare(pool, child->cordon, true);
}

void retire_child(struct child *child, const char *reason)
{
    if (child->state != CHILD_READY || child->retire_reason || !child->slot)
        return;
    child->retire_reason = reason;
    if (child_is_in(child, PLACE_SPARE))
        child_kill(child, KILL_STOP, 0); /* nothing is in it: the next one starts */
    else
        look_for_spare(child);
}

void retire_at_once(struct child *child, const char *reason)
{
    struct pool *pool = child->server->pool;
    struct slot *spare = pool_find_spare(pool, child->cordon);

    if (child->state != CHILD_READY || !child_is_in(child, PLACE_SHARED) ||
        pool_count_leaving(pool, child->cordon) >= AT_ONCE_MAX)
        return;
    if (!spare) {
        pool_keep_spare(pool, child->cordon, true);
        return;
    }
    child->retire_reason = reason;
    spare->child->held = child->held; /* who did not have its turn yet may do the same there */
    spare->child->held_at_ns = child->held_at_ns;
    replace(child->slot, spare);
}

/* ---- when */

static bool is_over(uint64_t value, uint32_t limit)
{
    return limit != LIMIT_UNLIMITED && value >= limit;
}

/* What its isolates account for, by its own word. */
static uint64_t accounted_bytes(const struct child *child)
{
    const struct placement *placement;
    uint64_t kib = 0;

    LIST_FOREACH (placement, &child->placements, in_child)
        kib += child_held_kib(placement);
    uint64_t own_kib = atomic_load(&child->board->own_kib);
    kib += own_kib < OWN_MAX_KIB ? own_kib : OWN_MAX_KIB;
    return kib * BYTES_PER_KIB + child->ready_rss_bytes;
}

static bool has_drifted(struct child *child)
{
    uint32_t most = child->cordon->drift_mib;
    uint64_t accounted = accounted_bytes(child);
    bool is_far = most != LIMIT_UNLIMITED && child->rss_bytes > accounted &&
                  child->rss_bytes - accounted > most * BYTES_PER_MIB;

    child->drifting = is_far ? child->drifting + 1 : 0;
    return child->drifting >= DRIFTING_LOOKS;
}

/* Nothing is in it, and it uses CPU time: native code of a tenant that has left. */
static bool is_burning(struct child *child, uint64_t now_ns)
{
    struct idle_look look = { .now_ns = now_ns, .is_idle = true };
    const struct placement *placement;

    child_look_at_clock(child);
    look.unclaimed_ns = child->clock.spare_ns;
    look.sent = child->served + child->loads;
    LIST_FOREACH (placement, &child->placements, in_child)
        if (child_is_candidate(placement))
            look.is_idle = false;
    return idle_is_over(&child->idle, &look);
}

/* Each of its places has changed hands within the minute: each request has its isolate made anew. */
static void say_if_full(struct child *child, uint64_t now_ns)
{
    if (now_ns - child->evictions_ns < FULL_WINDOW_S * NSEC_PER_SEC)
        return;
    bool is_full = child->evictions > SCOREBOARD_TENANTS;
    if (is_full && (child->slot->full_said_ns == 0 ||
                    now_ns - child->slot->full_said_ns >= FULL_SAID_EVERY_S * NSEC_PER_SEC)) {
        child->slot->full_said_ns = now_ns;
        log_event(
            LOG_LEVEL_WARNING, LOG_ABOUT_CHILD(child),
            "cordon %s has more active tenants than its workers have places for, %u each: in a "
            "minute %u isolates of worker %u made room for others; give it more workers",
            child->cordon->name, SCOREBOARD_TENANTS, child->evictions, child->number);
    }
    child->evictions = 0;
    child->evictions_ns = now_ns;
}

static const char *find_reason(struct child *child, uint64_t now_ns)
{
    const struct cordon_config *cordon = child->cordon;
    uint64_t rss_mib = child->rss_bytes / BYTES_PER_MIB;
    uint64_t age_s = (now_ns - child->ready_ns) / NSEC_PER_SEC;

    if (child_is_stale(child))
        return RETIRE_STALE_REASON;
    if (is_over(age_s, cordon->retire_after_s))
        return "over retire_after_s";
    if (is_over(child->served, cordon->retire_after_requests))
        return "over retire_after_requests";
    if (is_burning(child, now_ns))
        return "uses CPU time with nothing to do";
    if (age_s < FULL_LEAST_AGE_S)
        return NULL;
    if (cordon->rss_mib != LIMIT_UNLIMITED && !child_is_rss_observed(child) &&
        rss_mib * 100 >= (uint64_t) cordon->rss_mib * RETIRE_RSS_PERCENT)
        return "holds 80 % of rss_mib";
    if (has_drifted(child))
        return "holds more than drift_mib beyond what its isolates account for";
    return NULL;
}

void retire_check(struct child *child, uint64_t now_ns)
{
    if (child->state != CHILD_READY)
        return;
    retire_check_rss(child, now_ns);
    if (child->state != CHILD_READY || !child->slot)
        return;
    say_if_full(child, now_ns);
    if (child->retire_reason) {
        look_for_spare(child); /* it waited for one */
        return;
    }
    const char *reason = find_reason(child, now_ns);
    if (reason)
        retire_child(child, reason);
}

/* ---- memory */

static void note_rss(struct child *child, uint64_t limit_mib)
{
    struct incident incident = {
        .stage = STAGE_OBSERVED,
        .cause = CAUSE_RSS,
        .limit_milli = limit_mib * 1000,
        .used_milli = child->rss_bytes * 1000 / BYTES_PER_MIB,
        .worker = child->number,
        .pid = child->pid,
    };

    incident_note(&child->server->record, NULL, &incident);
}

bool retire_must_look(const struct child *child)
{
    bool is_up = child->state == CHILD_READY || child->state == CHILD_DRAINING;

    return is_up && !child->cgroup && child->statm_fd >= 0 && child->first_tenant != 0 &&
           child->rss_mib != LIMIT_UNLIMITED;
}

/* Notes for each tenant that has something in the worker by how much that has grown since the last look:
 * where nobody accounts for its memory, these are separated first. */
static void note_growth(const struct child *child, uint64_t before)
{
    struct placement *placement;

    if (before == 0 || child->rss_bytes <= before)
        return;
    LIST_FOREACH (placement, &child->placements, in_child)
        if (child_is_candidate(placement))
            placement->grown_kib += (child->rss_bytes - before) / 1024;
}

void retire_check_rss(struct child *child, uint64_t now_ns)
{
    uint64_t limit_mib = child->rss_mib;

    /* ready_rss_bytes is that of a worker that has started. */
    if (child->ready_ns == 0 || child->statm_fd < 0 || now_ns - child->rss_at_ns < RSS_EVERY_NS)
        return;
    bool was_over = child->rss_bytes > limit_mib * BYTES_PER_MIB;
    uint64_t before = child->rss_bytes;
    child->rss_at_ns = now_ns;
    child->rss_bytes = rss_read_bytes(child->statm_fd);
    note_growth(child, before);
    if (child->ready_rss_bytes == 0)
        child->ready_rss_bytes = child->rss_bytes;
    if (limit_mib == LIMIT_UNLIMITED || child->rss_bytes <= limit_mib * BYTES_PER_MIB)
        return;
    if (child_is_rss_observed(child)) {
        if (!was_over && now_ns - child->rss_noted_ns >= NSEC_PER_SEC) {
            child->rss_noted_ns = now_ns;
            note_rss(child, limit_mib);
        }
        return;
    }
    if (child->cgroup) /* the kernel enforces it, and counts what is the worker's alone */
        return;
    child->limit_milli = limit_mib * 1000;
    child->used_milli = child->rss_bytes * 1000 / BYTES_PER_MIB;
    child_kill(child, KILL_RSS, 0);
}
