/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How skepd ends: it stops accepting, lets requests in flight end, tells systemd, and leaves the loop.
 * Supervisor, loop thread.
 *
 * A connection without a request is not closed at once: its client may have just sent the next one, which
 * would be lost. It stays for a moment, and brings one more request, answered with Connection: close.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "supervisor/server.h"

struct drain;

enum drain_kind {
    DRAIN_STOP,        /* the service ends */
    DRAIN_HANDED_OVER, /* another skepd has the same sockets: there is no hurry */
};

struct drain_load {
    uint64_t in_flight; /* requests, and deploys, that have come and whose answer is not complete */
    size_t connections;
};

int drain_new(struct server *server, struct drain **ret_drain); /* 0 or -ENOMEM */
/* NULL is allowed. Returns NULL. */
struct drain *drain_free(struct drain *drain);

/* Begins. The loop ends when nothing is in flight, and after config->drain_s at the latest. Nothing
 * happens if it has begun already. With DRAIN_STOP the end of the skepd before this one is waited for, too: when
 * the main process has ended, systemd kills all others. */
void drain_start(struct drain *drain, enum drain_kind kind);
/* The service ends, too: from now on it goes on as DRAIN_STOP. */
void drain_hurry(struct drain *drain);
struct drain_load drain_load(const struct server *server);
