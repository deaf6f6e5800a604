/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: the supervisor's own record of each request, from the parsed head to the last
 * byte and the worker's done. It alone decides what a client is told when a worker dies.
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
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/attempt.h"
#include "supervisor/workers/worker.h"

enum request_state {
    REQUEST_GATHERING,  /* its body comes, before it takes a place in the queue */
    REQUEST_QUEUED,     /* in its tenant's queue */
    REQUEST_SENT,       /* in a worker; nothing answered */
    REQUEST_RESPONDING, /* head has gone to the client */
    REQUEST_DETACHED,   /* the client has its answer or is gone; the worker is not through */
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
    struct caller calls;            /* that its JavaScript makes */
    uint64_t
        tree_due_ns; /* of a call: when the request that all is done for is over, at the latest */
    enum request_state state;
    /* Head, kept for sending it again, as the worker gets it: packed (proto/head.h). Texts point into it. */
    struct http_text method, url;
    struct http_text address; /* of the client; empty where nobody wants to know */
    struct http_text caller;  /* name of the tenant that calls; empty: an HTTP client asks */
    char *head_memory;        /* the packed head, then what else is kept of it */
    size_t packed_bytes;      /* of the packed head */
    size_t head_bytes;        /* of all */
    bool is_idempotent;
    bool body_ended;
    bool body_end_sent;
    bool is_body_lost; /* parts have been dropped: cannot be sent again */
    bool is_cancelled; /* the worker has been told */
    bool is_counted;   /* its answer is in the counters */
    bool is_in_access_log;
    bool is_http10;
    bool is_cold;       /* its version was loaded in the worker while it waited */
    bool is_access_due; /* answered; its event for the access log waits for its CPU time */
    bool is_push_due;   /* has body to send at the end of this turn */
    bool is_unstarted;  /* sent; nothing says yet that its JavaScript has begun */
    bool is_over_wall;  /* cancelled because of its time */
    bool is_suspect;    /* might hold up others, for all that was known when it was sent */
    bool is_blameless;  /* what it fails by is another tenant's doing */
    bool is_told;       /* the tenant's log has the reason why it fails */
    bool has_met_limit; /* one that failed it, the last of these: */
    unsigned met_limit;
    uint64_t met_used_milli;
    struct evbuffer *body; /* parts that may have to be sent (again); NULL: none */
    size_t body_sent;      /* bytes of it that the worker has */
    size_t body_window;    /* bytes that the worker allows beyond those */
    unsigned small_pieces; /* that went to workers, see PIECE_BYTES */
    uint64_t piece_ns;     /* when the last one went */
    uint64_t push_at_ns;   /* until then a small one waits for more of the body; 0: none does */
    uint64_t body_total;
    uint64_t response_total;
    uint64_t response_owed;   /* response bytes taken from the worker, credit not yet given back */
    uint64_t response_window; /* bytes that the worker may still send */
    size_t queued_seen;       /* of the response, for the client, at the last look */
    size_t kept_bytes;        /* of body, as the front was told */
    size_t first_grant;       /* what the client may send before it is in a worker */
    size_t counted_bytes;     /* of it in its tenant's queued_bytes */
    bool response_ended;
    unsigned status; /* of the answer; 0: no head has gone out */
    unsigned worker; /* where it was sent last; its number counts if the pid is set */
    pid_t worker_pid;
    unsigned deaths; /* of workers while this was in JavaScript there */
    unsigned sendings;
    unsigned refusals;    /* of these: see REFUSALS_MAX */
    unsigned withdrawals; /* of these: taken back before it had begun */
    uint64_t queued_ns;   /* since when it waits for a place */
    uint64_t received_ns, sent_ns, progress_ns, detached_ns;
    uint64_t answered_ns;    /* is_access_due: when its answer was complete */
    uint64_t cpu_us;         /* of its JavaScript, by the worker's word; 0: not known */
    unsigned access_status;  /* is_access_due: with this status, */
    const char *access_code; /* and code (NULL: none) */
    uint64_t client_ns;      /* since it was sent, time in which its tenant waited for the client */
    uint64_t client_moved;   /* bytes that had moved when it began to wait the first time */
    bool is_client_slow;     /* noted */
    uint64_t client_since_ns;     /* from when on its tenant waits for the client; 0: does not */
    uint64_t cancelled_waited_ns; /* at its cancel, of its worker's own time (own_time.h) */
    uint64_t
        cancelled_entry_ns; /* when what it was running at its cancel began; 0: it ran nothing */
};

static_assert(offsetof(struct request, attempt) == 0, "an attempt is what embeds it");
static inline struct request *request_of_attempt(struct attempt *attempt)
{
    return (struct request *) attempt;
}
/* NULL: none of that id is in the worker. */
static inline struct request *request_find(const struct worker *worker, uint64_t id)
{
    return request_of_attempt(worker_find_attempt(worker, id));
}

LIST_HEAD(share_table, share);

#define LEDGER_SHARE_BUCKETS 4096

/* Lines of the access log: in this second, and those that were too many. */
struct access_bound {
    struct log_window all, of_nobody; /* of_nobody: of requests of no tenant */
    uint64_t left_out;
    struct log_gate gate; /* of the line that says so */
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
    struct http_front *front; /* borrowed; NULL: see ledger_set_front */
    struct access_bound access;
    uint64_t last_id;
    LIST_HEAD(, request) pushes; /* their bodies go out at the end of the turn */
    struct event *push_event;
    struct request_list gathering;
    struct share_table shares[LEDGER_SHARE_BUCKETS];
    struct request_list active; /* in workers, by the time of their sending */
    struct tenant_list waiting; /* whose queues are not empty */
    struct event *tick;         /* all that time does: limits, debts, looks at workers */
    uint64_t tick_at_ns;        /* 0: not set */
    unsigned in_workers, queued;
    unsigned n_waiting; /* tenants */
};

/* Both may be called while the ledger is there. */
static inline struct ledger *ledger_of_tenant(const struct tenant *tenant)
{
    return placements_of_tenant(tenant)->owner;
}
static inline struct ledger *ledger_of_worker(const struct worker *worker)
{
    return placements_of_worker(worker)->owner;
}

extern const struct http_handler ledger_http; /* handler: struct ledger */

/* Makes a ledger, which placement tells of workers from now on, without a front. 0 or -ENOMEM. */
int ledger_new(const struct ledger_options *options, struct ledger **ret_ledger);
/* Frees the ledger with all its requests: after the front, whose clients hear of none of that, and before the slots.
 * NULL is allowed. Returns NULL. */
struct ledger *ledger_free(struct ledger *ledger);
/* Says which front its clients come by, borrowed: before the first request, and NULL as soon as the front is freed. */
void ledger_set_front(struct ledger *ledger, struct http_front *front);

/* Has the tenant's queue wait for its turn in the tenant's worker, if limits and the worker allow, and
 * sends what has its turn there. Call when a worker or a place became free. */
void ledger_pump(struct tenant *tenant);
/* Limits of the tenant's version are others now: what they allow goes on, and what is over them ends. */
void ledger_on_limits(struct tenant *tenant);
/* Fails all that wait in the queue. */
void ledger_fail_queue(struct tenant *tenant, enum error_code code, unsigned retry_after_s);
/* Bytes of request bodies that are kept, and of responses that wait for clients. */
uint64_t ledger_queued_bytes(const struct tenant *tenant);

/* ---- for placement, see struct placement_ops */

/* It goes for good: no tenant waits for it any more. */
void ledger_forget_worker(struct worker *worker);
/* Returns whether a request of another tenant waits while this one's JavaScript runs in the worker. */
bool ledger_others_wait(struct worker *worker, const struct tenant *tenant);
/* Takes requests that have not begun in the worker back into their tenants' queues, in their order; they are sent
 * where their place is within milliseconds. What the worker says of them later reaches no client. Returns
 * how many. */
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
/* All that was sent has begun, it says: there is room for more. */
void ledger_on_caught_up(struct worker *worker);
/* The worker does not have the isolate any more; nothing was run. */
void ledger_on_not_loaded(struct request *request);

/* A worker died with these in it: each is answered or queued again, by the verdict. */
void ledger_on_death(struct worker *worker, const struct verdict *verdict);
/* A worker is ready, or has room again: sends what waited for it. */
void ledger_on_ready(struct worker *worker);
/* The worker has read what was queued for it: bodies that waited for that go on, then as ledger_on_ready. */
void ledger_on_drained(struct worker *worker);
