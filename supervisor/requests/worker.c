/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workers' side of the ledger: answers and ends. All input here is a worker's, and
 * is checked against the record.
 */
#include <errno.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "proto/frame.h"
#include "supervisor/placement/placement.h"
#include "supervisor/requests/internal.h"
#include "supervisor/workers/worker.h"

/* Credit goes back to the worker in steps, as the client takes its queued bytes. */
#define CREDIT_STEPS 4
/* The smallest step, since each is an entry into JavaScript. Less than the free part of the smallest window when the
 * front reports that little is queued (http_front_low_bytes), so that each step becomes due. */
#define CREDIT_MIN_BYTES 8192
/* Most sendings that an isolate did not take because it was stopped before; these do not count. */
#define REFUSALS_MAX 1000

/* Returns the window. A calling worker reports reads of its JavaScript in steps of BODY_GRANT_STEP_BYTES, and less counts as
 * queued: with a window of one step or less, both workers could wait for each other. */
static uint64_t window_of(const struct request *request)
{
    uint64_t window = BODY_WINDOW_BYTES >> 2 * http_front_pressure(request->ledger->front);
    uint64_t least = request->client.ops->is_caller ? 2 * BODY_GRANT_STEP_BYTES : 0;

    return window > least ? window : least;
}

void ledger_give_credit(struct request *request)
{
    size_t queued = request->client.to ? request->client.ops->queued(request->client.to) : 0;
    /* As much credit as keeps the queued bytes and those that may come within one window. */
    uint64_t window = window_of(request);
    uint64_t used = request->response_window + queued;
    uint64_t credit = window > used ? window - used : 0;

    if (!request->client.to || !request->attempt.placement || request->response_ended ||
        credit <
            (window / CREDIT_STEPS > CREDIT_MIN_BYTES ? window / CREDIT_STEPS : CREDIT_MIN_BYTES))
        return;
    request->progress_ns = loop_now_ns();
    request->response_window += credit;
    (void) link_send_credit(request->attempt.placement->worker, request->attempt.id,
                            (uint32_t) credit);
    request->response_owed -= credit;
    ledger_note_client(request);
}

static void give_up(struct request *request, enum error_code code)
{
    ledger_answer_failure(request, code, 0);
    ledger_cancel(request, LINK_CANCEL_FAILED);
}

/* Checks a part of a body against the window and the limit, before it goes to the client. Returns
 * 0, -EPROTO, or -EFBIG over response_mib. */
static int take_part(struct request *request, size_t size, bool end)
{
    uint32_t most = request->attempt.version->limits.response_mib;

    ledger_note_started(request);
    if (request->response_ended || size > request->response_window)
        return -EPROTO;
    request->response_window -= size;
    request->response_owed += size;
    request->response_total += size;
    stats_add_bytes(&request->attempt.tenant->counted, 0, size);
    request->response_ended = end;
    request->progress_ns = loop_now_ns();
    if (most != LIMIT_UNLIMITED && request->response_total > (uint64_t) most << 20 &&
        ledger_meet_limit(request->attempt.version, request, LIMIT_INDEX(response_mib),
                          request->response_total * 1000 >> 20))
        return -EFBIG;
    return 0;
}

static void after_part(struct request *request, bool end)
{
    if (!end) {
        ledger_give_credit(request);
        ledger_note_client(request);
        ledger_count_bytes(request);
        return;
    }
    request->client.to = NULL; /* the front has the whole answer; waitUntil may go on */
    request->state = REQUEST_DETACHED;
    ledger_note_client(request);
    ledger_count(request, ERROR_NONE);
}

static void set_timing(const struct request *request)
{
    uint64_t now;

    if (!request->ledger->config->server_timing || !request->client.ops->set_timing)
        return;
    now = io_now_ns();
    request->client.ops->set_timing(request->client.to,
                                    (request->sent_ns - request->queued_ns) / NSEC_PER_USEC,
                                    (now - request->received_ns) / NSEC_PER_USEC, request->is_cold);
}

int ledger_on_head(struct request *request, const struct http_response *response,
                   const uint8_t *body, size_t size, bool end)
{
    if (request->state == REQUEST_DETACHED)
        return request->is_cancelled ? 0 : -EPROTO;
    if (request->state != REQUEST_SENT)
        return -EPROTO;
    int r = take_part(request, size, end);
    if (r == -EPROTO)
        return r;
    if (r == 0)
        set_timing(request);
    if (r == 0)
        r = request->client.ops->respond(request->client.to, response, body, size, end);
    if (r == -ECANCELED) {
        ledger_lose_client(request, HTTP_GONE_LEFT);
        return 0;
    }
    if (r < 0) {
        static const char text[] = "the response cannot be sent: its status, a header or the "
                                   "size of its body is not allowed";
        tenant_log(request->attempt.tenant, TENANT_ERROR, text, sizeof text - 1);
        request->is_told = true;
        give_up(request, ERROR_BAD_RESPONSE);
        return 0;
    }
    request->state = REQUEST_RESPONDING;
    request->status = response->status;
    after_part(request, end);
    return 0;
}

int ledger_on_body(struct request *request, const uint8_t *data, size_t size, bool end)
{
    if (request->state == REQUEST_DETACHED)
        return request->is_cancelled ? 0 : -EPROTO;
    if (request->state != REQUEST_RESPONDING)
        return -EPROTO;
    int r = take_part(request, size, end);
    if (r == -EPROTO)
        return r;
    if (r < 0) {
        give_up(request, ERROR_BAD_RESPONSE);
        return 0;
    }
    r = request->client.ops->send_body(request->client.to, data, size, end);
    if (r == -ECANCELED) {
        ledger_lose_client(request, HTTP_GONE_LEFT);
        return 0;
    }
    if (r < 0) { /* the front has closed the connection */
        request->client.to = NULL;
        ledger_count(request, ERROR_BAD_RESPONSE);
        ledger_cancel(request, LINK_CANCEL_FAILED);
        return 0;
    }
    after_part(request, end);
    return 0;
}

int ledger_on_credit(struct request *request, uint32_t bytes)
{
    if (bytes == 0 || bytes > BODY_WINDOW_BYTES - request->body_window)
        return -EPROTO;
    request->body_window += bytes;
    if (!request->body)
        return -EPROTO;
    /* JavaScript has read from the body, so the sent part cannot be sent again from here. */
    request->is_body_lost = true;
    (void) evbuffer_drain(request->body, request->body_sent);
    request->body_sent = 0;
    ledger_count_bytes(request);
    if (request->is_cancelled)
        return 0;
    ledger_push_body(request);
    if (request->client.to && !request->body_ended)
        request->client.ops->grant(request->client.to, bytes);
    return 0;
}

static void leave_and_pump(struct request *request)
{
    struct tenant *tenant = request->attempt.tenant;
    struct placement *placement = request->attempt.placement;
    struct worker *worker = placement->worker;

    ledger_leave_worker(request);
    if (placement->in_flight == 0 || tenant->version->limits.cpu_rate != LIMIT_UNLIMITED)
        cpu_collect(placement);
    placement_on_idle(placement);
    ledger_end(request);
    ledger_pump(tenant);
    ledger_run(worker); /* others wait for the row that this has left */
}

void ledger_on_done(struct request *request, enum error_code code, uint64_t cpu_us)
{
    ledger_note_cost(request, cpu_us);
    request->cpu_us = cpu_us;
    if (request->client.to && code == ERROR_NONE)
        code = ERROR_BAD_RESPONSE; /* the worker claims to be done, without an answer */
    if (code != ERROR_NONE && !request->is_cancelled)
        ledger_answer_failure(request, code, 0);
    leave_and_pump(request);
}

void ledger_on_caught_up(struct worker *worker)
{
    ledger_run(worker);
}

void ledger_on_not_loaded(struct request *request)
{
    struct placement *placement = request->attempt.placement;
    struct tenant *tenant = request->attempt.tenant;
    const struct scoreboard *board = placement->worker->board;
    /* The worker claims that no JavaScript ran. */
    struct fate_facts facts = {
        .has_entered = atomic_load(&board->entered[request->attempt.id % SCOREBOARD_REQUESTS]) ==
                       request->attempt.id,
        .is_idempotent = request->is_idempotent,
        .has_answered = request->state != REQUEST_SENT,
        .is_body_lost = request->is_body_lost,
        .sendings = request->sendings - request->refusals - request->withdrawals,
    };
    /* The request came too late for an isolate that was stopped meanwhile, which may happen any
     * number of times. */
    bool is_refused =
        placement->is_stopped && !facts.has_entered && request->refusals < REFUSALS_MAX;
    enum error_code code = placement->is_stopped ? ERROR_ISOLATE_STOPPED : ERROR_WORKER_CRASHED;
    bool may_send = request->client.to && blame_fate(&facts) == FATE_SEND_AGAIN;

    if (!may_send) {
        if (!request->is_cancelled)
            ledger_answer_failure(request, code, 0);
        leave_and_pump(request);
        return;
    }
    request->refusals += is_refused;
    struct worker *worker = placement->worker;
    ledger_leave_worker(request);
    ledger_send_again(request);
    placement_on_idle(placement);
    ledger_pump(tenant);
    ledger_run(worker);
}
