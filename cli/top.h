/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The internals that the files of `skep top` share: top.c (the verb), top_sample.c (the change in
 * an interval), top_columns.c (columns and order), top_screen.c (the terminal). Included by these
 * only.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/client.h"

/* ---- top_sample.c */

/* A tenant or a worker, with skepd's counters at one time. */
struct top_raw {
    char *name, *cordon, *kind, *state; /* safe for a terminal */
    char *kills_text;                   /* "cpu_ms 2, crash 1"; "" */
    json_t *kills;                      /* cause to count */
    uint32_t number, slot, pid, tenants;
    uint64_t requests, failed, in_flight, queued, cpu_us;
    uint64_t heap_kib, external_kib, memory_kib, rss_kib, n_kills;
    uint8_t *latency, *queue; /* as histogram_import takes them */
    size_t latency_size, queue_size;
};

struct top_sample {
    bool of_workers;
    uint64_t time_us; /* skepd's clock */
    struct top_raw *rows;
    size_t n_rows;
};

/* The change between two samples. */
struct top_row {
    const struct top_raw *raw; /* borrowed from the later sample */
    bool of_workers;
    double rps, failed_ps, cpu_ms_ps;
    bool has_latency, has_queue; /* false: nothing was answered */
    uint64_t p50_us, p99_us, queue_p99_us;
};

/* Takes a sample of all pages. 0 or -errno as of client_try; -ENOMEM. */
int top_sample_take(struct client *client, bool of_workers, struct top_sample *ret);
void top_sample_done(struct top_sample *sample);
/* Makes a row for each of `now`, malloc'ed; NULL: out of memory. A row that is not in `before`
 * counts from 0. */
struct top_row *top_compare(const struct top_sample *before, const struct top_sample *now);
/* Makes a row's object. NULL: out of memory. */
json_t *top_row_json(const struct top_row *row);

/* ---- top_columns.c */

#define TOP_CELL_BYTES 64
struct top_column {
    const char *heading;
    const char *sort; /* name for --sort; NULL: cannot be sorted by */
    char key;         /* key that sorts by the column */
    int width;        /* below zero: aligned to the left */
    void (*write)(const struct top_row *row, char *cell);
    /* Value to sort by, the greatest first; NULL: by name. */
    double (*value)(const struct top_row *row);
};
extern const struct top_column top_columns[];

/* Returns the index of a column; -1: none. */
int top_find_sort(const char *name);
int top_find_key(int key);
/* Sorts by a column; is_reversed: the other way round. */
void top_sort(struct top_row *rows, size_t n_rows, int column, bool is_reversed);
/* Write one line of cells, padded; printable ASCII only. */
#define TOP_LINE_BYTES 512
void top_write_headings(char *line, bool of_workers);
void top_write_line(const struct top_row *row, char *line);

/* ---- top_screen.c */

struct top_options {
    uint32_t interval_ms;
    int sort;
    bool of_workers;
};

/* Runs until the user quits: CLI_DONE; or until skepd is gone, with a message: CLI_FAILED. */
enum cli_exit top_screen(const struct cli *cli, struct client *client,
                         const struct top_options *options);
