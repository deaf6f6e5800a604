/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounds on what a worker may do while nothing is in it: native code of a tenant that has left may go on there. A
 * pure function over what the supervisor sees each second. Supervisor.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define IDLE_PERCENT 5     /* of one processor, for good */
#define IDLE_BURST_MS 1500 /* beyond that, once: warming up, the next isolate */
#define IDLE_REQUESTS 10   /* between two looks, at most: with more it was not idle */
#define IDLE_REQUEST_MS 20 /* for each of these: frames and bodies, which no tenant's account has */

struct idle_watch {
    bool was_idle;                      /* at the last look */
    uint64_t at_ns, unclaimed_ns, sent; /* then */
    uint64_t debt_ns;                   /* CPU time beyond what is allowed */
};

/* At one look; facts all. */
struct idle_look {
    uint64_t now_ns;
    uint64_t unclaimed_ns; /* CPU time of the process that is in no tenant's account */
    uint64_t sent;         /* requests and loads that it was ever sent */
    bool is_idle;          /* none of them is in it */
};

/* Returns true if the worker has used more than it may. Slices of any length add up. */
bool idle_is_over(struct idle_watch *watch, const struct idle_look *look);
