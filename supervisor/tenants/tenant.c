/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/tenants/tenant.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "config/tenant_files.h"
#include "supervisor/tenants/router.h"
#include "supervisor/tenants/unserved.h"

#define DISPOSE_BYTES \
    ((size_t) 4 << 20) /* files that are freed at once: in less than a millisecond */

int tenants_new(const struct config *config, struct record *record, struct tenants **ret_tenants)
{
    struct tenants *tenants = calloc(1, sizeof *tenants);

    if (!tenants)
        return -ENOMEM;
    tenants->config = config;
    tenants->record = record;
    TAILQ_INIT(&tenants->list);
    TAILQ_INIT(&tenants->leaving);
    TAILQ_INIT(&tenants->changing);
    TAILQ_INIT(&tenants->watched);
    LIST_INIT(&tenants->awaited);
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

struct tenants *tenants_free(struct tenants *tenants)
{
    if (!tenants)
        return NULL;
    tenant_cursor_close(&tenants->care);
    assert(TAILQ_EMPTY(&tenants->list) && TAILQ_EMPTY(&tenants->leaving));
    unserved_forget_all(tenants);
    callers_done(tenants);
    (void) router_free(tenants->router);
    free(tenants);
    return NULL;
}

/* ---- versions */

void tenants_dispose(const struct tenants *tenants, struct manifest *manifest)
{
    if (manifest && tenants->dispose && tenant_files_bytes(manifest) > DISPOSE_BYTES)
        tenants->dispose(tenants->disposer, manifest);
    else
        (void) manifest_free(manifest);
}

struct version *version_ref(struct version *version)
{
    version->refs++;
    return version;
}

struct version *version_unref(struct version *version)
{
    if (version && --version->refs == 0) {
        version->tenant->n_versions--;
        callers_free(version);
        tenants_dispose(version->tenant->tenants, version->manifest);
        free(version);
    }
    return NULL;
}

int version_new(struct tenant *tenant, struct manifest *manifest, struct version **ret_version)
{
    struct tenants *tenants = tenant->tenants;
    const struct config *config = tenants->config;
    const struct cordon_config *cordon = config_find_cordon(config, manifest->cordon);
    struct version *version = cordon ? calloc(1, sizeof *version) : NULL;

    if (!version)
        return cordon ? -ENOMEM : -ENOENT;
    version->manifest = manifest;
    if (callers_bind(tenants, version, tenant->version) < 0) {
        free(version);
        return -ENOMEM;
    }
    version->id = ++tenants->last_version;
    version->tenant = tenant;
    tenant->n_versions++;
    version->cordon = cordon;
    version->observed = limits_observed(config, cordon);
    version->refs = 1;
    version->secrets_stamp = secrets_stamp(tenants->secrets, manifest);
    LIST_INIT(&version->placements);
    tenant_resolve_limits(config, cordon, manifest, &version->limits, version->origins);
    *ret_version = version;
    return 0;
}

/* ---- tenants */

/* FNV-1a. The operator chooses the names, so none are chosen to collide. */
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

struct version *tenant_set_candidate(struct tenant *tenant, struct version *version)
{
    struct tenant_list *changing = &tenant->tenants->changing;
    struct version *before = tenant->candidate;

    tenant->candidate = version;
    if (version && !before)
        TAILQ_INSERT_TAIL(changing, tenant, changing);
    else if (!version && before)
        TAILQ_REMOVE(changing, tenant, changing);
    return before;
}

struct version *tenant_set_standby(struct tenant *tenant, struct version *version)
{
    struct tenant_list *watched = &tenant->tenants->watched;
    struct version *before = tenant->deployed.standby;

    tenant->deployed.standby = version;
    if (version && !before)
        TAILQ_INSERT_TAIL(watched, tenant, watched);
    else if (!version && before)
        TAILQ_REMOVE(watched, tenant, watched);
    return before;
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

int tenant_new(struct tenants *tenants, const char *name, const char *dir,
               struct tenant **ret_tenant)
{
    struct tenant *tenant = calloc(1, sizeof *tenant);

    if (!tenant)
        return -ENOMEM;
    tenant->tenants = tenants;
    tenant->number = ++tenants->last_number;
    tenant->name = strdup(name);
    tenant->dir = strdup(dir);
    TAILQ_INIT(&tenant->queue);
    if (!tenant->name || !tenant->dir) {
        (void) tenant_free(tenant);
        return -ENOMEM;
    }
    counted_init(&tenant->counted, tenants->record, tenant->name);
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

/* Replaces the routes of the serving version by those of another; unchanged on error. */
int tenant_swap_routes(struct tenant *tenant, const struct manifest *manifest)
{
    struct router *router = tenant->tenants->router;

    unserved_forget(tenant->tenants, tenant->name); /* from now on it is served */
    router_remove(router, tenant);
    int r = add_routes(router, manifest, tenant);
    if (r < 0) {
        router_remove(router, tenant);
        if (tenant->version)
            (void) add_routes(router, tenant->version->manifest, tenant);
    }
    return r;
}

void tenant_set_dir(struct tenant *tenant, const char *dir)
{
    char *copy = strcmp(tenant->dir, dir) == 0 ? NULL : strdup(dir);

    if (!copy)
        return;
    free(tenant->dir);
    tenant->dir = copy;
}

/* Returns whether both have a route of the same requests, and are of different tenants; ret_route: of manifest. */
static bool has_conflict(const struct manifest *manifest, const struct manifest *other,
                         const struct route_pattern **ret_route)
{
    if (strcmp(other->name, manifest->name) == 0)
        return false;
    for (unsigned i = 0; i < manifest->n_routes; i++)
        for (unsigned j = 0; j < other->n_routes; j++)
            if (route_pattern_compare(&manifest->routes[i], &other->routes[j]) == 0) {
                *ret_route = &manifest->routes[i];
                return true;
            }
    return false;
}

const struct tenant *tenant_find_conflict(const struct tenants *tenants,
                                          const struct manifest *manifest,
                                          const struct route_pattern **ret_route)
{
    const struct unserved *unserved = NULL;
    const struct tenant *tenant;

    TAILQ_FOREACH (tenant, &tenants->list, entry)
        if (has_conflict(manifest, tenant->version->manifest, ret_route))
            return tenant;
    while ((unserved = unserved_next(tenants, unserved)))
        if (unserved->manifest && has_conflict(manifest, unserved->manifest, ret_route))
            return unserved->target;
    return NULL;
}

unsigned tenant_retry_after_s(const struct tenant *tenant)
{
    if (tenant->load_again_ns == 0)
        return 0;
    uint64_t now = io_now_ns();
    if (tenant->load_again_ns <= now)
        return 0;
    return (unsigned) ((tenant->load_again_ns - now + NSEC_PER_SEC - 1) / NSEC_PER_SEC);
}

/* ---- counts, for the watch of deploys */

#define COUNTS_MAX 4096

/* Returns the count at which a version's counts are halved: large enough for as many errors as a
 * rollback takes. */
static uint64_t counts_max(const struct deploy_config *config)
{
    uint64_t enough = UINT64_C(200) * config->errors / config->error_percent;

    return enough > COUNTS_MAX ? enough : COUNTS_MAX;
}

bool tenant_is_failing(const struct tenant *tenant)
{
    const struct deploy_config *config = &tenant->tenants->config->deploy;
    const struct version_counts *now = &tenant->version->counts;

    return now->failed >= config->errors &&
           (uint64_t) now->failed * 100 >= (uint64_t) now->answered * config->error_percent;
}

void version_count(struct version *version, enum error_code code, bool is_blamed)
{
    struct version_counts *counts = &version->counts;
    const struct tenant *tenant = version->tenant;
    const struct tenants *tenants = tenant->tenants;

    /* Full queues, overload and errors of clients say nothing about a version. */
    if (code != ERROR_NONE && !error_counts(code, FOR_WATCH, is_blamed))
        return;
    if (counts->answered >= counts_max(&tenant->tenants->config->deploy)) {
        counts->answered /= 2;
        counts->failed /= 2;
    }
    counts->answered++;
    counts->failed += code != ERROR_NONE;
    if (code != ERROR_NONE && tenants->on_failing && tenant->deployed.standby &&
        tenant->version == version && tenant_is_failing(tenant))
        tenants->on_failing(tenants->watcher);
}

void tenants_watch(struct tenants *tenants, void (*on_failing)(void *owner), void *owner)
{
    tenants->on_failing = on_failing;
    tenants->watcher = owner;
}
