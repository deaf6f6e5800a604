/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The columns of `skep top` for a tenant or a worker, as a table.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/top.h"

/* ---- cells */

static void write_name(const struct top_row *row, char *cell)
{
    const struct top_raw *raw = row->raw;

    if (row->of_workers)
        (void) snprintf(cell, TOP_CELL_BYTES, "%" PRIu32 " %s %s", raw->number, raw->kind,
                        raw->name);
    else
        (void) snprintf(cell, TOP_CELL_BYTES, "%s", raw->name);
}

static void write_where(const struct top_row *row, char *cell)
{
    if (row->of_workers)
        (void) snprintf(cell, TOP_CELL_BYTES, "%s/%" PRIu32, row->raw->cordon, row->raw->slot);
    else
        (void) snprintf(cell, TOP_CELL_BYTES, "%s", row->raw->cordon);
}

static void write_state(const struct top_row *row, char *cell)
{
    (void) snprintf(cell, TOP_CELL_BYTES, "%s", row->raw->state);
}

static void write_rps(const struct top_row *row, char *cell)
{
    (void) snprintf(cell, TOP_CELL_BYTES, "%.1f", row->rps);
}

/* Writes the rate of errors of a tenant; the results of a worker's requests are not counted. */
static void write_errors(const struct top_row *row, char *cell)
{
    (void) snprintf(cell, TOP_CELL_BYTES, row->of_workers ? "-" : "%.1f", row->failed_ps);
}

static void write_us(bool has, uint64_t us, char *cell)
{
    char text[OUTPUT_NUMBER_BYTES];

    (void) snprintf(cell, TOP_CELL_BYTES, "%s", has ? output_us(us, text) : "-");
}

static void write_p50(const struct top_row *row, char *cell)
{
    write_us(row->has_latency, row->p50_us, cell);
}

static void write_p99(const struct top_row *row, char *cell)
{
    write_us(row->has_latency, row->p99_us, cell);
}

static void write_cpu(const struct top_row *row, char *cell)
{
    (void) snprintf(cell, TOP_CELL_BYTES, "%.1f", row->cpu_ms_ps);
}

static void write_kib(uint64_t kib, char *cell)
{
    char text[OUTPUT_NUMBER_BYTES];

    (void) snprintf(cell, TOP_CELL_BYTES, "%s", output_kib(kib, text));
}

static void write_heap(const struct top_row *row, char *cell)
{
    write_kib(row->raw->heap_kib, cell);
}

static uint64_t memory_of(const struct top_row *row)
{
    return row->of_workers ? row->raw->rss_kib : row->raw->memory_kib;
}

static void write_memory(const struct top_row *row, char *cell)
{
    write_kib(memory_of(row), cell);
}

static void write_queued(const struct top_row *row, char *cell)
{
    (void) snprintf(cell, TOP_CELL_BYTES, "%" PRIu64, row->raw->queued);
}

static void write_in_flight(const struct top_row *row, char *cell)
{
    (void) snprintf(cell, TOP_CELL_BYTES, "%" PRIu64, row->raw->in_flight);
}

static void write_kills(const struct top_row *row, char *cell)
{
    (void) snprintf(cell, TOP_CELL_BYTES, "%s", row->raw->n_kills > 0 ? row->raw->kills_text : "-");
}

/* ---- values */

static double rps(const struct top_row *row)
{
    return row->rps;
}

static double errors(const struct top_row *row)
{
    return row->failed_ps;
}

static double p50(const struct top_row *row)
{
    return row->has_latency ? (double) row->p50_us : -1;
}

static double p99(const struct top_row *row)
{
    return row->has_latency ? (double) row->p99_us : -1;
}

static double cpu(const struct top_row *row)
{
    return row->cpu_ms_ps;
}

static double heap(const struct top_row *row)
{
    return (double) row->raw->heap_kib;
}

static double memory(const struct top_row *row)
{
    return (double) memory_of(row);
}

static double queued(const struct top_row *row)
{
    return (double) row->raw->queued;
}

static double in_flight(const struct top_row *row)
{
    return (double) row->raw->in_flight;
}

static double kills(const struct top_row *row)
{
    return (double) row->raw->n_kills;
}

/* clang-format off */
const struct top_column top_columns[] = {
    { "NAME", "name", 'n', -22, write_name, NULL },
    { "WHERE", NULL, 0, -12, write_where, NULL },
    { "STATE", NULL, 0, -8, write_state, NULL },
    { "REQ/S", "rps", 'r', 8, write_rps, rps },
    { "ERR/S", "errors", 'e', 7, write_errors, errors },
    { "P50", "p50", '5', 8, write_p50, p50 },
    { "P99", "p99", '9', 8, write_p99, p99 },
    { "CPU MS/S", "cpu", 'c', 8, write_cpu, cpu },
    { "HEAP", "heap", 'h', 8, write_heap, heap },
    { "MEMORY", "memory", 'm', 8, write_memory, memory },
    { "WAIT", "queue", 'w', 5, write_queued, queued },
    { "BUSY", "in_flight", 'i', 5, write_in_flight, in_flight },
    { "KILLS", "kills", 'k', -24, write_kills, kills },
};
/* clang-format on */
static const size_t n_columns = ARRAY_LEN(top_columns);

int top_find_sort(const char *name)
{
    for (size_t i = 0; i < n_columns; i++)
        if (top_columns[i].sort && strcmp(top_columns[i].sort, name) == 0)
            return (int) i;
    return -1;
}

int top_find_key(int key)
{
    for (size_t i = 0; i < n_columns; i++)
        if (top_columns[i].key != 0 && top_columns[i].key == key)
            return (int) i;
    return -1;
}

/* ---- order */

struct order {
    const struct top_column *column;
    bool is_reversed;
};

static int compare_names(const struct top_row *a, const struct top_row *b)
{
    if (a->of_workers)
        return (a->raw->number > b->raw->number) - (a->raw->number < b->raw->number);
    return strcmp(a->raw->name, b->raw->name);
}

static int compare(const void *left, const void *right, void *arg)
{
    const struct top_row *a = left, *b = right;
    const struct order *order = arg;
    int result = 0;

    if (order->column->value) {
        double x = order->column->value(a), y = order->column->value(b);
        result = (x < y) - (x > y);
    } else {
        result = compare_names(a, b);
    }
    result = order->is_reversed ? -result : result;
    return result != 0 ? result : compare_names(a, b);
}

void top_sort(struct top_row *rows, size_t n_rows, int column, bool is_reversed)
{
    struct order order = { &top_columns[column], is_reversed };

    qsort_r(rows, n_rows, sizeof *rows, compare, &order);
}

/* ---- lines */

/* Replaces all but printable ASCII, so that each byte takes one column and none moves the
 * cursor. */
static void make_plain(char *cell)
{
    for (; *cell; cell++)
        if (*cell < 0x20 || *cell > 0x7e)
            *cell = '?';
}

static size_t add_cell(char *line, size_t at, const char *cell, const struct top_column *column)
{
    int most = abs(column->width);
    int n = snprintf(line + at, TOP_LINE_BYTES - at, "%*.*s%s", column->width, most, cell,
                     column == &top_columns[n_columns - 1] ? "" : " ");

    return n > 0 && at + (size_t) n < TOP_LINE_BYTES ? at + (size_t) n : TOP_LINE_BYTES - 1;
}

static void cut_spaces(char *line, size_t size)
{
    while (size > 0 && line[size - 1] == ' ')
        size--;
    line[size] = '\0';
}

void top_write_headings(char *line, bool of_workers)
{
    size_t at = 0;

    line[0] = '\0';
    for (size_t i = 0; i < n_columns; i++)
        at =
            add_cell(line, at, i == 0 ? (of_workers ? "WORKER" : "TENANT") : top_columns[i].heading,
                     &top_columns[i]);
}

void top_write_line(const struct top_row *row, char *line)
{
    char cell[TOP_CELL_BYTES];
    size_t at = 0;

    line[0] = '\0';
    for (size_t i = 0; i < n_columns; i++) {
        top_columns[i].write(row, cell);
        make_plain(cell);
        at = add_cell(line, at, cell, &top_columns[i]);
    }
    cut_spaces(line, at);
}
