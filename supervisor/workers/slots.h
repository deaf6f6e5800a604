/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All slots of all cordons, and all workers. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/helpers/health.h"
#include "supervisor/jail/level.h"
#include "supervisor/record/life.h"
#include "supervisor/record/record.h"
#include "supervisor/workers/slot.h"
#include "supervisor/workers/worker.h"

struct cgroup_tree;
struct channel_table;
struct event_base;
struct slot_ops;
struct spawner;
struct spawner_ops;

/* All borrowed. */
struct slots_options {
    struct event_base *base;
    const struct config *config; /* a reload changes its contents */
    struct record *record;
    struct life *life;
    const struct jail_state *jail;
    struct cgroup_tree *cgroups; /* NULL: workers have none */
    struct spawner *spawner;
    const struct health *health;        /* of the helper processes */
    const struct channel_table *frames; /* what may come from a worker */
};

struct slots {
    /* Borrowed: the options. */
    struct event_base *base;
    const struct config *config;
    struct record *record;
    struct life *life;
    const struct jail_state *jail;
    struct cgroup_tree *cgroups;
    struct spawner *spawner;
    const struct health *health;
    const struct channel_table *frames;
    const struct slot_ops *ops; /* borrowed, as owner: of the floor above, see slots_attach */
    void *owner;
    struct slot_list list;      /* in the order of their making; those that are dropped, too */
    struct worker_list workers; /* owned; in slots, and those that leave */
    unsigned n_slots;
    struct event *sweep; /* frees slots that are dropped, when nothing holds them any more */
    unsigned processors;
};

/* 0 or -errno. There is no slot in it yet. */
int slots_new(const struct slots_options *options, struct slots **ret_slots);
/* The floor above hands down what is to be called from now on. */
void slots_attach(struct slots *slots, const struct slot_ops *ops, void *owner);
/* Makes the slots of all cordons, and starts a worker in each. 0 or -errno. Attached. */
int slots_start(struct slots *slots);
/* Kills what runs. */
struct slots *slots_free(struct slots *slots);
/* For spawner_attach; owner: struct slots. */
extern const struct spawner_ops slots_spawner_ops;

/* Each second: ends skepd, with an error, once no worker is left and none can be started. */
void slots_check_last(struct slots *slots);
/* One more slot of the cordon, without a worker. NULL: out of memory, or there are too many. */
struct slot *slots_add(struct slots *slots, const struct cordon_config *cordon,
                       enum slot_kind kind);
/* The next slot that is not dropped, behind that one, or the first for NULL. NULL: there is no other. Slots may be added and
 * dropped meanwhile. */
struct slot *slots_next(const struct slots *slots, const struct slot *slot);
/* The lowest position that no other slot of the cordon has, and no worker that leaves it; the shared ones come first. */
unsigned slots_free_position(const struct slots *slots, const struct cordon_config *cordon,
                             enum slot_kind kind);
/* A number that no slot and no worker has. */
unsigned slots_free_number(const struct slots *slots);
/* The slot of the cordon's spare if that is ready, else NULL. */
struct slot *slots_find_spare(const struct slots *slots, const struct cordon_config *cordon);
/* Has the cordon make a spare if it has none: because it should have one, or (is_wanted) because one
 * is needed for a while. */
void slots_keep_spare(struct slots *slots, const struct cordon_config *cordon, bool is_wanted);
unsigned slots_count(const struct slots *slots, const struct cordon_config *cordon,
                     enum slot_kind kind);

/* Workers by what `skep workers` says of each. Every count of workers that skepd reports is one of these. */
struct slots_tally {
    unsigned listed; /* all that are listed */
    unsigned places; /* of tenants: shared and own workers, without spares and those that leave */
    unsigned own, ready; /* of the places */
    unsigned failed;     /* of all listed: slot_has_failed */
};
void slots_read_tally(const struct slots *slots, struct slots_tally *ret_tally);
/* A line of `skep workers`: a slot and its worker, if it has one; or a worker that leaves. */
struct listed {
    const struct slot *slot;     /* NULL: it leaves */
    const struct worker *worker; /* NULL: none is there */
};
/* The next one, behind that, or the first for one that is all NULL. Slots come first. Returns false: there is no other. */
bool slots_next_listed(const struct slots *slots, struct listed *listed);
/* How many workers of the cordon have no slot any more. */
unsigned slots_count_leaving(const struct slots *slots, const struct cordon_config *cordon);
/* Takes the worker, which is in that slot from now on. */
void slots_put(struct slots *slots, struct slot *slot, struct worker *worker);
/* Its process is at its end, or there is none: frees the worker. */
void slots_forget(struct slots *slots, struct worker *worker);
