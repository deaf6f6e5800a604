/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks whether a worker with work still does it: it answers, reads its frames, and
 * ends its loads. Patience is by the worker's own time (own_time.h): a busy host is not
 * its fault. Called by a timer; supervisor, loop thread.
 */
#include "common/io.h"
#include "common/process.h"
#include "proto/channel.h"
#include "supervisor/placement/first_credit.h"
#include "supervisor/placement/placement.h"
#include "supervisor/placement/retire.h"
#include "supervisor/workers/link.h"
#include "supervisor/workers/running.h"
#include "supervisor/workers/worker.h"

/* A worker that neither answers nor burns CPU: the budget this many times over, and a while. */
#define SILENT_FACTOR 4
#define SILENT_BASE_MS 2000
/* The same for a worker that uses no CPU time at all, as after a stop by a signal, with work of any
 * length. */
#define STILL_MS 3000

/* Returns the sum; UINT64_MAX: for ever. */
static uint64_t sum_ms(uint32_t budget, uint32_t grace)
{
    return budget == LIMIT_UNLIMITED || grace == LIMIT_UNLIMITED ? UINT64_MAX
                                                                 : (uint64_t) budget + grace;
}

static uint64_t silence_ms(uint64_t patience_ms)
{
    return patience_ms == UINT64_MAX ? UINT64_MAX : patience_ms * SILENT_FACTOR + SILENT_BASE_MS;
}

/* Returns the CPU time that a placement may use between two answers. */
static uint64_t placement_patience_ms(const struct placement *placement, bool is_load)
{
    const struct version *version = placement->version;
    const struct limits *limits = &version->limits;

    if (is_load ? LIMIT_IS_IN(version->observed, cpu_startup_ms)
                : LIMIT_IS_IN(version->observed, cpu_ms))
        return UINT64_MAX;
    uint64_t patience = sum_ms(is_load ? limits->cpu_startup_ms : limits->cpu_ms, limits->grace_ms);
    return is_load || patience == UINT64_MAX ? patience
                                             : patience + first_credit_left_ms(placement);
}

static bool is_moving(const struct placement *placement)
{
    return placement_is_loading(placement) || placement->state == PLACEMENT_UNLOADING;
}

/* Returns the most CPU time that the worker's work may take between two answers; 0: it has none. */
static uint64_t work_patience_ms(const struct worker *worker)
{
    const struct placement *placement;
    bool owes_answer = channel_is_congested(worker->channel) || worker->n_withdrawn > 0;
    uint64_t most = owes_answer ? SILENT_BASE_MS : 0;

    LIST_FOREACH (placement, &worker->placements, in_worker) {
        if (!is_moving(placement) && placement->in_flight == 0)
            continue;
        /* With a request in the isolate, timers of module code may run. */
        uint64_t patience = placement_patience_ms(placement, true);
        most = patience > most ? patience : most;
        patience = is_moving(placement) ? 0 : placement_patience_ms(placement, false);
        most = patience > most ? patience : most;
    }
    return most;
}

/* Returns the same, also for an idle worker that was asked for an answer. */
static uint64_t patience_ms(const struct worker *worker)
{
    uint64_t patience = work_patience_ms(worker);

    return worker->is_asked && patience < SILENT_BASE_MS ? SILENT_BASE_MS : patience;
}

bool placement_has_work(const struct worker *worker)
{
    return work_patience_ms(worker) > 0;
}

static struct placement *find_loading(const struct worker *worker)
{
    uint32_t loading = placement_loading_version(worker, worker_running(worker).placement);
    struct placement *placement;

    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (loading != 0 && placement->version->id == loading)
            return placement;
    return NULL;
}

/* Returns the same for the code that the worker claims to run: a claim can only shorten the time. */
static uint64_t claimed_patience_ms(const struct worker *worker, uint64_t claim)
{
    const struct attempt *attempt = worker_find_attempt(worker, claim);

    if (attempt)
        return placement_patience_ms(attempt->placement, false);
    const struct placement *loading = find_loading(worker);
    return loading ? placement_patience_ms(loading, true) : UINT64_MAX;
}

/* Returns whether ns are over the limit. */
static bool is_over_ms(uint64_t ns, uint64_t limit_ms)
{
    return limit_ms != UINT64_MAX && ns > limit_ms * NSEC_PER_MSEC;
}

/* Returns whether a load or unload is overdue, even if the worker answers otherwise. */
static bool has_overdue_placement(const struct worker *worker, uint64_t now_ns)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &worker->placements, in_worker) {
        const struct own_mark since = { placement->since_ns, placement->waited_ns };
        if (is_moving(placement) &&
            is_over_ms(own_time_since_ns(&worker->own, &since, now_ns),
                       silence_ms(sum_ms(placement->version->limits.wall_ms, 0))))
            return true;
    }
    return false;
}

/* Returns for how long the worker has not read the frames that wait for it. */
static uint64_t unread_ns(struct worker *worker, uint64_t now_ns)
{
    uint64_t written = channel_written_bytes(worker->channel);

    if (!channel_is_congested(worker->channel) || written != worker->written_seen) {
        worker->written_seen = written;
        worker->written_at = own_time_mark(&worker->own, now_ns);
    }
    return own_time_since_ns(&worker->own, &worker->written_at, now_ns);
}

static void kill_silent(struct worker *worker)
{
    worker->is_stopped = process_state(worker->stat_fd) == PROCESS_STOPPED;
    worker_kill(worker, KILL_SILENT, 0);
}

/* Returns the version that loads or unloads, by the worker's claim; else that of the only tenant
 * with work in it. */
static const struct version *suspect_version(const struct worker *worker, uint32_t loading)
{
    const struct placement *placement;
    const struct version *only = NULL;

    LIST_FOREACH (placement, &worker->placements, in_worker) {
        if (loading != 0 && placement->version->id == loading)
            return placement->version;
    }
    LIST_FOREACH (placement, &worker->placements, in_worker) {
        if (!placement_is_candidate(placement))
            continue;
        if (only && only->tenant != placement->version->tenant)
            return NULL;
        only = placement->version;
    }
    return only;
}

/* Returns whether the version loads. Before the end of its load no other code of it can run: reading its files counts as
 * load, too, though the worker does not claim to run it. */
static bool is_loading(const struct worker *worker, const struct version *version)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (placement->version == version && placement_is_loading(placement))
            return true;
    return false;
}

/* Returns the part of the CPU time that counts for cpu_ms; attempt: NULL for a load, of which all counts. */
static uint64_t counted_us(const struct attempt *attempt, uint64_t used_ns)
{
    uint64_t credit_us = attempt ? attempt->placement->first_credit_us : 0;
    uint64_t used_us = used_ns / NSEC_PER_USEC;

    return used_us > credit_us ? used_us - credit_us : 0;
}

static void kill_stuck(struct worker *worker, uint64_t used_ns)
{
    struct running running = worker_running(worker);
    const struct attempt *attempt = worker_find_attempt(worker, running.request);
    uint32_t loading = attempt ? 0 : placement_loading_version(worker, running.placement);
    const struct version *version = attempt ? attempt->version : suspect_version(worker, loading);
    bool is_load = loading != 0 || (version && is_loading(worker, version));

    if (!version) { /* the worker burns CPU time and does not say for which tenant */
        kill_silent(worker);
        return;
    }
    worker->limit_milli =
        UINT64_C(1000) * (is_load ? version->limits.cpu_startup_ms : version->limits.cpu_ms);
    worker->used_milli = counted_us(attempt, used_ns);
    worker->blamed_version = version->id;
    worker_kill(worker, is_load ? KILL_STARTUP : KILL_CPU, attempt ? running.request : 0);
}

/* Notes a request over its budget and grace, if the limit is only observed. Noted while the request runs, because it may
 * never end; a later report of the worker is not noted again. */
static void note_stuck(struct worker *worker, uint64_t used_ns)
{
    struct attempt *attempt = worker_find_attempt(worker, worker_running(worker).request);
    struct placement *placement = attempt ? attempt->placement : find_loading(worker);

    if (!placement)
        return;
    const struct version *version = placement->version;
    unsigned limit = attempt ? LIMIT_INDEX(cpu_ms) : LIMIT_INDEX(cpu_startup_ms);
    uint32_t limit_ms = limit_get(&version->limits, &limit_table[limit]);
    limit_set *noted = attempt ? &attempt->noted : &placement->noted;

    if ((version->observed >> limit & 1U) == 0 || (*noted >> limit & 1U) != 0 ||
        !is_over_ms(used_ns, sum_ms(limit_ms, version->limits.grace_ms) +
                                 (attempt ? first_credit_left_ms(placement) : 0)))
        return;
    *noted |= (limit_set) 1 << limit;
    struct incident incident = {
        .stage = STAGE_OBSERVED,
        .cause = limit,
        .limit_milli = UINT64_C(1000) * limit_ms,
        .used_milli = counted_us(attempt, used_ns),
        .request = attempt ? attempt->id : 0,
        .worker = worker->number,
        .pid = worker->pid,
        .text = "it still runs",
    };
    incident_note(placements_of_worker(worker)->record, &version->tenant->counted, &incident);
}

/* Counts frames, and entries into JavaScript that have ended: timers of several requests may run one after the
 * other without a frame. The entries are the worker's claim, which does no harm: it could as well
 * send frames. */
uint64_t placement_signs_of_life(const struct worker *worker)
{
    return channel_received_frames(worker->channel) + worker_heartbeat(worker);
}

void placement_ask_worker(struct worker *worker)
{
    worker->is_asked = true;
    worker->asked_signs = placement_signs_of_life(worker);
    placements_watch(placements_of_worker(worker));
}

static void check_answers(struct worker *worker, uint64_t patience, uint64_t now_ns)
{
    uint64_t signs = placement_signs_of_life(worker);
    uint64_t claim = worker_running(worker).request;
    uint64_t cpu = worker_cpu_ns(worker);
    bool has_answered = !worker->is_watched || signs != worker->signs_seen;

    if (cpu == 0) /* the process is gone; its exit comes */
        return;
    if (has_answered || cpu != worker->cpu_seen_ns) {
        worker->cpu_seen_ns = cpu;
        worker->cpu_still_since = own_time_mark(&worker->own, now_ns);
    }
    if (has_answered || claim != worker->claim_seen) {
        worker->claim_seen = claim;
        worker->cpu_at_claim_ns = cpu;
    }
    if (has_answered) {
        worker->is_watched = true;
        worker->signs_seen = signs;
        worker->cpu_at_sign_ns = cpu;
        worker->ping_sent = (struct own_mark){ 0 };
    } else if (worker->ping_sent.at_ns == 0) {
        worker->ping_sent = own_time_mark(&worker->own, now_ns);
        (void) link_send_ping(worker);
    } else if (is_over_ms(cpu - worker->cpu_at_sign_ns, patience) ||
               is_over_ms(cpu - worker->cpu_at_claim_ns, claimed_patience_ms(worker, claim))) {
        kill_stuck(worker, cpu - worker->cpu_at_claim_ns);
    } else if (is_over_ms(own_time_since_ns(&worker->own, &worker->ping_sent, now_ns),
                          silence_ms(patience)) ||
               is_over_ms(own_time_since_ns(&worker->own, &worker->cpu_still_since, now_ns),
                          STILL_MS)) {
        kill_silent(worker);
    } else {
        note_stuck(worker, cpu - worker->cpu_at_claim_ns);
    }
}

void placement_check_worker(struct worker *worker, uint64_t now_ns)
{
    bool is_up = worker->state == WORKER_READY || worker->state == WORKER_DRAINING;

    if (is_up && worker->is_asked && placement_signs_of_life(worker) != worker->asked_signs)
        worker->is_asked = false;
    uint64_t patience = is_up ? patience_ms(worker) : 0;

    if (patience == 0) {
        worker->is_watched = false;
        own_time_rest(&worker->own);
        return;
    }
    own_time_look(&worker->own, now_ns, worker_cpu_ns(worker),
                  process_is_runnable(worker->stat_fd));
    retire_check_rss(worker, now_ns);
    if (worker->state == WORKER_KILLED)
        return;
    if (has_overdue_placement(worker, now_ns) ||
        is_over_ms(unread_ns(worker, now_ns), silence_ms(patience)))
        kill_silent(worker);
    else
        check_answers(worker, patience, now_ns);
}
