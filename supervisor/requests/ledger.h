/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: the supervisor's own record of each request, from the parsed head to the last
 * byte and the worker's done. The ledger alone decides a client's answer when a worker dies.
 * Supervisor, loop thread.
 */
#pragma once

#include <assert.h>
#include <event2/buffer.h>
#include <stddef.h>

#include "common/log_gate.h"
#include "supervisor/calls/calls.h"
#include "supervisor/http/http.h"
#include "supervisor/placement/blame.h"
#include "supervisor/placement/placement.h"
#include "supervisor/requests/client.h"
#include "supervisor/requests/fetch_queue.h"
#include "supervisor/requests/trace_context.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/attempt.h"
#include "supervisor/workers/worker.h"

enum request_state {
    REQUEST_GATHERING,  /* the body comes, before the request takes a place in the queue */
    REQUEST_QUEUED,     /* in its tenant's queue */
    REQUEST_SENT,       /* in a worker; no part of the answer sent */
    REQUEST_RESPONDING, /* head has gone to the client */
    REQUEST_DETACHED,   /* the client has its answer or is gone; the worker is not done */
};

struct request {
    struct attempt attempt;         /* the first: request_of_attempt */
    TAILQ_ENTRY(request) entry;     /* in its tenant's queue or the ledger's active */
    LIST_ENTRY(request) push;       /* in the ledger's pushes, if is_push_due */
    TAILQ_ENTRY(request) in_share;  /* in its address's part of the tenant's queue */
    struct share *share;            /* counted, see share.h */
    TAILQ_ENTRY(request) unstarted; /* in its worker's list, if is_unstarted */
    struct ledger *ledger;          /* borrowed */
    struct request_client client;   /* without one when detached */
    struct caller calls;            /* calls that its JavaScript makes */
    struct fetch_lane fetches;      /* those of them that are fetches */
    struct fetch_lane storage;      /* those of them that are operations of storage */
    struct trace_span span;         /* in the access log; off while there was none */
    size_t fetch_bytes;   /* bytes that are kept for fetches and operations of storage that wait */
    uint64_t tree_due_ns; /* for a call: latest end of the root request */
    enum request_state state;
    /* Head, kept for sending it again, as the worker gets it: packed (proto/head.h). Texts point into it. */
    struct http_text method, url;
    struct http_text address; /* address of the client; empty if no log needs it */
    struct http_text caller;  /* name of the tenant that calls; empty: an HTTP client asks */
    char *head_memory;        /* the packed head, then other texts */
    size_t packed_bytes;      /* bytes of the packed head */
    size_t head_bytes;        /* bytes of both */
    bool is_idempotent;
    bool body_ended;
    bool body_end_sent;
    bool is_body_lost; /* parts have been dropped, so the request cannot be sent again */
    bool is_cancelled; /* the worker has been told */
    bool is_counted;   /* the answer is in the counters */
    bool is_in_access_log;
    bool is_http10;
    bool is_cold;       /* the version was loaded in the worker while the request waited */
    bool is_access_due; /* answered; the event for the access log waits for the CPU time */
    bool is_push_due;   /* has body to send at the end of this turn */
    bool is_unstarted;  /* sent; JavaScript of it has not begun, as far as is known */
    bool is_over_wall;  /* cancelled because of its time */
    bool is_suspect;    /* might hold up others, as far as was known when it was sent */
    bool is_blameless;  /* another tenant has caused its failure */
    bool is_told;       /* the tenant's log has the reason why it fails */
    bool has_met_limit; /* a limit has failed it; the last one is this: */
    unsigned met_limit;
    uint64_t met_used_milli;
    struct evbuffer *body; /* parts that may have to be sent (again); NULL: none */
    size_t body_sent;      /* bytes of it that the worker has */
    size_t body_window;    /* bytes that the worker allows beyond those */
    unsigned small_pieces; /* small pieces that went to workers, see PIECE_BYTES */
    uint64_t piece_ns;     /* when the last one went */
    /* Time until which a small piece waits for more of the body; 0: none does. */
    uint64_t push_at_ns;
    uint64_t body_total;
    uint64_t response_total;
    uint64_t response_owed;   /* response bytes taken from the worker, credit not yet given back */
    uint64_t response_window; /* bytes that the worker may still send */
    /* Bytes of the response that were queued for the client, at the last look. */
    size_t queued_seen;
    size_t kept_bytes;    /* bytes of body that were reported to the front */
    size_t first_grant;   /* bytes that the client may send before the request is in a worker */
    size_t counted_bytes; /* bytes of it in the tenant's queued_bytes */
    bool response_ended;
    unsigned status; /* status of the answer; 0: no head has gone out */
    unsigned worker; /* the worker that it was sent to last; valid if the pid is set */
    pid_t worker_pid;
    unsigned deaths; /* deaths of workers while this was in JavaScript there */
    unsigned sendings;
    unsigned refusals;    /* sendings that were refused: see REFUSALS_MAX */
    unsigned withdrawals; /* sendings that were taken back before it had begun */
    uint64_t queued_ns;   /* time since which it waits for a place */
    uint64_t received_ns, sent_ns, progress_ns, detached_ns;
    uint64_t answered_ns;     /* is_access_due: when its answer was complete */
    uint64_t cpu_us;          /* CPU time of its JavaScript, by the worker's claim; 0: not known */
    unsigned access_status;   /* is_access_due: with this status, */
    const char *access_code;  /* and code (NULL: none) */
    uint64_t client_ns;       /* time since the sending in which the tenant waited for the client */
    uint64_t client_moved;    /* bytes that had moved when it began to wait the first time */
    bool is_client_slow;      /* the client was noted as slow */
    uint64_t client_since_ns; /* time since which the tenant waits for the client; 0: it does not */
    /* waited_ns of the worker's own time (own_time.h), at the cancel. */
    uint64_t cancelled_waited_ns;
    uint64_t cancelled_entry_ns; /* start of the entry that ran at the cancel; 0: none ran */
};

static_assert(offsetof(struct request, attempt) == 0, "the attempt is the first member");
static inline struct request *request_of_attempt(struct attempt *attempt)
{
    return (struct request *) attempt;
}
/* Returns NULL if no request of that id is in the worker. */
static inline struct request *request_find(const struct worker *worker, uint64_t id)
{
    return request_of_attempt(worker_find_attempt(worker, id));
}

LIST_HEAD(share_table, share);
struct data;
struct egress;
struct fetches;
struct storages;

#define LEDGER_SHARE_BUCKETS 4096

/* Lines of the access log in this second, and those that were left out. */
struct access_bound {
    struct log_window all, of_nobody; /* of_nobody: of requests of no tenant */
    uint64_t left_out;
    struct log_gate gate; /* gate of the line that says so */
};

/* All borrowed. */
struct ledger_options {
    struct event_base *base;
    const struct config *config; /* a reload changes its contents */
    struct record *record;
    struct life *life; /* the ledger writes n_queued */
    struct placements *placements;
    uint64_t max_files; /* descriptors that the process may have; 0: not known */
};

struct ledger {
    /* Borrowed: the options. */
    const struct config *config;
    struct record *record;
    struct life *life;
    struct placements *placements;
    uint64_t max_files;
    struct fetches *fetches; /* owned, like storages */
    struct storages *storages;
    struct http_front *front; /* borrowed; NULL: see ledger_set_front */
    struct access_bound access;
    uint64_t last_id;
    LIST_HEAD(, request) pushes; /* requests whose bodies go out at the end of the turn */
    struct event *push_event;
    struct request_list gathering;
    struct share_table shares[LEDGER_SHARE_BUCKETS];
    struct request_list active; /* in workers, by the time of their sending */
    struct tenant_list waiting; /* tenants whose queues are not empty */
    struct event *tick;         /* timer of limits, debts, looks at workers */
    uint64_t tick_at_ns;        /* 0: not set */
    unsigned in_workers, queued;
    unsigned n_waiting; /* tenants */
};

/* Return the ledger; only while it is there. */
static inline struct ledger *ledger_of_tenant(const struct tenant *tenant)
{
    return placements_of_tenant(tenant)->owner;
}
static inline struct ledger *ledger_of_worker(const struct worker *worker)
{
    return placements_of_worker(worker)->owner;
}

extern const struct http_handler ledger_http; /* handler: struct ledger */

/* Makes a ledger without a front, to which placement reports from then on. 0 or -ENOMEM. */
int ledger_new(const struct ledger_options *options, struct ledger **ret_ledger);
/* Frees the ledger with all its requests, after the front and before the slots.
 * NULL is allowed. Returns NULL. */
struct ledger *ledger_free(struct ledger *ledger);
/* Sets the front of its clients, borrowed: before the first request, and NULL as soon as the front
 * is freed. */
void ledger_set_front(struct ledger *ledger, struct http_front *front);

/* Sets the process that asks servers for tenants, borrowed; NULL: there is none, and each fetch fails. */
void ledger_set_egress(struct ledger *ledger, struct egress *egress);
/* Sets the processes that keep what tenants store, borrowed; NULL: there are none, and each operation fails. */
void ledger_set_data(struct ledger *ledger, struct data *data);
/* Has egress forget connections and addresses of the tenant, whose rules about hosts may have changed. */
void ledger_forget_hosts(struct tenant *tenant);

/* Has the tenant's queue wait for its turn in the tenant's worker, if limits and the worker allow, and
 * sends requests that have their turn there. Call when a worker or a place became free. */
void ledger_pump(struct tenant *tenant);
/* Applies changed limits of the tenant's version: requests that they allow go on, others end. */
void ledger_on_limits(struct tenant *tenant);
/* Fails all requests in the queue. */
void ledger_fail_queue(struct tenant *tenant, enum error_code code, unsigned retry_after_s);
/* Returns the bytes of request bodies that are kept, and of responses that wait for clients. */
uint64_t ledger_queued_bytes(const struct tenant *tenant);

/* ---- for placement, see struct placement_ops */

/* Removes a worker that goes for good from all waits. */
void ledger_forget_worker(struct worker *worker);
/* Returns whether a request of another tenant waits while this one's JavaScript runs in the worker. */
bool ledger_others_wait(struct worker *worker, const struct tenant *tenant);
/* Takes requests that have not begun in the worker back into their tenants' queues, in their order; they are sent
 * to the right worker within milliseconds. Later frames about them reach no client. Returns
 * their number. */
unsigned ledger_withdraw(struct worker *worker, bool (*is_wanted)(const struct worker *worker,
                                                                  const struct attempt *attempt));
extern const struct placement_ops ledger_placement_ops;

/* ---- from a worker (frames.c); each returns 0 or -EPROTO */
int ledger_on_head(struct request *request, const struct http_response *response,
                   const uint8_t *body, size_t size, bool end);
int ledger_on_body(struct request *request, const uint8_t *data, size_t size, bool end);
int ledger_on_credit(struct request *request, uint32_t bytes);
/* code: ERROR_NONE if all went well. The request is gone afterwards. */
void ledger_on_done(struct request *request, enum error_code code, uint64_t cpu_us);
/* Takes the worker's report that all requests have begun: there is room for more. */
void ledger_on_caught_up(struct worker *worker);
/* Takes the worker's report that it does not have the isolate any more, and that no JavaScript of
 * the request ran. */
void ledger_on_not_loaded(struct request *request);
