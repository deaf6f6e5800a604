/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants that were deployed and cannot be served: a version that is damaged on the disk, or that
 * the configuration does not allow any more. Each keeps its routes, so that its clients learn that
 * the service has failed and not that there is no such tenant, and is listed with the reason until
 * it is deployed again or removed. Supervisor, loop thread, and at the start before it.
 */
#pragma once

#include "supervisor/tenants/tenant.h"

struct unserved {
    LIST_ENTRY(unserved) entry;
    struct tenant *target; /* owned; target of the routes: it has no version and is in no list */
    /* Owned; NULL: the skep.yaml cannot be trusted, so there are no routes. */
    struct manifest *manifest;
    char version[VERSION_NAME_BYTES + 1]; /* "": not known */
    char *text;                           /* owned; the reason and the remedy */
};

/* Notes that the tenant cannot be served; version may be "". manifest: taken over, also on error; NULL if there is
 * none. A route that another tenant has stays with that tenant. Returns 0 or -ENOMEM. */
int unserved_add(struct tenants *tenants, const char *name, const char *version, const char *text,
                 struct manifest *manifest);
/* Returns the first one, or the next after `unserved`; NULL: there is no other. */
const struct unserved *unserved_next(const struct tenants *tenants,
                                     const struct unserved *unserved);
/* Returns NULL if there is none of that name. */
const struct unserved *unserved_find(const struct tenants *tenants, const char *name);
unsigned unserved_count(const struct tenants *tenants);
/* Frees the note and its routes, when a tenant of that name serves, or is removed. Does nothing if
 * there is none. */
void unserved_forget(struct tenants *tenants, const char *name);
/* Frees all of them, before the router. */
void unserved_forget_all(struct tenants *tenants);
