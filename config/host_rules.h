/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of rules about hosts (allowed_hosts.h) as a config file has it. Owned by the struct that it is a member of. Any
 * process; no state.
 */
#pragma once

#include <stdbool.h>

#include "config/allowed_hosts.h"

#define HOST_RULES_MAX 64 /* rules in one list */

/* Starts as { 0 }. */
struct host_rules {
    struct host_rule *items; /* owned */
    unsigned n;
    bool is_given; /* the key is there, be its list an empty one */
};

/* Copies a list. 0 or -ENOMEM; *ret is for host_rules_done even then. */
int host_rules_copy(const struct host_rules *from, struct host_rules *ret);
/* Returns whether both have the same rules in the same order. Lines do not count. */
bool host_rules_are_same(const struct host_rules *a, const struct host_rules *b);
/* Returns the first rule whose host is the host, whatever else the rule says; NULL if there is none. */
const struct host_rule *host_rules_find_host(const struct host_rules *rules, struct host_text host);
void host_rules_done(struct host_rules *rules);
