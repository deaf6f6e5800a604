/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between two states of skepd.yaml, key by key, and which keys a running skepd can
 * follow. One table; no state. A reload, and what it tells people.
 */
#pragma once

#include "config/config.h"

struct config_change {
    char *key;            /* "http.connections", "cordons.default.limits.maximum.cpu_ms" */
    char *before, *after; /* as in YAML, more or less; "not set", "not there" */
    bool needs_restart;   /* else a reload applies it */
};

/* Starts as { 0 }. */
struct config_changes {
    struct config_change *items; /* owned */
    unsigned count;
};

/* In the order of the table, cordons last and by name. 0 or -ENOMEM. ret: config_changes_done. */
int config_compare(const struct config *before, const struct config *after,
                   struct config_changes *ret);
void config_changes_done(struct config_changes *changes);

/* Exchanges the values that need a restart between the running config and the next one, so that the
 * next one says what is so. */
void config_keep_running(struct config *running, struct config *next);
