/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoint for Prometheus: a front of its own on metrics.listen, with tight limits, that answers
 * GET and HEAD of /metrics and of an index page. An answer is written in pieces with pauses, one piece
 * for all scrapes together, so that it never holds up the loop for long however many tenants there are
 * and however many scrape. Supervisor, loop thread; made before skepd confines itself.
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
    struct sockets *sockets; /* inherited and own; NULL: none is inherited */
    struct metrics_sources from;
};

/* Listens on metrics.listen of the config, by an inherited socket if there is one of that address; where nothing
 * is configured, on an inherited one called "metrics". *ret_metrics is NULL where there is neither. 0 or
 * -errno, logged. */
int metrics_new(const struct metrics_options *options, struct metrics **ret_metrics);
/* While hold is set nothing is accepted: another skepd serves. NULL is allowed. */
void metrics_hold(struct metrics *metrics, bool hold);
/* Another skepd serves from now on: accepts no more. NULL is allowed. */
void metrics_drain(struct metrics *metrics);
struct metrics *metrics_free(struct metrics *metrics); /* NULL is allowed; returns NULL */
