/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much tenants may write into the log in a second: a bound for each and one for all together, so that
 * skepd's own events always find room behind theirs, in a pipe or with journald. Pure functions.
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
    struct log_window taken;   /* by skepd's memory, for `skep logs` */
    struct log_window written; /* of these, to the log */
};

struct log_cost {
    uint64_t lines, bytes;
};

enum log_verdict {
    LOG_TAKEN,
    LOG_OVER_ALL,    /* it may be kept for `skep logs`, and is not written */
    LOG_OVER_TENANT, /* neither */
};

/* True if a tenant that has used so much of a bound for all has its share. Three quarters of the bound are for those
 * that use much: each may have as much as is left of them, so that they share them evenly. The rest is for those
 * that have not had little yet, so that one that uses little finds room beside those. */
bool log_budget_has_share(uint64_t own, uint64_t all, uint64_t most, uint64_t little);

/* Starts the window anew if it is of another second. */
void log_window_roll(struct log_window *window, uint64_t second);

/* How much a text counts for: its lines, and its bytes with what each line takes besides. */
struct log_cost log_cost_of(const char *text, uint64_t size);

/* Takes a text of a tenant in that second (any clock), unless it is beyond one of the bounds. One text may go
 * beyond by its own size. */
enum log_verdict log_budget_take(struct log_window *all, struct log_share *share,
                                 const struct log_config *limits, uint64_t second,
                                 struct log_cost cost);
