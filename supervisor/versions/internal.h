/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarations that the files of versions/ share. No other file includes this.
 */
#pragma once

#include "supervisor/versions/versions.h"

struct versions {
    /* Borrowed: the options. */
    struct tenants *tenants;
    struct event_base *base;
    struct placements *placements;
    struct data *data;
    bool is_dev;
    struct event *second;
    LIST_HEAD(, migration) open_migrations;  /* all */
    LIST_HEAD(, first_migration) migrations; /* those of versions that have no deploy */
};

/* Returns the struct versions that has made the tenant. */
static inline struct versions *versions_of(const struct tenant *tenant)
{
    return placements_of_tenant(tenant)->versions_owner;
}

/* Notes why the manifest cannot be a version, by the code of the attempt. Returns the code. */
int versions_explain(const struct versions *versions, int code, const struct manifest *manifest,
                     struct failure *failure);
/* Warns, in one line, of rules of allowed_hosts that allow nothing as the config is now. */
void versions_warn_of_hosts(const struct versions *versions, const struct manifest *manifest);
/* Takes the version out of its workers: at once if it is idle there, else when it is. */
void versions_retire(struct version *version);
void versions_drop_candidate(struct tenant *tenant);

/* The tenant hears why its version does not load, and its reports have it. */
void versions_note_error(struct tenant *tenant, const struct failure *failure);

/* ---- load.c */

extern const struct version_ops versions_of_placement;

/* ---- first.c */

/* Returns whether the version may be loaded: its migrations are applied, or there are none. Otherwise begins to apply them. */
bool versions_may_load(struct version *version);

/* Checks that a version of a tenant that serves finds what the tenant has stored. 0, or -EXDEV with the failure. */
int versions_check_storage(const struct versions *versions, const struct manifest *manifest,
                           struct failure *failure);
