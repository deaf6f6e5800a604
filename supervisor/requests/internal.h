/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ledger's files share. Nobody else includes this.
 */
#pragma once

#include "supervisor/requests/ledger.h"
#include "supervisor/requests/share.h"
#include "supervisor/workers/link.h"

/* Where a request comes from, besides its head. */
struct request_origin {
    struct http_text scheme;     /* of its URL, with "://" */
    struct http_text caller;     /* name of the tenant that calls; empty: an HTTP client asks */
    const struct caller *parent; /* whose call it is; NULL: none's */
};

/* What a client may send of a body before its request is in a worker. */
#define FIRST_GRANT_BYTES (BODY_WINDOW_BYTES / 4)
#define FIRST_GRANT_MIN_BYTES (BODY_WINDOW_BYTES / 16) /* while buffers are short */

/* A request of a client for the tenant, with which it shares the queue; NULL as tenant: no route leads to one. NULL: the
 * client was told why there is none. */
struct request *ledger_open(struct ledger *ledger, struct tenant *tenant,
                            const struct request_client *client, const struct http_request *head,
                            const struct request_origin *origin);
/* For the client, as in struct http_handler; request: struct request. */
void ledger_take_body(void *request, const uint8_t *data, size_t size, bool end);
void ledger_lose_client(void *request, enum http_gone why);
/* Counts the answer, once for each request. */
void ledger_count(struct request *request, enum error_code code);
/* By which the request is known outside, also if it was in no worker. */
uint64_t ledger_get_id(struct request *request);
/* Tells the client, if it is still there and has not got all; the exchange is gone then. */
void ledger_answer_failure(struct request *request, enum error_code code, unsigned retry_after_s);
/* Takes it out of its worker's and placement's books. */
void ledger_leave_worker(struct request *request);
/* Back to the head of its tenant's queue; it has left its worker. */
void ledger_send_again(struct request *request);
/* The same, and it is not counted as sent again. */
void ledger_return_to_queue(struct request *request);
/* Frees it; it is in no queue and no worker. */
void ledger_end(struct request *request);
void ledger_push_body(struct request *request);
/* The client does not want it any more or may not have it: the worker is told, once. */
void ledger_cancel(struct request *request, enum link_cancel reason);
/* Lets the worker send more of the response, if the client has taken enough. */
void ledger_give_credit(struct request *request);
/* ---- send.c */

/* 0 or -errno of channel_send. */
int ledger_send_request(struct worker *worker, struct request *request);

/* ---- ledger.c, for requests.c */

void *ledger_on_request(void *handler, struct http_exchange *exchange,
                        const struct http_request *head);
void ledger_on_writable(void *arg);
void ledger_on_push(evutil_socket_t fd, short what, void *arg);
void ledger_request_free(struct request *request);
void ledger_stop_gathering(struct request *request);

/* ---- queue.c */

/* Into its tenant's queue, and out of it. */
void ledger_enqueue(struct request *request, bool at_head);
void ledger_dequeue(struct request *request);

/* ---- run.c */

/* The tenant has nothing to send just now: it is in no run queue afterwards. */
void ledger_stop_waiting(struct tenant *tenant);
/* Sends what has its turn in the worker, as far as there is room. */
void ledger_run(struct worker *worker);
/* Its JavaScript has begun, as that of all that was sent before it; or it is out of the worker. */
void ledger_note_started(struct request *request);
/* Notes that the request was withdrawn: it never begins, and costs its tenant nothing, though it is still in its worker. */
void ledger_forget_unstarted(struct request *request);
/* What a request of its tenant cost. */
void ledger_note_cost(struct request *request, uint64_t cpu_us);
/* It is to blame for a death: that has cost all others in the worker their time, too. */
void ledger_note_death_cost(struct tenant *tenant);

/* Until the tenant is within its cpu_rate again; 0: it is. */
uint64_t ledger_debt_ns(struct tenant *tenant);
/* What a client is told whose request finds the queue full; at least 1. */
unsigned ledger_retry_after_s(struct tenant *tenant);

/* ---- limits.c */

/* A limit was met: notes it, once for each request; without one (NULL) once for each tenant and
 * second. used is in thousandths of the limit's unit. Returns whether it is enforced. */
bool ledger_meet_limit(const struct version *version, struct request *request, unsigned limit,
                       uint64_t used);
bool ledger_is_met(const struct request *request, unsigned limit);
/* Whether ledger_meet_limit would not note it again. */
bool ledger_is_noted(const struct version *version, const struct request *request, unsigned limit);
/* Counts the bytes that are kept for the request now; gone: none any more. */
void ledger_count_bytes(struct request *request);
void ledger_uncount_bytes(struct request *request);

/* ---- totals.c */

/* Says how the rows of totals.h are read that the ledger and the floors below it keep. */
void ledger_set_totals(struct ledger *ledger);
void ledger_unset_totals(struct ledger *ledger);

/* ---- time.c */

/* Has the tick come at that time at the latest. */
void ledger_want_tick(struct ledger *ledger, uint64_t at_ns);
void ledger_start_tick(struct ledger *ledger);
/* Notes whether the tenant waits for the client now: for more of the request body, or for room for more of
 * the response. That time counts for none of the tenant's limits. Call when either may have changed. */
void ledger_note_client(struct request *request);
/* When the request has been in its worker for too long; UINT64_MAX: never. */
uint64_t ledger_deadline_ns(struct request *request);
/* Notes it of the client if its tenant has waited for it long, with little moving. */
void ledger_note_slow(struct request *request, uint64_t now);
/* Bytes that have moved to and from the client. */
uint64_t ledger_moved(const struct request *request);
/* Has clients that their tenant waits for give up places that others wait for. */
void ledger_make_way(struct tenant *tenant, uint64_t now);
/* For the event; arg: the ledger. */
void ledger_on_tick(evutil_socket_t fd, short what, void *arg);
