/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd's side of skep-egress, the process that asks servers on behalf of tenants: a helper (helper.h) whose work is
 * streams, PROTOCOL.md "Supervisor and egress". A fetch is one request and one answer; a redirect is an answer like any
 * other. Whether the tenant may ask that server is decided above, before egress_open. Every frame of egress is checked:
 * a breach costs the process, never skepd. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/address_kind.h"
#include "proto/head.h"
#include "supervisor/helpers/helper.h"

struct egress;
struct egress_fetch;

/* A request, in parts that egress checks again. Borrowed for the call. */
struct egress_request {
    uint64_t
        tenant; /* number; fetches with another one never share a connection or an address of a name */
    struct head_text method, host,
        path; /* host: as host_name_parse writes it; path: with the query */
    bool is_https;
    uint32_t port;
    const uint8_t *head; /* packed: names and values of headers */
    size_t head_size;
    bool has_body;
    int64_t length; /* bytes of the body; -1: not known */
    uint32_t
        credit; /* bytes of the answer's body that may come at once; at most EGRESS_CREDIT_MAX_BYTES */
    struct address_rules addresses;                  /* at most EGRESS_PREFIXES_MAX of each list */
    uint32_t connect_ms, head_ms, idle_ms, total_ms; /* as in Open */
};

/* Why a fetch has ended: those of egress.proto, and the end of egress itself. */
enum egress_end {
    EGRESS_COMPLETE,
    EGRESS_REQUEST,  /* a part of the request cannot be sent */
    EGRESS_NAME,     /* no address has that name */
    EGRESS_RESOLVER, /* the resolver does not answer, or fails */
    EGRESS_ADDRESS,  /* an address that may not be reached */
    EGRESS_CONNECT,
    EGRESS_TLS,
    EGRESS_CLOSED,    /* the answer broke off */
    EGRESS_PROTOCOL,  /* the answer is not HTTP */
    EGRESS_HEAD_SIZE, /* the answer's headers are too large */
    EGRESS_TIME,
    EGRESS_BUSY,     /* too many fetches of this tenant, or in all */
    EGRESS_INTERNAL, /* egress has no memory or no descriptors */
    EGRESS_LOST,     /* egress has ended, or is not there */
    EGRESS_ENDS,
};

/* Borrowed for the call. Figures are 0 where egress was lost. */
struct egress_result {
    enum egress_end end;
    struct head_text text;    /* for people, printable ASCII; empty for EGRESS_COMPLETE */
    struct head_text address; /* address and port of the server; empty without a connection */
    uint64_t sent, received;  /* bytes of bodies */
    unsigned connects;        /* new connections; 0: it went over one that was there */
    uint64_t connect_us, head_us, total_us;
};

/* The head of an answer. Borrowed for the call. */
struct egress_answer {
    unsigned status, version; /* version: 10, 11 or 20 */
    struct head_text reason;  /* without control characters; at most EGRESS_REASON_MAX_BYTES */
    struct head fields;       /* opened: names and values in turn */
};

/* Functions of the opener, called on the loop, never inside of a function below but egress_free. All are required. */
struct egress_ops {
    /* The answer's head, once. */
    void (*on_head)(void *owner, const struct egress_answer *answer);
    /* A part of the answer's body, within the credit. */
    void (*on_body)(void *owner, const uint8_t *data, size_t size);
    /* So many bytes more of the request's body may be sent. */
    void (*on_credit)(void *owner, uint32_t bytes);
    /* The end: the fetch is gone. */
    void (*on_end)(void *owner, const struct egress_result *result);
};

struct egress_options {
    unsigned number;         /* number of egress in spawner_options.programs */
    struct event_base *base; /* borrowed, like the next two */
    struct spawner *spawner;
    struct health *health;
    const char *socket; /* path of the unit's socket; borrowed for the call; NULL: a program */
};
/* Asks for the process, or for the unit, and again whenever it is lost or cannot be reached. 0 or -errno. */
int egress_new(const struct egress_options *options, struct egress **ret_egress);

/* Opens a fetch. The first EGRESS_WINDOW_BYTES of its body may be sent at once. 0; -EPIPE: egress is not there; -EAGAIN: it is
 * behind (helper_is_congested), or has EGRESS_FETCHES_MAX fetches, and on_room follows; -EMSGSIZE: the parts do not fit in a frame, or
 * the headers are more than EGRESS_FIELDS_MAX or EGRESS_HEAD_MAX_BYTES; -EINVAL: a number that is out of its bounds, or a packed head that
 * is broken; -ENOMEM. No callback follows an error. egress may be NULL: -EPIPE. */
int egress_open(struct egress *egress, const struct egress_request *request,
                const struct egress_ops *ops, void *owner, struct egress_fetch **ret_fetch);
/* Sends more of the body: never more than there is credit for, not after the end, and not nothing but the end. Failures come as
 * on_end. */
void egress_send_body(struct egress_fetch *fetch, const uint8_t *data, size_t size, bool is_end);
/* Lets more of the answer come; all credit that is open is at most EGRESS_CREDIT_MAX_BYTES. */
void egress_give_credit(struct egress_fetch *fetch, uint32_t bytes);
/* Gives the fetch up, which is gone; nothing is called for it any more. */
void egress_cancel(struct egress_fetch *fetch);

/* Closes idle connections of a tenant and forgets its addresses of names, because its rules or secrets have changed. NULL is allowed. */
void egress_forget(struct egress *egress, uint64_t tenant);

/* Sets the function that is called when fetches may be opened again, after -EAGAIN or a loss, and when egress is there for the first
 * time. */
void egress_on_room(struct egress *egress, void (*on_room)(void *owner), void *owner);

bool egress_is_ready(const struct egress *egress);
/* Returns the number of open fetches, with those that were cancelled and have not ended in egress yet. NULL: 0. */
unsigned egress_count(const struct egress *egress);

/* Ends all fetches with EGRESS_LOST, then the process, as helper_free does. NULL is allowed. Returns NULL. */
struct egress *egress_free(struct egress *egress);
