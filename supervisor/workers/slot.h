/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot is a numbered position in a cordon. A slot outlives its workers, one process each: how
 * often they fail, and their counts. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/histogram.h"
#include "supervisor/record/incident.h"

struct worker;
struct cordon_config;
struct event;
struct slots;

enum slot_kind {
    SLOT_SHARED, /* one of the cordon's workers */
    SLOT_SPARE,  /* gets no tenants: its worker takes over another slot */
    SLOT_OWN,    /* apart from these, for one owner */
    SLOT_CROWD,  /* apart from these, for several members */
};

struct slot {
    TAILQ_ENTRY(slot) entry;
    struct slots *slots; /* borrowed */
    /* Borrowed: lives as long as its slots; values may change. */
    const struct cordon_config *cordon;
    /* Number of its worker, or of the next one; goes with the worker, see slot_swap. */
    unsigned number;
    unsigned position; /* in the cordon; the shared ones come first */
    enum slot_kind kind;
    bool is_joining;       /* the slot was added, and gets tenants when its worker is ready */
    bool is_dropped;       /* the slot has no worker and gets none; freed at the next sweep */
    struct worker *worker; /* borrowed from the list of all workers; NULL: none */
    struct event *timer;   /* timer of the next start */
    void *owner;           /* borrowed; for SLOT_OWN, else NULL; the floor above knows its type */
    unsigned members;      /* number for SLOT_CROWD, else 0; the floor above counts them */
    unsigned failures;     /* deaths for which no tenant is to blame */
    uint64_t failures_since_ns;
    /* Counts of all its workers. */
    uint64_t restarts, requests;
    uint64_t kills[CAUSES];      /* kills and deaths, by enum of incident.h */
    struct histogram latency_us; /* from sending to the end of the answer */
    const char *last_death;      /* static text; NULL if none */
    /* Reason for which the worker before this one was replaced; static; NULL: none was. */
    const char *last_retired;
    uint64_t last_retired_ns;
    uint64_t full_said_ns; /* time of the log line that the cordon needs more workers */
};
TAILQ_HEAD(slot_list, slot);

/* Context of a log line about a slot, also while it has no worker. */
#define LOG_ABOUT_SLOT(about) LOG_ABOUT(.worker = (about)->number, .cordon = (about)->cordon->name)

/* Returns the milliseconds to wait before the next start, after that many failures within the
 * window. */
uint64_t slot_backoff_ms(unsigned failures, uint32_t random);

/* Makes a slot without a worker. Called by slots.c. NULL: out of memory. */
struct slot *slot_new(struct slots *slots, const struct cordon_config *cordon, enum slot_kind kind);
struct slot *slot_free(struct slot *slot);

/* Starts a worker in the slot, which has none. */
void slot_start(struct slot *slot);
/* Ends a worker whose process has ended or could not be started: frees it, and fills its slot, if it still has one.
 * is_failure: no tenant is to blame for it. */
void slot_on_end(struct worker *worker, bool is_failure);
/* Fills a slot without a worker: the cordon's spare takes it over, or a worker is started, at once or after a while; a
 * spare's slot that is not wanted any more is dropped. */
void slot_fill(struct slot *slot);
/* Gives each of the two the other's worker and number. */
void slot_swap(struct slot *one, struct slot *other);
/* Takes the worker, which leaves, out of its slot. The slot keeps only its counts. Returns the
 * worker; NULL: there was none. */
struct worker *slot_detach(struct slot *slot);
/* Drops the slot, and drains its worker, if it has one. */
void slot_close(struct slot *slot);
/* Does the same, but a worker that is ready keeps serving tenants that are not loaded elsewhere
 * yet. */
void slot_close_softly(struct slot *slot);

/* Returns whether requests may wait for this slot: its worker runs, or the next is expected at
 * once. */
bool slot_is_usable(const struct slot *slot);
/* True if the slot has no worker because too many failed, and waits for the next start. */
bool slot_has_failed(const struct slot *slot);
/* Returns its worker if that is ready, else NULL. NULL is allowed. */
struct worker *slot_find_ready(const struct slot *slot);
