/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd's side of the kit of helper processes (helper/helper.h is the helper's). A helper is
 * started by the spawner, or reached where it is a unit; its hello is checked; requests go to it
 * and answers come back; it is watched, and started again when it is lost. Supervisor, loop thread.
 *
 * A request is an envelope whose message begins with `uint64 id = 1`, and so does its answer; each
 * request has one. Requests to a helper that is lost fail, one by one, and so do requests until it
 * is ready again. A helper of streams has frames without an answer, which its listener checks. At an
 * upgrade nothing is handed over: the new skepd has a helper of its own, or a connection to the
 * unit, and the old one's does the requests that it has, and ends with the old skepd.
 */
#pragma once

#include <event2/event.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/helpers/health.h"

struct channel_table;
struct helper;
struct spawner;

struct helper_options {
    enum helper_id id;       /* key of the helper's health */
    const char *name;        /* name that the hello must have; static */
    uint32_t version;        /* version that the hello must have: of the helper's own protocol */
    unsigned number;         /* index in spawner_options.programs */
    struct event_base *base; /* borrowed */
    struct spawner *spawner; /* borrowed; attached to base */
    struct health *health;   /* borrowed */
    /* Makes it a helper of streams: helper_send_frame sends its frames, and skepd serves without it, so that it is tried
     * again although it never was ready. The frame is one of its protocol, to which it answers with any frame: one
     * that is quiet gets it, and is lost if it stays quiet. Static. NULL: a helper of requests. */
    const ProtobufCMessage *ping;
    /* The path of a unit's socket; borrowed for helper_new. NULL: it is a program. */
    const char *socket;
    /* The word with which the program is started (spawner_start_helper); borrowed for helper_new. NULL: none. */
    const char *word;
    const char *remedy;              /* the remedy where nobody listens on it; static */
    const struct frame_tails *tails; /* as of struct channel_options; static */
    int socket_bytes; /* bytes of requests that wait for it in its socket, as far as the host allows; 0: the kernel's default */
};

/* Asks for the helper, and for another one whenever it is lost. 0 or -errno. */
int helper_new(const struct helper_options *options, struct helper **ret_helper);

/* Runs the loop until the helper is ready. 0; or -errno, logged, if it does not start: a helper
 * that never was ready is not tried again. */
int helper_await(struct helper *helper);

/* Callbacks. All are called on the loop, may ask, and may not free the helper. */
struct helper_ops {
    /* Reports that the request with that id has no answer, and will have none: the helper is
     * lost. NULL for streams. */
    void (*on_failed)(void *owner, uint64_t id);
    /* Reports that the helper is lost, with its memory; after on_failed of each request. */
    void (*on_lost)(void *owner);
    /* Reports that the helper is ready again; of streams, also for the first time. */
    void (*on_ready)(void *owner);
    /* Reports that a helper that was congested has taken all that it was sent. NULL: nobody wants to know. */
    void (*on_drained)(void *owner);
};
/* Sets the listener. answers: a const table; its handlers get owner, after the kit has found that
 * the answer belongs to a request (not for streams, whose handlers check that). All are borrowed. */
void helper_listen(struct helper *helper, const struct channel_table *answers,
                   const struct helper_ops *ops, void *owner);

/* Sends a request (an envelope) with that id, which need not be unique. 0 or -errno: -EPIPE if the helper is
 * not ready. helper may be NULL: -EPIPE. */
int helper_ask(struct helper *helper, uint64_t id, const ProtobufCMessage *request);
/* Sends a frame of a stream. As helper_ask. */
int helper_send_frame(struct helper *helper, const ProtobufCMessage *frame);
/* Loses the helper, as if it had died, with on_lost before this returns. why: static text, for the log: "it sent more
 * than it may, and is ended". A handler returns the result, -EPROTO. */
int helper_lose(struct helper *helper, const char *why);
bool helper_is_ready(const struct helper *helper);
/* Returns whether the helper is behind: not the time for new work. */
bool helper_is_congested(const struct helper *helper);
/* Returns the bytes that the helper's socket has not taken yet. */
size_t helper_queued_bytes(const struct helper *helper);

/* Ends the helper, or the connection to the unit: pending requests are sent, for which it waits
 * some seconds at most, and done, and nobody gets their answers; frames of streams are dropped. Returns once a process
 * of skepd's own is reaped. NULL is allowed. Returns NULL. */
struct helper *helper_free(struct helper *helper);
