/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarations that the ledger's files share. No other file includes this.
 */
#pragma once

#include "supervisor/requests/ledger.h"
#include "supervisor/requests/share.h"
#include "supervisor/workers/link.h"

/* The origin of a request, besides its head. */
struct request_origin {
    struct http_text scheme;     /* scheme of the URL, with "://" */
    struct http_text caller;     /* name of the tenant that calls; empty: an HTTP client asks */
    const struct caller *parent; /* the attempt whose call it is; NULL: none */
    const struct trace_span
        *span; /* span of that call, and of the request; NULL: as the head says */
};

/* Bytes that a client may send of a body before its request is in a worker. */
#define FIRST_GRANT_BYTES (BODY_WINDOW_BYTES / 4)
#define FIRST_GRANT_MIN_BYTES (BODY_WINDOW_BYTES / 16) /* the same while buffers are short */

/* Makes a request of a client for the tenant; tenant NULL: no route leads to one. Returns NULL after an answer with the
 * reason to the client. */
struct request *ledger_open(struct ledger *ledger, struct tenant *tenant,
                            const struct request_client *client, const struct http_request *head,
                            const struct request_origin *origin);
/* Functions for the client, as in struct http_handler; request: struct request. */
void ledger_take_body(void *request, const uint8_t *data, size_t size, bool end);
void ledger_lose_client(void *request, enum http_gone why);
/* Counts the answer, once for each request. */
void ledger_count(struct request *request, enum error_code code);
/* Answers the client, if it is still there and has not got all; the exchange is gone then. */
void ledger_answer_failure(struct request *request, enum error_code code, unsigned retry_after_s);
/* Takes the request out of its worker's and placement's books. */
void ledger_leave_worker(struct request *request);
/* Puts a request that has left its worker back to the head of its tenant's queue. */
void ledger_send_again(struct request *request);
/* Does the same, without counting it as sent again. */
void ledger_return_to_queue(struct request *request);
/* Frees a request that is in no queue and no worker. */
void ledger_end(struct request *request);
void ledger_push_body(struct request *request);
/* Cancels a request that its client does not want any more or may not have: tells the worker, once. */
void ledger_cancel(struct request *request, enum link_cancel reason);
/* Lets the worker send more of the response, if the client has taken enough. */
void ledger_give_credit(struct request *request);
/* ---- send.c */

/* Copies the head as it is sent, and the texts that the access log and calls need. 0 or -ENOMEM. */
int ledger_pack_head(struct request *request, const struct http_request *head,
                     const struct request_origin *origin);
/* Sends the Request frame. 0 or -errno of channel_send. */
int ledger_send_request(struct worker *worker, struct request *request);

/* ---- ledger.c, for requests.c */

void *ledger_on_request(void *handler, struct http_exchange *exchange,
                        const struct http_request *head);
void ledger_on_writable(void *arg);
void ledger_on_push(evutil_socket_t fd, short what, void *arg);
void ledger_request_free(struct request *request);
void ledger_stop_gathering(struct request *request);

/* ---- queue.c */

/* Put a request into its tenant's queue, and take it out. */
void ledger_enqueue(struct request *request, bool at_head);
void ledger_dequeue(struct request *request);

/* ---- run.c */

/* Takes a tenant that has nothing to send just now out of its run queue. */
void ledger_stop_waiting(struct tenant *tenant);
/* Sends requests of tenants that have their turn in the worker, as far as there is room. */
void ledger_run(struct worker *worker);
/* Notes that JavaScript of the request has begun, and of all that were sent before it; or that it
 * is out of the worker. */
void ledger_note_started(struct request *request);
/* Notes that the request was withdrawn: it never begins, and costs the tenant nothing, though it is
 * still in its worker. */
void ledger_forget_unstarted(struct request *request);
/* Notes the cost of a request for its tenant's average. */
void ledger_note_cost(struct request *request, uint64_t cpu_us);
/* Notes a death for which the tenant is to blame as cost, since it has cost all others in the
 * worker their time. */
void ledger_note_death_cost(struct tenant *tenant);

/* Returns the time until the tenant is within its cpu_rate again; 0: it is. */
uint64_t ledger_debt_ns(struct tenant *tenant);
/* Returns Retry-After for a client whose request finds the queue full; at least 1. */
unsigned ledger_retry_after_s(struct tenant *tenant);

/* ---- limits.c */

/* Notes a limit that was met, once for each request; without a request (NULL) once for each tenant and
 * second. used is in thousandths of the limit's unit. Returns whether it is enforced. */
bool ledger_meet_limit(const struct version *version, struct request *request, unsigned limit,
                       uint64_t used);
bool ledger_is_met(const struct request *request, unsigned limit);
/* Count the bytes that are kept for the request now; and none any more. */
void ledger_count_bytes(struct request *request);
void ledger_uncount_bytes(struct request *request);

/* ---- totals.c */

/* Sets the functions that read the rows of totals.h of the ledger and of the floors below it. */
void ledger_set_totals(struct ledger *ledger);
void ledger_unset_totals(struct ledger *ledger);

/* ---- time.c */

/* Has the tick run at that time at the latest. */
void ledger_want_tick(struct ledger *ledger, uint64_t at_ns);
void ledger_start_tick(struct ledger *ledger);
/* Notes whether the tenant waits for the client now: for more of the request body, or for room for more of
 * the response. Time of such waits counts for none of the tenant's limits. Call when either may
 * have changed. */
void ledger_note_client(struct request *request);
/* Returns when the request will have been in its worker for too long; UINT64_MAX: never. */
uint64_t ledger_deadline_ns(struct request *request);
/* Notes a client as slow for which its tenant has waited long, with few bytes moving. */
void ledger_note_slow(struct request *request, uint64_t now);
/* Returns the bytes that have moved to and from the client. */
uint64_t ledger_moved(const struct request *request);
/* Ends requests of slow clients, for which their tenant waits, so that waiting requests get their
 * places. */
void ledger_make_way(struct tenant *tenant, uint64_t now);
/* For the event; arg: the ledger. */
void ledger_on_tick(evutil_socket_t fd, short what, void *arg);
