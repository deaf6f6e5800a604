/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The right to call a tenant. `callers` in skep.yaml has names; each stands for one tenant, by the
 * number that the tenant got when it was made, so that another tenant that gets the name later has
 * no right by it. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct tenant;
struct tenants;
struct version;

struct caller_right {
    LIST_ENTRY(caller_right) awaited; /* in the list of the tenants, while tenant is 0 */
    const char *name;                 /* borrowed: from the version's manifest */
    uint64_t tenant;                  /* the tenant's number; 0: no tenant has had the name yet */
};
LIST_HEAD(caller_right_list, caller_right);

/* Gives the version's names their tenants: those of the version before (NULL: there is none), else the
 * tenants that have the names now, else the first to get them. Returns 0 or -ENOMEM. */
int callers_bind(struct tenants *tenants, struct version *version, const struct version *before);
void callers_free(struct version *version);
/* Binds names that waited for the tenant, which was just made, to it. */
void callers_on_made(struct tenants *tenants, const struct tenant *tenant);
/* Returns whether the version lists the tenant. */
bool callers_may_call(const struct version *version, const struct tenant *tenant);
