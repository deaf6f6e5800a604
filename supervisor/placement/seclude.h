/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers apart from the cordon's shared ones. Workers of one tenant: for tenants in a solitary
 * cordon, with strikes, or that may have killed a worker. Workers of several: for tenants that hold
 * up others or use far more CPU time than they do, as few to a worker as the host has processors
 * for. Also the effects of a worker's death on its tenants (conduct.h has the rules). Supervisor,
 * loop thread.
 */
#pragma once

#include "supervisor/placement/blame.h"
#include "supervisor/placement/placement.h"

/* The owner of a SLOT_OWN is its tenant; a SLOT_CROWD is for tenants that hold up others
 * (holdup.h). */

/* The reason for which a worker is replaced when it is left to a tenant that holds it up. */
#define SECLUDE_HELD_UP "a tenant holds it up"

/* Returns whether the version, which serves or is the candidate, should have a worker of its own. */
bool seclude_is_wanted(const struct version *version);
/* Returns the slot of the tenant's own worker in the version's cordon, or of the one that it shares with others of its
 * kind; makes it if there is none. NULL if the cordon has no room for another. */
struct slot *seclude_find_slot(struct slots *slots, const struct version *version);
/* Returns the tenant that has the slot alone, also if others of its kind may come to it. NULL: none
 * has. */
const struct tenant *seclude_owner(const struct slot *slot);

/* Blames the tenant for the death of the worker. */
void seclude_on_blame(struct tenant *tenant, const struct worker *worker,
                      const struct verdict *verdict);
/* Blames the tenant for the death of a storage process. is_proof: a worker of its own has asked for the operation. */
void seclude_on_stuck(struct tenant *tenant, bool is_proof);
/* Separates the tenants that may have killed the worker, when no claim chooses among them: each gets a worker
 * of its own for a while, as far as there is room. The worker still has its placements. is_memory:
 * tenants of idle isolates are suspects, too. Returns false if there is room for none. */
bool seclude_suspects(struct worker *worker, bool is_memory);

/* Lets the tenant share again: its waiting requests go to a worker of the cordon. */
void seclude_let_back(struct tenant *tenant);

/* Begins to bring a tenant apart that holds up others, or has its requests stopped too often. reason: for the log. Returns
 * whether it has to go; false if it is apart, or its cordon has no worker to give. Never a strike, because clients can
 * cause it. */
bool seclude_begin(struct tenant *tenant, const char *reason);
/* Gives a worker of its own, if there is room, to a tenant whose requests are stopped so often that its new isolates would
 * take the time of others. The caller pumps the queue. */
void seclude_for_renewals(struct tenant *tenant);

/* ---- seclude_busy.c */

/* Checks whether a tenant holds up others in the worker. Called each few milliseconds while the
 * worker has work. */
void seclude_look(struct worker *worker, uint64_t now_ns);

/* Looks at the next TENANT_LOOKS_MAX tenants, in rounds that begin once a second. Returns whether the round has
 * more tenants. */
bool seclude_check_some(struct tenants *tenants, uint64_t now_ns);

/* ---- seclude.c */

/* Quarantines the tenant by the operator's command, for seconds (0: until it is released). */
void seclude_quarantine(struct tenant *tenant, uint64_t seconds);
void seclude_release(struct tenant *tenant);
/* Follows a serving version that is in another cordon now: lets the tenant's old worker go, and makes the one
 * of the candidate the tenant's own. */
void seclude_follow(struct tenant *tenant);
/* Lets the worker go that was made for a candidate, when there is no candidate any more. */
void seclude_forget_next(struct tenant *tenant);
/* Lets tenants share again that have a worker of their own and need none, after a change of
 * cordons. */
void seclude_fit(struct slots *slots);
/* Lets the workers go, if there are any, of a tenant that is removed. */
void seclude_forget(struct tenant *tenant);
