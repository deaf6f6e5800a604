/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls: what a tenant asks of the world beyond its isolate, through a binding of its version. Here are the numbers,
 * credit, limits and budgets of all calls, whatever they are for; a kind (struct call_kind) does what is asked. A call
 * belongs to an attempt of a request and ends with it at the latest. Knows neither requests nor workers: frames go out
 * through struct caller_ops, and each frame of a worker comes in by one function, which finds what a worker may not say.
 * Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "config/manifest.h"

/* Of the body of a call, what may come before anything is granted; the first part comes with the call itself. */
#define CALL_WINDOW_BYTES (UINT32_C(64) << 10)
/* Calls of other tenants in the tree of calls that one request sets off. */
#define CALL_SERVICES_MAX 32

struct call;
struct caller;
struct evbuffer;
TAILQ_HEAD(call_list, call);

struct call_text {
    const char *data; /* not NUL-ended; borrowed */
    size_t size;
};

struct call_field {
    struct call_text name, value;
};

/* As the worker has sent it, unchecked but for its sizes. Valid during open only. */
struct call_head {
    uint32_t id, binding;
    struct call_text method, url;
    const struct call_field *fields;
    size_t n_fields;
    const uint8_t *body; /* first part */
    size_t body_size;
    bool end; /* body is all there is */
};

struct call_answer {
    unsigned status;
    const struct call_field *fields;
    size_t n_fields;
};

/* What a kind of binding does. The functions are called from those below. */
struct call_kind {
    /* A new call, which the kind answers with the functions of "for kinds", now or later. 0; or -ENOMEM, and the call
     * has failed. */
    int (*open)(struct call *call, const struct call_head *head);
    /* More of the body; never more than was granted. After open, and not without bytes but as the end. */
    void (*on_body)(struct call *call, const uint8_t *data, size_t size, bool end);
    /* The worker's JavaScript has read of the answer: call_queued is less now. */
    void (*on_credit)(struct call *call);
    /* Nobody wants the call any more. It is gone afterwards. */
    void (*cancel)(struct call *call);
};

/* What the attempt gives its calls. */
struct caller_ops {
    /* Frames to the worker of the attempt. */
    void (*send_head)(struct caller *caller, uint32_t id, const struct call_answer *answer,
                      const uint8_t *body, size_t size, bool end);
    void (*send_body)(struct caller *caller, uint32_t id, const uint8_t *data, size_t size,
                      bool end);
    void (*send_credit)(struct caller *caller, uint32_t id, uint32_t bytes);
    void (*send_failure)(struct caller *caller, uint32_t id, bool is_limit, const char *text);
    /* Returns whether the worker has not read what was sent: answers wait, until caller_on_room. */
    bool (*is_congested)(const struct caller *caller);
    /* A limit of the caller is met; index of limit_table, used in thousandths. Returns whether it is enforced. */
    bool (*meet_limit)(struct caller *caller, unsigned limit, uint64_t used_milli);
};

/* What one request, and all that is done on its behalf by other tenants, may set off; shared by their callers. */
struct call_budget;

/* The calls of an attempt. Embedded in what the attempt is of; all zero is right for a new one. */
struct caller {
    const struct caller_ops *ops;
    const struct call_kind *const *kinds; /* index: enum binding_kind */
    const struct manifest *manifest;      /* borrowed: of the version, has the bindings */
    const struct limits *limits;          /* borrowed: of the version */
    struct call_budget *budget;           /* counted; NULL before the first call of a root */
    struct call_list calls;
    unsigned n_calls;  /* open ones */
    uint32_t last_id;  /* of this attempt */
    uint64_t n_bytes;  /* of bodies, both ways */
    bool is_begun;     /* it is in a worker */
    bool is_cancelled; /* its worker was told: what it still asks for is not done */
};

/* ---- the attempt */

/* The request is in a worker now. kinds, manifest and limits stay until caller_end. */
void caller_begin(struct caller *caller, const struct caller_ops *ops,
                  const struct call_kind *const *kinds, const struct manifest *manifest,
                  const struct limits *limits);
/* Nobody wants anything more of the request: its calls are cancelled, and new ones are passed over. */
void caller_cancel(struct caller *caller);
/* The attempt is over; as above, and another may begin. */
void caller_end(struct caller *caller);
/* The request is over. After caller_end, or before any attempt. */
void caller_done(struct caller *caller);
/* The worker has read what was sent: answers that waited go on. */
void caller_on_room(struct caller *caller);
/* What is done for parent's call by another tenant is counted for the same budget. parent has made a call; child has
 * not. */
void caller_inherit(struct caller *child, const struct caller *parent);
/* The caller of the request that all is done for; NULL: it is over, or nothing was done yet. */
const struct caller *caller_root(const struct caller *caller);
/* Bytes of answers that wait here for the worker's room or credit. */
size_t caller_waiting_bytes(const struct caller *caller);
/* Of them, those that no kind counts (call_queued): heads, and bodies that no kind has to do with any more. */
size_t caller_kept_bytes(const struct caller *caller);

/* ---- frames of the worker; each 0, or -EPROTO for what an honest worker does not say */
int caller_on_call(struct caller *caller, const struct call_head *head);
int caller_on_body(struct caller *caller, uint32_t id, const uint8_t *data, size_t size, bool end);
int caller_on_credit(struct caller *caller, uint32_t id, uint32_t bytes);
int caller_on_cancel(struct caller *caller, uint32_t id);

/* ---- for kinds. Where a function says that the call is over, it is gone, and cancel does not follow. */

struct call {
    TAILQ_ENTRY(call) entry;
    struct caller *caller;         /* borrowed */
    const struct call_kind *kind;  /* NULL: the kind is through, the rest of the answer waits */
    const struct binding *binding; /* borrowed: from the manifest */
    void *object;                  /* the kind's */
    uint32_t id;
    uint32_t window_in;     /* bytes of the body that the worker may still send */
    uint32_t absorbed;      /* of what is granted, this much was so from the start */
    uint32_t window_out;    /* bytes of the answer that it takes */
    bool is_body_ended;     /* by the worker */
    bool is_head_sent;      /* said by the kind; it may wait */
    bool is_end_due;        /* the end goes behind what waits */
    struct call_copy *head; /* owned; that waits for room; NULL: none */
    struct evbuffer
        *waiting; /* owned; of the answer, waits for room or credit; NULL: nothing has yet */
};

/* Takes one of the calls of other tenants that the budget allows; false: the call has failed, and is over. */
bool call_take_service(struct call *call);
/* Head of the answer, with the first part of its body; once. end: the call is over. 0; -EFBIG over call_mib or -ENOMEM,
 * and the call has failed and is over. */
int call_respond(struct call *call, const struct call_answer *answer, const uint8_t *body,
                 size_t size, bool end);
/* More of the answer, after its head. end: the call is over. 0; -EFBIG over call_mib or -ENOMEM, and the call has failed and is over. */
int call_send_body(struct call *call, const uint8_t *data, size_t size, bool end);
/* Lets the worker send more of the body. */
void call_grant(struct call *call, uint32_t bytes);
/* The call has failed, and is over. is_limit: a limit of the caller. text: for the exception. */
void call_fail(struct call *call, bool is_limit, const char *text);
/* Bytes of the answer, with its head, that wait here for the worker's room or credit. */
size_t call_waiting(const struct call *call);
/* Bytes of the answer's body that the worker's JavaScript has not read, wherever they are. */
size_t call_queued(const struct call *call);
