/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides when skepd is ready: as soon as each worker that tenants share has been ready once, or has failed (a failing slot
 * would otherwise keep a service from starting whose other slots serve), and after READY_TIMEOUT_S in any case. A
 * skepd that replaces another is stricter: it takes over only if all are ready, because the other one serves well
 * meanwhile. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>

#define READY_TIMEOUT_S 20

struct event_base;
struct ready;
struct slots;

/* Slots that tenants share, at a look. */
struct ready_facts {
    unsigned workers, ready, failed; /* failed: has failed to start, and is not ready now */
    unsigned hopeless;               /* has failed so often that the next start waits */
    bool replaces;                   /* this skepd is to replace another one */
    bool is_late;                    /* READY_TIMEOUT_S are over */
};

enum ready_verdict {
    READY_LATER,
    READY_NOW,
    READY_NEVER, /* only for a skepd that replaces another one */
};

/* Pure. */
enum ready_verdict ready_judge(const struct ready_facts *facts);

/* One of the two is called, once. */
struct ready_ops {
    void (*on_ready)(void *owner);
    /* why: for the operator; borrowed for the call. */
    void (*on_never)(void *owner, const char *why);
};

/* All borrowed, until ready_free. */
struct ready_options {
    struct event_base *base;
    const struct slots *slots;
    bool replaces; /* see ready_facts */
    const struct ready_ops *ops;
    void *owner;
};

/* Looks, from the loop on, until there is a verdict. 0 or -ENOMEM. */
int ready_new(const struct ready_options *options, struct ready **ret_ready);
/* NULL is allowed. Returns NULL. */
struct ready *ready_free(struct ready *ready);
