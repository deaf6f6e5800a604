/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All fetches of tenants: egress, the queue of those that wait for it, and their turns. fetch.c has one fetch. Supervisor,
 * loop thread.
 *
 * Memory, and who can use how much of it: a fetch that waits keeps its head (at most 64 KiB of headers and 16 KiB of path) and the first
 * part of its body (CALL_WINDOW_BYTES) here; one that is open keeps neither, and of the answer what its worker does not
 * take, at most BODY_WINDOW_BYTES. A request has at most `calls` of them, and a worker at most SCOREBOARD_REQUESTS requests.
 * All of it counts against buffer_mib and for the tenant (ledger_count_bytes); while three quarters of buffer_mib are
 * used, a fetch that would have to wait is refused.
 */
#pragma once

#include "supervisor/requests/fetch_queue.h"
#include "supervisor/requests/ledger.h"

struct egress;
struct fetch;

/* Most time in which a fetch waits for its turn. */
#define FETCH_WAIT_MS 60000
/* Time from the first fetch that finds no egress, in which fetches wait for it; then they fail at once. */
#define FETCH_DOWN_MS 5000

struct fetches {
    struct ledger *ledger; /* borrowed */
    struct egress *egress; /* borrowed; NULL: there is none */
    struct event *turn;    /* the next fetches may be opened */
    struct fetch_queue queue;
    bool is_held;     /* egress is behind, or not there: see egress_on_room */
    uint64_t down_ns; /* time since which egress was not there; 0: it was, as far as is known */
};

/* For ledger_new and ledger_free, which has ended all calls. 0 or -ENOMEM. */
int fetches_new(struct ledger *ledger, struct event_base *base, struct fetches **ret_fetches);
struct fetches *fetches_free(struct fetches *fetches);
/* Ends fetches that have waited for too long. */
void fetches_check(struct fetches *fetches, uint64_t now);

/* ---- for fetch.c */

/* Returns whether another fetch of the request would wait for its turn. */
bool fetches_would_wait(const struct fetches *fetches, const struct request *parent);
/* Has a fetch wait for its turn, and opens those whose turn it is: this one, too, which may be over afterwards. 0; -ENOMEM: the
 * fetch does not wait. */
int fetches_add(struct fetches *fetches, struct fetch *fetch);
/* Removes a fetch that is over. The next ones are opened in a later turn of the loop. */
void fetches_remove(struct fetches *fetches, struct fetch *fetch);
/* Notes that the fetch has the answer's head: the next one of its request may be opened in a later turn of the loop. */
void fetches_note_head(struct fetches *fetches, struct fetch *fetch);
/* Notes that egress was not there for a fetch. Returns whether fetches wait for it. */
bool fetches_await_egress(struct fetches *fetches);
