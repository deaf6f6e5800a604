/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Migrations of a version: the *.sql files that its bindings name are applied to the tenant's databases, one database after the other, before
 * the version serves. The data process applies each once and in order, and undoes one that fails. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/record/failure.h"
#include "supervisor/tenants/tenant.h"

struct versions;
struct migration;

/* Names of migrations that were applied now: "DATABASE/FILE". Owned. */
struct migrated {
    char **names;
    unsigned n;
};
void migrated_done(struct migrated *migrated);

struct migration_ops {
    /* All are applied. The names are taken, or freed afterwards. The migration is gone. */
    void (*done)(void *owner, struct migrated *migrated);
    /* One has failed, and those before it stay. The migration is gone. */
    void (*failed)(void *owner, const struct failure *failure);
};

/* Returns whether the version has migrations. */
bool version_has_migrations(const struct version *version);
/* Begins to apply them. version: borrowed until the end, as the owner is. 0, and an end follows, in a later turn of the loop: also where there is no storage; or -ENOMEM. */
int migration_begin(struct versions *versions, const struct version *version,
                    const struct migration_ops *ops, void *owner, struct migration **ret_migration);
/* Gives it up, without an end: one that runs is undone, unless it is done. NULL is allowed. Returns NULL. */
struct migration *migration_free(struct migration *migration);
