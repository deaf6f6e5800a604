/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers of the jail by name. The status shows them, the configuration may consent to a missing
 * one, and the spawner, the worker and the attestation each do their part of them. Const data; any
 * process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order in which a worker gets them. The namespaces come first: their numbers index /proc/PID/ns. */
enum jail_layer {
    LAYER_USER,
    LAYER_PID,
    LAYER_NET,
    LAYER_MOUNT, /* and the empty root in it */
    LAYER_IPC,
    LAYER_UTS,
    LAYER_CGROUP,
    LAYER_RLIMITS,
    LAYER_BOUNDING, /* capabilities that no exec gives back: bounding set and securebits */
    LAYER_CAPABILITIES,
    LAYER_NO_NEW_PRIVS,
    LAYER_DUMPABLE,
    LAYER_SPECULATION,
    LAYER_LANDLOCK,
    LAYER_SECCOMP,
    LAYERS,
};

#define LAYER_NAMESPACES 7

typedef uint32_t layer_set; /* bit 1 << enum jail_layer */

#define LAYER_BIT(layer) (UINT32_C(1) << (layer))
#define LAYERS_ALL (LAYER_BIT(LAYERS) - 1)

struct layer_info {
    const char *name;    /* in the configuration, status and messages */
    const char *what;    /* for people */
    const char *hint;    /* remedy for an operator where the layer is missing; NULL: none */
    uint64_t clone_flag; /* flag of clone(2) for a namespace */
    bool may_be_missing; /* the configuration may consent */
    bool is_no_wall;     /* missing, it does not lower the level: see docs/security.md */
};

extern const struct layer_info layer_table[LAYERS];

/* Layers that cannot be made without a user namespace. */
#define LAYERS_OF_USER_NAMESPACE (LAYER_BIT(LAYER_NAMESPACES) - 1)

/* Returns the layers that lower the level where they are missing. */
layer_set layers_that_are_walls(void);

/* Finds a layer by its name; -EINVAL for anything else. */
int layer_parse(const char *name, enum jail_layer *ret_layer);

/* Writes the names of a set, with ", " between them; "" for none. Cut at size. Returns text. */
const char *layers_names(layer_set layers, char *text, size_t size);
#define LAYERS_TEXT_BYTES 192
