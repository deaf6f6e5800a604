/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is stored is served again when skepd starts. Supervisor, before it is confined.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "store/check.h"
#include "supervisor/deploy/internal.h"

static const char prefix[] = "versions/";

DEFINE_CLEANUP(struct manifest *, manifest_free, manifest_cleanup)

static int find_current(const char *folder, const char *name,
                        char version[static VERSION_BYTES + 1])
{
    char target[sizeof prefix + VERSION_BYTES];
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/%s/current", folder, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    if (strncmp(target, prefix, sizeof prefix - 1) != 0 ||
        !version_is_valid(target + sizeof prefix - 1))
        return -EINVAL;
    memcpy(version, target + sizeof prefix - 1, VERSION_BYTES + 1);
    return 0;
}

static int install_version(struct server *server, const char *name, const char *version,
                           struct config_errors *errors)
{
    _cleanup_(manifest_cleanup) struct manifest *manifest = NULL;
    _cleanup_free_ char *dir = NULL;
    const struct route_pattern *route = NULL;

    int r = deploy_read(server->config->state, name, version, &manifest, &dir, errors);
    if (r == 0)
        r = manifest_check(manifest, server->config, errors);
    if (r < 0)
        return r;
    const struct tenant *other = tenant_find_conflict(server->tenants, manifest, &route);
    if (other) {
        config_errors_add(errors, manifest->file, route->line, "this route is one of the tenant %s",
                          other->name);
        return -EEXIST;
    }
    r = tenant_install(server, manifest, dir);
    if (r < 0)
        return r;
    (void) TAKE_PTR(manifest);
    struct tenant *tenant = tenant_find(server->tenants, name, strlen(name));
    tenant->origin = TENANT_DEPLOYED;
    memcpy(tenant->deployed.serving, version, VERSION_BYTES + 1);
    return 0;
}

static void install_tenant(struct server *server, struct store_reader *reader, const char *folder,
                           const char *name)
{
    const char *text = "";

    _cleanup_(config_errors_done) struct config_errors errors = { 0 };
    char version[VERSION_BYTES + 1];

    const struct tenant *tenant = tenant_find(server->tenants, name, strlen(name));
    if (tenant) {
        log_warning("%s was deployed, and is not served so: it is served from %s", name,
                    tenant->dir);
        return;
    }
    int r = find_current(folder, name, version);
    if (r == 0 && store_reader_check(reader, name, version, &text) < 0) {
        log_event(LOG_LEVEL_ERROR, LOG_ABOUT(.tenant = name),
                  "%s was deployed, and is not served: %s", name, text);
        return;
    }
    if (r == 0)
        r = install_version(server, name, version, &errors);
    for (unsigned i = 0; i < errors.n_items; i++)
        log_warning("%s:%u: %s", errors.items[i].file, errors.items[i].line, errors.items[i].text);
    if (r < 0)
        log_error_errno(r, "%s was deployed, and cannot be served", name);
}

static int is_tenant(const struct dirent *entry)
{
    return name_is_valid(entry->d_name);
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int deploy_install_stored(struct server *server)
{
    _cleanup_free_ char *folder = NULL;
    struct dirent **entries = NULL;

    if (!server->store || server->is_dev)
        return 0;
    if (asprintf(&folder, "%s/tenants", server->config->state) < 0) {
        folder = NULL;
        return -ENOMEM;
    }
    struct store_reader *reader = NULL;
    int r = store_reader_new(server->config->state, &reader);
    if (r < 0)
        return log_error_errno(r, "cannot read %s", folder);
    int count = scandir(folder, &entries, is_tenant, compare_entries);
    if (count < 0) {
        r = log_error_errno(-errno, "cannot read %s", folder);
        (void) store_reader_free(reader);
        return r;
    }
    for (int i = 0; i < count; i++) {
        install_tenant(server, reader, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    (void) store_reader_free(reader);
    return 0;
}
