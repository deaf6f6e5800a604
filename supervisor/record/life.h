/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The phase of skepd's life, for every floor to read; service/ writes it. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct life {
    bool is_draining; /* skepd stops: requests that come on open connections are still served */
    bool is_ending;   /* no request is left; the last answers go out */
    bool has_failed;  /* skepd ends because it cannot go on */
    /* Another skepd is about to take over: nothing may begin that it would not know of. */
    bool is_handing_over;
    size_t n_connections; /* connections of clients; http writes it */
    unsigned n_queued;    /* requests that wait for a worker; requests/ writes it */
    /* Ends skepd as `skep drain` does. NULL in tests: nothing ends. */
    void (*end)(void *owner);
    void *owner; /* borrowed */
};

/* Returns whether requests may still come, so that workers are needed for them. */
static inline bool life_expects_requests(const struct life *life)
{
    return !life->is_draining || (!life->is_ending && life->n_connections > 0);
}

/* Ends skepd with an error, for a fault that only another start can mend; until then skepd serves
 * its requests. */
static inline void life_fail(struct life *life)
{
    life->has_failed = true;
    if (life->end)
        life->end(life->owner);
}
