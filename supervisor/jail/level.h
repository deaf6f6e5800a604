/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a jail workers get on this host, and whether the operator has agreed to that. Supervisor,
 * at start, before the loop.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "common/layers.h"
#include "config/config.h"
#include "spawner/probe_facts.h"

struct spawner;

/* What every worker has from then on. */
struct jail_state {
    layer_set layers;
    int errors[LAYERS];          /* -errno of each that this host does not give; else 0 */
    bool is_reduced;             /* a layer that is a wall is missing */
    bool is_unjailed;            /* a sanitizer build: nothing is attested */
    layer_set own_layers;        /* that skepd has given itself, see confine.h */
    bool has_probe[2];           /* by jit, baseline as on: what the throw-away worker has shown */
    struct jail_probe probes[2]; /* by jit */
};

/* Those that skepd can have itself. */
#define JAIL_OWN_LAYERS                                                                          \
    (LAYER_BIT(LAYER_BOUNDING) | LAYER_BIT(LAYER_CAPABILITIES) | LAYER_BIT(LAYER_NO_NEW_PRIVS) | \
     LAYER_BIT(LAYER_LANDLOCK) | LAYER_BIT(LAYER_SECCOMP))

/* "full", "reduced", or "none" in sanitizer builds. */
const char *jail_level_name(const struct jail_state *state);

/* Tries all layers in throw-away workers, one for each kind of cordon. 0; or -errno, which is logged,
 * when a layer that must be there is not. */
int jail_find_level(struct spawner *spawner, const struct config *config, struct jail_state *ret);

/* 0 if the configuration names each layer that is missing. Else -EPERM, and the log says for each what
 * failed and what can be done. is_dev: whoever starts `skep dev` runs his own code, and is only
 * warned. */
int jail_check_consent(const struct jail_state *state, const struct jail_config *config,
                       bool is_dev);

/* One line for each layer; for skepd --probe. */
void jail_print_layers(const struct jail_state *state, FILE *file);
