/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus' text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/): lines into memory that grows. No state
 * beside the text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/histogram.h"

struct text { /* all zero: empty */
    char *data;
    size_t size, max;
    bool has_failed; /* out of memory: a part is missing */
};
void text_done(struct text *text);

struct text_label {
    const char *name;
    const char *value; /* any bytes: escaped; NULL is "" */
};
struct text_labels {
    const struct text_label *items;
    size_t n;
};
/* TEXT_LABELS({ "tenant", name }, { "code", code }) */
#define TEXT_LABELS(...)                                                                \
    ((struct text_labels){                                                              \
        (const struct text_label[]){ __VA_ARGS__ },                                     \
        sizeof((const struct text_label[]){ __VA_ARGS__ }) / sizeof(struct text_label), \
    })
#define TEXT_NO_LABELS ((struct text_labels){ 0 })

/* Writes HELP and TYPE, before the samples of a family. help: one line without backslash. */
void text_family(struct text *text, const char *name, const char *type, const char *help);
void text_count(struct text *text, const char *name, struct text_labels labels, uint64_t value);
/* Writes microseconds, as seconds. */
void text_time(struct text *text, const char *name, struct text_labels labels, uint64_t us);

/* The unit of a histogram's buckets; the values of the histogram: us, shown as seconds, or KiB, as
 * bytes. */
enum text_unit { TEXT_SECONDS, TEXT_BYTES };
/* Writes the family's _bucket, _sum and _count. A bound stands for the last bucket of the histogram
 * that does not go beyond it. */
void text_histogram(struct text *text, const char *name, struct text_labels labels,
                    enum text_unit unit, const struct histogram *histogram);
