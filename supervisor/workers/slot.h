/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot is a numbered position in a cordon. It outlives the workers, one process each, that come and go in it: how
 * often they fail, and what of them is counted. Supervisor, loop thread.
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
    SLOT_OWN,    /* apart from these, of one owner */
    SLOT_CROWD,  /* apart from these, of several members */
};

struct slot {
    TAILQ_ENTRY(slot) entry;
    struct slots *slots; /* borrowed */
    const struct cordon_config
        *cordon; /* borrowed: lives as long as its slots; values may change */
    unsigned
        number; /* of its worker, or kept for the next one; goes with the worker, see slot_swap */
    unsigned position; /* in the cordon; the shared ones come first */
    enum slot_kind kind;
    bool is_joining;       /* it was added, and gets tenants when its worker is ready */
    bool is_dropped;       /* it has no worker, and gets none; freed at the next sweep */
    struct worker *worker; /* borrowed from the list of all workers; NULL: none */
    struct event *timer;   /* the next start */
    void *owner;           /* borrowed; of SLOT_OWN, else NULL; the floor above says what it is */
    unsigned members;      /* of SLOT_CROWD, else 0; the floor above counts them */
    unsigned failures;     /* deaths that nobody is to blame for */
    uint64_t failures_since_ns;
    /* Counts of all its workers. */
    uint64_t restarts, requests;
    uint64_t kills[CAUSES];      /* and deaths, by what incident.h calls them */
    struct histogram latency_us; /* from sending to the end of the answer */
    const char *last_death;      /* static text; NULL if none */
    const char
        *last_retired; /* why the worker before this one was replaced; static; NULL: none was */
    uint64_t last_retired_ns;
    uint64_t full_said_ns; /* when the log was told that the cordon needs more workers */
};
TAILQ_HEAD(slot_list, slot);

/* For the log; also while it has no worker. */
#define LOG_ABOUT_SLOT(about) LOG_ABOUT(.worker = (about)->number, .cordon = (about)->cordon->name)

/* Milliseconds to wait before the next start after so many failures within the window. */
uint64_t slot_backoff_ms(unsigned failures, uint32_t random);

/* In slots.c: without a worker. NULL: out of memory. */
struct slot *slot_new(struct slots *slots, const struct cordon_config *cordon, enum slot_kind kind);
struct slot *slot_free(struct slot *slot);

/* Starts a worker in the slot, which has none. */
void slot_start(struct slot *slot);
/* The worker's process has ended, or there was none to be had: frees it, and has its slot, if it still has one, filled.
 * is_failure: nobody is to blame for it. */
void slot_on_end(struct worker *worker, bool is_failure);
/* The slot has no worker: the cordon's spare takes it over, or the next one is started, at once or after a while; a
 * spare's slot that is not wanted any more is dropped. */
void slot_fill(struct slot *slot);
/* Each of the two gets the other's worker and number. */
void slot_swap(struct slot *one, struct slot *other);
/* Takes the worker out of its slot: it leaves. The slot keeps nothing of it but counts. Returns the worker; NULL: there was none. */
struct worker *slot_detach(struct slot *slot);
/* The slot is no more. Its worker, if it has one, drains. */
void slot_close(struct slot *slot);
/* The same, but a worker that is ready goes on serving whoever is not loaded elsewhere yet. */
void slot_close_softly(struct slot *slot);

/* May requests be kept for this slot: its worker runs, or is expected back at once. */
bool slot_is_usable(const struct slot *slot);
/* True if the slot has no worker because too many failed, and waits for the next start. */
bool slot_has_failed(const struct slot *slot);
/* Returns its worker if that is ready, else NULL. NULL is allowed. */
struct worker *slot_find_ready(const struct slot *slot);
