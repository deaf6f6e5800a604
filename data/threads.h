/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of the data process: they take work from the loop thread, which may not wait for a disk, and give it back. All are
 * started before the process loads its filter, and none later. Called by the loop thread alone.
 */
#pragma once

#include <stddef.h>
#include <sys/queue.h>

/* Stack of a thread. SQLite's recursions over a statement alone take up to 2 MiB (4,000 tables of WITH, each of which reads the one before), those over a
 * schema what database_memory.h lets them. Memory that is not touched costs nothing. */
#define THREADS_STACK_BYTES ((size_t) 8 << 20)

/* A piece of work, embedded in what it is for. Between threads_give and threads_take it is a thread's. */
struct work {
    STAILQ_ENTRY(work) entry;
    void (*run)(struct work *work); /* in a thread */
};

struct threads;

/* Starts n threads, in which all signals are blocked. 0 or -errno. */
int threads_start(unsigned n, struct threads **ret_threads);
/* Returns the descriptor that can be read when work has come back; borrowed. */
int threads_fd(const struct threads *threads);
void threads_give(struct threads *threads, struct work *work);
/* Takes work that is done; NULL: there is none now. The loop calls it until then when threads_fd can be read. */
struct work *threads_take(struct threads *threads);
/* Waits until all work is done, at most ms, then ends the threads; threads_take gives the work back still. 0; -ETIMEDOUT: a thread does not
 * return, and they stay as they are. */
int threads_stop(struct threads *threads, unsigned ms);
/* Frees threads that were stopped. NULL is allowed. Returns NULL. */
struct threads *threads_free(struct threads *threads);
