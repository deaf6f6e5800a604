/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The side of a skepd that was started to replace another: until that one hands over, the new one
 * accepts nothing and ends when the other does; it tells systemd nothing before the other has.
 * upgrade.h is the other side; PROTOCOL.md has the messages. Supervisor. Every function takes NULL,
 * for a skepd that replaces none.
 */
#pragma once

#include <stdbool.h>

#include "common/cleanup.h"

struct cgroup_tree;
struct data;
struct event_base;
struct heir;
struct life;
struct sockets;
struct store;

/* "The other one" is the skepd that this one replaces. */
enum heir_state {
    HEIR_STARTING,
    HEIR_READY,   /* has sent that it can serve */
    HEIR_SERVING, /* was told to serve */
    HEIR_KNOWN,   /* is the main process for systemd, too */
    HEIR_ALONE,   /* the other one has ended */
    HEIR_STATES,
};

enum heir_event {
    HEIR_ON_READY, /* this skepd can serve now */
    HEIR_ON_MAIN,  /* words of the other one: handover.h */
    HEIR_ON_KNOWN,
    HEIR_ON_END, /* the other one has ended */
    HEIR_EVENTS,
};

/* For tests of the table: returns the name of the action for an event in a state; NULL: the event
 * is ignored. */
const char *heir_action_name(enum heir_state state, enum heir_event event);

/* Takes the hand-over's end from SKEP_UPGRADE_FD. *ret_heir: NULL if that is not set. Returns 0 or
 * -errno. */
int heir_new(struct heir **ret_heir);
/* NULL is allowed. Returns NULL. */
struct heir *heir_free(struct heir *heir);
DEFINE_CLEANUP(struct heir *, heir_free, heir_cleanup)

struct heir_ops {
    void (*on_main)(void *owner);  /* begins to serve, without a word to systemd yet */
    void (*on_known)(void *owner); /* systemd knows this process as the main one; called once */
};
/* The objects that it takes over, and the functions to call. All borrowed, until heir_free. */
struct heir_options {
    struct event_base *base;
    struct life *life;
    struct cgroup_tree *cgroups; /* NULL: workers have none */
    struct sockets *sockets;
    struct store *store; /* NULL: nothing can be deployed */
    struct data *data;   /* NULL: nothing can be stored */
    const struct heir_ops *ops;
    void *owner;
};
/* Begins to listen to the other skepd. Returns 0 or -ENOMEM. */
int heir_attach(struct heir *heir, const struct heir_options *options);
/* Tells the other skepd that this one can serve now. */
void heir_say_ready(struct heir *heir);
/* Tells the other skepd that this one cannot serve and ends. text: the reason, for the operator. Does nothing once this
 * skepd is the service. */
void heir_say_failed(struct heir *heir, const char *text);

/* Returns whether this skepd does not serve yet. */
bool heir_is_waiting(const struct heir *heir);
/* Returns whether systemd does not know this process as the main one yet. */
bool heir_is_unknown(const struct heir *heir);
/* Returns whether the other skepd has not ended yet. */
bool heir_has_predecessor(const struct heir *heir);
