/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants that cannot be served: deployed ones whose version is damaged on the disk, or not allowed by the configuration any
 * more, and those of a folder, or deployed, whose secrets are missing. Each keeps its routes, so that its clients learn that
 * the service has failed and not that there is no such tenant, and is listed with the reason until
 * it is deployed again or removed, or a reload serves it. Supervisor, loop thread, and at the start before it.
 */
#pragma once

#include "supervisor/tenants/tenant.h"

struct unserved {
    LIST_ENTRY(unserved) entry;
    struct tenant *target; /* owned; target of the routes: it has no version and is in no list */
    /* Owned; NULL: the skep.yaml cannot be trusted, so there are no routes. */
    struct manifest *manifest;
    char version[VERSION_NAME_BYTES + 1]; /* "": not known, or of a folder */
    char *text;                           /* owned; the reason and the remedy */
};

/* Notes that the tenant cannot be served, in place of what was noted before. version: "" for a tenant of a folder, which has a
 * manifest, and if it is not known. manifest: taken over, also on error; NULL if there is none. A route that another tenant has stays with that tenant. Returns 0 or -ENOMEM. */
int unserved_add(struct tenants *tenants, const char *name, const char *version, const char *text,
                 struct manifest *manifest);
/* Returns the first one, or the next after `unserved`; NULL: there is no other. */
const struct unserved *unserved_next(const struct tenants *tenants,
                                     const struct unserved *unserved);
/* Returns whether a reload of the folder of tenants may remove it. */
bool unserved_is_of_folder(const struct unserved *unserved);
/* Returns NULL if there is none of that name. */
const struct unserved *unserved_find(const struct tenants *tenants, const char *name);
unsigned unserved_count(const struct tenants *tenants);
/* Frees the note and its routes, when a tenant of that name serves, or is removed. Does nothing if
 * there is none. */
void unserved_forget(struct tenants *tenants, const char *name);
/* Frees all of them, before the router. */
void unserved_forget_all(struct tenants *tenants);
