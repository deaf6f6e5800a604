/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The confinement of the supervisor (helper/confine.h) to the folders that it still needs. main.c is the
 * only caller.
 */
#pragma once

#include <stdbool.h>

struct cgroup_tree;
struct config;
struct jail_state;
struct reader;
struct tenants;

/* All borrowed for the call. */
struct confine_skepd_options {
    const struct config *config;
    const struct tenants *tenants;     /* tenants whose folders are read again */
    const struct cgroup_tree *cgroups; /* NULL: workers have none */
    struct reader *reader;             /* starts its thread */
    struct jail_state *jail;           /* gets own_layers, skepd's own layers from then on */
    bool has_state;                    /* the folder of the store is read */
    bool is_dev;                       /* `skep dev`: one tenant, and no folder of tenants */
};

/* Confines the skepd that is about to serve, and logs what failed. 0 or -errno. */
int confine_skepd(const struct confine_skepd_options *with);
