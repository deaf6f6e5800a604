/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoint for Prometheus: a front of its own on metrics.listen, with tight limits, that answers
 * GET and HEAD of /metrics and of an index page. An answer is written in pieces with pauses, one piece
 * for all scrapes together, so that it never holds up the loop for long, with any number of tenants
 * and of scrapes. Supervisor, loop thread; made before skepd confines itself.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>

#include "supervisor/stats/sources.h"

struct metrics;
struct sockets;

/* All borrowed, until metrics_free. */
struct metrics_options {
    struct event_base *base;
    struct sockets *sockets; /* inherited and own ones; NULL: none is inherited */
    struct metrics_sources from;
};

/* Listens on metrics.listen of the config, by an inherited socket if there is one of that address; without that
 * key on an inherited one called "metrics". *ret_metrics is NULL if there is neither. Returns 0 or
 * -errno, logged. */
int metrics_new(const struct metrics_options *options, struct metrics **ret_metrics);
/* Stops accepting while hold is set, because another skepd serves. NULL is allowed. */
void metrics_hold(struct metrics *metrics, bool hold);
/* Stops accepting for good, because another skepd serves. NULL is allowed. */
void metrics_drain(struct metrics *metrics);
struct metrics *metrics_free(struct metrics *metrics); /* NULL is allowed; returns NULL */
