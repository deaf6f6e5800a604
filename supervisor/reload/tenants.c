/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/reload/internal.h"
#include "supervisor/versions/versions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/tenants/unserved.h"

/* Bytes of files that are compared between two looks at the clock. */
#define COMPARE_PART_BYTES ((size_t) 256 << 10)

struct reload_waiting {
    LIST_ENTRY(reload_waiting) entry;
    struct manifest *manifest; /* owned */
    enum reload_kind kind;     /* the kind once it is installed */
    bool is_noted;             /* the report has that it waits */
};

static char *folder_of(const struct manifest *manifest)
{
    const char *slash = strrchr(manifest->file, '/');

    return strndup(manifest->file, slash ? (size_t) (slash - manifest->file) : 0);
}

/* ---- which tenants a reload of the folder may change */

/* Returns whether the tenant comes and goes with the folder; no reload touches others. */
static bool is_of_folder(const struct reload *reload, const struct tenant *tenant)
{
    return tenant->origin == TENANT_FOLDER && !reload->with.is_dev &&
           tenant->tenants->config->tenants;
}

/* Returns whether no tenant, not even a broken one, is in the tenant's folder any more, or another
 * has its folder now. */
static bool is_removed(const struct reload *reload, const struct tenant *tenant,
                       const struct manifest_set *set)
{
    if (!is_of_folder(reload, tenant) || !set->is_read || manifest_set_find(set, tenant->name))
        return false;
    const struct manifest_folder *folder = manifest_set_find_folder(set, tenant->dir);
    return !folder || folder->is_good;
}

/* Returns whether the folder of a tenant that is not served has gone, or has another tenant. */
static bool is_unserved_removed(const struct unserved *unserved, const struct manifest_set *set)
{
    _cleanup_free_ char *dir =
        unserved_is_of_folder(unserved) ? folder_of(unserved->manifest) : NULL;

    if (!dir || !set->is_read || manifest_set_find(set, unserved->target->name))
        return false;
    const struct manifest_folder *folder = manifest_set_find_folder(set, dir);
    return !folder || folder->is_good;
}

static void forget_unserved(const struct reload *reload, const struct manifest_set *set)
{
    const struct unserved *unserved = unserved_next(reload->with.tenants, NULL);

    while (unserved) {
        const struct unserved *next = unserved_next(reload->with.tenants, unserved);
        if (is_unserved_removed(unserved, set))
            unserved_forget(reload->with.tenants, unserved->target->name);
        unserved = next;
    }
}

/* ---- checking */

/* Removes the folder of a tenant that cannot take another's place. */
static void forget_folder(const struct manifest_set *set, const struct manifest *manifest)
{
    _cleanup_free_ char *dir = folder_of(manifest);
    struct manifest_folder *folder = dir ? manifest_set_find_folder(set, dir) : NULL;

    if (folder)
        folder->is_good = false;
}

/* Drops tenants of the folder whose name a deployed one has. */
static void drop_deployed(const struct reload *reload, struct manifest_set *set,
                          struct reload_report *report)
{
    for (unsigned i = 0; i < set->count; i++) {
        struct manifest *manifest = set->items[i];
        const struct tenant *tenant =
            tenant_find(reload->with.tenants, manifest->name, strlen(manifest->name));
        if (!tenant || tenant->origin == TENANT_FOLDER)
            continue;
        config_errors_add(&report->tenant_errors, manifest->file, manifest->lines.name,
                          "a tenant \"%s\" was deployed: remove that one, or name this one "
                          "differently",
                          manifest->name);
        forget_folder(set, manifest);
        tenants_dispose(reload->with.tenants, TAKE_PTR(set->items[i]));
    }
}

static int check_version(const struct version *version, const struct config *next,
                         struct reload_report *report)
{
    return version ? manifest_check(version->manifest, next, &report->errors) : 0;
}

static int check_serving(const struct reload *reload, const struct config *next,
                         const struct manifest_set *set, struct reload_report *report)
{
    const struct tenant *tenant;
    int r = 0;

    TAILQ_FOREACH (tenant, &reload->with.tenants->list, entry) {
        if ((is_of_folder(reload, tenant) && manifest_set_find(set, tenant->name)) ||
            is_removed(reload, tenant, set))
            continue;
        if (check_version(tenant->version, next, report) < 0 ||
            check_version(tenant->candidate, next, report) < 0 ||
            check_version(tenant->deployed.standby, next, report) < 0)
            r = -EINVAL;
    }
    return r;
}

int reload_tenants_check(const struct reload *reload, const struct config *next,
                         struct manifest_set *set, struct reload_report *report)
{
    drop_deployed(reload, set, report);
    return check_serving(reload, next, set, report);
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

/* Installs the tenant, as versions_install. -ENOTUNIQ: a tenant of that name was deployed while
 * this one waited. */
static int install(struct reload *reload, struct manifest *manifest, struct failure *failure)
{
    _cleanup_free_ char *dir = folder_of(manifest);
    const struct tenant *tenant =
        tenant_find(reload->with.tenants, manifest->name, strlen(manifest->name));

    if (tenant && tenant->origin == TENANT_DEPLOYED)
        return failure_set(failure, -ENOTUNIQ, "a tenant of this name was deployed");
    return dir ? versions_install_of_folder(reload->with.versions, manifest, dir, failure)
               : failure_set(failure, -ENOMEM, "skepd is out of memory");
}

/* Returns whether some version is about to serve, or to be refused. */
static bool is_any_loading(const struct reload *reload)
{
    return !TAILQ_EMPTY(&reload->with.tenants->changing);
}

/* Lets the tenant wait for its route. Takes over the manifest. */
static int wait_for_route(struct reload *reload, struct manifest *manifest, enum reload_kind kind)
{
    struct reload_waiting *waiting = malloc(sizeof *waiting);

    if (!waiting)
        return -ENOMEM;
    *waiting = (struct reload_waiting){ .manifest = manifest, .kind = kind };
    LIST_INSERT_HEAD(&reload->waits.list, waiting, entry);
    return 0;
}

/* Takes over the manifest. The tenant that has its route may give it up in this very reload. */
static void install_or_wait(struct reload *reload, struct manifest *manifest, enum reload_kind kind,
                            struct reload_report *report)
{
    _cleanup_(failure_done) struct failure failure = { 0 };
    char name[sizeof report->tenants->name];
    (void) snprintf(name, sizeof name, "%s", manifest->name);
    int r = install(reload, manifest, &failure);

    if (r == 0) {
        note(report, name, kind);
        return;
    }
    if (r == -EEXIST && wait_for_route(reload, manifest, kind) == 0)
        return;
    failure_add_to(&failure, manifest->file, &report->tenant_errors);
    tenants_dispose(reload->with.tenants, manifest);
}

static void forget(const struct reload *reload, struct reload_waiting *waiting)
{
    LIST_REMOVE(waiting, entry);
    tenants_dispose(reload->with.tenants, waiting->manifest);
    free(waiting);
}

void reload_tenants_forget(struct reload *reload)
{
    while (!LIST_EMPTY(&reload->waits.list))
        forget(reload, LIST_FIRST(&reload->waits.list));
    if (reload->waits.second)
        event_free(TAKE_PTR(reload->waits.second));
}

/* Installs waiting tenants whose route is free by now, and drops those that wait in vain. */
static void settle_waiting(struct reload *reload, struct reload_report *report)
{
    struct reload_waiting *waiting, *next;

    for (waiting = LIST_FIRST(&reload->waits.list); waiting; waiting = next) {
        next = LIST_NEXT(waiting, entry);
        _cleanup_(failure_done) struct failure failure = { 0 };
        int r = install(reload, waiting->manifest, &failure);
        if (r == -EEXIST && is_any_loading(reload)) {
            if (!waiting->is_noted)
                note(report, waiting->manifest->name, RELOAD_WAITS);
            waiting->is_noted = true;
            continue;
        }
        if (r < 0) {
            failure_add_to(&failure, waiting->manifest->file, &report->tenant_errors);
        } else {
            note(report, waiting->manifest->name, waiting->kind);
            waiting->manifest = NULL; /* owned by the tenant now */
        }
        forget(reload, waiting);
    }
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("reload: tenants that wait for a route");
    struct reload *reload = arg;
    struct reload_report report = { 0 };

    settle_waiting(reload, &report);
    reload_log_errors(&report.tenant_errors);
    reload_report_done(&report);
    if (LIST_EMPTY(&reload->waits.list))
        event_free(TAKE_PTR(reload->waits.second));
}

/* Tries again each second, while any waits. Without memory for that they wait for the next reload. */
static void keep_trying(struct reload *reload)
{
    static const struct timeval second = { .tv_sec = 1 };
    struct reload_waits *waits = &reload->waits;

    if (LIST_EMPTY(&waits->list) || waits->second)
        return;
    waits->second = event_new(reload->with.base, -1, EV_PERSIST, on_second, reload);
    if (waits->second)
        (void) event_add(waits->second, &second);
}

static void renew_limits(struct tenant *tenant, struct reload_report *report)
{
    int r = versions_renew_limits(tenant);

    if (r < 0)
        config_errors_add(&report->tenant_errors, tenant->dir, 0, "its limits stay: %s",
                          strerrordesc_np(-r));
    else if (r > 0)
        note(report, tenant->name, RELOAD_LIMITS);
    else
        report->unchanged++;
}

/* Returns the version that the tenant's folder is compared with. */
static const struct version *last_version(const struct tenant *tenant)
{
    return tenant->candidate ? tenant->candidate : tenant->version;
}

/* Compares the next part of the files. */
static enum manifest_match compare_part(const struct manifest *manifest, const struct version *last,
                                        struct reload_walk *walk)
{
    if (walk->comparing.version != last->id) {
        walk->comparing.version = last->id;
        walk->comparing.place = (struct manifest_place){ 0 };
    }
    return manifest_compare_part(manifest, last->manifest, COMPARE_PART_BYTES,
                                 &walk->comparing.place);
}

static void keep(struct reload *reload, struct tenant *tenant, struct manifest **slot,
                 struct reload_report *report)
{
    _cleanup_free_ char *dir = folder_of(*slot);

    if (dir)
        tenant_set_dir(tenant, dir);
    tenants_dispose(reload->with.tenants, TAKE_PTR(*slot));
    renew_limits(tenant, report);
}

/* Renews a tenant, or compares a part of its files: walk->comparing.slot is set then. slot: its manifest in the set;
 * NULL: there is none, or it is broken. */
static void renew(struct reload *reload, struct tenant *tenant, struct manifest **slot,
                  struct reload_walk *walk, struct reload_report *report)
{
    if (!slot || !is_of_folder(reload, tenant)) {
        renew_limits(tenant, report);
        return;
    }
    switch (compare_part(*slot, last_version(tenant), walk)) {
    case MANIFESTS_SAME_SO_FAR:
        walk->comparing.slot = slot;
        break;
    case MANIFESTS_SAME:
        keep(reload, tenant, slot, report);
        break;
    case MANIFESTS_DIFFER:
        install_or_wait(reload, TAKE_PTR(*slot), RELOAD_CHANGED, report);
        break;
    }
}

/* ---- the tenants' part, in steps */

struct pace {
    uint64_t until_ns; /* time of the thread's CPU clock */
};

static bool is_over(const struct pace *pace)
{
    return io_clock_ns(CLOCK_THREAD_CPUTIME_ID) >= pace->until_ns;
}

static void remove_or_renew(struct reload *reload, struct tenant *tenant, struct reload_walk *walk,
                            struct reload_report *report)
{
    if (walk->stage == RELOAD_RENEWING) {
        renew(reload, tenant, manifest_set_find(walk->set, tenant->name), walk, report);
    } else if (is_removed(reload, tenant, walk->set)) {
        note(report, tenant->name, RELOAD_REMOVED);
        versions_remove(tenant);
    }
}

/* Returns the tenant whose comparison is under way, else the next one; NULL: there is none. */
static struct tenant *next_tenant(const struct reload *reload, struct reload_walk *walk)
{
    struct manifest **slot = walk->comparing.slot;
    struct tenant *tenant =
        slot ? tenant_find(reload->with.tenants, (*slot)->name, strlen((*slot)->name)) : NULL;

    walk->comparing.slot = NULL;
    return tenant ? tenant : tenant_cursor_take(&walk->tenants);
}

/* Removes or renews the tenants that are there. Returns whether all have had their turn. */
static bool visit_tenants(struct reload *reload, struct reload_walk *walk,
                          struct reload_report *report, const struct pace *pace)
{
    struct tenant *tenant;

    if (!walk->tenants.tenants)
        tenant_cursor_open(&walk->tenants, reload->with.tenants);
    while (!is_over(pace)) {
        tenant = next_tenant(reload, walk);
        if (!tenant) {
            tenant_cursor_close(&walk->tenants);
            return true;
        }
        remove_or_renew(reload, tenant, walk, report);
    }
    return false;
}

/* Adds the tenants that are not there yet. Returns whether all were added. */
static bool add_tenants(struct reload *reload, struct reload_walk *walk,
                        struct reload_report *report, const struct pace *pace)
{
    struct manifest_set *set = walk->set;

    for (; walk->added < set->count; walk->added++) {
        if (is_over(pace))
            return false;
        if (set->items[walk->added])
            install_or_wait(reload, TAKE_PTR(set->items[walk->added]), RELOAD_ADDED, report);
    }
    return true;
}

bool reload_tenants_step(struct reload *reload, struct reload_walk *walk,
                         struct reload_report *report, uint64_t cpu_ns)
{
    const struct pace pace = { .until_ns = cpu_ns == UINT64_MAX
                                               ? UINT64_MAX
                                               : io_clock_ns(CLOCK_THREAD_CPUTIME_ID) + cpu_ns };

    if (walk->stage == RELOAD_BEGINNING) {
        reload_tenants_forget(reload);
        forget_unserved(reload, walk->set);
        walk->stage = RELOAD_REMOVING; /* first, so that their routes are free */
    }
    if (walk->stage == RELOAD_REMOVING && visit_tenants(reload, walk, report, &pace))
        walk->stage = RELOAD_RENEWING;
    if (walk->stage == RELOAD_RENEWING && visit_tenants(reload, walk, report, &pace))
        walk->stage = RELOAD_ADDING;
    if (walk->stage != RELOAD_ADDING || !add_tenants(reload, walk, report, &pace))
        return false;
    settle_waiting(reload, report);
    keep_trying(reload);
    if (LIST_EMPTY(&reload->waits.list) && report->tenant_errors.n_items == 0)
        callers_settle(reload->with.tenants);
    return true;
}
