/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and loads that run in a worker, by the rows of its threads on the scoreboard. All of it
 * is a claim of the worker. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/workers/worker.h"

/* JavaScript that a thread runs. All zero: none. */
struct running {
    uint64_t request; /* id of the attempt; 0: code of a load, or of module code's timers */
    uint32_t placement;
    uint64_t since_ns; /* CLOCK_MONOTONIC */
};

/* Returns what the thread runs that has run the same JavaScript for longest. */
struct running worker_running(const struct worker *worker);
/* Returns what ran in the thread that has ended the process: the one with last words, else the only
 * one that ran anything. All zero: not known. */
struct running worker_ran_last(const struct worker *worker);
/* Returns whether a thread runs JavaScript of the attempt. ret_since_ns: may be NULL. */
bool worker_runs(const struct worker *worker, uint64_t id, uint64_t *ret_since_ns);
bool worker_runs_placement(const struct worker *worker, uint32_t placement);
/* Returns how many entries into JavaScript have ended, in all threads. */
uint64_t worker_heartbeat(const struct worker *worker);
/* Returns the row of the thread with last words; NULL: none has any. */
const struct scoreboard_thread *worker_last_words(const struct worker *worker);
