/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions that load before they serve, for a deploy, and the version that served before and
 * may come back. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/tenants/router.h"
#include "supervisor/tenants/unserved.h"
#include "supervisor/versions/internal.h"

static int stage_first(struct versions *versions, struct manifest *manifest, const char *dir,
                       struct version **ret_version)
{
    struct tenant *tenant;
    int r = tenant_new(versions->tenants, manifest->name, dir, &tenant);

    if (r < 0)
        return r;
    r = version_new(tenant, manifest, &tenant->version);
    if (r < 0) {
        (void) tenant_free(tenant);
        return r;
    }
    tenant->origin = TENANT_DEPLOYED;
    tenant->deployed.is_unrouted = true;
    tenant_list(versions->tenants, tenant);
    *ret_version = tenant->version;
    return 0;
}

static int stage_next(struct tenant *tenant, struct manifest *manifest,
                      struct version **ret_version)
{
    int r = version_new(tenant, manifest, ret_version);

    if (r < 0)
        return r;
    versions_drop_candidate(tenant);
    (void) tenant_set_candidate(tenant, *ret_version);
    return 0;
}

int versions_stage(struct versions *versions, struct manifest *manifest, const char *dir,
                   const struct version_listener *listener, void *owner,
                   struct version **ret_version, struct failure *failure)
{
    struct tenant *tenant = tenant_find(versions->tenants, manifest->name, strlen(manifest->name));
    const struct route_pattern *route;
    int r = versions_check_storage(versions, manifest, failure);
    if (r < 0)
        return r;
    r = secrets_check(versions->tenants->secrets, manifest, NULL, NULL, failure);

    if (r < 0)
        return r;
    r = tenant_find_conflict(versions->tenants, manifest, &route) ? -EEXIST : 0;
    if (r == 0 && !tenant)
        r = stage_first(versions, manifest, dir, ret_version);
    else if (r == 0)
        r = stage_next(tenant, manifest, ret_version);
    if (r < 0)
        return versions_explain(versions, r, manifest, failure);
    versions_warn_of_hosts(versions, manifest);
    (*ret_version)->listener = listener;
    (*ret_version)->listener_owner = owner;
    return 0;
}

void versions_drop_standby(struct tenant *tenant)
{
    struct version *standby = tenant_set_standby(tenant, NULL);

    if (!standby)
        return;
    tenant->deployed.standby_name[0] = '\0';
    versions_retire(standby);
    (void) version_unref(standby);
}

/* Makes next the serving version. Takes over the tenant's reference to it. */
static void serve(struct tenant *tenant, struct version *next)
{
    struct version *old = tenant->version;

    tenant->version = next;
    ledger_forget_hosts(tenant);
    callers_changed(tenant->tenants);
    if (next->cordon != old->cordon)
        seclude_follow(tenant);
    tenant->load_failures = 0;
    tenant->load_again_ns = 0;
}

static void serve_first(struct tenant *tenant, const char *name)
{
    tenant->deployed.is_unrouted = false;
    callers_on_served(tenant->tenants, tenant);
    (void) snprintf(tenant->deployed.serving, sizeof tenant->deployed.serving, "%s", name);
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = tenant->name), "serves its first version, %.12s",
              name);
}

int versions_serve_staged(struct version *version, const char *name, bool keep_old)
{
    struct tenant *tenant = version->tenant;
    struct tenant_deployed *deployed = &tenant->deployed;
    struct version *old = tenant->version;

    if (version != old && version != tenant->candidate)
        return -ESTALE;
    int r = tenant_swap_routes(tenant, version->manifest);
    if (r < 0)
        return r;
    version->listener = NULL;
    if (version == old) {
        serve_first(tenant, name);
        (void) versions_renew_limits(tenant); /* they may have changed while it was loading */
        return 0;
    }
    versions_drop_standby(tenant);
    serve(tenant, tenant_set_candidate(tenant, NULL));
    if (keep_old && old->cordon == version->cordon) {
        (void) tenant_set_standby(tenant, old);
        memcpy(deployed->standby_name, deployed->serving, sizeof deployed->standby_name);
    } else {
        versions_retire(old);
        (void) version_unref(old);
    }
    (void) snprintf(deployed->serving, sizeof deployed->serving, "%s", name);
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = tenant->name), "serves version %.12s", name);
    (void) versions_renew_limits(tenant);
    return 0;
}

void versions_drop_staged(struct version *version)
{
    struct tenant *tenant = version->tenant;

    version->listener = NULL;
    if (tenant->candidate == version) {
        versions_drop_candidate(tenant);
        (void) versions_renew_limits(tenant); /* the limits waited for it */
    } else if (tenant->version == version && tenant->deployed.is_unrouted) {
        versions_remove(tenant);
    }
}

int versions_serve_standby(struct tenant *tenant)
{
    struct tenant_deployed *deployed = &tenant->deployed;
    struct version *bad = tenant->version;

    int r = tenant_swap_routes(tenant, deployed->standby->manifest);
    if (r < 0)
        return r;
    serve(tenant, tenant_set_standby(tenant, NULL));
    memcpy(deployed->serving, deployed->standby_name, sizeof deployed->serving);
    deployed->standby_name[0] = '\0';
    versions_retire(bad);
    (void) version_unref(bad);
    (void) versions_renew_limits(tenant);
    return 0;
}
