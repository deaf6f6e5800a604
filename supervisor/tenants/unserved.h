/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants that were deployed and cannot be served: a version that is damaged on the disk, or that the
 * configuration does not allow any more. Each keeps its routes, so that its clients are told that the service
 * has failed and not that there is no such tenant, and is listed with the reason until it is deployed again or
 * removed. Supervisor, loop thread, and at the start before it.
 */
#pragma once

#include "supervisor/tenants/tenant.h"

struct unserved {
    LIST_ENTRY(unserved) entry;
    struct tenant *target; /* owned; what its routes lead to: it has no version and is in no list */
    struct manifest
        *manifest; /* owned; NULL: its skep.yaml cannot be trusted, so it has no routes */
    char version[VERSION_NAME_BYTES + 1]; /* "": not known */
    char *text;                           /* owned; why, and what to do */
};

/* Notes that the tenant cannot be served; version may be "". manifest: taken over, also on error; NULL if there is
 * none. A route that another tenant has stays that one's. 0 or -ENOMEM. */
int unserved_add(struct tenants *tenants, const char *name, const char *version, const char *text,
                 struct manifest *manifest);
/* The first one, or the next for that one; NULL: there is no other. */
const struct unserved *unserved_next(const struct tenants *tenants,
                                     const struct unserved *unserved);
/* NULL: none of that name. */
const struct unserved *unserved_find(const struct tenants *tenants, const char *name);
unsigned unserved_count(const struct tenants *tenants);
/* A tenant of that name serves, or is removed: frees its routes and the note. Does nothing if there is none. */
void unserved_forget(struct tenants *tenants, const char *name);
/* Frees all of them, before the router. */
void unserved_forget_all(struct tenants *tenants);
