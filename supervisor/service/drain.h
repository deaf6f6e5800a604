/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends skepd: it stops accepting, lets requests in flight end, tells systemd, and leaves the loop.
 * Supervisor, loop thread.
 *
 * A connection without a request is not closed at once: its client may have just sent the next one,
 * which would be lost. The connection stays for a moment, and one more request is answered, with
 * Connection: close.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <stdbool.h>

struct config;
struct deploys;
struct drain;
struct heir;
struct http_front;
struct ledger;
struct life;
struct metrics;
struct notify;

enum drain_kind {
    DRAIN_STOP,        /* the service ends */
    DRAIN_HANDED_OVER, /* another skepd has the same sockets: there is no hurry */
};

/* The objects that a drain looks at, and ends. All borrowed, until drain_free. */
struct drain_options {
    struct event_base *base;
    const struct config *config;
    struct life *life;
    struct notify *notify; /* NULL without a service manager */
    struct http_front *front;
    const struct ledger *ledger;
    struct deploys *deploys;
    struct metrics *metrics; /* NULL: no endpoint */
    const struct heir *heir; /* NULL: this skepd replaces none */
};

/* The state of a drain. */
struct drain_state {
    uint64_t in_flight; /* requests and deploys whose answer is not complete */
    size_t connections;
    unsigned limit_s; /* longest time of a drain */
    bool is_draining;
};

int drain_new(const struct drain_options *options, struct drain **ret_drain); /* 0 or -ENOMEM */
/* NULL is allowed. Returns NULL. */
struct drain *drain_free(struct drain *drain);

/* Begins to drain. The loop ends when nothing is in flight, and after config->drain_s at the latest. Does nothing
 * if a drain has begun already. DRAIN_STOP also waits for the end of the skepd before this one:
 * when the main process has ended, systemd kills all others. */
void drain_start(struct drain *drain, enum drain_kind kind);
/* Turns a drain into DRAIN_STOP, because the service ends, too. */
void drain_hurry(struct drain *drain);
struct drain_state drain_state(const struct drain *drain);
