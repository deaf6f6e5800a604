/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The result of the throw-away worker at the start: which layers this host gives, and the facts
 * about its jail from inside and from outside. Made by the spawner (spawner/probe.c), kept by the
 * supervisor. A fixed size, because the struct travels between the two as it is.
 */
#pragma once

#include <stdint.h>

#include "common/layers.h"
#include "sandbox-policy/verdicts.h"
#include "spawner/facts.h"

struct jail_probe {
    layer_set layers;       /* layers that work together on this host */
    int32_t errors[LAYERS]; /* -errno of each layer that does not work; 0 for the others */
    struct jail_verdict calls[VERDICT_NUMBERS];
    struct jail_facts facts;
    uint64_t ready_us; /* from the clone to the sealed worker's report, of the last try */
};
