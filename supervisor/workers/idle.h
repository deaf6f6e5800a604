/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounds the CPU time of a worker without requests and loads: native code of a tenant that has left
 * may still run there. A pure function of the figures that the supervisor sees each second.
 * Supervisor.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define IDLE_PERCENT 5     /* part of one processor, for any time */
#define IDLE_BURST_MS 1500 /* CPU time beyond that, once: warming up, the next isolate */
#define IDLE_REQUESTS 10   /* most requests between two looks: with more it was not idle */
/* CPU time for each of these: frames and bodies, which are in no tenant's account. */
#define IDLE_REQUEST_MS 20

struct idle_watch {
    bool was_idle;                      /* idle at the last look */
    uint64_t at_ns, unclaimed_ns, sent; /* figures of the last look */
    uint64_t debt_ns;                   /* CPU time beyond the allowed part */
};

/* The facts of one look. */
struct idle_look {
    uint64_t now_ns;
    uint64_t unclaimed_ns; /* CPU time of the process that is in no tenant's account */
    uint64_t sent;         /* requests and loads that were ever sent to it */
    bool is_idle;          /* none of these is in it */
};

/* Returns true if the worker has used more than it may. Slices of any length add up. */
bool idle_is_over(struct idle_watch *watch, const struct idle_look *look);
