/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The level of the jail that workers get on this host, and whether the operator has agreed to it.
 * Supervisor, at start, before the loop.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "common/layers.h"
#include "config/config.h"
#include "spawner/probe_facts.h"

struct spawner;

/* The jail that every worker has from the start on. */
struct jail_state {
    layer_set layers;
    int errors[LAYERS];   /* -errno of each layer that this host does not give; else 0 */
    bool is_reduced;      /* a layer that is a wall is missing */
    bool is_unjailed;     /* a sanitizer build: nothing is attested */
    layer_set own_layers; /* layers of skepd itself, see confine.h */
    /* By jit, baseline as on: there is a report of a throw-away worker. */
    bool has_probe[2];
    struct jail_probe probes[2]; /* by jit */
};

/* Layers that skepd can have itself. */
#define JAIL_OWN_LAYERS                                                                          \
    (LAYER_BIT(LAYER_BOUNDING) | LAYER_BIT(LAYER_CAPABILITIES) | LAYER_BIT(LAYER_NO_NEW_PRIVS) | \
     LAYER_BIT(LAYER_LANDLOCK) | LAYER_BIT(LAYER_SECCOMP))

/* Names the level: "full", "reduced", or "none" in sanitizer builds. */
const char *jail_level_name(const struct jail_state *state);

/* Tries all layers in throw-away workers, one for each kind of cordon. 0; or -errno, which is logged,
 * when a layer that must be there is not. */
int jail_find_level(struct spawner *spawner, const struct config *config, struct jail_state *ret);

/* Checks that the configuration names each missing layer. 0, or -EPERM, and the log says for each
 * layer why it is missing and how to get it. is_dev: a user of `skep dev` runs their own code, and
 * is only warned. */
int jail_check_consent(const struct jail_state *state, const struct jail_config *config,
                       bool is_dev);

/* Prints one line for each layer; for skepd --probe. */
void jail_print_layers(const struct jail_state *state, FILE *file);
