/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kind of keys that are lists of rules about hosts. Private to config/. Any process; no state.
 */
#pragma once

#include "config/host_rules.h"
#include "config/keys.h"

/* Reads KEY_HOSTS; adds an error for each entry that is no rule, or is there already. */
int key_read_hosts(const struct key_reading *reading, const struct key *key,
                   const struct yaml_node *node, void *base);
/* Reads a list whose entries are hosts alone, without methods, scheme, port and path. */
int key_read_bare_hosts(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base);
void key_print_hosts(const struct key *key, const void *value, FILE *file);
void key_hosts_done(const struct key *key, void *base);
