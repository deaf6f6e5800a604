/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Retirement: a spare replaces a worker that is old, has served much, holds too much memory, or
 * that the operator retires. The old worker gets no new requests, ends those that it has, and goes.
 * No request fails because of that. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/workers/worker.h"

#define RETIRE_RSS_PERCENT 80 /* percent of rss_mib: the worker is replaced in good time */
#define RETIRE_STALE_REASON "its cordon's jit was changed"

/* Has the worker replaced as soon as a spare is ready. reason: static text. Does nothing if the worker is on its
 * way out already. */
void retire_worker(struct worker *worker, const char *reason);
/* Does the same without waiting for others that drain, for a worker that holds up requests. Does nothing if no
 * spare is ready or the cordon has several such workers: call it again then. */
void retire_at_once(struct worker *worker, const char *reason);
/* Retires a ready worker if there is a reason. Called each second. */
void retire_check(struct worker *worker, uint64_t now_ns);
/* Replaces a worker that waits for a spare by this one, which is ready. Returns true if it was
 * used. */
bool retire_use_spare(struct slot *spare);
/* Returns whether an unused spare has to stay: its cordon has one by its config, or has a worker that is held up, for
 * which retire_at_once is about to be called again. */
bool retire_wants_spare(const struct slot *spare, uint64_t now_ns);
/* Returns whether only skepd's looks bound the worker's memory, also while it is idle: no cgroup does, and a tenant
 * has been in it. */
bool retire_must_look(const struct worker *worker);
/* Reads how much memory the worker holds, at most each 20 ms; kills it over rss_mib. */
void retire_check_rss(struct worker *worker, uint64_t now_ns);
