/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A histogram of times or amounts in fixed memory, in the manner of HdrHistogram: values below 16 are
 * exact, above that each power of two is cut into 16 buckets, so that a bucket's highest value is at
 * most 1/16 above its lowest. 0 to 2^32 - 1 (in microseconds: over an hour; larger ones count in the
 * last bucket): 464 counters, 3.7 KiB. Recording is a handful of instructions, without allocation
 * or lock. Own code, because Debian 12 has no package of HdrHistogram for C, and this is all that
 * is needed of it. Any process; one thread at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_SUB_BITS 4
#define HISTOGRAM_SUB (1U << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_VALUE_BITS 32
#define HISTOGRAM_BUCKETS 464
_Static_assert(HISTOGRAM_BUCKETS == (HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB,
               "one for each sub-bucket of each power of two");
/* Most bytes of an export: two numbers of at most 10 bytes for each bucket. */
#define HISTOGRAM_EXPORT_MAX_BYTES (HISTOGRAM_BUCKETS * 12 + 10)

struct histogram { /* all zero: empty */
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total; /* sum of counts */
    uint64_t sum;   /* sum of the values, exact but for values that were cut */
};

static inline unsigned histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_SUB)
        return (unsigned) value;
    if (value > UINT32_MAX)
        return HISTOGRAM_BUCKETS - 1;
    unsigned shift = 63 - HISTOGRAM_SUB_BITS - (unsigned) __builtin_clzll(value);
    return shift * HISTOGRAM_SUB + (unsigned) (value >> shift);
}

static inline void histogram_record(struct histogram *histogram, uint64_t value)
{
    histogram->counts[histogram_bucket(value)]++;
    histogram->total++;
    histogram->sum += value < UINT32_MAX ? value : UINT32_MAX;
}

/* Returns the highest value that counts in the bucket. */
uint64_t histogram_bucket_top(unsigned bucket);

/* Returns the value that so many of 1000 do not exceed, as the top of its bucket: at most 1/16 too
 * high. 0 for an empty histogram. permille: 0 (the least) to 1000 (the greatest). */
uint64_t histogram_percentile(const struct histogram *histogram, unsigned permille);

/* Counts the values that are at most `value`: exact if value is the top of a bucket, else without
 * the values of the bucket that value lies in. For ascending values: *bucket and *count are 0
 * before the first call, and are carried from one to the next. Returns *count. */
uint64_t histogram_count_up_to(const struct histogram *histogram, uint64_t value, unsigned *bucket,
                               uint64_t *count);

/* Adds all of `from`. */
void histogram_merge(struct histogram *histogram, const struct histogram *from);

/* Computes the values that were recorded since `before`, a former state. If a counter has shrunk
 * (`before` is another histogram's), *ret is all of `now`. */
void histogram_difference(const struct histogram *now, const struct histogram *before,
                          struct histogram *ret);

/* Writes a histogram for the wire: the sum, then for each bucket that is not empty its distance
 * from the one before and its count, as varints of protobuf. data has HISTOGRAM_EXPORT_MAX_BYTES.
 * Returns the size; 0 for an empty histogram. */
size_t histogram_export(const struct histogram *histogram, uint8_t *data);
/* Reads an export. 0, or -EBADMSG if data is none. */
int histogram_import(struct histogram *ret, const uint8_t *data, size_t size);
