/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd as a service: its start, readiness, messages to systemd, end and
 * replacement. Joins the parts of this folder for main.c. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>

#include "common/cleanup.h"

struct admin;
struct cgroup_tree;
struct config;
struct data;
struct deploys;
struct drain;
struct event_base;
struct health;
struct http_front;
struct jail_state;
struct ledger;
struct life;
struct metrics;
struct notify;
struct origin;
struct reload;
struct service;
struct slots;
struct sockets;
struct spawner;
struct store;
struct tenants;
struct upgrade;

/* Notes how this process was started, removes systemd's variables from the environment, and opens the sockets that
 * they name. argv: main's, unchanged. Call first. A $NOTIFY_SOCKET that cannot be reached is only
 * logged. Returns 0 or -errno, which is logged. */
int service_new(int argc, char *const *argv, struct service **ret_service);
/* NULL is allowed. Returns NULL. */
struct service *service_free(struct service *service);
DEFINE_CLEANUP(struct service *, service_free, service_cleanup)

const struct origin *service_origin(const struct service *service); /* for the spawner */
/* Tells a skepd that waits for this one to take over why the start fails: text, or (NULL) the last error of the
 * log. */
void service_say_failed(struct service *service, const char *text);

/* Return the listening sockets, inherited and own, and the service manager, NULL without one. */
struct sockets *service_sockets(const struct service *service);
struct notify *service_notify(const struct service *service);

/* The parts of skepd that the service needs. All borrowed, until service_stop_events. */
struct service_options {
    struct event_base *base;
    const struct config *config;
    struct life *life;     /* service_end ends it from now on */
    struct health *health; /* the service manager is told of changes */
    const struct jail_state *jail;
    struct cgroup_tree *cgroups; /* NULL: workers have none */
    struct spawner *spawner;
    struct store *store; /* NULL: nothing can be deployed */
    struct data *data;   /* NULL: nothing can be stored */
    struct tenants *tenants;
    struct slots *slots;
    struct ledger *ledger;
    struct http_front *front;
    struct metrics *metrics; /* NULL: no endpoint */
    struct admin *admin;
    struct reload *reload;
    struct deploys *deploys;
};
/* Has signals to end, reload and upgrade wait for the loop from now on, in place of their default actions. Before anything is
 * announced. 0 or -errno, logged. */
int service_take_signals(struct service *service, struct event_base *base);

/* Starts the service when all parts are made: timers, and what an upgrade needs. Before confinement. Returns 0 or
 * -errno, logged. */
int service_start(struct service *service, const struct service_options *options);
/* Undoes service_start, and tells the service manager nothing from then on. Before the loop is
 * freed. */
void service_stop_events(struct service *service);

/* Ends the service, for SIGTERM and `skep drain`. is_signal: a second signal ends the loop at once, and so does the
 * first one of a skepd that waits to take over. */
void service_end(struct service *service, bool is_signal);

/* service: after service_start. Never returns NULL. */
struct drain *service_drain(const struct service *service);
struct upgrade *service_upgrade(const struct service *service);
/* Returns whether the skepd that this one has replaced has not ended yet. */
bool service_has_predecessor(const struct service *service);
