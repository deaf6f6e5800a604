/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one other thread of skepd: it reads files and parses them, which may wait for a disk and
 * takes its time, so that the loop does neither. A job knows nothing but its own memory: the thread
 * touches no event base, no log, and none of the modules. Supervisor; all functions are the loop's
 * but the job's own work.
 */
#pragma once

#include <stdbool.h>

#include "common/cleanup.h"

struct event_base;
struct reader;
struct reader_job;

/* A job, embedded in its data. */
struct reader_job {
    void (*work)(struct reader_job *job); /* in the thread */
    /* In the loop, afterwards; frees the job. is_end: the loop has ended, so nothing follows. */
    void (*done)(struct reader_job *job, bool is_end);
};

int reader_new(struct event_base *base, struct reader **ret_reader);
/* Frees the reader when no job is under way any more, or after a second. NULL is allowed. Returns
 * NULL. */
struct reader *reader_free(struct reader *reader);
DEFINE_CLEANUP(struct reader *, reader_free, reader_cleanup)

/* Makes the thread, and returns when it runs: after Landlock and capabilities, which belong to a
 * thread and which it inherits, and before the filter, which forbids to make one and is loaded for
 * all threads. 0 or -errno. */
int reader_start(struct reader *reader);

/* Runs a job, which it owns from now on. Without a reader, or before its thread, all of the job is
 * done in this call. */
void reader_run(struct reader *reader, struct reader_job *job);

/* Has the thread free something that takes long to free. release: knows nothing but its argument. Without a reader, before its
 * thread, out of memory, or behind many jobs, it is freed in this call. */
void reader_release(struct reader *reader, void (*release)(void *what), void *what);
