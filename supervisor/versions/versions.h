/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of versions: installed from a folder or staged by a deploy, loaded as the candidate,
 * serving, standby, gone; the effects of a failed load and of changed limits. Makes and frees
 * tenants. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/placement/placement.h"
#include "supervisor/record/failure.h"
#include "supervisor/tenants/tenant.h"

struct data;
struct versions;

/* All borrowed. */
struct versions_options {
    struct event_base *base;
    struct tenants *tenants;
    struct placements *placements;
    struct data *data; /* NULL: no tenant can store anything */
    bool is_dev;       /* `skep dev`: one tenant gets every request */
};

/* Makes versions, which get placement's reports on loads from then on. Returns 0 or -ENOMEM. */
int versions_new(const struct versions_options *options, struct versions **ret_versions);
/* Frees all tenants, in any state, when none is in a worker any more. NULL is allowed. Returns
 * NULL. */
struct versions *versions_free(struct versions *versions);

/* Gives up migrations that are under way; before the requests and the data processes are freed. NULL is allowed. */
void versions_end_migrations(struct versions *versions);

/* Takes over a manifest (owned from success on): a new tenant, or the next version of the one of that
 * name, which serves once it has loaded. dir: the folder of its files, copied. Returns 0; or -errno, which failure has, too:
 * -EEXIST if a route is another tenant's, -ENOENT if there is no such cordon, or another one. */
int versions_install(struct versions *versions, struct manifest *manifest, const char *dir,
                     struct failure *failure);
/* Does the same for a tenant of the folder of tenants. A new one that has a fault of its own, as a secret that is missing, is
 * listed as not served. */
int versions_install_of_folder(struct versions *versions, struct manifest *manifest,
                               const char *dir, struct failure *failure);
/* Reads the tenant's folder or script again. Returns 0, or -errno with errors filled; then the serving
 * version stays. */
int versions_reload(struct tenant *tenant, struct config_errors *errors);
/* Removes a tenant: it gets no new requests, and its routes and its name are free at once. Accepted requests are served to
 * the end; the tenant is freed later, when nothing of it is left in any worker. */
void versions_remove(struct tenant *tenant);
/* Applies changed secrets of the tenant, and changed limits of the config or of its cordons: those that the supervisor enforces count at
 * once; for others the same files become the next version, which serves once it has loaded, after the
 * candidate if there is one, or the first version if that has not loaded. Returns 1 if any of the
 * tenant's limits has changed, 0, or -errno. */
int versions_renew_limits(struct tenant *tenant);
/* Returns whether the config has other limits for the version by now, or its isolates have secrets that were changed. */
bool version_has_old_limits(const struct version *version);
/* Does the same as versions_install, but the version only loads: as the candidate, or, for a new tenant, as the version
 * of a tenant without routes. The listener is told the end of the load, and then has the version
 * served or dropped; borrowed, with owner. */
int versions_stage(struct versions *versions, struct manifest *manifest, const char *dir,
                   const struct version_listener *listener, void *owner,
                   struct version **ret_version, struct failure *failure);
/* Makes the staged version serve, from the next request on. name: the version's. keep_old: the one before
 * stays as standby. Returns 0; or -errno, and nothing has changed: -ESTALE if it is not staged any more, else a
 * route is not free any more. */
int versions_serve_staged(struct version *version, const char *name, bool keep_old);
/* Drops a staged version: all is as before, without a new tenant. */
void versions_drop_staged(struct version *version);
/* Makes the standby serve again, from the next request on, and retires the version that served. Returns 0 or -errno as
 * above. */
int versions_serve_standby(struct tenant *tenant);
void versions_drop_standby(struct tenant *tenant);
/* Makes the loaded candidate serve, or refuses one that will not load. Either way there is none
 * afterwards. */
void versions_serve_candidate(struct tenant *tenant);
void versions_refuse_candidate(struct tenant *tenant, const struct failure *failure);
