/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounds of the data of strangers that skepd keeps: one row for each kind of thing, for `skep
 * status`, the metrics and docs/limits.md. The module that keeps a thing enforces its bound and
 * counts refusals; a row here only reads that. Supervisor, loop thread.
 */
#pragma once

#include <stdint.h>

struct total {
    uint64_t used;
    uint64_t limit;   /* for all together; never 0 */
    uint64_t refused; /* times that a client was refused, or cut off, because of the bound */
};

struct total_info {
    const char *name; /* "connections": in reports and metrics */
    const char *unit; /* "bytes"; "" for a number of things */
    const char *key;  /* key of skepd.yaml that sets the limit; NULL: it is fixed */
    const char *help; /* one line: the things that are counted */
};

enum total_kind {
    TOTAL_CONNECTIONS,
    TOTAL_BUFFERS,
    TOTAL_WAITING_REQUESTS,
    TOTAL_WORKER_OUTPUT,
    TOTAL_LOADS,
    TOTAL_WITHDRAWN,
    TOTAL_FETCHES,
    TOTAL_LOG_LINES,
    TOTAL_ACCESS_LINES,
    TOTAL_ADMIN_CLIENTS,
    TOTAL_SCRAPES,
    TOTAL_DEPLOYS,
    TOTAL_INCIDENTS,
    TOTAL_EGRESS_LOG,
    TOTAL_DESCRIPTORS,
    TOTALS,
};

/* By enum total_kind. */
extern const struct total_info total_table[TOTALS];

/* Fills used, limit and refused; owner: that of total_set. */
typedef void (*total_fn)(void *owner, struct total *total);
struct total_source {
    total_fn read; /* NULL: the module is not there */
    void *owner;   /* borrowed */
};

/* Sets the reader of a row, by the module that keeps the thing; read NULL: the module goes. */
void total_set(struct total_source sources[static TOTALS], enum total_kind kind, total_fn read,
               void *owner);
/* Reads the row as it is now; a module that is not there uses nothing, and its limit is 1. */
void total_read(const struct total_source sources[static TOTALS], enum total_kind kind,
                struct total *ret_total);
