/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaces this skepd by another process of the program as it is on disk now, without a refused or lost
 * request: the spawner starts it, it gets ready beside this one, and only when it says that it can serve
 * is it handed the service. Until then nothing has changed here. heir.h is the other side.
 * Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct cgroup_tree;
struct event_base;
struct life;
struct notify;
struct sockets;
struct spawner;
struct store;
struct upgrade;

/* "The other one" is the skepd that is to replace this one. */
enum upgrade_state {
    UPGRADE_NONE,
    UPGRADE_STARTING,     /* the other one gets ready */
    UPGRADE_HANDING_OVER, /* it is told to serve */
    UPGRADE_NOTIFYING,    /* it serves; systemd is told which process is the main one */
    UPGRADE_FAILING,      /* it ends by itself, if it does */
    UPGRADE_KILLED,       /* SIGKILL is sent, as soon as there is a process; its end to come */
    UPGRADE_DONE,         /* it serves, and this one drains */
    UPGRADE_STATES,
};

enum upgrade_event {
    UPGRADE_ON_STARTED,     /* the spawner has started it */
    UPGRADE_ON_NOT_STARTED, /* the spawner cannot */
    UPGRADE_ON_READY,       /* its words: handover.h */
    UPGRADE_ON_SERVING,
    UPGRADE_ON_FAILED,
    UPGRADE_ON_KNOWN,  /* systemd knows it as the main process, or will not say so */
    UPGRADE_ON_LOST,   /* it does not take what it is told */
    UPGRADE_ON_EXITED, /* the spawner has seen its end */
    UPGRADE_ON_TIMEOUT,
    UPGRADE_ON_CANCEL, /* this skepd is told to stop */
    UPGRADE_EVENTS,
};

/* The table itself, for tests: the name of the action that an event has in a state; NULL: the event is ignored. */
const char *upgrade_action_name(enum upgrade_state state, enum upgrade_event event);

/* How it has ended, for whoever waits for it. */
struct upgrade_result {
    const char *failure; /* NULL: it has succeeded; for the operator, borrowed for the call */
    const char *version; /* of the other one */
    pid_t pid;
};

/* What the upgrade has done by those who know the service's faces. */
struct upgrade_ops {
    /* Why none may begin now, static text; NULL: it may. */
    const char *(*find_objection)(void *owner);
    /* Accepts nothing on any socket from now on; or, hold unset, does again. */
    void (*hold)(void *owner, bool hold);
    /* The end, for whoever waits for it; the log has it. */
    void (*on_end)(void *owner, const struct upgrade_result *result);
    /* The other one is the service, for systemd too: what is left here is to end. After on_end. */
    void (*on_replaced)(void *owner);
};

/* All borrowed, until upgrade_free. */
struct upgrade_options {
    struct event_base *base;
    struct life *life;
    struct notify *notify;       /* NULL without a service manager */
    struct cgroup_tree *cgroups; /* NULL: workers have none */
    struct spawner *spawner;
    const struct store *store; /* NULL: nothing can be deployed */
    struct sockets *sockets;   /* that are handed over */
    const struct upgrade_ops *ops;
    void *owner;
};

int upgrade_new(const struct upgrade_options *options,
                struct upgrade **ret_upgrade); /* 0 or -ENOMEM */
/* NULL is allowed. Returns NULL. */
struct upgrade *upgrade_free(struct upgrade *upgrade);

/* Begins. The end is told by on_end. 0; or -errno, with the reason
 * in *ret_reason (static), and then nothing has begun. */
int upgrade_start(struct upgrade *upgrade, const char **ret_reason);
bool upgrade_is_under_way(const struct upgrade *upgrade);
/* The service is told to stop: the other one must not take it over. Nothing happens if none is under way. */
void upgrade_cancel(struct upgrade *upgrade);
