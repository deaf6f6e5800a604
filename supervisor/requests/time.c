/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time in the ledger: wall and idle limits of requests in workers, the longest wait in a queue, the
 * time that a worker has to end a cancelled request, and changes that only time makes. The tick
 * comes when the next of these is due. Supervisor, loop thread.
 */
#include "common/io.h"
#include "common/loop_watch.h"
#include "supervisor/placement/first_credit.h"
#include "supervisor/requests/fetches.h"
#include "supervisor/requests/service.h"
#include "supervisor/requests/storages.h"
#include "supervisor/workers/running.h"
#include "supervisor/workers/worker.h"

#define TICK_MAX_NS (20 * NSEC_PER_MSEC)
#define TICK_MIN_NS NSEC_PER_MSEC
/* A worker that was told to cancel and answers other requests has this long. */
#define CANCEL_PATIENCE_MS 5000

static uint64_t after_ms(uint64_t since_ns, uint64_t ms)
{
    return since_ns + ms * NSEC_PER_MSEC;
}

/* Returns whether a body moves, or should: then idle_ms holds instead of wall_ms. */
static bool is_stream(const struct request *request)
{
    return request->client.to && (request->state == REQUEST_RESPONDING || !request->body_ended);
}

static unsigned time_limit(const struct request *request)
{
    return is_stream(request) ? LIMIT_INDEX(idle_ms) : LIMIT_INDEX(wall_ms);
}

/* Returns the time from which the limit counts: waitUntil has its time from the end of the response, however long
 * that took. */
static uint64_t since_ns(const struct request *request)
{
    return is_stream(request) || request->state == REQUEST_DETACHED
               ? request->progress_ns
               : request->sent_ns + request->client_ns;
}

static bool waits_for_client(const struct request *request)
{
    if (!request->client.to || !request->attempt.placement || request->is_cancelled)
        return false;
    if (request->state == REQUEST_RESPONDING && request->response_window == 0)
        return true;
    /* The worker has all bytes that have come, but for a piece that waits for more, and takes more. */
    return !request->body_ended && request->body &&
           request->client.ops->awaits_body(request->client.to) &&
           (evbuffer_get_length(request->body) == request->body_sent || request->push_at_ns != 0);
}

void ledger_note_client(struct request *request)
{
    bool is_waiting = waits_for_client(request);

    if (is_waiting == (request->client_since_ns != 0))
        return;
    uint64_t now = io_now_ns();
    if (is_waiting) {
        if (request->client_ns == 0)
            request->client_moved = ledger_moved(request);
        request->client_since_ns = now;
        return;
    }
    request->client_ns += now - request->client_since_ns;
    request->client_since_ns = 0;
    request->progress_ns = now;
    if (request->attempt.placement)
        ledger_want_tick(request->ledger, ledger_deadline_ns(request));
}

/* Returns whether the request has not yielded since its cancel, by the worker's claim; a lie gives it
 * the longer patience. */
static bool is_still_running(const struct request *request)
{
    uint64_t since_ns;

    return request->is_over_wall && request->cancelled_entry_ns != 0 &&
           worker_runs(request->attempt.placement->worker, request->attempt.id, &since_ns) &&
           since_ns == request->cancelled_entry_ns;
}

/* Returns the time that another request, which runs in the worker by its claim, may take before the
 * cancel is read. */
static uint64_t others_ms(const struct request *request)
{
    const struct worker *worker = request->attempt.placement->worker;
    const struct request *other = request_find(worker, worker_running(worker).request);

    if (!other || other == request)
        return 0;
    uint64_t cpu_ms = other->attempt.version->limits.cpu_ms; /* unlimited: 49 days */
    cpu_ms += first_credit_left_ms(other->attempt.placement);
    return cpu_ms + other->attempt.version->limits.grace_ms;
}

/* Returns when the worker has to be done with a cancelled request, by its own time. */
static uint64_t cancel_deadline_ns(const struct request *request)
{
    const struct own_mark since = { request->detached_ns, request->cancelled_waited_ns };
    uint32_t grace_ms = request->attempt.version->limits.grace_ms;
    uint64_t patience_ms = is_still_running(request) ? 0 : CANCEL_PATIENCE_MS + others_ms(request);

    if (grace_ms == LIMIT_UNLIMITED)
        return UINT64_MAX;
    return own_time_deadline_ns(&request->attempt.placement->worker->own, &since,
                                (grace_ms + patience_ms) * NSEC_PER_MSEC);
}

/* Returns the deadline by the limits of its own version. */
static uint64_t own_deadline_ns(const struct request *request)
{
    const struct limits *limits = &request->attempt.version->limits;

    if (request->is_cancelled)
        return cancel_deadline_ns(request);
    if (request->client_since_ns != 0)
        return UINT64_MAX; /* the front's limits for clients hold */
    unsigned limit = time_limit(request);
    uint32_t limit_ms = limit_get(limits, &limit_table[limit]);
    return limit_ms == LIMIT_UNLIMITED || ledger_is_met(request, limit)
               ? UINT64_MAX
               : after_ms(since_ns(request), limit_ms);
}

uint64_t ledger_deadline_ns(struct request *request)
{
    uint64_t own_ns = own_deadline_ns(request);

    if (request->caller.size == 0 || request->is_cancelled)
        return own_ns;
    uint64_t tree_ns = service_due_ns(request);
    return tree_ns < own_ns ? tree_ns : own_ns;
}

/* Notes bytes that the client has taken of its queue as progress. */
static void note_taken(struct request *request, uint64_t now)
{
    size_t queued = request->client.to ? request->client.ops->queued(request->client.to) : 0;

    if (queued < request->queued_seen)
        request->progress_ns = now;
    request->queued_seen = queued;
    ledger_count_bytes(request);
}

/* Returns whether JavaScript of the request has begun, by the worker's claim: until then others
 * held it up. */
static bool has_entered(const struct request *request)
{
    const struct scoreboard *board = request->attempt.placement->worker->board;

    return atomic_load(&board->entered[request->attempt.id % SCOREBOARD_REQUESTS]) ==
           request->attempt.id;
}

static void end_overdue(struct request *request, uint64_t now)
{
    uint64_t used_us = (now - since_ns(request)) / 1000;

    if (request->is_cancelled) {
        struct worker *worker = request->attempt.placement->worker;
        if (request->is_over_wall) {
            worker->limit_milli = UINT64_C(1000) * request->attempt.version->limits.wall_ms;
            worker->used_milli = used_us;
        }
        worker_kill(worker, KILL_WALL, request->attempt.id);
        return;
    }
    bool is_own = own_deadline_ns(request) <= now; /* otherwise the caller's time is over */
    if (is_own &&
        !ledger_meet_limit(request->attempt.version, request, time_limit(request), used_us))
        return;
    request->is_blameless = !is_own || !has_entered(request);
    ledger_answer_failure(request, ERROR_WALL_REQUEST, 0);
    ledger_cancel(request, LINK_CANCEL_WALL);
}

/* Checks the active requests. Returns when the next is due. */
static uint64_t check_active(struct ledger *ledger, uint64_t now)
{
    uint64_t first = UINT64_MAX;
    struct request *request, *next;

    for (request = TAILQ_FIRST(&ledger->active); request; request = next) {
        next = TAILQ_NEXT(request, entry);
        note_taken(request, now);
        if (request->push_at_ns != 0 && request->push_at_ns <= now)
            ledger_push_body(request);
        ledger_note_client(request);
        ledger_note_slow(request, now);
        uint64_t due = ledger_deadline_ns(request);
        if (due <= now) {
            end_overdue(request, now);
            continue;
        }
        if (request->push_at_ns != 0 && request->push_at_ns < due)
            due = request->push_at_ns;
        first = due < first ? due : first;
    }
    return first;
}

/* Notes those that have waited for too long, if wall_ms is only observed: they keep waiting. */
static uint64_t note_waiting(struct tenant *tenant, uint64_t now)
{
    const struct version *version = tenant->version;
    struct request *request;

    TAILQ_FOREACH (request, &tenant->queue, entry) {
        uint64_t due = after_ms(request->queued_ns, version->limits.wall_ms);
        if (due > now)
            return due;
        (void) ledger_meet_limit(version, request, LIMIT_INDEX(wall_ms),
                                 (now - request->queued_ns) / 1000);
    }
    return UINT64_MAX;
}

/* Answers those that have waited for too long. Returns when the next one will have. */
static uint64_t check_queue(struct tenant *tenant, uint64_t now)
{
    const struct version *version = tenant->version;
    uint32_t wall_ms = version->limits.wall_ms;
    struct request *request;

    if (wall_ms == LIMIT_UNLIMITED)
        return UINT64_MAX;
    if (LIMIT_IS_IN(version->observed, wall_ms))
        return note_waiting(tenant, now);
    while ((request = TAILQ_FIRST(&tenant->queue))) {
        uint64_t due = after_ms(request->queued_ns, wall_ms);
        if (due > now)
            return due;
        bool is_in_debt = ledger_debt_ns(tenant) > 0;
        ledger_dequeue(request);
        ledger_answer_failure(request, is_in_debt ? ERROR_TENANT_BUSY : ERROR_OVERLOADED,
                              ledger_retry_after_s(tenant));
        ledger_end(request);
    }
    return UINT64_MAX;
}

/* Checks for each waiting tenant whether it has waited too long, and whether it still has to wait. Returns when the
 * next of these changes. */
static uint64_t check_waiting(struct ledger *ledger, uint64_t now)
{
    uint64_t first = UINT64_MAX;
    struct tenant *tenant;

    /* Any tenant may leave the list meanwhile, so the list is turned rather than walked. */
    for (unsigned n = ledger->n_waiting; n > 0 && (tenant = TAILQ_FIRST(&ledger->waiting)); n--) {
        TAILQ_REMOVE(&ledger->waiting, tenant, books.waiting);
        TAILQ_INSERT_TAIL(&ledger->waiting, tenant, books.waiting);
        uint64_t due = check_queue(tenant, now);
        ledger_make_way(tenant, now);
        ledger_pump(tenant);
        uint64_t debt = TAILQ_EMPTY(&tenant->queue) ? 0 : ledger_debt_ns(tenant);
        if (debt > 0 && now + debt < due)
            due = now + debt;
        first = due < first ? due : first;
    }
    return first;
}

void ledger_on_tick(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("ledger: tick");
    struct ledger *ledger = arg;
    uint64_t now = io_now_ns();

    ledger->tick_at_ns = 0;
    cpu_collect_all(ledger->placements);
    uint64_t active_due = check_active(ledger, now);
    fetches_check(ledger->fetches, now);
    storages_check(ledger->storages, now);
    uint64_t waiting_due = check_waiting(ledger, now);
    if (ledger->in_workers > 0 || ledger->queued > 0)
        ledger_want_tick(ledger, active_due < waiting_due ? active_due : waiting_due);
}

void ledger_want_tick(struct ledger *ledger, uint64_t at_ns)
{
    uint64_t now;

    if (ledger->tick_at_ns != 0 && at_ns >= ledger->tick_at_ns)
        return;
    now = io_now_ns();
    uint64_t wait = at_ns > now ? at_ns - now : 0;
    wait = wait < TICK_MIN_NS ? TICK_MIN_NS : wait > TICK_MAX_NS ? TICK_MAX_NS : wait;
    struct timeval period = { .tv_usec = (suseconds_t) (wait / 1000) };
    if (event_add(ledger->tick, &period) == 0)
        ledger->tick_at_ns = now + wait;
}

void ledger_start_tick(struct ledger *ledger)
{
    ledger_want_tick(ledger, UINT64_MAX);
}
