/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The places of fetches at egress, or of operations of storage at data, and the turns of those that wait for one. A pure data
 * structure: no clock, no allocation, no memory of its own. A fetch stands for either below.
 *
 * - At most bounds.of_request fetches of one request wait for their answer's head, or for their turn, at a time; further ones
 *   wait behind them, in their order.
 * - A tenant has at most bounds.of_tenant open ones, and fewer when places are short: 1 and a part of the free ones
 *   (bounds.free_parts). So tenants whose fetches hang leave places to others, however many such tenants there are.
 * - Tenants take turns, one fetch each.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "egress/program.h"

#define FETCH_HEADS_MAX 6
/* A tenant may have 1 open fetch, and one more for each so many free places. */
#define FETCH_FREE_PARTS 32

struct fetch_bounds {
    unsigned
        of_request; /* fetches of one request without an answer; a lane may have another number */
    unsigned of_tenant;
    unsigned of_all;
    unsigned
        free_parts; /* a tenant may have 1 open one, and one more for each so many free places */
};
/* Bounds of fetches. */
#define FETCH_BOUNDS                                                                        \
    ((struct fetch_bounds){ FETCH_HEADS_MAX, EGRESS_TENANT_FETCHES_MAX, EGRESS_FETCHES_MAX, \
                            FETCH_FREE_PARTS })

struct fetch_place;
TAILQ_HEAD(fetch_place_list, fetch_place);

/* The fetches of one request. All zero: none. */
struct fetch_lane {
    struct fetch_place_list blocked; /* behind as many others as may begin */
    unsigned n_begun;                /* fetches that wait for their turn or their head */
    unsigned most;                   /* most of n_begun; 0: bounds.of_request */
};

/* The fetches of one tenant. All zero: none. */
struct fetch_share {
    TAILQ_ENTRY(fetch_share) turn; /* in the queue's turns, if a fetch is ready */
    struct fetch_place_list ready; /* fetches that wait for the tenant's turn */
    unsigned n_ready, n_open;
    unsigned n_places; /* fetches that have joined and not left */
};

enum fetch_phase {
    FETCH_OUTSIDE, /* has not joined, or has left */
    FETCH_BLOCKED, /* behind others of its request */
    FETCH_READY,   /* waits for its tenant's turn */
    FETCH_OPEN,    /* has a place, and waits for the answer's head */
    FETCH_ANSWERED,
};

/* One fetch, embedded in its owner. All zero: outside. */
struct fetch_place {
    TAILQ_ENTRY(fetch_place) entry; /* in the list of lane or share, while it waits */
    TAILQ_ENTRY(fetch_place) age;   /* in the queue's waiting, likewise */
    struct fetch_lane *lane;        /* borrowed, as share */
    struct fetch_share *share;
    enum fetch_phase phase;
    uint64_t since_ns; /* when it joined */
};

struct fetch_queue {
    struct fetch_bounds bounds;
    TAILQ_HEAD(, fetch_share) turns;
    struct fetch_place_list waiting; /* blocked and ready ones, the oldest first */
    unsigned n_turns;                /* tenants in turns */
    unsigned n_waiting, n_open;
};

void fetch_queue_init(struct fetch_queue *queue, struct fetch_bounds bounds);
/* Returns whether a fetch that joins now would have to wait. share: NULL: the tenant has no fetches. */
bool fetch_queue_would_wait(const struct fetch_queue *queue, const struct fetch_lane *lane,
                            const struct fetch_share *share);
/* Adds a fetch that waits. lane and share stay until it leaves. now_ns: never less than at the call before. */
void fetch_queue_join(struct fetch_queue *queue, struct fetch_place *place, struct fetch_lane *lane,
                      struct fetch_share *share, uint64_t now_ns);
/* Returns the ready fetch that may be opened next; NULL: none may. The fetch stays the next one until it is opened or
 * leaves. */
struct fetch_place *fetch_queue_next(struct fetch_queue *queue);
/* Notes that a ready fetch is open. */
void fetch_queue_open(struct fetch_queue *queue, struct fetch_place *place);
/* Notes that an open fetch has its answer's head, once: another one of its request may begin. */
void fetch_queue_answer(struct fetch_queue *queue, struct fetch_place *place);
/* Removes a fetch, in whatever phase. */
void fetch_queue_leave(struct fetch_queue *queue, struct fetch_place *place);
/* Returns the fetch that has waited longest; NULL: none waits. */
struct fetch_place *fetch_queue_oldest(const struct fetch_queue *queue);
