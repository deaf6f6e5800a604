/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The families of metrics as rows, and their samples, a piece at a time. A row has all of a family:
 * the endpoint writes by it, and a test compares it with docs/metrics.md, which explains each. A
 * new family is a row in one of of_*.c, and a line there. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>

#include "supervisor/requests/memory.h"
#include "supervisor/stats/sources.h"
#include "supervisor/stats/text.h"
#include "supervisor/tenants/tenant_cursor.h"

#define FAMILY_LABELS_MAX 3

struct family_source;
struct histogram;
struct samples;
struct slot;

enum family_type { FAMILY_COUNTER, FAMILY_GAUGE, FAMILY_HISTOGRAM, FAMILY_TYPES };
/* Returns "counter", "gauge" or "histogram". */
const char *family_type_name(enum family_type type);

/* The unit of the read function's result, and how it is shown. */
enum family_unit {
    UNIT_NONE,
    UNIT_US,    /* as seconds */
    UNIT_BYTES, /* histograms: KiB, as bytes */
};

struct family {
    const char *name, *help; /* help: one line without backslash */
    enum family_type type;
    enum family_unit unit;
    const char *labels[FAMILY_LABELS_MAX]; /* NULL: no more */
    bool needs_state; /* reads more of the source than its pointers and cpu_ns */
    /* One of these is set. For skepd as a whole: a value without labels, or a sample for each value
     * of the labels. */
    uint64_t (*read)(const struct metrics_sources *from);
    void (*list)(const struct metrics_sources *from, struct samples *samples);
    /* For each slot, with the labels cordon and slot. */
    uint64_t (*read_slot)(const struct slot *slot);
    /* For each tenant; the first label is tenant. */
    uint64_t (*read_tenant)(const struct family_source *source);
    const struct histogram *(*read_histogram)(const struct family_source *source);
    void (*list_tenant)(const struct family_source *source, struct samples *samples);
};

/* Returns a family, in the order in which they are written; NULL: there are no more. */
const struct family *family_get(unsigned index);

/* Figures that are counted when somebody asks for them. */
struct families_state {
    uint64_t in_flight, queued, quarantined;
    struct memory_use memory;
};

/* The progress of one scrape. All zero but `from`: at the beginning. */
struct families_cursor {
    const struct metrics_sources *from; /* borrowed */
    unsigned family;
    bool has_begun;               /* the family's first lines are out */
    struct tenant_cursor tenants; /* for a family with series for each tenant */
    struct families_state rest;   /* sums of tenants without series */
};

/* Writes until the text has `enough` bytes, or a little more, or some hundred tenants have been looked at. Returns
 * whether there is more. */
bool families_write(struct families_cursor *cursor, struct text *text, size_t enough);
void families_cursor_done(struct families_cursor *cursor);
