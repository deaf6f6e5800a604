/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time in the ledger: wall and idle limits of what is in workers, how long a request may wait, and
 * how long a worker has to let go of what was cancelled. Supervisor, loop thread.
 */
#include "common/io.h"
#include "supervisor/child.h"
#include "supervisor/ledger_internal.h"

#define TICK_MS 20
/* A worker that was told to cancel and answers other requests has this long. */
#define CANCEL_PATIENCE_MS 5000

static bool is_over_time(const struct request *request, uint64_t now)
{
    const struct limits *limits = &request->version->limits;
    bool is_stream =
        request->exchange && (request->state == REQUEST_RESPONDING || !request->body_ended);
    /* waitUntil has its time from the end of the response, however long that took. */
    bool is_answered = request->state == REQUEST_DETACHED;
    uint64_t since = is_stream || is_answered ? request->progress_ns : request->sent_ns;
    uint32_t limit = is_stream ? limits->idle_ms : limits->wall_ms;

    return limit != LIMIT_UNLIMITED && now - since > limit * NSEC_PER_MSEC;
}

/* The client has taken of what is queued for it: that is progress too. */
static void note_taken(struct request *request, uint64_t now)
{
    size_t queued = request->exchange ? http_queued_bytes(request->exchange) : 0;

    if (queued < request->queued_seen)
        request->progress_ns = now;
    request->queued_seen = queued;
}

static void check_active(struct request *request, uint64_t now)
{
    uint32_t grace_ms = request->version->limits.grace_ms;

    note_taken(request, now);
    if (!request->is_cancelled) {
        if (!is_over_time(request, now))
            return;
        ledger_answer_failure(request, ERROR_WALL_REQUEST, 0);
        ledger_cancel(request, LINK_CANCEL_WALL);
    } else if (grace_ms != LIMIT_UNLIMITED &&
               now - request->detached_ns > (grace_ms + CANCEL_PATIENCE_MS) * NSEC_PER_MSEC) {
        child_kill(request->placement->child, KILL_WALL, request->id);
    }
}

static void check_queue(struct tenant *tenant, uint64_t now)
{
    uint32_t wall_ms = tenant->version->limits.wall_ms;
    struct request *request;

    while (wall_ms != LIMIT_UNLIMITED && (request = TAILQ_FIRST(&tenant->queue)) &&
           now - request->received_ns > wall_ms * NSEC_PER_MSEC) {
        ledger_dequeue(request);
        ledger_answer_failure(request, ERROR_OVERLOADED, 1);
        ledger_end(request);
    }
}

void ledger_on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct ledger *ledger = arg;
    struct request *request, *next;
    struct tenant *tenant;
    uint64_t now = io_now_ns();

    (void) fd;
    (void) what;
    for (request = TAILQ_FIRST(&ledger->active); request; request = next) {
        next = TAILQ_NEXT(request, entry);
        check_active(request, now);
    }
    if (ledger->queued > 0)
        TAILQ_FOREACH (tenant, &ledger->server->tenants->list, entry)
            check_queue(tenant, now);
    if (ledger->in_workers == 0 && ledger->queued == 0)
        (void) event_del(ledger->tick);
}

void ledger_start_tick(struct ledger *ledger)
{
    static const struct timeval period = { .tv_usec = TICK_MS * 1000 };

    if (!event_pending(ledger->tick, EV_TIMEOUT, NULL))
        (void) event_add(ledger->tick, &period);
}
