/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls in the worker: requests of JavaScript to the supervisor by a binding, and their answers.
 * Numbers, credit and the end of each; the bytes are in JavaScript, where they count as its memory.
 * Worker, main thread, jailed.
 */
#pragma once

#include "worker/host_internal.h"

/* ---- for JavaScript, see struct isolate_host */
int64_t call_open(void *host, uint64_t request, const struct isolate_call *call);
int64_t call_send(void *host, uint64_t request, uint32_t id, struct isolate_bytes data, bool end);
void call_consume(void *host, uint64_t request, uint32_t id, size_t size);
void call_cancel(void *host, uint64_t request, uint32_t id);

/* ---- frames of the supervisor. An unknown id is no error: the call may just have been cancelled.
 * The job may be gone afterwards. */
int call_on_head(struct host *host, const Skep__Worker__CallHead *head);
int call_on_body(struct host *host, const Skep__Worker__CallBody *body);
int call_on_credit(struct host *host, const Skep__Worker__CallCredit *credit);
int call_on_done(struct host *host, const Skep__Worker__CallDone *done);

/* Cancels the job's calls with the supervisor, because JavaScript is through with the job. */
void call_cancel_all(struct job *job);
/* Frees the job's calls; called when the job goes. */
void call_free_all(struct job *job);
/* Returns whether a frame for one of the job's calls can come and would wake the job. */
bool call_is_awaited(const struct job *job);
