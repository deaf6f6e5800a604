/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/tenants/tenant.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/reload/tenants.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/stats/metrics.h"
#include "supervisor/tenants/internal.h"
#include "supervisor/tenants/router.h"
#include "supervisor/tenants/unserved.h"
#include "supervisor/workers/child.h"

#define SWEEP_MAX 256U /* tenants that one sweep looks at */

int tenants_new(struct server *server, struct tenants **ret_tenants)
{
    struct tenants *tenants = calloc(1, sizeof *tenants);

    (void) server;
    if (!tenants)
        return -ENOMEM;
    TAILQ_INIT(&tenants->list);
    TAILQ_INIT(&tenants->leaving);
    LIST_INIT(&tenants->waiting);
    LIST_INIT(&tenants->unserved);
    LIST_INIT(&tenants->cursors);
    int r = router_new(&tenants->router);
    if (r < 0) {
        free(tenants);
        return r;
    }
    *ret_tenants = tenants;
    return 0;
}

static void destroy(struct tenant *tenant);

struct tenants *tenants_free(struct tenants *tenants)
{
    struct tenant *tenant;

    if (!tenants)
        return NULL;
    tenant_cursor_close(&tenants->care);
    while ((tenant = TAILQ_FIRST(&tenants->list)))
        tenant_remove(tenant);
    while ((tenant = TAILQ_FIRST(&tenants->leaving)))
        destroy(tenant);
    reload_tenants_forget(tenants);
    unserved_forget_all(tenants);
    (void) router_free(tenants->router);
    free(tenants);
    return NULL;
}

/* ---- versions */

struct version *version_ref(struct version *version)
{
    version->refs++;
    return version;
}

struct version *version_unref(struct version *version)
{
    if (version && --version->refs == 0) {
        version->tenant->n_versions--;
        (void) manifest_free(version->manifest);
        free(version);
    }
    return NULL;
}

int tenant_version_new(struct server *server, struct tenant *tenant, struct manifest *manifest,
                       struct version **ret_version)
{
    const struct config *config = server->config;
    const struct cordon_config *cordon = config_find_cordon(config, manifest->cordon);
    struct version *version = cordon ? calloc(1, sizeof *version) : NULL;

    if (!version)
        return cordon ? -ENOMEM : -ENOENT;
    version->id = ++server->tenants->last_version;
    version->tenant = tenant;
    tenant->n_versions++;
    version->cordon = cordon;
    version->observed = limits_observed(config, cordon);
    version->manifest = manifest;
    version->refs = 1;
    LIST_INIT(&version->placements);
    tenant_resolve_limits(config, cordon, manifest, &version->limits, version->origins);
    *ret_version = version;
    return 0;
}

/* ---- tenants */

/* FNV-1a. Names are the operator's: nobody chooses them so that they meet. */
static unsigned bucket_of(const char *name, size_t size)
{
    uint32_t hash = UINT32_C(2166136261);

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char) name[i]) * UINT32_C(16777619);
    return hash % TENANT_BUCKETS;
}

void tenant_list(struct tenants *tenants, struct tenant *tenant)
{
    TAILQ_INSERT_TAIL(&tenants->list, tenant, entry);
    LIST_INSERT_HEAD(&tenants->by_name[bucket_of(tenant->name, strlen(tenant->name))], tenant,
                     in_bucket);
    tenants->n_listed++;
    tenant_cursors_add(tenants, tenant);
}

void tenant_unlist(struct tenants *tenants, struct tenant *tenant)
{
    tenant_cursors_remove(tenants, tenant);
    TAILQ_REMOVE(&tenants->list, tenant, entry);
    LIST_REMOVE(tenant, in_bucket);
    tenants->n_listed--;
}

struct tenant *tenant_find(const struct tenants *tenants, const char *name, size_t size)
{
    struct tenant *tenant;

    LIST_FOREACH (tenant, &tenants->by_name[bucket_of(name, size)], in_bucket)
        if (strlen(tenant->name) == size && memcmp(tenant->name, name, size) == 0)
            return tenant;
    return NULL;
}

struct tenant *tenant_free(struct tenant *tenant)
{
    if (!tenant)
        return NULL;
    counted_done(&tenant->counted);
    (void) version_unref(tenant->version);
    (void) version_unref(tenant->candidate);
    free(tenant->name);
    free(tenant->dir);
    free(tenant->last_error);
    free(tenant);
    return NULL;
}

int tenant_new(struct server *server, const char *name, const char *dir, struct tenant **ret_tenant)
{
    struct tenant *tenant = calloc(1, sizeof *tenant);

    if (!tenant)
        return -ENOMEM;
    tenant->server = server;
    tenant->number = ++server->tenants->last_number;
    tenant->name = strdup(name);
    tenant->dir = strdup(dir);
    TAILQ_INIT(&tenant->queue);
    if (!tenant->name || !tenant->dir) {
        (void) tenant_free(tenant);
        return -ENOMEM;
    }
    counted_init(&tenant->counted, &server->record, tenant->name);
    *ret_tenant = tenant;
    return 0;
}

static int add_routes(struct router *router, const struct manifest *manifest, struct tenant *tenant)
{
    for (unsigned i = 0; i < manifest->n_routes; i++) {
        int r = router_add(router, &manifest->routes[i], tenant);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Takes the version out of its workers: at once where it is idle, else when it is. */
void tenant_retire_version(struct version *version)
{
    struct placement *placement, *next;

    for (placement = LIST_FIRST(&version->placements); placement; placement = next) {
        next = LIST_NEXT(placement, in_version);
        placement_retire(placement);
    }
}

/* The routes of another version instead of those of the serving one; as before on error. */
int tenant_swap_routes(struct tenant *tenant, const struct manifest *manifest)
{
    struct router *router = tenant->server->tenants->router;

    unserved_forget(tenant->server->tenants, tenant->name); /* from now on it is served */
    router_remove(router, tenant);
    int r = add_routes(router, manifest, tenant);
    if (r < 0) {
        router_remove(router, tenant);
        if (tenant->version)
            (void) add_routes(router, tenant->version->manifest, tenant);
    }
    return r;
}

void tenant_drop_candidate(struct tenant *tenant)
{
    struct version *candidate = TAKE_PTR(tenant->candidate);

    if (!candidate)
        return;
    if (candidate->deploy)
        deploy_on_dropped(candidate);
    if (tenant->server->pool)
        seclude_forget_next(tenant);
    tenant_retire_version(candidate);
    (void) version_unref(candidate);
}

void tenant_serve_candidate(struct tenant *tenant)
{
    struct version *old = tenant->version;

    int r = tenant_swap_routes(tenant, tenant->candidate->manifest);
    if (r < 0) { /* a route was free when it was installed, and is not any more */
        (void) log_event_errno(LOG_LEVEL_ERROR, LOG_ABOUT(.tenant = tenant->name), r,
                               "cannot route to the new version");
        tenant_drop_candidate(tenant);
        return;
    }
    tenant_drop_standby(tenant); /* what is watched is another one now */
    tenant->version = TAKE_PTR(tenant->candidate);
    if (tenant->version->cordon != old->cordon)
        seclude_follow(tenant);
    if (old->deploy)
        deploy_on_dropped(old);
    tenant_retire_version(old);
    (void) version_unref(old);
    tenant->load_failures = 0;
    tenant->load_again_ns = 0;
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = tenant->name), "serves a new version");
    (void) tenant_renew_limits(tenant); /* they may have changed while it was loading */
}

void tenant_refuse_candidate(struct tenant *tenant, const char *text, size_t size)
{
    tenant_log(tenant, TENANT_ERROR, text, size);
    log_event(LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = tenant->name),
              "the new version does not load; the one before serves on");
    free(tenant->last_error);
    tenant->last_error = strndup(text, size);
    bool has_waited = tenant_has_old_limits(tenant->candidate);
    tenant_drop_candidate(tenant);
    if (has_waited) /* else the same would be tried again and again */
        (void) tenant_renew_limits(tenant);
}

static int install_first(struct server *server, struct manifest *manifest, const char *dir)
{
    struct tenant *tenant;
    int r = tenant_new(server, manifest->name, dir, &tenant);

    if (r < 0)
        return r;
    r = tenant_swap_routes(tenant, manifest);
    if (r == 0)
        r = tenant_version_new(server, tenant, manifest, &tenant->version);
    if (r < 0) {
        router_remove(server->tenants->router, tenant);
        (void) tenant_free(tenant);
        return r;
    }
    tenant_list(server->tenants, tenant);
    return 0;
}

static int install_next(struct tenant *tenant, struct manifest *manifest)
{
    struct version *candidate;
    int r = tenant_swap_routes(tenant, manifest);

    if (r < 0)
        return r;
    (void) tenant_swap_routes(tenant, tenant->version->manifest); /* until it has loaded */
    r = tenant_version_new(tenant->server, tenant, manifest, &candidate);
    if (r < 0)
        return r;
    tenant_drop_candidate(tenant);
    tenant->candidate = candidate;
    (void) tenant_preload(tenant); /* else when a worker is ready */
    return 0;
}

static int serve_every_host(struct manifest *manifest)
{
    static const char every[] = "*";
    struct route_pattern pattern;
    const char *reason;
    int r = route_pattern_parse(every, &pattern, &reason);

    if (r < 0)
        return r;
    for (unsigned i = 0; i < manifest->n_routes; i++)
        route_pattern_done(&manifest->routes[i]);
    free(manifest->routes);
    manifest->n_routes = 0;
    manifest->routes = calloc(1, sizeof *manifest->routes);
    if (!manifest->routes) {
        route_pattern_done(&pattern);
        return -ENOMEM;
    }
    manifest->routes[manifest->n_routes++] = pattern;
    return 0;
}

void tenant_set_dir(struct tenant *tenant, const char *dir)
{
    char *copy = strcmp(tenant->dir, dir) == 0 ? NULL : strdup(dir);

    if (!copy)
        return;
    free(tenant->dir);
    tenant->dir = copy;
}

int tenant_install(struct server *server, struct manifest *manifest, const char *dir)
{
    struct tenant *tenant = tenant_find(server->tenants, manifest->name, strlen(manifest->name));
    int r = server->is_dev ? serve_every_host(manifest) : 0;

    if (r < 0)
        return r;
    if (!tenant)
        return install_first(server, manifest, dir);
    r = install_next(tenant, manifest);
    if (r == 0)
        tenant_set_dir(tenant, dir);
    return r;
}

int tenant_reload(struct tenant *tenant, struct config_errors *errors)
{
    struct manifest *manifest;
    struct stat st;

    if (tenant->origin == TENANT_DEPLOYED)
        return 0; /* what is stored does not change */
    if (stat(tenant->dir, &st) < 0) {
        int error = -errno;
        config_errors_add(errors, tenant->dir, 0, "cannot be read: %s", strerrordesc_np(-error));
        return error;
    }
    int r = S_ISDIR(st.st_mode) ? manifest_read(tenant->dir, &manifest, errors)
                                : manifest_from_script(tenant->dir, &manifest, errors);
    if (r == -EACCES)
        config_errors_add(errors, tenant->dir, 0,
                          "skepd reads only folders that tenants had when it started, and what its "
                          "user may read: restart it if this folder is another one by now");
    if (r < 0)
        return r;
    if (strcmp(manifest->name, tenant->name) != 0) {
        config_errors_add(errors, manifest->file, 0, "the name was \"%s\" and is now \"%s\"",
                          tenant->name, manifest->name);
        r = -EINVAL;
    } else {
        r = tenant_install(tenant->server, manifest, tenant->dir);
        if (r < 0)
            config_errors_add(errors, manifest->file, 0, "%s",
                              r == -EEXIST   ? "another tenant has one of these routes"
                              : r == -ENOENT ? "there is no cordon of that name"
                                             : strerrordesc_np(-r));
    }
    if (r < 0)
        (void) manifest_free(manifest);
    return r;
}

/* ---- the end */

void tenant_remove(struct tenant *tenant)
{
    struct tenants *tenants = tenant->server->tenants;

    tenant_drop_standby(tenant);
    tenant_drop_candidate(tenant);
    if (tenant->version->deploy)
        deploy_on_dropped(tenant->version);
    router_remove(tenants->router, tenant);
    tenant_unlist(tenants, tenant);
    TAILQ_INSERT_TAIL(&tenants->leaving, tenant, entry);
}

static void destroy(struct tenant *tenant)
{
    if (tenant->server->pool)
        seclude_forget(tenant);
    TAILQ_REMOVE(&tenant->server->tenants->leaving, tenant, entry);
    (void) tenant_free(tenant);
}

void tenants_sweep(struct tenants *tenants)
{
    struct tenant *tenant, *first = TAILQ_FIRST(&tenants->leaving);

    for (unsigned i = 0; i < SWEEP_MAX; i++) {
        tenant = TAILQ_FIRST(&tenants->leaving);
        if (!tenant || (i > 0 && tenant == first))
            return;
        TAILQ_REMOVE(&tenants->leaving, tenant, entry);
        TAILQ_INSERT_TAIL(&tenants->leaving, tenant, entry);
        if (tenant->n_queued > 0 || tenant->n_in_flight > 0 || tenant->books.n_gathering > 0)
            continue;
        tenant_retire_version(tenant->version);
        if (LIST_EMPTY(&tenant->version->placements) && tenant->n_versions == 1)
            destroy(tenant);
    }
}
