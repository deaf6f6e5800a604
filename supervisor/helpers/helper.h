/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd's side of the kit of helper processes (helper/helper.h is the helper's): one helper is started by the
 * spawner, or reached where it is a unit; its hello is checked; it is asked, and answers; it is watched, and
 * started again when it is lost. Supervisor, loop thread.
 *
 * A request is an envelope whose message begins with `uint64 id = 1`, and so does its answer; each request has
 * one. What was asked of a helper that is lost fails, request by request, and so does what is asked until it is
 * ready again. At an upgrade nothing is handed over: the new skepd has a helper, or a connection to the unit, of
 * its own, and the old one's does what it was asked, and ends with the old skepd.
 */
#pragma once

#include <event2/event.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "supervisor/helpers/health.h"

struct channel_table;
struct helper;
struct spawner;

struct helper_options {
    enum helper_id id;       /* its health is told by that */
    const char *name;        /* that its hello must have; static */
    uint32_t version;        /* likewise: of its own protocol */
    unsigned number;         /* in spawner_options.programs */
    struct event_base *base; /* borrowed */
    struct spawner *spawner; /* borrowed; attached to base */
    struct health *health;   /* borrowed */
};

/* Asks for the helper, and for another one whenever it is lost. 0 or -errno. */
int helper_new(const struct helper_options *options, struct helper **ret_helper);

/* Runs the loop until the helper is ready. 0; or -errno, logged, if it does not start: a helper that never
 * was ready is not tried again. */
int helper_await(struct helper *helper);

/* All are called on the loop, may ask, and may not free the helper. */
struct helper_ops {
    /* The request with that id has no answer, and will have none: the helper is lost. */
    void (*on_failed)(void *owner, uint64_t id);
    /* The helper is lost, with all that it held in memory; after on_failed of each request. */
    void (*on_lost)(void *owner);
    /* It is ready again. */
    void (*on_ready)(void *owner);
};
/* Says who hears of it. answers: a const table; its handlers get owner, after the kit has found that the answer
 * is one to what was asked. All are borrowed. */
void helper_listen(struct helper *helper, const struct channel_table *answers,
                   const struct helper_ops *ops, void *owner);

/* Sends a request (an envelope) with that id, which need not be unique. 0 or -errno: -EPIPE if the helper is
 * not ready. helper may be NULL: -EPIPE. */
int helper_ask(struct helper *helper, uint64_t id, const ProtobufCMessage *request);
bool helper_is_ready(const struct helper *helper);
/* It is behind: no time for new work. */
bool helper_is_congested(const struct helper *helper);

/* Ends the helper, or the connection to the unit: what was asked for is sent, for which it waits some seconds at
 * most, and done, and nobody hears of it. Returns once a process of ours is reaped. NULL is allowed. Returns
 * NULL. */
struct helper *helper_free(struct helper *helper);
