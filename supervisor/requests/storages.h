/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All operations of tenants on their storage: the data processes, a queue for each of their cordons, and turns. storage.c has one
 * operation. Supervisor, loop thread.
 *
 * Memory, and who can use how much of it: an operation that waits keeps the first part of its body here (CALL_WINDOW_BYTES); one that is
 * open keeps nothing but what its worker does not take of the answer, at most BODY_WINDOW_BYTES. All of it counts against
 * buffer_mib and for the tenant (ledger_count_bytes); while three quarters of buffer_mib are used, an operation that would have to wait
 * is refused. A request has at most CALL_QUEUED_MAX of them.
 */
#pragma once

#include "supervisor/requests/fetch_queue.h"
#include "supervisor/requests/ledger.h"

struct data;
struct storage;
struct storage_gate;  /* the way to the process of one cordon */
struct storage_share; /* the operations of one tenant there */

/* Most time in which an operation waits for its turn behind others. */
#define STORAGE_WAIT_MS 30000
/* Time from the first operation that finds no process, in which operations wait for it; then they fail at once. */
#define STORAGE_DOWN_MS 5000

TAILQ_HEAD(storage_gate_list, storage_gate);

struct storages {
    struct ledger *ledger; /* borrowed */
    struct data *data;     /* borrowed; NULL: there is none */
    struct event *turn;    /* the next operations may be opened */
    struct storage_gate_list gates;
};

/* For ledger_new and ledger_free, which has ended all calls. 0 or -ENOMEM. */
int storages_new(struct ledger *ledger, struct event_base *base, struct storages **ret_storages);
struct storages *storages_free(struct storages *storages);
/* Answers operations that have waited for too long, and ends processes of cordons that are gone. */
void storages_check(struct storages *storages, uint64_t now);

/* ---- for storage.c */

/* Has an operation wait for its turn, and opens those whose turn it is: this one, too, which may be over afterwards. 0; -ENOMEM:
 * the operation does not wait; -ENOBUFS: it would have to wait, and there is no room for that. */
int storages_add(struct storages *storages, struct storage *storage);
/* Notes that an operation is open at data. */
void storages_note_open(struct storage *storage);
/* Removes an operation that is over. The next ones are opened in a later turn of the loop. */
void storages_remove(struct storages *storages, struct storage *storage);
/* Notes that the process was not there for an operation. Returns whether operations wait for it. */
bool storages_await(struct storage_gate *gate);
/* Returns the cordon whose process does the operation. */
const char *storages_cordon(const struct storage *storage);
