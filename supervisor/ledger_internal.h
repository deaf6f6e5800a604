/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ledger.c and ledger_worker.c share. Nobody else includes this.
 */
#pragma once

#include "supervisor/ledger.h"
#include "supervisor/link.h"

/* Counts the answer, once for each request. */
void ledger_count(struct request *request, enum error_code code);
/* Tells the client, if it is still there and has not got all; the exchange is gone then. */
void ledger_answer_failure(struct request *request, enum error_code code, unsigned retry_after_s);
/* Takes it out of its worker's and placement's books. */
void ledger_leave_worker(struct request *request);
/* Back to the head of its tenant's queue; it has left its worker. */
void ledger_send_again(struct request *request);
/* Frees it; it is in no queue and no worker. */
void ledger_end(struct request *request);
void ledger_push_body(struct request *request);
/* The client does not want it any more or may not have it: the worker is told, once. */
void ledger_cancel(struct request *request, enum link_cancel reason);
/* Lets the worker send more of the response, if the client has taken enough. */
void ledger_give_credit(struct request *request);
/* Takes it out of its tenant's queue. */
void ledger_dequeue(struct request *request);
void ledger_start_tick(struct ledger *ledger);
/* For the event; arg: the ledger. */
void ledger_on_tick(evutil_socket_t fd, short what, void *arg);
