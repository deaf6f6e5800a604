/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The budget of tenants' lines in the log, for a second: a bound for each tenant and one for all
 * together, so that skepd's own events always find room behind theirs, in a pipe or with journald.
 * Pure functions.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

/* Lines and bytes that one tenant, or all, have logged in a second. Starts as { 0 }. */
struct log_window {
    uint64_t second;
    uint64_t lines, bytes;
};

/* A tenant's side. Starts as { 0 }. */
struct log_share {
    struct log_window taken;   /* lines taken into skepd's memory, for `skep logs` */
    struct log_window written; /* the part of these that was written to the log */
};

struct log_cost {
    uint64_t lines, bytes;
};

enum log_verdict {
    LOG_TAKEN,
    LOG_OVER_ALL,    /* may be kept for `skep logs`, and is not written */
    LOG_OVER_TENANT, /* neither kept nor written */
};

/* Returns whether a tenant that has used so much of a bound for all still has a share of it. Three
 * quarters of the bound are for tenants that use much: each may have as much as is left of them, so
 * that they share them evenly. The rest is for tenants that have not had `little` yet, so that a
 * tenant that uses little finds room beside the others. */
bool log_budget_has_share(uint64_t own, uint64_t all, uint64_t most, uint64_t little);

/* Starts the window anew if the second is another. */
void log_window_roll(struct log_window *window, uint64_t second);

/* Returns the cost of a text: its lines, and its bytes with an overhead for each line. */
struct log_cost log_cost_of(const char *text, uint64_t size);

/* Takes a text of a tenant in that second (of any clock), unless a bound is used up. One text may
 * go beyond a bound by its own size. */
enum log_verdict log_budget_take(struct log_window *all, struct log_share *share,
                                 const struct log_config *limits, uint64_t second,
                                 struct log_cost cost);
