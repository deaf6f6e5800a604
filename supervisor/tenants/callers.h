/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may call a tenant. `callers` in skep.yaml has names; each stands for one tenant, by the number that it got when it was
 * made, so that another one that gets the name later has no right by it. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct tenant;
struct tenants;
struct version;

struct caller_right {
    LIST_ENTRY(caller_right) awaited; /* of the tenants, while tenant is 0 */
    const char *name;                 /* borrowed: from the version's manifest */
    uint64_t tenant;                  /* its number; 0: nobody has had the name yet */
};
LIST_HEAD(caller_right_list, caller_right);

/* Gives the version's names their tenants: those that they have in the version before (NULL: there is none), else the
 * ones that are there, else the first ones to come. 0 or -ENOMEM. */
int callers_bind(struct tenants *tenants, struct version *version, const struct version *before);
void callers_free(struct version *version);
/* A tenant is made: names that waited for it stand for it. */
void callers_on_made(struct tenants *tenants, const struct tenant *tenant);
/* Returns whether the version lists the tenant. */
bool callers_may_call(const struct version *version, const struct tenant *tenant);
