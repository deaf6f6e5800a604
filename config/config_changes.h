/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The differences between two states of skepd.yaml, key by key, and which of the keys a running
 * skepd can follow. One table; no state. For a reload and its report.
 */
#pragma once

#include "config/config.h"

struct config_change {
    char *key;            /* "http.connections", "cordons.default.limits.maximum.cpu_ms" */
    char *before, *after; /* as in YAML, nearly; "not set", "not there" */
    bool needs_restart;   /* false: a reload applies the change */
};

/* Starts as { 0 }. */
struct config_changes {
    struct config_change *items; /* owned */
    unsigned count;
};

/* Compares two configs. ret has the changes in the order of the table, cordons last and by name;
 * config_changes_done. 0 or -ENOMEM. */
int config_compare(const struct config *before, const struct config *after,
                   struct config_changes *ret);
void config_changes_done(struct config_changes *changes);

/* Exchanges the values that need a restart between the running config and the next one, so that the
 * next one says what is in force. */
void config_keep_running(struct config *running, struct config *next);
