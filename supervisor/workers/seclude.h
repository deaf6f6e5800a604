/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers of single tenants: for those in a solitary cordon, those with strikes, those that may have
 * killed a worker, and those that use far more CPU time than their neighbours. What becomes of a
 * tenant when a worker died (conduct.h has the rules). Supervisor, loop thread.
 */
#pragma once

#include "supervisor/workers/child.h"

/* Whether the tenant should have a worker of its own. */
bool seclude_is_wanted(const struct tenant *tenant);
/* The tenant's own worker; makes it if it has none. NULL if the cordon has no room for another. */
struct child *seclude_place(struct pool *pool, struct tenant *tenant);

/* A worker died, and this tenant is to blame. child: it. */
void seclude_on_blame(struct tenant *tenant, const struct child *child,
                      const struct verdict *verdict);
/* A worker died, and nothing chooses among the tenants that had something in it: each gets a worker
 * of its own for a while, as far as there is room. child: it, with its placements. */
void seclude_suspects(struct child *child);

/* Each second, for each tenant. */
void seclude_check(struct tenant *tenant, uint64_t now_ns);

/* By the operator: no requests for so long (0: until it is released). */
void seclude_quarantine(struct tenant *tenant, uint64_t seconds);
void seclude_release(struct tenant *tenant);
/* The tenant goes: its worker, if it has one, is let go. */
void seclude_forget(struct tenant *tenant);
