/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of one client address in one tenant: each address has its turn in the tenant's queue, and none
 * has all places while others are there. A tenant that calls counts as one address, which never has more than a part; nor
 * have all of them together. Only the ledger includes this. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/requests/ledger.h"

/* Counts the request, which has no share yet, for its client. 0 or -ENOMEM. */
int share_enter(struct request *request);
/* Returns whether the client is a calling tenant, and this one or all callers together have their full part of the tenant's
 * places and queue. */
bool share_is_full(const struct tenant *tenant, const struct request_client *client);
/* Notes a slow client, whose address gets no place of those that are kept for others. */
void share_note_slow(struct request *request);
/* Takes a request that goes out of its share; one without a share is allowed. */
void share_leave(struct request *request);
/* Put a request into its address's part of the tenant's queue, and take it out. */
void share_enqueue(struct request *request, bool at_head);
void share_dequeue(struct request *request);
/* Note that the request has got a place in a worker, and that it has left it. */
void share_take_place(struct request *request);
void share_give_place(struct request *request);
/* Returns the request of the tenant's queue whose turn it is; NULL if the queue is empty, or has only requests of
 * addresses that have their share of places already. */
struct request *share_next(const struct tenant *tenant);
/* Returns a request that has to leave a full queue for one of the client's: the last one of an address that is known
 * for slow clients, or of the one with most in it. NULL if that would be no fairer than to refuse the client's. */
struct request *share_find_excess(const struct tenant *tenant, const struct request_client *client);
