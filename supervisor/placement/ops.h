/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What placement tells the floors above, and asks them. Each hands its table down when it is made.
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

/* versions/: how loads end. The version may be gone after each call, unless the caller has a reference. */
struct version_ops {
    void (*loaded)(struct version *version);
    /* text: for the tenant; not terminated. */
    void (*refused)(struct version *version, enum error_code code, const char *text, size_t size);
    /* The worker died while it was loading this, and this is to blame. */
    void (*died)(struct version *version, enum error_code code, const char *cause);
};

/* requests/: who waits, and what runs. */
struct placement_ops {
    /* The worker is ready, or has room again: who waits for that is served. */
    void (*on_room)(struct worker *worker);
    /* It has read what was queued for it: bodies go on, then as on_room. */
    void (*on_drained)(struct worker *worker);
    /* A worker is gone, or none could be started: who waited for it goes elsewhere. owner: of the table. */
    void (*on_lost)(void *owner);
    /* It died with these in it: each request is answered or queued again, by the verdict. */
    void (*on_death)(struct worker *worker, const struct verdict *verdict);
    /* It is about to be freed: nobody waits for it any more. */
    void (*on_free)(struct worker *worker);
    /* Where the tenant's requests go has changed: they are sent as far as there is room. */
    void (*on_tenant)(struct tenant *tenant);
    /* All that wait in the tenant's queue are refused. */
    void (*on_refused)(struct tenant *tenant, enum error_code code, unsigned retry_after_s);
    /* A load of the tenant's has cost its share of the worker so much CPU time. */
    void (*on_load_cost)(struct tenant *tenant, struct worker *worker, uint64_t used_us);
    /* The worker says that an enforced limit was met by that; used in thousandths of the limit's unit. */
    void (*on_limit_met)(struct attempt *attempt, unsigned limit, uint64_t used);
    /* Returns whether a request of another tenant waits while this one's JavaScript runs in the worker. */
    bool (*others_wait)(struct worker *worker, const struct tenant *tenant);
    /* Takes what has not begun in the worker back into its tenants' queues, in its order; what the worker says of it
     * later reaches no client. Returns how many that were. */
    unsigned (*withdraw)(struct worker *worker, bool (*is_wanted)(const struct worker *worker,
                                                                  const struct attempt *attempt));
};
