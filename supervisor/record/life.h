/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far skepd is in its life, for every floor to read; service/ writes it. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct life {
    bool is_draining; /* it stops: requests that come on open connections are still served */
    bool is_ending;   /* no request is left; the last answers go out */
    bool has_failed;  /* it ends because it cannot go on */
    bool
        is_handing_over; /* another skepd is about to take over: nothing that it would not know of may begin */
    size_t n_connections; /* of clients; http writes it */
    unsigned n_queued;    /* requests that wait for a worker; requests/ writes it */
    /* Has skepd end as `skep drain` does. NULL in tests: nothing ends. */
    void (*end)(void *owner);
    void *owner; /* borrowed */
};

/* Whether requests may still come, so that workers are needed for them. */
static inline bool life_expects_requests(const struct life *life)
{
    return !life->is_draining || (!life->is_ending && life->n_connections > 0);
}

/* Something is wrong that only another start can mend: skepd serves what it has, and ends with an error. */
static inline void life_fail(struct life *life)
{
    life->has_failed = true;
    if (life->end)
        life->end(life->owner);
}
