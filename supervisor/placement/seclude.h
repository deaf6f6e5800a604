/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers apart from the cordon's shared ones. Of single tenants: for those in a solitary cordon,
 * those with strikes, and those that may have killed a worker. Of several: for those that hold up
 * others or use far more CPU time than they do, as few to a worker as the host has processors for.
 * What becomes of a tenant when a worker died (conduct.h has the rules). Supervisor, loop thread.
 */
#pragma once

#include "supervisor/placement/blame.h"
#include "supervisor/placement/placement.h"

/* A SLOT_OWN is one tenant's, which is its owner; a SLOT_CROWD is of tenants that hold up others (holdup.h). */

/* Whether the version, which serves or is the candidate, should have a worker of its own. */
bool seclude_is_wanted(const struct version *version);
/* The slot of the tenant's own worker in the version's cordon, or of the one that it shares with others of its kind;
 * makes it if it has none. NULL if the cordon has no room for another. */
struct slot *seclude_find_slot(struct slots *slots, const struct version *version);
/* Whose slot it is: of a single tenant, also if others of its kind may come to it. NULL: nobody's alone. */
const struct tenant *seclude_owner(const struct slot *slot);

/* A worker died, and this tenant is to blame. worker: it. */
void seclude_on_blame(struct tenant *tenant, const struct worker *worker,
                      const struct verdict *verdict);
/* A worker died, and nothing chooses among the tenants that had something in it: each gets a worker
 * of its own for a while, as far as there is room. worker: it, with its placements. is_memory: isolates
 * that did nothing are suspects, too. Returns false if there is room for none. */
bool seclude_suspects(struct worker *worker, bool is_memory);

/* The tenant's requests are stopped so often that its new isolates would take others their time: it gets a
 * worker of its own, if there is room. Its queue is to be pumped. */
void seclude_for_renewals(struct tenant *tenant);
/* Has a tenant that holds up others go to a worker apart, at once. reason: for the log, "holds up …".
 * Nothing happens if it has one, or its cordon has none to give. Never a strike: clients can cause it. */
void seclude_part(struct tenant *tenant, const char *reason);
/* Each few milliseconds while something is in the worker: whether a tenant holds up others in it. */
void seclude_look(struct worker *worker, uint64_t now_ns);

/* Looks at the next TENANT_LOOKS_MAX tenants, in rounds that begin once a second. Returns whether the round has
 * more. */
bool seclude_check_some(struct tenants *tenants, uint64_t now_ns);

/* By the operator: no requests for so long (0: until it is released). */
void seclude_quarantine(struct tenant *tenant, uint64_t seconds);
void seclude_release(struct tenant *tenant);
/* The serving version is of another cordon now: the worker that the tenant had is let go, and the one
 * that was made for the candidate is its own. */
void seclude_follow(struct tenant *tenant);
/* There is no candidate any more: the worker that was made for it is let go. */
void seclude_forget_next(struct tenant *tenant);
/* Cordons have changed: who has a worker of its own and needs none shares again. */
void seclude_fit(struct slots *slots);
/* The tenant goes: its workers, if it has any, are let go. */
void seclude_forget(struct tenant *tenant);
