/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of keys that are about limits: a mapping of limits, and the list of those that are only observed.
 * Private to config/. Any process; no state.
 */
#pragma once

#include "config/keys.h"
#include "config/limits.h"

/* Most entries of `observe`: the limits that may be observed, and two of a worker and a cordon. */
#define KEY_OBSERVE_MAX (LIMITS_COUNT + 2)

/* Reads KEY_LIMITS: LIMIT_UNSET for a limit that is wrong or not given. */
int key_read_limits(const struct key_reading *reading, const struct key *key,
                    const struct yaml_node *node, void *base);
/* Reads the maximum. `more` of the row is the defaults beside it, which must not be above. */
int key_read_maximum(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *node, void *base);

/* Reads KEY_OBSERVE; adds an error for each entry that is unknown, cannot be observed, or is there
 * already. */
int key_read_observe(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *node, void *base);
void key_print_observe(const struct key *key, const void *base, FILE *file);
