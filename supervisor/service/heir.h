/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A skepd that was started to replace another one: until that one says so, it accepts nothing and
 * ends when the other does; it tells systemd nothing before that one has. upgrade.h is the other side; PROTOCOL.md has the messages.
 * Supervisor. Every function takes NULL, for a skepd that replaces none.
 */
#pragma once

#include <stdbool.h>

#include "common/cleanup.h"

struct cgroup_tree;
struct event_base;
struct heir;
struct life;
struct sockets;
struct store;

/* "The other one" is the skepd that this one replaces. */
enum heir_state {
    HEIR_STARTING,
    HEIR_READY,   /* has said that it could serve */
    HEIR_SERVING, /* was told to */
    HEIR_KNOWN,   /* is the main process for systemd, too */
    HEIR_ALONE,   /* the other one has ended */
    HEIR_STATES,
};

enum heir_event {
    HEIR_ON_READY, /* it could serve now */
    HEIR_ON_MAIN,  /* words of the other one: handover.h */
    HEIR_ON_KNOWN,
    HEIR_ON_END, /* the other one has ended */
    HEIR_EVENTS,
};

/* The table itself, for tests: the name of the action that an event has in a state; NULL: the event is ignored. */
const char *heir_action_name(enum heir_state state, enum heir_event event);

/* By SKEP_UPGRADE_FD. *ret_heir: NULL if it is not set. 0 or -errno. */
int heir_new(struct heir **ret_heir);
/* NULL is allowed. Returns NULL. */
struct heir *heir_free(struct heir *heir);
DEFINE_CLEANUP(struct heir *, heir_free, heir_cleanup)

struct heir_ops {
    void (*on_main)(void *owner);  /* it is to serve from now on, and tells systemd nothing yet */
    void (*on_known)(void *owner); /* systemd knows it as the main process; once */
};
/* What it takes over, and who is told. All borrowed, until heir_free. */
struct heir_options {
    struct event_base *base;
    struct life *life;
    struct cgroup_tree *cgroups; /* NULL: workers have none */
    struct sockets *sockets;
    struct store *store; /* NULL: nothing can be deployed */
    const struct heir_ops *ops;
    void *owner;
};
/* Listens to the other one. 0 or -ENOMEM. */
int heir_attach(struct heir *heir, const struct heir_options *options);
/* It could serve now. */
void heir_say_ready(struct heir *heir);
/* It cannot, and ends: why, for the operator. At any time before it is the service; else nothing happens. */
void heir_say_failed(struct heir *heir, const char *text);

/* It does not serve yet. */
bool heir_is_waiting(const struct heir *heir);
/* systemd does not know it yet as the main process. */
bool heir_is_unknown(const struct heir *heir);
/* The other one has not ended yet. */
bool heir_has_predecessor(const struct heir *heir);
