/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One fetch of a tenant: a call that is one request to a server, through egress, and its answer. docs/architecture.md, "The way
 * out". Supervisor, loop thread.
 *
 * The fetch belongs to its call, and is gone with it. The time of a fetch is that of its request, whose limits end all its calls;
 * the times below bound what a server may take besides.
 */
#pragma once

#include "config/egress_rules.h"
#include "config/host_name.h"
#include "supervisor/requests/fetch_parts.h"
#include "supervisor/requests/fetches.h"
#include "supervisor/requests/internal.h"

struct egress_fetch;
struct egress_result;

#define FETCH_CONNECT_MS 10000
#define FETCH_HEAD_MS 300000
#define FETCH_IDLE_MS 300000
#define FETCH_TOTAL_MS 86400000

struct fetch {
    struct fetch_place place;
    struct call *call;         /* borrowed */
    struct request *parent;    /* borrowed; the request that calls */
    struct fetch_parts parts;  /* until the fetch is open */
    struct evbuffer *held;     /* owned; body that came before; NULL: none */
    size_t kept_bytes;         /* bytes of both, in the request's fetch_bytes */
    struct egress_fetch *open; /* NULL: waits for its turn */
    uint32_t credit;           /* bytes of the answer's body that egress may still send */
    bool has_answer_body;
    /* For the record. */
    unsigned status; /* status of the answer; 0: no head yet */
    bool is_given_up, is_noted;
    struct trace_span span;
    enum fetch_verdict verdict;          /* the last one */
    uint64_t sent_bytes, received_bytes; /* bytes of bodies that went to egress, and came */
    uint64_t asked_ns;
    char method[TARGET_METHOD_MAX_BYTES + 1];
    char host[HOST_NAME_MAX_BYTES + 1];
};

/* Opens a fetch whose turn it is. 0: it is open, or over; -EAGAIN: egress is behind, or not there yet, and the fetch waits
 * on. */
int fetch_begin(struct fetch *fetch);
/* Fails a fetch that has waited for its turn for too long. */
void fetch_give_up_waiting(struct fetch *fetch);

/* ---- fetch_record.c */

/* Notes the end of a fetch, for counters and logs; the first end counts. code: ERROR_NONE: the answer is complete, or (is_given_up)
 * nobody wants it. result: NULL, unless egress has ended the fetch. text: for people. */
void fetch_note_end(struct fetch *fetch, enum error_code code, const struct egress_result *result,
                    const char *text);
