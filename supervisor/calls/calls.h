/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls: requests of a tenant to things beyond its isolate, through a binding of its version. This
 * module has the numbers, credit, limits and budgets of all calls, whatever their kind; a kind
 * (struct call_kind) does the work. A call belongs to an attempt of a request and ends with it at
 * the latest. The module knows neither requests nor workers: frames go out through struct
 * caller_ops, and each frame of a worker comes in by one function, which finds breaches of the
 * protocol. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "config/manifest.h"

/* Credit of the body of a call at its start; the first part comes with the call itself. */
#define CALL_WINDOW_BYTES (UINT32_C(64) << 10)
/* Most calls of other tenants in the tree of calls that one request sets off. */
#define CALL_SERVICES_MAX 32

/* Most calls of kinds that queue, of one attempt at a time. */
#define CALL_QUEUED_MAX 1024

struct call;
struct caller;
struct evbuffer;
struct trace_span;
TAILQ_HEAD(call_list, call);

struct call_text {
    const char *data; /* not NUL-ended; borrowed */
    size_t size;
};

struct call_field {
    struct call_text name, value;
};

/* The head of a call as the worker has sent it, unchecked but for its sizes. Valid during open
 * only. */
struct call_head {
    uint32_t id, binding;                        /* CALL_FETCH_BINDING: fetch() */
    struct call_text method, scheme, host, path; /* path: with the query */
    uint32_t port;
    const struct call_field *fields;
    size_t n_fields;
    const uint8_t *body; /* first part */
    size_t body_size;
    bool end;                      /* body is the whole body */
    const struct trace_span *span; /* for kinds: the call in the log; NULL: none */
};

struct call_answer {
    unsigned status;
    const struct call_field *fields;
    size_t n_fields;
    struct call_text reason; /* reason phrase; empty: there is none */
};

/* The functions of a kind of binding, called by the functions below. */
struct call_kind {
    /* Opens a call, which the kind answers with the functions of "for kinds", now or later. 0; or
     * -ENOMEM, and the call has failed. */
    int (*open)(struct call *call, const struct call_head *head);
    /* Takes more of the body; never more than was granted. After open, and not without bytes but as
     * the end. */
    void (*on_body)(struct call *call, const uint8_t *data, size_t size, bool end);
    /* Notes that the worker's JavaScript has read of the answer: call_queued is less now. */
    void (*on_credit)(struct call *call);
    /* Cancels a call that nobody wants any more, and that is gone afterwards. */
    void (*cancel)(struct call *call);
    /* Answers come from outside of skepd: nobody but caller_kept_bytes counts what waits of them. */
    bool is_from_outside;
    /* Calls over the limit `calls` wait in the kind, which keeps it: they do not fail here, and do not count for calls of other
     * kinds. At most CALL_QUEUED_MAX of them are there for one attempt. */
    bool is_queued;
};

/* The functions of the attempt for its calls. */
struct caller_ops {
    /* Frames to the worker of the attempt. */
    void (*send_head)(struct caller *caller, uint32_t id, const struct call_answer *answer,
                      const uint8_t *body, size_t size, bool end);
    void (*send_body)(struct caller *caller, uint32_t id, const uint8_t *data, size_t size,
                      bool end);
    void (*send_credit)(struct caller *caller, uint32_t id, uint32_t bytes);
    void (*send_failure)(struct caller *caller, uint32_t id, bool is_limit, const char *text);
    /* Returns whether the worker has not read its frames: answers wait, until caller_on_room. */
    bool (*is_congested)(const struct caller *caller);
    /* Notes that a limit of the caller is met; index of limit_table, used in thousandths. Returns
     * whether it is enforced. */
    bool (*meet_limit)(struct caller *caller, unsigned limit, uint64_t used_milli);
};

/* Budget of one root request, and of all that other tenants do on its behalf; shared by their
 * callers. */
struct call_budget;

/* The calls of an attempt. Embedded in its owner; all zero is right for a new one. */
struct caller {
    const struct caller_ops *ops;
    const struct call_kind *const *kinds; /* index: enum binding_kind */
    const struct manifest *manifest;      /* borrowed: of the version, has the bindings */
    const struct limits *limits;          /* borrowed: of the version */
    struct call_budget *budget;           /* counted; NULL before the first call of a root */
    struct call_list calls;
    unsigned n_calls;       /* open ones */
    unsigned n_queued;      /* those of them whose kind queues */
    uint32_t last_id;       /* number of the attempt's last call */
    uint32_t n_subrequests; /* calls of the attempt so far, without those whose kind queues */
    uint64_t n_bytes;       /* bytes of bodies, both ways */
    bool is_begun;          /* the request is in a worker */
    bool is_cancelled;      /* the worker has its Cancel: further calls are passed over */
};

/* ---- the attempt */

/* Begins an attempt: the request is in a worker now. kinds, manifest and limits stay until
 * caller_end. */
void caller_begin(struct caller *caller, const struct caller_ops *ops,
                  const struct call_kind *const *kinds, const struct manifest *manifest,
                  const struct limits *limits);
/* Cancels all calls, because nobody wants anything more of the request, and passes new ones
 * over. */
void caller_cancel(struct caller *caller);
/* Ends the attempt: cancels all calls. Another attempt may begin. */
void caller_end(struct caller *caller);
/* Ends the request. After caller_end, or before any attempt. */
void caller_done(struct caller *caller);
/* Lets waiting answers go on: the worker has read its frames. */
void caller_on_room(struct caller *caller);
/* Makes child, a request for parent's call to another tenant, count for parent's budget. parent has
 * made a call; child has not. */
void caller_inherit(struct caller *child, const struct caller *parent);
/* Returns the caller of the root request; NULL: that is over, or has made no call yet. */
const struct caller *caller_root(const struct caller *caller);
/* Returns the bytes of answers that wait here for the worker's room or credit. */
size_t caller_waiting_bytes(const struct caller *caller);
/* Returns the part of them that no kind counts (call_queued): heads, and bodies that no kind has to
 * do with any more, or that come from outside. */
size_t caller_kept_bytes(const struct caller *caller);

/* ---- frames of the worker; each returns 0, or -EPROTO for one that an honest worker does not
 * send */
int caller_on_call(struct caller *caller, const struct call_head *head);
int caller_on_body(struct caller *caller, uint32_t id, const uint8_t *data, size_t size, bool end);
int caller_on_credit(struct caller *caller, uint32_t id, uint32_t bytes);
int caller_on_cancel(struct caller *caller, uint32_t id);

/* ---- for kinds. Where a function says that the call is over, it is gone, and cancel does not
 * follow. */

struct call {
    TAILQ_ENTRY(call) entry;
    struct caller *caller; /* borrowed */
    /* NULL: the kind is through with the call, the rest of the answer waits. */
    const struct call_kind *kind;
    const struct binding *binding; /* borrowed: from the manifest, or the constant one of fetch() */
    void *object;                  /* the kind's */
    uint32_t id;
    uint32_t window_in;     /* bytes of the body that the worker may still send */
    uint32_t absorbed;      /* part of the granted bytes that was so from the start */
    uint32_t window_out;    /* bytes of the answer that the worker may still be sent */
    bool is_queued;         /* the kind of the call queues */
    bool is_body_ended;     /* the worker has ended the body */
    bool is_head_sent;      /* the kind has given the head; it may still wait */
    bool is_end_due;        /* the end follows the waiting data */
    struct call_copy *head; /* owned; a head that waits for room; NULL: none */
    /* Owned; part of the answer that waits for room or credit; NULL: nothing has waited yet. */
    struct evbuffer *waiting;
};

/* Takes one of the calls of other tenants that the budget allows; false: the call has failed, and
 * is over. */
bool call_take_service(struct call *call);
/* Sends the head of the answer, with the first part of its body; once. end: the call is over. 0;
 * -EFBIG over call_mib or -ENOMEM, and the call has failed and is over. */
int call_respond(struct call *call, const struct call_answer *answer, const uint8_t *body,
                 size_t size, bool end);
/* Sends more of the answer, after its head. end: the call is over. 0; -EFBIG over call_mib or
 * -ENOMEM, and the call has failed and is over. */
int call_send_body(struct call *call, const uint8_t *data, size_t size, bool end);
/* Lets the worker send more of the body. */
void call_grant(struct call *call, uint32_t bytes);
/* Fails a call, which is over then. is_limit: because of a limit of the caller. text: for the
 * exception. */
void call_fail(struct call *call, bool is_limit, const char *text);
/* Returns the bytes of the answer, with its head, that wait here for the worker's room or
 * credit. */
size_t call_waiting(const struct call *call);
/* Returns the bytes of the answer's body that the worker's JavaScript has not read, wherever they
 * are. */
size_t call_queued(const struct call *call);
