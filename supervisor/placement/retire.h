/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Retirement: a worker that is old, has served much, holds too much memory, or that the operator
 * wants gone is replaced by a spare. It gets no new requests, ends what it has, and goes. No request
 * fails because of it. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/workers/worker.h"

#define RETIRE_RSS_PERCENT 80 /* of rss_mib: it is replaced in good time */
#define RETIRE_STALE_REASON "its cordon's jit was changed"

/* Has it replaced as soon as a spare is ready. reason: static text. Nothing happens if it is on its
 * way out already. */
void retire_worker(struct worker *worker, const char *reason);
/* The same without waiting for others that drain, for a worker that holds up requests. Later, if no
 * spare is ready or the cordon has several such workers: call it again. */
void retire_at_once(struct worker *worker, const char *reason);
/* Each second, for a worker that is ready: whether it is time. */
void retire_check(struct worker *worker, uint64_t now_ns);
/* A spare of the cordon is ready: replaces one that waits for that. Returns true if it was used. */
bool retire_use_spare(struct slot *spare);
/* Returns whether a spare that nobody uses now is to stay: its cordon has one by its config, or has a worker that is held up, for
 * which retire_at_once is about to be called again. */
bool retire_wants_spare(const struct slot *spare, uint64_t now_ns);
/* Returns whether only skepd's looks bound its memory, also while nothing is in it: no cgroup does, and a tenant
 * has been in it. */
bool retire_must_look(const struct worker *worker);
/* Reads how much memory it holds, at most each 20 ms; kills it over rss_mib. */
void retire_check_rss(struct worker *worker, uint64_t now_ns);
