/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's host: takes the supervisor's frames, keeps the tenants' isolates and their
 * requests, and enters JavaScript under the sentry. Worker, main thread, jailed.
 */
#pragma once

#include <event2/event.h>

#include "proto/scoreboard.h"
#include "worker/sentry.h"

struct host;
struct isolate;

struct host_options {
    struct event_base *base;       /* borrowed */
    int channel_fd;                /* owned from host_new's success on */
    struct scoreboard *scoreboard; /* borrowed: the mapped page, outlives the host */
    struct isolate *blank;         /* owned likewise: isolate for the first tenant; may be NULL */
};

/* heap_mib of an isolate that is made ahead while no tenant was there: the preset of the limit. */
#define HOST_BLANK_HEAP_MIB 64

/* Makes the host and its channel, before the jail. 0 or -errno. */
int host_new(const struct host_options *options, struct host **ret_host);

/* Says hello, after the jail, and serves on the loop from then on. sentry is borrowed. The loop is
 * broken off when the supervisor leaves or breaks the protocol. 0 or -errno. */
int host_start(struct host *host, struct sentry *sentry);
