/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The families of metrics, as a table, and their samples, a piece at a time: docs/metrics.md has what
 * each means. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>

#include "supervisor/requests/memory.h"
#include "supervisor/stats/sources.h"
#include "supervisor/stats/text.h"
#include "supervisor/tenants/tenant_cursor.h"

/* Rows that are counted when somebody asks for them. */
struct families_state {
    uint64_t in_flight, queued, quarantined;
    struct memory_use memory;
};

/* How far one scrape has come. All zero but for from: at its beginning. */
struct families_cursor {
    const struct metrics_sources *from; /* borrowed */
    unsigned family;
    bool has_begun;               /* the family's first lines are out */
    struct tenant_cursor tenants; /* of a family with series for each tenant */
    struct families_state rest;   /* of those without */
};

/* Writes until the text has so many bytes, or a little more, or some hundred tenants have been looked at. Returns
 * whether there is more. */
bool families_write(struct families_cursor *cursor, struct text *text, size_t enough);
void families_cursor_done(struct families_cursor *cursor);
