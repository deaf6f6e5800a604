/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State that the floors above keep in each worker. A new one is all zero. Supervisor, loop thread.
 */
#pragma once

#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "common/run_queue.h"
#include "supervisor/record/lists.h"

/* Only the files of requests/ write it. */
struct worker_books {
    struct run_queue queue; /* tenants whose next request goes into this worker */
    /* Requests that were sent and whose JavaScript has not begun, as far as is known; in the order
     * of sending. */
    struct request_list unstarted;
    uint64_t unstarted_us;
    unsigned n_unstarted;
    unsigned n_suspect; /* unstarted requests that may hold up others, as far as is known */
    uint64_t trial;     /* request that may hold up others, sent while the worker was pressed */
    uint64_t trial_ns;  /* time of sending it */
};

/* The process's CPU clock, and the part of it that no tenant was charged with; see clock.h. */
struct worker_clock {
    uint64_t clock_ns, uncharged_ns;
    uint64_t claim;          /* claim of the running request, at the last look */
    uint64_t claim_clock_ns; /* the clock at the look before the one that saw it first */
};
