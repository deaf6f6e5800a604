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
struct trace;

/* All borrowed. */
struct slots_options {
    struct event_base *base;
    const struct config *config; /* a reload changes its contents */
    struct record *record;
    struct life *life;
    const struct jail_state *jail;
    struct cgroup_tree *cgroups; /* NULL: workers have none */
    struct spawner *spawner;
    const struct health *health;        /* health of the helper processes */
    const struct channel_table *frames; /* frames that may come from a worker */
    struct trace *trace;                /* NULL: frames are not shown */
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
    struct trace *trace;
    const struct slot_ops *ops; /* borrowed, as owner; the floor above's, see slots_attach */
    void *owner;
    struct slot_list list;      /* in the order of their making; dropped ones, too */
    struct worker_list workers; /* owned; in slots, and leaving ones */
    unsigned n_slots;
    struct event *sweep; /* frees dropped slots when nothing refers to them any more */
    unsigned processors;
};

/* Makes the slots, none yet. Returns 0 or -errno. */
int slots_new(const struct slots_options *options, struct slots **ret_slots);
/* Sets the functions of the floor above to call from now on. */
void slots_attach(struct slots *slots, const struct slot_ops *ops, void *owner);
/* Makes the slots of all cordons, and starts a worker in each. Returns 0 or -errno. After
 * slots_attach. */
int slots_start(struct slots *slots);
/* Kills all workers. */
struct slots *slots_free(struct slots *slots);
/* For spawner_attach; owner: struct slots. */
extern const struct spawner_ops slots_spawner_ops;

/* Ends skepd, with an error, once no worker is left and none can be started. Called each second. */
void slots_check_last(struct slots *slots);
/* Adds a slot to the cordon, without a worker. NULL: out of memory, or there are too many. */
struct slot *slots_add(struct slots *slots, const struct cordon_config *cordon,
                       enum slot_kind kind);
/* Returns the next slot that is not dropped, behind the given one, or the first for NULL. NULL:
 * there is no other. Slots may be added and dropped meanwhile. */
struct slot *slots_next(const struct slots *slots, const struct slot *slot);
/* Returns the lowest position that no other slot of the cordon has, and no worker that leaves it;
 * shared ones come first. */
unsigned slots_free_position(const struct slots *slots, const struct cordon_config *cordon,
                             enum slot_kind kind);
/* Returns a number that no slot and no worker has. */
unsigned slots_free_number(const struct slots *slots);
/* Returns the slot of the cordon's spare if that is ready, else NULL. */
struct slot *slots_find_spare(const struct slots *slots, const struct cordon_config *cordon);
/* Makes a spare for the cordon if it has none: because its config says so, or (is_wanted) because one
 * is needed for a while. */
void slots_keep_spare(struct slots *slots, const struct cordon_config *cordon, bool is_wanted);
unsigned slots_count(const struct slots *slots, const struct cordon_config *cordon,
                     enum slot_kind kind);

/* Counts of workers by their lines in `skep workers`. Every count of workers that skepd reports is
 * one of these. */
struct slots_tally {
    unsigned listed;     /* all listed ones */
    unsigned places;     /* shared and own workers, without spares and leaving ones */
    unsigned own, ready; /* those of the places */
    unsigned failed;     /* listed ones with slot_has_failed */
};
void slots_read_tally(const struct slots *slots, struct slots_tally *ret_tally);
/* A line of `skep workers`: a slot and its worker, if it has one; or a worker that leaves. */
struct listed {
    const struct slot *slot;     /* NULL: the worker leaves */
    const struct worker *worker; /* NULL: the slot has none */
};
/* Steps to the next line, or to the first from one that is all NULL. Slots come first. Returns
 * false if there is no other. */
bool slots_next_listed(const struct slots *slots, struct listed *listed);
/* Returns the number of workers of the cordon that have no slot any more. */
unsigned slots_count_leaving(const struct slots *slots, const struct cordon_config *cordon);
/* Takes the worker and puts it into the slot. */
void slots_put(struct slots *slots, struct slot *slot, struct worker *worker);
/* Frees a worker whose process has ended, or never was. */
void slots_forget(struct slots *slots, struct worker *worker);
