/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Migrations of tenants of a folder and of `skep dev`, which have no deploy: applied before the version is first loaded. The versions of deploys have
 * theirs applied by the deploy. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "supervisor/placement/placement.h"
#include "supervisor/versions/internal.h"
#include "supervisor/versions/migrate.h"

struct first_migration {
    LIST_ENTRY(first_migration) entry;
    struct version *version; /* a reference */
    struct migration *migration;
};

static struct first_migration *find(const struct versions *versions, const struct version *version)
{
    struct first_migration *first;

    LIST_FOREACH (first, &versions->migrations, entry)
        if (first->version == version)
            break;
    return first;
}

static void end(struct first_migration *first)
{
    LIST_REMOVE(first, entry);
    (void) migration_free(first->migration);
    (void) version_unref(first->version);
    free(first);
}

static bool is_wanted(const struct version *version)
{
    return version == version->tenant->version || version == version->tenant->candidate;
}

static void on_done(void *owner, struct migrated *migrated)
{
    struct first_migration *first = owner;
    struct version *version = first->version;

    first->migration = NULL;
    version->is_migrated = true;
    for (unsigned i = 0; i < migrated->n; i++)
        log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = version->manifest->name),
                  "migration %s is applied", migrated->names[i]);
    if (is_wanted(version))
        (void) placement_preload_version(version); /* otherwise the next request does it */
    end(first);
}

static void on_failed(void *owner, const struct failure *failure)
{
    struct first_migration *first = owner;
    _cleanup_free_ char *text = failure_message(failure);

    first->migration = NULL;
    if (is_wanted(first->version))
        versions_of_placement.refused(first->version, ERROR_BOOT_FAILED, text ? text : "",
                                      text ? strlen(text) : 0);
    end(first);
}

static const struct migration_ops ops = { .done = on_done, .failed = on_failed };

/* Begins the migrations of a version. 0 or -errno. */
static int begin(struct versions *versions, struct version *version)
{
    struct first_migration *first = calloc(1, sizeof *first);

    if (!first)
        return -ENOMEM;
    int r = migration_begin(versions, version, &ops, first, &first->migration);
    if (r < 0) {
        free(first);
        return r;
    }
    first->version = version_ref(version);
    LIST_INSERT_HEAD(&versions->migrations, first, entry);
    return 0;
}

bool versions_may_load(struct version *version)
{
    struct versions *versions = versions_of(version->tenant);

    if (version->is_migrated || version->listener || version->tenant->origin == TENANT_DEPLOYED ||
        !version_has_migrations(version))
        return true;
    if (!find(versions, version))
        (void) begin(versions, version); /* otherwise the next attempt to load does */
    return false;
}

void versions_end_migrations(struct versions *versions)
{
    struct first_migration *first;

    while (versions && (first = LIST_FIRST(&versions->migrations)))
        end(first);
}
