/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/versions/versions.h"
#include "supervisor/placement/placement.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "config/host_faults.h"
#include "supervisor/placement/placement.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/tenants/router.h"
#include "supervisor/tenants/unserved.h"
#include "supervisor/versions/internal.h"

#define SWEEP_MAX 256U /* tenants that one sweep looks at */

/* Takes the version out of its workers: at once if it is idle there, else when it is. */
void versions_retire(struct version *version)
{
    struct placement *placement, *next;

    for (placement = LIST_FIRST(&version->placements); placement; placement = next) {
        next = LIST_NEXT(placement, in_version);
        placement_retire(placement);
    }
}

/* Tells the version's listener that another takes its place. */
static void version_tell_dropped(struct version *version)
{
    const struct version_listener *listener = version->listener;

    version->listener = NULL;
    if (listener)
        listener->dropped(version->listener_owner);
}

void versions_drop_candidate(struct tenant *tenant)
{
    struct version *candidate = tenant_set_candidate(tenant, NULL);

    if (!candidate)
        return;
    version_tell_dropped(candidate);
    if (placements_of_tenant(tenant)) /* otherwise all workers are gone */
        seclude_forget_next(tenant);
    versions_retire(candidate);
    (void) version_unref(candidate);
}

void versions_serve_candidate(struct tenant *tenant)
{
    struct version *old = tenant->version;

    int r = tenant_swap_routes(tenant, tenant->candidate->manifest);
    if (r < 0) { /* a route that was free at the install is not any more */
        (void) log_event_errno(LOG_LEVEL_ERROR, LOG_ABOUT(.tenant = tenant->name), r,
                               "cannot route to the new version");
        versions_drop_candidate(tenant);
        return;
    }
    versions_drop_standby(tenant); /* another version is watched now */
    tenant->version = tenant_set_candidate(tenant, NULL);
    if (tenant->version->cordon != old->cordon)
        seclude_follow(tenant);
    version_tell_dropped(old);
    versions_retire(old);
    (void) version_unref(old);
    tenant->load_failures = 0;
    tenant->load_again_ns = 0;
    ledger_forget_hosts(tenant);
    callers_changed(tenant->tenants);
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = tenant->name), "serves a new version");
    (void) versions_renew_limits(tenant); /* they may have changed while it was loading */
}

void versions_note_error(struct tenant *tenant, const struct failure *failure)
{
    free(tenant->last_error);
    tenant->last_error = failure_message(failure);
    if (tenant->last_error)
        tenant_log(tenant, TENANT_ERROR, tenant->last_error, strlen(tenant->last_error));
}

void versions_refuse_candidate(struct tenant *tenant, const struct failure *failure)
{
    versions_note_error(tenant, failure);
    log_event(LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = tenant->name),
              "the new version does not load; the one before serves on");
    bool has_waited = version_has_old_limits(tenant->candidate);
    versions_drop_candidate(tenant);
    if (has_waited) /* otherwise the same would be tried again and again */
        (void) versions_renew_limits(tenant);
}

static int install_first(struct versions *versions, struct manifest *manifest, const char *dir)
{
    struct tenant *tenant;
    int r = tenant_new(versions->tenants, manifest->name, dir, &tenant);

    if (r < 0)
        return r;
    r = tenant_swap_routes(tenant, manifest);
    if (r == 0)
        r = version_new(tenant, manifest, &tenant->version);
    if (r < 0) {
        router_remove(versions->tenants->router, tenant);
        (void) tenant_free(tenant);
        return r;
    }
    tenant_list(versions->tenants, tenant);
    callers_on_served(versions->tenants, tenant);
    return 0;
}

static int install_next(struct tenant *tenant, struct manifest *manifest)
{
    struct version *candidate;
    int r = tenant_swap_routes(tenant, manifest);

    if (r < 0)
        return r;
    (void) tenant_swap_routes(tenant, tenant->version->manifest); /* until it has loaded */
    r = version_new(tenant, manifest, &candidate);
    if (r < 0)
        return r;
    versions_drop_candidate(tenant);
    (void) tenant_set_candidate(tenant, candidate);
    (void) placement_preload(tenant); /* otherwise when a worker is ready */
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

int versions_explain(const struct versions *versions, int code, const struct manifest *manifest,
                     struct failure *failure)
{
    const struct route_pattern *route = NULL;
    const struct tenant *other =
        code == -EEXIST ? tenant_find_conflict(versions->tenants, manifest, &route) : NULL;
    char text[ROUTE_TEXT_BYTES];

    if (other)
        return failure_set_at(failure, code, manifest->file, route->line,
                              "the route \"%.400s\" is one of the tenant %s",
                              route_pattern_text(route, text), other->name);
    if (code == -ENOENT)
        return failure_set_at(failure, code, manifest->file, manifest->lines.cordon,
                              "there is no cordon \"%s\"", manifest->cordon);
    return failure_set(failure, code, "it cannot be installed: %s", strerrordesc_np(-code));
}

void versions_warn_of_hosts(const struct versions *versions, const struct manifest *manifest)
{
    _cleanup_(config_errors_done) struct config_errors notes = { 0 };
    const struct config *config = versions->tenants->config;
    const char *file = manifest->file;
    char more[40] = "";

    manifest_note_hosts(manifest, config, &notes);
    if (notes.n_items == 0)
        return;
    /* The folders of stored versions, some of which are about to have another name, tell nobody anything. */
    if (config->state && strncmp(file, config->state, strlen(config->state)) == 0)
        file = "skep.yaml";
    if (notes.count > 1)
        (void) snprintf(more, sizeof more, "; and %u rules more like that", notes.count - 1);
    log_event(LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = manifest->name), "%s:%u: %s%s", file,
              notes.items[0].line, notes.items[0].text, more);
}

/* Installs a manifest whose secrets are there. */
static int install(struct versions *versions, struct manifest *manifest, const char *dir)
{
    struct tenant *tenant = tenant_find(versions->tenants, manifest->name, strlen(manifest->name));
    int r = versions->is_dev ? serve_every_host(manifest) : 0;

    if (r < 0)
        return r;
    if (!tenant)
        return install_first(versions, manifest, dir);
    r = install_next(tenant, manifest);
    if (r == 0)
        tenant_set_dir(tenant, dir);
    return r;
}

/* Another cordon's process does not have what the tenant has stored. */
int versions_check_storage(const struct versions *versions, const struct manifest *manifest,
                           struct failure *failure)
{
    const struct tenant *tenant =
        tenant_find(versions->tenants, manifest->name, strlen(manifest->name));
    const struct manifest *before = tenant ? tenant->version->manifest : NULL;

    if (!before || !manifest_find_storage(before) || !manifest_find_storage(manifest) ||
        strcmp(before->cordon, manifest->cordon) == 0)
        return 0;
    return failure_set_at(
        failure, -EXDEV, manifest->file, manifest->lines.cordon,
        "cordon: what the tenant has stored is in cordon \"%s\", and is not moved: "
        "expected \"%s\", or no bindings kv and sql",
        before->cordon, before->cordon);
}

int versions_install(struct versions *versions, struct manifest *manifest, const char *dir,
                     struct failure *failure)
{
    int r = secrets_check(versions->tenants->secrets, manifest, NULL, NULL, failure);

    if (r == 0)
        r = versions_check_storage(versions, manifest, failure);
    if (r < 0)
        return r;
    r = install(versions, manifest, dir);
    if (r < 0)
        return versions_explain(versions, r, manifest, failure);
    versions_warn_of_hosts(versions, manifest);
    return 0;
}

/* Lists a tenant of a folder as not served. */
static void note_unserved(struct versions *versions, struct manifest *manifest,
                          const struct failure *failure)
{
    _cleanup_free_ char *why = failure_message(failure);
    _cleanup_free_ char *text = NULL;
    struct manifest *copy;

    if (!why ||
        asprintf(&text, "%s; then `skep reload`, or `skep upgrade` after a change of skepd.yaml",
                 why) < 0)
        text = NULL;
    if (!text || manifest_copy(manifest, &copy) < 0 ||
        unserved_add(versions->tenants, manifest->name, "", text, copy) < 0)
        log_error("out of memory: %s is not listed", manifest->name);
}

int versions_install_of_folder(struct versions *versions, struct manifest *manifest,
                               const char *dir, struct failure *failure)
{
    int r = versions_install(versions, manifest, dir, failure);
    bool is_own_fault = r < 0 && r != -EEXIST && r != -ENOMEM;

    if (is_own_fault && !versions->is_dev &&
        !tenant_find(versions->tenants, manifest->name, strlen(manifest->name)))
        note_unserved(versions, manifest, failure);
    return r;
}

int versions_reload(struct tenant *tenant, struct config_errors *errors)
{
    _cleanup_(failure_done) struct failure failure = { 0 };
    uint32_t max_bytes = config_files_bytes(tenant->tenants->config);
    struct manifest *manifest;
    struct stat st;

    if (tenant->origin == TENANT_DEPLOYED)
        return 0; /* stored files do not change */
    if (stat(tenant->dir, &st) < 0) {
        int error = -errno;
        config_errors_add(errors, tenant->dir, 0, "cannot be read: %s", strerrordesc_np(-error));
        return error;
    }
    int r = S_ISDIR(st.st_mode) ? manifest_read(tenant->dir, max_bytes, &manifest, errors)
                                : manifest_from_script(tenant->dir, max_bytes, &manifest, errors);
    if (r == -EACCES)
        config_errors_add(errors, tenant->dir, 0,
                          "skepd reads only folders that tenants had when it started, and what its "
                          "user may read: restart it if this folder is another one by now");
    if (r < 0)
        return r;
    r = manifest_check(manifest, tenant->tenants->config, errors);
    if (r < 0) {
        (void) manifest_free(manifest);
        return r;
    }
    if (strcmp(manifest->name, tenant->name) != 0) {
        config_errors_add(errors, manifest->file, 0, "the name was \"%s\" and is now \"%s\"",
                          tenant->name, manifest->name);
        r = -EINVAL;
    } else {
        r = versions_install(versions_of(tenant), manifest, tenant->dir, &failure);
        if (r < 0)
            failure_add_to(&failure, manifest->file, errors);
    }
    if (r < 0)
        (void) manifest_free(manifest);
    return r;
}

/* ---- the end */

void versions_remove(struct tenant *tenant)
{
    struct tenants *tenants = tenant->tenants;

    versions_drop_standby(tenant);
    versions_drop_candidate(tenant);
    version_tell_dropped(tenant->version);
    router_remove(tenants->router, tenant);
    tenant_unlist(tenants, tenant);
    TAILQ_INSERT_TAIL(&tenants->leaving, tenant, entry);
    if (!tenant->deployed.is_unrouted) /* otherwise it never was */
        callers_on_removed(tenants, tenant->name);
}

static void destroy(struct tenant *tenant)
{
    if (placements_of_tenant(tenant)) /* otherwise all workers are gone */
        seclude_forget(tenant);
    TAILQ_REMOVE(&tenant->tenants->leaving, tenant, entry);
    (void) tenant_free(tenant);
}

/* Looks at some removed tenants, and next time at others. */
static void sweep(struct tenants *tenants)
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
        versions_retire(tenant->version);
        if (LIST_EMPTY(&tenant->version->placements) && tenant->n_versions == 1)
            destroy(tenant);
    }
}

/* ---- time */

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("versions: second");
    const struct versions *versions = arg;

    sweep(versions->tenants);
}

int versions_new(const struct versions_options *options, struct versions **ret_versions)
{
    static const struct timeval second = { .tv_sec = 1 };
    struct versions *versions = calloc(1, sizeof *versions);

    if (!versions)
        return -ENOMEM;
    versions->tenants = options->tenants;
    versions->placements = options->placements;
    versions->is_dev = options->is_dev;
    versions->base = options->base;
    versions->data = options->data;
    versions->second = event_new(options->base, -1, EV_PERSIST, on_second, versions);
    if (!versions->second || event_add(versions->second, &second) < 0) {
        if (versions->second)
            event_free(versions->second);
        free(versions);
        return -ENOMEM;
    }
    versions->placements->versions = &versions_of_placement;
    versions->placements->versions_owner = versions;
    *ret_versions = versions;
    return 0;
}

struct versions *versions_free(struct versions *versions)
{
    struct tenant *tenant;

    if (!versions)
        return NULL;
    struct tenants *tenants = versions->tenants;
    versions_end_migrations(versions);
    while ((tenant = TAILQ_FIRST(&tenants->list)))
        versions_remove(tenant);
    while ((tenant = TAILQ_FIRST(&tenants->leaving)))
        destroy(tenant);
    event_free(versions->second);
    free(versions);
    return NULL;
}
