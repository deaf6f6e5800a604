/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects of the floors below that metrics are read from. main.c fills this in; the files of families read
 * by it. Supervisor, loop thread.
 */
#pragma once

struct config;
struct health;
struct http_front;
struct jail_state;
struct life;
struct record;
struct slots;
struct tenants;

/* All borrowed, for as long as the metrics are there. */
struct metrics_sources {
    const struct config *config;
    const struct life *life;
    const struct health *health;
    const struct jail_state *jail;
    struct record *record;
    struct tenants *tenants;
    const struct slots *slots;      /* NULL: no worker has series */
    const struct http_front *front; /* NULL: there are no connections */
};
