/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaces this skepd by another process of the program that is on the disk now, without a refused
 * or lost request: the spawner starts it, it gets ready beside this one, and only when it reports
 * that it can serve does this skepd hand the service over. Until then nothing has changed here.
 * heir.h is the other side. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct cgroup_tree;
struct data;
struct event_base;
struct failure;
struct life;
struct notify;
struct sockets;
struct spawner;
struct store;
struct upgrade;

/* "The other one" is the skepd that will replace this one. */
enum upgrade_state {
    UPGRADE_NONE,
    UPGRADE_STARTING,     /* the other one gets ready */
    UPGRADE_HANDING_OVER, /* the other one was told to serve */
    UPGRADE_NOTIFYING,    /* the other one serves; systemd is told which process is the main one */
    UPGRADE_FAILING,      /* the other one should end by itself */
    UPGRADE_KILLED,       /* SIGKILL is sent, as soon as there is a process; the end to come */
    UPGRADE_DONE,         /* the other one serves, and this one drains */
    UPGRADE_STATES,
};

enum upgrade_event {
    UPGRADE_ON_STARTED,     /* the spawner has started the other one */
    UPGRADE_ON_NOT_STARTED, /* the spawner cannot start it */
    UPGRADE_ON_READY,       /* words of the other one: handover.h */
    UPGRADE_ON_SERVING,
    UPGRADE_ON_FAILED,
    UPGRADE_ON_KNOWN,  /* systemd knows the other one as the main process, or does not say */
    UPGRADE_ON_LOST,   /* the other one does not take messages */
    UPGRADE_ON_EXITED, /* the spawner has seen its end */
    UPGRADE_ON_TIMEOUT,
    UPGRADE_ON_CANCEL, /* this skepd is told to stop */
    UPGRADE_EVENTS,
};

/* For tests of the table: returns the name of the action for an event in a state; NULL: the event
 * is ignored. */
const char *upgrade_action_name(enum upgrade_state state, enum upgrade_event event);

/* The result of an upgrade, for all that wait for it. */
struct upgrade_result {
    const struct failure *failure; /* NULL: success; borrowed for the call */
    const char *version;           /* version of the other skepd */
    pid_t pid;
};

/* Functions of service.c that the upgrade calls. */
struct upgrade_ops {
    /* Returns 0 if an upgrade may begin now; or -errno, which failure has, too. */
    int (*check)(void *owner, struct failure *failure);
    /* Stops accepting on all sockets; or, with hold unset, accepts again. */
    void (*hold)(void *owner, bool hold);
    /* The upgrade has ended: tells all that wait for it; the log has it. */
    void (*on_end)(void *owner, const struct upgrade_result *result);
    /* The other one is the service, for systemd too: this skepd has to end. After on_end. */
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
    struct data *data;         /* NULL: nothing can be stored */
    struct sockets *sockets;   /* sockets to hand over */
    const struct upgrade_ops *ops;
    void *owner;
};

int upgrade_new(const struct upgrade_options *options,
                struct upgrade **ret_upgrade); /* 0 or -ENOMEM */
/* NULL is allowed. Returns NULL. */
struct upgrade *upgrade_free(struct upgrade *upgrade);

/* Begins an upgrade; on_end reports its end. Returns 0; or -errno, which failure has, too, and then nothing has begun. */
int upgrade_start(struct upgrade *upgrade, struct failure *failure);
bool upgrade_is_under_way(const struct upgrade *upgrade);
/* Cancels an upgrade, because the service was told to stop. Does nothing if none is under way. */
void upgrade_cancel(struct upgrade *upgrade);
