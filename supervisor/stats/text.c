/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/stats/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"

#define FIRST_BYTES 4096
#define VALUE_BYTES 4096 /* longest value of a label */
#define USEC_PER_SEC UINT64_C(1000000)
#define BYTES_PER_KIB UINT64_C(1024)

void text_done(struct text *text)
{
    free(text->data);
    *text = (struct text){ 0 };
}

/* Makes room for more bytes, or returns false. */
static bool reserve(struct text *text, size_t more)
{
    size_t max = text->max > 0 ? text->max : FIRST_BYTES;

    if (text->has_failed)
        return false;
    while (max - text->size < more)
        max *= 2;
    if (max == text->max)
        return true;
    char *data = realloc(text->data, max);
    if (!data) {
        text->has_failed = true;
        return false;
    }
    text->data = data;
    text->max = max;
    return true;
}

static void put(struct text *text, const char *data, size_t size)
{
    if (!reserve(text, size))
        return;
    memcpy(text->data + text->size, data, size);
    text->size += size;
}

static void put_string(struct text *text, const char *string)
{
    put(text, string, strlen(string));
}

/* Writes a label's value: UTF-8, with three escapes and no other. Characters that could mislead a reader become
 * the text "\xNN", and so do bytes that are not UTF-8, which would spoil the whole scrape. */
static void put_value(struct text *text, const char *value)
{
    char visible[VALUE_BYTES];

    (void) log_escape_lines(value ? value : "", value ? strlen(value) : 0, visible, sizeof visible);
    for (value = visible; *value; value++)
        switch (*value) {
        case '\\':
            put_string(text, "\\\\");
            break;
        case '"':
            put_string(text, "\\\"");
            break;
        case '\n':
            put_string(text, "\\n");
            break;
        case '\t':
            put_string(text, "\\\\x09");
            break;
        default:
            put(text, value, 1);
        }
}

static void put_labels(struct text *text, struct text_labels labels, const char *bound)
{
    if (labels.n == 0 && !bound)
        return;
    for (size_t i = 0; i < labels.n; i++) {
        put_string(text, i == 0 ? "{" : ",");
        put_string(text, labels.items[i].name);
        put_string(text, "=\"");
        put_value(text, labels.items[i].value);
        put_string(text, "\"");
    }
    if (bound) {
        put_string(text, labels.n == 0 ? "{le=\"" : ",le=\"");
        put_string(text, bound);
        put_string(text, "\"");
    }
    put_string(text, "}");
}

static void put_name(struct text *text, const char *name, const char *suffix,
                     struct text_labels labels, const char *bound)
{
    put_string(text, name);
    put_string(text, suffix);
    put_labels(text, labels, bound);
    put_string(text, " ");
}

static void put_count(struct text *text, uint64_t value)
{
    char number[32];

    (void) snprintf(number, sizeof number, "%" PRIu64 "\n", value);
    put_string(text, number);
}

static void put_seconds(struct text *text, uint64_t us)
{
    char number[48];

    (void) snprintf(number, sizeof number, "%" PRIu64 ".%06" PRIu64 "\n", us / USEC_PER_SEC,
                    us % USEC_PER_SEC);
    put_string(text, number);
}

void text_family(struct text *text, const char *name, const char *type, const char *help)
{
    put_string(text, "# HELP ");
    put_string(text, name);
    put_string(text, " ");
    put_string(text, help);
    put_string(text, "\n# TYPE ");
    put_string(text, name);
    put_string(text, " ");
    put_string(text, type);
    put_string(text, "\n");
}

void text_count(struct text *text, const char *name, struct text_labels labels, uint64_t value)
{
    put_name(text, name, "", labels, NULL);
    put_count(text, value);
}

void text_time(struct text *text, const char *name, struct text_labels labels, uint64_t us)
{
    put_name(text, name, "", labels, NULL);
    put_seconds(text, us);
}

/* ---- histograms */

struct bound {
    uint64_t value; /* in the histogram's unit */
    const char *text;
};

static const struct bound seconds[] = {
    { 1000, "0.001" },  { 2500, "0.0025" }, { 5000, "0.005" },  { 10000, "0.01" },
    { 25000, "0.025" }, { 50000, "0.05" },  { 100000, "0.1" },  { 250000, "0.25" },
    { 500000, "0.5" },  { 1000000, "1" },   { 2500000, "2.5" }, { 5000000, "5" },
    { 10000000, "10" }, { 30000000, "30" }, { 60000000, "60" },
};

static const struct bound bytes[] = {
    { 64, "65536" },         { 256, "262144" },         { 1024, "1048576" },
    { 4096, "4194304" },     { 16384, "16777216" },     { 65536, "67108864" },
    { 262144, "268435456" }, { 1048576, "1073741824" },
};

void text_histogram(struct text *text, const char *name, struct text_labels labels,
                    enum text_unit unit, const struct histogram *histogram)
{
    const struct bound *bounds = unit == TEXT_SECONDS ? seconds : bytes;
    size_t n = unit == TEXT_SECONDS ? ARRAY_LEN(seconds) : ARRAY_LEN(bytes);
    unsigned bucket = 0;
    uint64_t count = 0;

    for (size_t i = 0; i < n; i++) {
        put_name(text, name, "_bucket", labels, bounds[i].text);
        put_count(text, histogram_count_up_to(histogram, bounds[i].value, &bucket, &count));
    }
    put_name(text, name, "_bucket", labels, "+Inf");
    put_count(text, histogram->total);
    put_name(text, name, "_sum", labels, NULL);
    if (unit == TEXT_SECONDS)
        put_seconds(text, histogram->sum);
    else
        put_count(text, histogram->sum * BYTES_PER_KIB);
    put_name(text, name, "_count", labels, NULL);
    put_count(text, histogram->total);
}
