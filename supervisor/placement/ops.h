/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of the floors above that placement calls. Each floor passes its table when it is made.
 * Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error_codes.h"

struct attempt;
struct worker;
struct tenant;
struct verdict;
struct version;

/* versions/: ends of loads. The version may be gone after each call, unless the caller has a
 * reference. */
struct version_ops {
    /* Returns whether the version may be loaded now. False: it is not ready, and is tried again. */
    bool (*may_load)(struct version *version);
    void (*loaded)(struct version *version);
    /* text: for the tenant; not terminated. */
    void (*refused)(struct version *version, enum error_code code, const char *text, size_t size);
    /* The worker died while it was loading this version, which is to blame. */
    void (*died)(struct version *version, enum error_code code, const char *cause);
};

/* requests/: waiting and running requests. */
struct placement_ops {
    /* The worker is ready, or has room again: serves requests that wait for that. */
    void (*on_room)(struct worker *worker);
    /* The worker has read all frames that were queued for it: sends more of bodies, then does the
     * same as on_room. */
    void (*on_drained)(struct worker *worker);
    /* A worker is gone, or none could be started: requests that waited for it go elsewhere. owner:
     * the table's. */
    void (*on_lost)(void *owner);
    /* The worker has died: answers or queues again each request in it, by the verdict. */
    void (*on_death)(struct worker *worker, const struct verdict *verdict);
    /* The worker is about to be freed: no request may wait for it any more. */
    void (*on_free)(struct worker *worker);
    /* The tenant's requests go to another worker now: sends as many as there is room for. */
    void (*on_tenant)(struct tenant *tenant);
    /* Refuses all requests that wait in the tenant's queue. */
    void (*on_refused)(struct tenant *tenant, enum error_code code, unsigned retry_after_s);
    /* A load of the tenant's has used that much CPU time of its share of the worker. */
    void (*on_load_cost)(struct tenant *tenant, struct worker *worker, uint64_t used_us);
    /* The worker reports that the attempt met an enforced limit; used in thousandths of the limit's
     * unit. */
    void (*on_limit_met)(struct attempt *attempt, unsigned limit, uint64_t used);
    /* Returns whether a request of another tenant waits while this one's JavaScript runs in the worker. */
    bool (*others_wait)(struct worker *worker, const struct tenant *tenant);
    /* Takes requests that have not begun in the worker back into their tenants' queues, in their order; later frames about
     * them reach no client. Returns how many there were. */
    unsigned (*withdraw)(struct worker *worker, bool (*is_wanted)(const struct worker *worker,
                                                                  const struct attempt *attempt));
};
