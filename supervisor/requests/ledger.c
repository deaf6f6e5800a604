/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of the ledger: from the parsed head to the worker, and all later calls of the
 * front. worker.c has the worker's side.
 */
#include "supervisor/requests/ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "proto/channel.h"
#include "proto/frame.h"
#include "supervisor/requests/access.h"
#include "supervisor/requests/call_frames.h"
#include "supervisor/requests/failure.h"
#include "supervisor/requests/internal.h"
#include "supervisor/tenants/router.h"
#include "supervisor/workers/link.h"
#include "supervisor/workers/running.h"
#include "supervisor/workers/worker.h"

/* ---- life of a request */

void ledger_request_free(struct request *request)
{
    caller_done(&request->calls);
    ledger_uncount_bytes(request);
    share_leave(request);
    if (request->body)
        evbuffer_free(request->body);
    free(request->head_memory);
    free(request);
}

static int request_new(struct ledger *ledger, struct tenant *tenant,
                       const struct request_client *client, const struct http_request *head,
                       const struct request_origin *origin, struct request **ret_request)
{
    struct request *request = calloc(1, sizeof *request);

    if (!request)
        return -ENOMEM;
    request->ledger = ledger;
    request->attempt.tenant = tenant;
    request->client = *client;
    if (origin->parent)
        caller_inherit(&request->calls, origin->parent);
    request->is_idempotent = head->is_idempotent;
    request->is_http10 = head->is_http10;
    request->body_ended = !head->has_body;
    request->received_ns = request->queued_ns = loop_now_ns();
    int r = ledger_pack_head(request, head, origin);
    if (r == 0)
        r = share_enter(request);
    if (r == 0 && head->has_body && !(request->body = evbuffer_new()))
        r = -ENOMEM;
    if (r < 0) {
        ledger_request_free(request);
        return r;
    }
    ledger_count_bytes(request);
    *ret_request = request;
    return 0;
}

void ledger_count(struct request *request, enum error_code code)
{
    const struct placement *placement = request->attempt.placement;

    if (request->is_counted)
        return;
    request->is_counted = true;
    /* The last part of a complete answer has just been taken. */
    uint64_t now = code == ERROR_NONE ? request->progress_ns : io_now_ns();
    stats_count_answer(request->ledger->record, &request->attempt.tenant->counted, code,
                       !request->is_blameless);
    stats_record_latency(&request->attempt.tenant->counted, request->received_ns, now);
    if (placement && placement->worker->slot)
        stats_record(&placement->worker->slot->latency_us, request->sent_ns, now);
    failure_log(request->attempt.tenant, request, request->attempt.id, code);
    access_log_request(request, code);
    version_count(request->attempt.version ? request->attempt.version
                                           : request->attempt.tenant->version,
                  code, !request->is_blameless);
}

static uint64_t next_id(struct ledger *ledger)
{
    return ++ledger->last_id * SCOREBOARD_REQUESTS;
}

/* Returns the id by which the request is known outside, also if it was in no worker. */
static uint64_t ledger_get_id(struct request *request)
{
    if (request->attempt.id == 0)
        request->attempt.id = next_id(request->ledger);
    return request->attempt.id;
}

void ledger_answer_failure(struct request *request, enum error_code code, unsigned retry_after_s)
{
    struct request_client client = request->client;

    (void) ledger_get_id(request);
    ledger_count(request, code);
    if (!client.to)
        return;
    request->client.to = NULL;
    client.ops->fail(client.to, code, retry_after_s,
                     public_id(&request->ledger->record->ids, request->attempt.id));
}

/* ---- to the worker */

void ledger_leave_worker(struct request *request)
{
    struct ledger *ledger = request->ledger;
    struct placement *placement = request->attempt.placement;

    access_log_end(request); /* while its version is known */
    caller_end(&request->calls);
    TAILQ_REMOVE(&ledger->active, request, entry);
    if (request->is_push_due)
        LIST_REMOVE(request, push);
    request->is_push_due = false;
    ledger_note_started(request);
    ledger->in_workers--;
    request->attempt.tenant->n_in_flight--;
    share_give_place(request);
    worker_give_row(placement->worker, &request->attempt);
    placement->in_flight--;
    request->attempt.placement = NULL;
    request->attempt.version = version_unref(request->attempt.version);
}

void ledger_end(struct request *request)
{
    access_log_end(request);
    ledger_request_free(request);
}

void ledger_return_to_queue(struct request *request)
{
    request->body_sent = 0;
    request->body_window = 0;
    request->body_end_sent = false;
    request->push_at_ns = 0;
    request->attempt.exceeded = 0;
    request->is_told = false;
    ledger_count_bytes(request); /* the calls have ended */
    ledger_enqueue(request, true);
}

void ledger_send_again(struct request *request)
{
    request->ledger->record->counters.replayed++;
    ledger_return_to_queue(request);
}

/* Each piece is an entry into JavaScript, for which the tenant pays, and the client chooses their size: smaller pieces
 * than this wait for more bytes, the longer the more of them there were, so that the tenant's CPU
 * time lasts for hours of them. */
#define PIECE_BYTES 16384
#define PIECE_PAUSE_NS (NSEC_PER_MSEC / 4)
#define PIECE_PAUSE_MAX_NS NSEC_PER_SEC

/* Returns whether a part of that size has to wait for more of the body. Notes pieces that are sent. */
static bool must_grow(struct request *request, size_t part)
{
    uint64_t pause_ns = request->small_pieces * PIECE_PAUSE_NS;
    uint64_t now;

    if (part >= PIECE_BYTES || part == request->body_window || request->body_ended ||
        !request->client.to || !request->client.ops->awaits_body(request->client.to))
        return false;
    now = io_now_ns();
    pause_ns = pause_ns < PIECE_PAUSE_MAX_NS ? pause_ns : PIECE_PAUSE_MAX_NS;
    if (now < request->piece_ns + pause_ns) {
        request->push_at_ns = request->piece_ns + pause_ns;
        ledger_want_tick(request->ledger, request->push_at_ns);
        return true;
    }
    request->small_pieces++;
    request->piece_ns = now;
    return false;
}

void ledger_push_body(struct request *request)
{
    struct worker *worker = request->attempt.placement->worker;

    request->push_at_ns = 0;
    while (request->body && !request->body_end_sent && !request->is_cancelled &&
           !worker_is_congested(worker)) {
        size_t left = evbuffer_get_length(request->body) - request->body_sent;
        size_t part = left < BODY_CHUNK_MAX_BYTES ? left : BODY_CHUNK_MAX_BYTES;
        struct evbuffer_ptr at;
        struct evbuffer_iovec span = { 0 };

        part = part < request->body_window ? part : request->body_window;
        if (part > 0 && request->body_sent == 0) { /* one piece, of parts of any size */
            span.iov_base = evbuffer_pullup(request->body, (ev_ssize_t) part);
            if (!span.iov_base)
                return;
        } else if (part > 0) {
            if (evbuffer_ptr_set(request->body, &at, request->body_sent, EVBUFFER_PTR_SET) < 0 ||
                evbuffer_peek(request->body, (ev_ssize_t) part, &at, &span, 1) < 1)
                return;
            part = span.iov_len < part ? span.iov_len : part;
        }
        bool is_end = request->body_ended && part == left;
        if ((part == 0 && !is_end) || must_grow(request, part) ||
            link_send_body(worker, request->attempt.id, span.iov_base, part, is_end) < 0)
            return;
        request->body_window -= part;
        request->body_end_sent = is_end;
        if (request->is_body_lost)
            (void) evbuffer_drain(request->body, part);
        else
            request->body_sent += part;
    }
    ledger_note_client(request);
    ledger_count_bytes(request);
}

/* Passes tiny chunks on in one frame for each turn, since each frame is an entry into
 * JavaScript, for which the tenant pays. */
static void push_later(struct request *request)
{
    struct ledger *ledger = request->ledger;

    if (request->is_push_due)
        return;
    if (LIST_EMPTY(&ledger->pushes))
        event_active(ledger->push_event, EV_WRITE, 0);
    request->is_push_due = true;
    LIST_INSERT_HEAD(&ledger->pushes, request, push);
}

void ledger_on_push(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("ledger: push");
    struct ledger *ledger = arg;
    struct request *request;

    while ((request = LIST_FIRST(&ledger->pushes))) {
        LIST_REMOVE(request, push);
        request->is_push_due = false;
        ledger_push_body(request);
    }
}

void ledger_cancel(struct request *request, enum link_cancel reason)
{
    request->state = REQUEST_DETACHED;
    if (request->is_cancelled)
        return;
    request->is_cancelled = true;
    caller_cancel(&request->calls);
    ledger_note_client(request);
    request->is_over_wall = reason == LINK_CANCEL_WALL;
    request->detached_ns = io_now_ns();
    request->cancelled_waited_ns = request->attempt.placement->worker->own.waited_ns;
    (void) worker_runs(request->attempt.placement->worker, request->attempt.id,
                       &request->cancelled_entry_ns);
    ledger_want_tick(request->ledger, ledger_deadline_ns(request));
    if (request->body) /* the request is not sent again */
        (void) evbuffer_drain(request->body, evbuffer_get_length(request->body));
    request->body_sent = 0;
    ledger_count_bytes(request);
    (void) link_send_cancel(request->attempt.placement->worker, request->attempt.id, reason);
}

/* ---- from the front */

static bool is_too_big(const struct tenant *tenant, struct request *request, uint64_t size)
{
    uint32_t most = tenant->version->limits.request_mib;

    return most != LIMIT_UNLIMITED && size > (uint64_t) most << 20 &&
           ledger_meet_limit(tenant->version, request, LIMIT_INDEX(request_mib), size * 1000 >> 20);
}

/* Returns whether the queue is full. Requests that may run may wait besides the queue, also while none can be sent, as
 * during a load. */
static bool is_queue_full(const struct tenant *tenant)
{
    const struct limits *limits = &tenant->version->limits;
    /* With concurrency only observed more may run; they take no place in the queue. */
    uint64_t running =
        tenant->n_in_flight < limits->concurrency ? tenant->n_in_flight : limits->concurrency;

    if (running + tenant->n_queued < (uint64_t) limits->concurrency + limits->queue)
        return false;
    return ledger_meet_limit(tenant->version, NULL, LIMIT_INDEX(queue),
                             ((uint64_t) tenant->n_queued + 1) * 1000) ||
           tenant->n_queued >= limit_table[LIMIT_INDEX(queue)].most;
}

/* Most requests of a tenant for each connection without a request. */
#define REQUESTS_PER_FREE 3

/* Returns whether the tenant's requests have taken the connections of others: with a long queue, a tenant whose requests take long
 * could have all connections. Requests stand for their connections here, and calls of tenants are among them, so that none may seem
 * to be free while a client has just come with one: a tenant without requests never crowds. */
static bool is_crowding(const struct ledger *ledger, const struct tenant *tenant)
{
    const uint64_t most = ledger->config->http.connections;
    const uint64_t taken = (uint64_t) ledger->queued + ledger->in_workers;
    const uint64_t n_free = taken < most ? most - taken : 1;
    const uint64_t n = (uint64_t) tenant->n_queued + tenant->n_in_flight;

    return tenant->tenants->n_listed > 1 && n >= REQUESTS_PER_FREE * n_free;
}

static uint64_t announced_size(const struct http_request *head)
{
    return head->has_body && head->content_length > 0 ? (uint64_t) head->content_length : 0;
}

/* Makes room in a full queue: an address with more requests in it gives way to one with fewer. */
static bool make_room(struct tenant *tenant, const struct request_client *client)
{
    struct request *excess = share_find_excess(tenant, client);

    if (!excess)
        return false;
    ledger_dequeue(excess);
    ledger_answer_failure(excess, ERROR_TENANT_BUSY, ledger_retry_after_s(tenant));
    ledger_end(excess);
    return true;
}

static enum error_code refuse(struct ledger *ledger, struct tenant *tenant,
                              const struct request_client *client, unsigned *ret_retry_s)
{
    *ret_retry_s = conduct_retry_after_s(&tenant->conduct, loop_now_ns());
    if (*ret_retry_s > 0) {
        *ret_retry_s = *ret_retry_s == UINT32_MAX ? 0 : *ret_retry_s;
        return ERROR_QUARANTINED;
    }
    *ret_retry_s = tenant_retry_after_s(tenant);
    if (*ret_retry_s > 0)
        return tenant->load_error;
    *ret_retry_s = 1;
    if (share_is_full(tenant, client) || (!client->ops->is_caller && is_crowding(ledger, tenant)) ||
        (is_queue_full(tenant) && !make_room(tenant, client))) {
        *ret_retry_s = ledger_retry_after_s(tenant);
        return ERROR_TENANT_BUSY;
    }
    if (!placement_find_slot(ledger->placements->slots, tenant->version))
        return ERROR_OVERLOADED;
    *ret_retry_s = 0;
    return ERROR_NONE;
}

static enum error_code refuse_head(struct ledger *ledger, struct tenant *tenant,
                                   const struct request_client *client,
                                   const struct http_request *head, unsigned *ret_retry_s)
{
    if (!LIMIT_IS_IN(tenant->version->observed, request_mib) &&
        is_too_big(tenant, NULL, announced_size(head)))
        return ERROR_BODY_TOO_LARGE;
    return refuse(ledger, tenant, client, ret_retry_s);
}

static void answer_refusal(struct ledger *ledger, struct tenant *tenant,
                           const struct request_client *client, const struct http_request *head,
                           const struct request_origin *origin, enum error_code code,
                           unsigned retry_s)
{
    uint64_t id = next_id(ledger);

    bool is_blamed = tenant && !tenant->conduct.is_by_operator;
    stats_count_answer(ledger->record, tenant ? &tenant->counted : NULL, code, is_blamed);
    if (tenant)
        version_count(tenant->version, code, is_blamed);
    if (tenant)
        failure_log(tenant, NULL, id, code);
    access_log_refusal(ledger, tenant, head, origin, code, id);
    client->ops->fail(client->to, code, retry_s, public_id(&ledger->record->ids, id));
}

/* ---- bodies that come before their request takes a place */

/* Returns how much of the body to wait for outside of the queue: while places are short, all of a small body, or the
 * first part of a larger one. A body without a length may have to be answered while it comes. */
static size_t gathers(const struct tenant *tenant, const struct http_request *head)
{
    uint64_t most = (uint64_t) tenant->tenants->config->http.body_buffer_kib << 10;
    uint64_t size = announced_size(head);
    uint32_t places = tenant->version->limits.concurrency;

    places = places < SCOREBOARD_REQUESTS ? places : SCOREBOARD_REQUESTS;
    if (tenant->n_queued == 0 && tenant->n_in_flight < places / 2)
        return 0;
    return size < most ? (size_t) size : (size_t) most;
}

static void start_gathering(struct request *request)
{
    TAILQ_INSERT_TAIL(&request->ledger->gathering, request, entry);
    request->attempt.tenant->books.n_gathering++;
    request->state = REQUEST_GATHERING;
    request->client.ops->grant(request->client.to, request->first_grant);
}

void ledger_stop_gathering(struct request *request)
{
    TAILQ_REMOVE(&request->ledger->gathering, request, entry);
    request->attempt.tenant->books.n_gathering--;
}

static void take_place(struct request *request)
{
    struct tenant *tenant = request->attempt.tenant;

    ledger_enqueue(request, false);
    if (!request->body_ended && request->body_total == 0)
        request->client.ops->grant(request->client.to, request->first_grant);
    ledger_pump(tenant);
    stats_note_requests(&tenant->counted, tenant->n_queued, tenant->n_in_flight);
    ledger_start_tick(ledger_of_tenant(tenant));
}

static void end_gathering(struct request *request)
{
    struct ledger *ledger = request->ledger;
    unsigned retry_s = 0;

    ledger_stop_gathering(request);
    request->queued_ns = loop_now_ns();
    enum error_code code = ledger->life->is_ending ? ERROR_DRAINING
                                                   : refuse(ledger, request->attempt.tenant,
                                                            &request->client, &retry_s);
    if (code == ERROR_NONE) {
        take_place(request);
        return;
    }
    ledger_answer_failure(request, code, retry_s);
    ledger_end(request);
}

struct request *ledger_open(struct ledger *ledger, struct tenant *tenant,
                            const struct request_client *client, const struct http_request *head,
                            const struct request_origin *origin)
{
    struct request *request;
    unsigned retry_s = 0;

    bool is_unserved = tenant && tenant->unserved;
    if (is_unserved)
        tenant = NULL;
    if (tenant)
        stats_enter(&tenant->counted);
    enum error_code code = ledger->life->is_ending ? ERROR_DRAINING
                           : is_unserved           ? ERROR_UNSERVED
                           : !tenant               ? ERROR_NO_ROUTE
                                     : refuse_head(ledger, tenant, client, head, &retry_s);
    if (code == ERROR_NONE && request_new(ledger, tenant, client, head, origin, &request) < 0)
        code = ERROR_OVERLOADED;
    if (code != ERROR_NONE) {
        answer_refusal(ledger, tenant, client, head, origin, code, retry_s);
        return NULL;
    }
    (void) is_too_big(tenant, request, announced_size(head)); /* only observed, or refused before */
    request->first_grant = gathers(tenant, head);
    if (request->first_grant > 0) {
        start_gathering(request);
        return request;
    }
    request->first_grant =
        http_front_pressure(ledger->front) > 0 ? FIRST_GRANT_MIN_BYTES : FIRST_GRANT_BYTES;
    take_place(request);
    return request;
}

static const struct request_origin from_front = { .scheme = { "http://", 7 } };

void *ledger_on_request(void *handler, struct http_exchange *exchange,
                        const struct http_request *head)
{
    struct ledger *ledger = handler;
    struct request_client client = client_of_exchange(exchange);
    struct tenant *tenant = router_find(ledger->placements->tenants->router, head->host.data,
                                        head->host.size, head->target.data, head->target.size);

    return ledger_open(ledger, tenant, &client, head, &from_front);
}

/* Ends a request that is in no worker; false: it is in one. */
static bool leave_before_worker(struct request *request)
{
    if (request->state == REQUEST_GATHERING)
        ledger_stop_gathering(request);
    else if (request->state == REQUEST_QUEUED)
        ledger_dequeue(request);
    else
        return false;
    ledger_end(request);
    return true;
}

/* A large part of a body that cannot be sent again anyway goes on from where it lies, if nothing waits before it. Returns
 * whether it has gone. */
static bool pass_on(struct request *request, const uint8_t *data, size_t size, bool end)
{
    if (!request->is_body_lost || request->is_cancelled || request->body_end_sent ||
        size < PIECE_BYTES || size > BODY_CHUNK_MAX_BYTES || size > request->body_window ||
        request->is_push_due || evbuffer_get_length(request->body) > 0)
        return false;
    struct worker *worker = request->attempt.placement->worker;
    if (worker_is_congested(worker) ||
        link_send_body(worker, request->attempt.id, data, size, end) < 0)
        return false;
    request->body_window -= size;
    request->body_end_sent = end;
    return true;
}

void ledger_take_body(void *arg, const uint8_t *data, size_t size, bool end)
{
    struct request *request = arg;

    request->body_total += size;
    stats_add_bytes(&request->attempt.tenant->counted, size, 0);
    request->progress_ns = loop_now_ns();
    bool is_fine = !is_too_big(request->attempt.tenant, request, request->body_total);
    bool has_gone = is_fine && pass_on(request, data, size, end);
    if (!is_fine || (!has_gone && evbuffer_add(request->body, data, size) < 0)) {
        ledger_answer_failure(request, ERROR_BODY_TOO_LARGE, 0);
        if (!leave_before_worker(request))
            ledger_cancel(request, LINK_CANCEL_FAILED);
        return;
    }
    ledger_count_bytes(request);
    request->body_ended = end;
    if (request->state == REQUEST_GATHERING) {
        if (end || request->body_total >= request->first_grant)
            end_gathering(request);
        return;
    }
    ledger_note_client(request);
    if (request->state != REQUEST_QUEUED && !has_gone)
        push_later(request);
}

void ledger_on_writable(void *arg)
{
    ledger_give_credit(arg);
}

void ledger_lose_client(void *arg, enum http_gone why)
{
    struct request *request = arg;

    (void) ledger_get_id(request);
    if (why == HTTP_GONE_MALFORMED || why == HTTP_GONE_LATE) {
        ledger_count(request, why == HTTP_GONE_LATE ? ERROR_REQUEST_TIMEOUT : ERROR_BAD_REQUEST);
    } else {
        access_log_gone(request, why == HTTP_GONE_SLOW ? "client_slow" : "client_gone");
        stats_count_abandoned(&request->attempt.tenant->counted);
    }
    request->client.to = NULL;
    if (!leave_before_worker(request))
        ledger_cancel(request, LINK_CANCEL_CLIENT_GONE);
}
