/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/reload_tenants.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "supervisor/tenant.h"

struct reload_waiting {
    LIST_ENTRY(reload_waiting) entry;
    struct manifest *manifest; /* owned */
    enum reload_kind kind;     /* once it is installed */
    bool is_noted;             /* that it waits */
};

static struct manifest **find_in_set(const struct manifest_set *set, const char *name)
{
    for (unsigned i = 0; i < set->count; i++)
        if (set->items[i] && strcmp(set->items[i]->name, name) == 0)
            return &set->items[i];
    return NULL;
}

static char *folder_of(const struct manifest *manifest)
{
    const char *slash = strrchr(manifest->file, '/');

    return strndup(manifest->file, slash ? (size_t) (slash - manifest->file) : 0);
}

/* ---- which tenants a reload of the folder may change */

/* Whether its tenants come and go with the folder; those of others are not touched. */
static bool is_of_folder(const struct tenant *tenant)
{
    return tenant->origin == TENANT_FOLDER && !tenant->server->is_dev &&
           tenant->server->config->tenants;
}

/* No tenant is there any more; one that cannot be read, or is broken, is. */
static bool is_gone(const char *dir)
{
    _cleanup_free_ char *file = NULL;

    if (asprintf(&file, "%s/skep.yaml", dir) < 0)
        return false;
    _cleanup_fd_ int fd = open(file, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 && (errno == ENOENT || errno == ENOTDIR);
}

/* Whether another tenant has its folder now. */
static bool is_taken(const struct manifest_set *set, const char *dir)
{
    size_t size = strlen(dir);

    for (unsigned i = 0; i < set->count; i++)
        if (set->items[i] && strncmp(set->items[i]->file, dir, size) == 0 &&
            strcmp(set->items[i]->file + size, "/skep.yaml") == 0)
            return true;
    return false;
}

static bool is_removed(const struct tenant *tenant, const struct manifest_set *set)
{
    return is_of_folder(tenant) && !find_in_set(set, tenant->name) &&
           (is_gone(tenant->dir) || is_taken(set, tenant->dir));
}

/* ---- reading */

/* What was deployed has its name, whatever the folder says. */
static void drop_deployed(const struct server *server, struct manifest_set *set,
                          struct reload_report *report)
{
    for (unsigned i = 0; i < set->count; i++) {
        struct manifest *manifest = set->items[i];
        const struct tenant *tenant =
            tenant_find(server->tenants, manifest->name, strlen(manifest->name));
        if (!tenant || tenant->origin == TENANT_FOLDER)
            continue;
        config_errors_add(&report->tenant_errors, manifest->file, manifest->lines.name,
                          "a tenant \"%s\" was deployed: remove that one, or name this one "
                          "differently",
                          manifest->name);
        set->items[i] = manifest_free(manifest);
    }
}

static int check_version(const struct version *version, const struct config *next,
                         struct reload_report *report)
{
    return version ? manifest_check(version->manifest, next, &report->errors) : 0;
}

static int check_serving(const struct server *server, const struct config *next,
                         const struct manifest_set *set, struct reload_report *report)
{
    const struct tenant *tenant;
    int r = 0;

    TAILQ_FOREACH (tenant, &server->tenants->list, entry) {
        if ((is_of_folder(tenant) && find_in_set(set, tenant->name)) || is_removed(tenant, set))
            continue;
        if (check_version(tenant->version, next, report) < 0 ||
            check_version(tenant->candidate, next, report) < 0 ||
            check_version(tenant->deployed.standby, next, report) < 0)
            r = -EINVAL;
    }
    return r;
}

/* The folder as a whole: that it cannot be read does not remove all tenants. */
static bool can_read(const char *folder)
{
    _cleanup_fd_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0;
}

int reload_tenants_read(const struct server *server, const struct config *next,
                        struct manifest_set *ret_set, struct reload_report *report)
{
    const char *folder = server->config->tenants;
    struct manifest_set set = { 0 };
    int r = 0;

    if (folder && !server->is_dev)
        r = manifest_read_all(folder, next, &set, &report->tenant_errors);
    if (r == -ENOMEM)
        return r;
    drop_deployed(server, &set, report);
    r = check_serving(server, next, &set, report);
    if (r < 0) {
        manifest_set_done(&set);
        return r;
    }
    *ret_set = set;
    return 0;
}

/* ---- applying */

static void note(struct reload_report *report, const char *name, enum reload_kind kind)
{
    struct reload_tenant *tenants =
        reallocarray(report->tenants, report->n_tenants + 1, sizeof *report->tenants);

    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = name), "%s", reload_kind_name(kind));
    if (!tenants)
        return;
    report->tenants = tenants;
    (void) snprintf(tenants[report->n_tenants].name, sizeof tenants->name, "%s", name);
    tenants[report->n_tenants++].kind = kind;
}

static const char *refusal_text(int error)
{
    return error == -EEXIST     ? "another tenant has one of these routes"
           : error == -ENOTUNIQ ? "a tenant of this name was deployed"
                                : strerrordesc_np(-error);
}

/* -ENOTUNIQ: while it waited, its name was deployed. */
static int install(struct server *server, struct manifest *manifest)
{
    _cleanup_free_ char *dir = folder_of(manifest);
    const struct tenant *tenant =
        tenant_find(server->tenants, manifest->name, strlen(manifest->name));

    if (tenant && tenant->origin == TENANT_DEPLOYED)
        return -ENOTUNIQ;
    return dir ? tenant_install(server, manifest, dir) : -ENOMEM;
}

/* Some version is about to serve, or to be refused. */
static bool is_any_loading(const struct server *server)
{
    const struct tenant *tenant;

    TAILQ_FOREACH (tenant, &server->tenants->list, entry)
        if (tenant->candidate)
            return true;
    return false;
}

/* Takes over the manifest. */
static int wait_for_route(struct server *server, struct manifest *manifest, enum reload_kind kind)
{
    struct reload_waiting *waiting = malloc(sizeof *waiting);

    if (!waiting)
        return -ENOMEM;
    *waiting = (struct reload_waiting){ .manifest = manifest, .kind = kind };
    LIST_INSERT_HEAD(&server->tenants->waiting, waiting, entry);
    return 0;
}

static void note_failure(const struct manifest *manifest, int error, struct reload_report *report)
{
    config_errors_add(&report->tenant_errors, manifest->file, 0, "%s", refusal_text(error));
}

/* Takes over the manifest. Whoever has its route may give it up in this very reload. */
static void install_or_wait(struct server *server, struct manifest *manifest, enum reload_kind kind,
                            struct reload_report *report)
{
    char name[sizeof report->tenants->name];
    (void) snprintf(name, sizeof name, "%s", manifest->name);
    int r = install(server, manifest);

    if (r == 0) {
        note(report, name, kind);
        return;
    }
    if (r == -EEXIST)
        r = wait_for_route(server, manifest, kind);
    if (r == 0)
        return;
    note_failure(manifest, r, report);
    (void) manifest_free(manifest);
}

static void forget(struct reload_waiting *waiting)
{
    LIST_REMOVE(waiting, entry);
    (void) manifest_free(waiting->manifest);
    free(waiting);
}

void reload_tenants_forget(struct tenants *tenants)
{
    while (!LIST_EMPTY(&tenants->waiting))
        forget(LIST_FIRST(&tenants->waiting));
}

/* Those whose route is free by now, and those that wait in vain. */
static void settle_waiting(struct server *server, struct reload_report *report)
{
    struct reload_waiting *waiting, *next;

    for (waiting = LIST_FIRST(&server->tenants->waiting); waiting; waiting = next) {
        next = LIST_NEXT(waiting, entry);
        int r = install(server, waiting->manifest);
        if (r == -EEXIST && is_any_loading(server)) {
            if (!waiting->is_noted)
                note(report, waiting->manifest->name, RELOAD_WAITS);
            waiting->is_noted = true;
            continue;
        }
        if (r < 0) {
            note_failure(waiting->manifest, r, report);
        } else {
            note(report, waiting->manifest->name, waiting->kind);
            waiting->manifest = NULL; /* the tenant's */
        }
        forget(waiting);
    }
}

void reload_tenants_retry(struct server *server)
{
    struct reload_report report = { 0 };

    if (LIST_EMPTY(&server->tenants->waiting))
        return;
    settle_waiting(server, &report);
    reload_log_errors(&report.tenant_errors);
    reload_report_done(&report);
}

static void renew_limits(struct tenant *tenant, struct reload_report *report)
{
    int r = tenant_renew_limits(tenant);

    if (r < 0)
        config_errors_add(&report->tenant_errors, tenant->dir, 0, "its limits stay: %s",
                          strerrordesc_np(-r));
    else if (r > 0)
        note(report, tenant->name, RELOAD_LIMITS);
    else
        report->unchanged++;
}

/* slot: its state in the folder, in the set; NULL: there is none, or it is broken. */
static void renew(struct tenant *tenant, struct manifest **slot, struct reload_report *report)
{
    const struct version *last = tenant->candidate ? tenant->candidate : tenant->version;

    if (!slot || !is_of_folder(tenant)) {
        renew_limits(tenant, report);
        return;
    }
    if (!manifest_is_same(*slot, last->manifest)) {
        install_or_wait(tenant->server, TAKE_PTR(*slot), RELOAD_CHANGED, report);
        return;
    }
    _cleanup_free_ char *dir = folder_of(*slot);
    if (dir)
        tenant_set_dir(tenant, dir);
    *slot = manifest_free(*slot);
    renew_limits(tenant, report);
}

void reload_tenants_apply(struct server *server, struct manifest_set *set,
                          struct reload_report *report)
{
    bool may_remove = server->config->tenants && can_read(server->config->tenants);
    struct tenant *tenant, *next;

    reload_tenants_forget(server->tenants);
    /* First, so that their routes are free. */
    for (tenant = TAILQ_FIRST(&server->tenants->list); tenant; tenant = next) {
        next = TAILQ_NEXT(tenant, entry);
        if (!may_remove || !is_removed(tenant, set))
            continue;
        note(report, tenant->name, RELOAD_REMOVED);
        tenant_remove(tenant);
    }
    for (tenant = TAILQ_FIRST(&server->tenants->list); tenant; tenant = next) {
        next = TAILQ_NEXT(tenant, entry);
        renew(tenant, find_in_set(set, tenant->name), report);
    }
    for (unsigned i = 0; i < set->count; i++)
        if (set->items[i])
            install_or_wait(server, TAKE_PTR(set->items[i]), RELOAD_ADDED, report);
    settle_waiting(server, report);
    manifest_set_done(set);
}
