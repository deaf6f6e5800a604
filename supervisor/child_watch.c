/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a worker with work in it still does that work: it answers, reads what it is sent, and
 * finishes what it was told to load. Looked at from a timer; supervisor, loop thread.
 */
#include "common/io.h"
#include "proto/channel.h"
#include "supervisor/child.h"
#include "supervisor/ledger.h"
#include "supervisor/link.h"

/* A worker that neither answers nor burns CPU: the budget this many times over, and a while. */
#define SILENT_FACTOR 4
#define SILENT_BASE_MS 2000

/* UINT64_MAX: for ever. */
static uint64_t sum_ms(uint32_t budget, uint32_t grace)
{
    return budget == LIMIT_UNLIMITED || grace == LIMIT_UNLIMITED ? UINT64_MAX
                                                                 : (uint64_t) budget + grace;
}

static uint64_t silence_ms(uint64_t patience_ms)
{
    return patience_ms == UINT64_MAX ? UINT64_MAX : patience_ms * SILENT_FACTOR + SILENT_BASE_MS;
}

static bool is_moving(const struct placement *placement)
{
    return placement->state == PLACEMENT_LOADING || placement->state == PLACEMENT_UNLOADING;
}

/* The most CPU time that what is in the worker may take between two answers; 0: nothing is. */
static uint64_t patience_ms(const struct child *child)
{
    const struct placement *placement;
    uint64_t most = channel_is_congested(child->channel) ? SILENT_BASE_MS : 0;

    LIST_FOREACH (placement, &child->placements, in_child) {
        const struct limits *limits = &placement->version->limits;
        if (!is_moving(placement) && placement->in_flight == 0)
            continue;
        uint64_t patience = sum_ms(is_moving(placement) ? limits->cpu_startup_ms : limits->cpu_ms,
                                   limits->grace_ms);
        most = patience > most ? patience : most;
    }
    return most;
}

/* The same for the request that the worker says it runs: a claim, so it can only shorten. */
static uint64_t claimed_patience_ms(const struct child *child, uint64_t claim)
{
    const struct request *request = child_find_request(child, claim);

    return request ? sum_ms(request->version->limits.cpu_ms, request->version->limits.grace_ms)
                   : UINT64_MAX;
}

/* Whether ns are over the limit. */
static bool is_over_ms(uint64_t ns, uint64_t limit_ms)
{
    return limit_ms != UINT64_MAX && ns > limit_ms * NSEC_PER_MSEC;
}

/* A load or unload that has no end, whatever else the worker answers. */
static bool has_overdue_placement(const struct child *child, uint64_t now_ns)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &child->placements, in_child)
        if (is_moving(placement) &&
            is_over_ms(now_ns - placement->since_ns,
                       silence_ms(sum_ms(placement->version->limits.wall_ms, 0))))
            return true;
    return false;
}

/* For how long it has left unread what waits for it. */
static uint64_t unread_ns(struct child *child, uint64_t now_ns)
{
    uint64_t written = channel_written_bytes(child->channel);

    if (!channel_is_congested(child->channel) || written != child->written_seen) {
        child->written_seen = written;
        child->written_at_ns = now_ns;
    }
    return now_ns - child->written_at_ns;
}

static void kill_stuck(struct child *child)
{
    uint64_t claim = atomic_load(&child->board->running_request);

    if (child_find_request(child, claim))
        child_kill(child, KILL_CPU, claim);
    else if (child_loading_version(child))
        child_kill(child, KILL_STARTUP, 0);
    else
        child_kill(child, KILL_SILENT, 0);
}

static void check_answers(struct child *child, uint64_t patience, uint64_t now_ns)
{
    uint64_t frames = channel_received_frames(child->channel);
    uint64_t claim = atomic_load(&child->board->running_request);
    uint64_t cpu = child_cpu_ns(child);
    bool has_answered = !child->is_watched || frames != child->frames_seen;

    if (cpu == 0) /* it is gone; its exit comes */
        return;
    if (has_answered || claim != child->claim_seen) {
        child->claim_seen = claim;
        child->cpu_at_claim_ns = cpu;
    }
    if (has_answered) {
        child->is_watched = true;
        child->frames_seen = frames;
        child->cpu_at_frame_ns = cpu;
        child->ping_sent_ns = 0;
    } else if (child->ping_sent_ns == 0) {
        child->ping_sent_ns = now_ns;
        (void) link_send_ping(child);
    } else if (is_over_ms(cpu - child->cpu_at_frame_ns, patience) ||
               is_over_ms(cpu - child->cpu_at_claim_ns, claimed_patience_ms(child, claim))) {
        kill_stuck(child);
    } else if (is_over_ms(now_ns - child->ping_sent_ns, silence_ms(patience))) {
        child_kill(child, KILL_SILENT, 0);
    }
}

void child_check(struct child *child, uint64_t now_ns)
{
    uint64_t patience = child->state == CHILD_READY ? patience_ms(child) : 0;

    if (patience == 0)
        child->is_watched = false;
    else if (has_overdue_placement(child, now_ns) ||
             is_over_ms(unread_ns(child, now_ns), silence_ms(patience)))
        child_kill(child, KILL_SILENT, 0);
    else
        check_answers(child, patience, now_ns);
}
