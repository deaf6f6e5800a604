/* SPDX-License-Identifier: Apache-2.0 */
#include "common/histogram.h"

#include <errno.h>
#include <string.h>

#define VARINT_MAX_BYTES 10

uint64_t histogram_bucket_top(unsigned bucket)
{
    if (bucket < 2 * HISTOGRAM_SUB)
        return bucket;
    unsigned shift = bucket / HISTOGRAM_SUB - 1;
    uint64_t least = (uint64_t) (bucket % HISTOGRAM_SUB + HISTOGRAM_SUB) << shift;
    return least + (UINT64_C(1) << shift) - 1;
}

uint64_t histogram_percentile(const struct histogram *histogram, unsigned permille)
{
    /* Rounded up, and without an overflow of total * permille. */
    uint64_t whole = histogram->total / 1000, rest = histogram->total % 1000;
    uint64_t rank = whole * permille + (rest * permille + 999) / 1000;
    uint64_t seen = 0;

    if (histogram->total == 0)
        return 0;
    rank = rank < 1 ? 1 : rank;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen >= rank)
            return histogram_bucket_top(bucket);
    }
    return histogram_bucket_top(HISTOGRAM_BUCKETS - 1);
}

uint64_t histogram_count_up_to(const struct histogram *histogram, uint64_t value, unsigned *bucket,
                               uint64_t *count)
{
    for (; *bucket < HISTOGRAM_BUCKETS && histogram_bucket_top(*bucket) <= value; ++*bucket)
        *count += histogram->counts[*bucket];
    return *count;
}

void histogram_merge(struct histogram *histogram, const struct histogram *from)
{
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
        histogram->counts[bucket] += from->counts[bucket];
    histogram->total += from->total;
    histogram->sum += from->sum;
}

void histogram_difference(const struct histogram *now, const struct histogram *before,
                          struct histogram *ret)
{
    *ret = *now;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
        if (now->counts[bucket] < before->counts[bucket])
            return;
    if (now->sum < before->sum)
        return;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
        ret->counts[bucket] -= before->counts[bucket];
    ret->total -= before->total;
    ret->sum -= before->sum;
}

/* ---- the wire */

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t) (value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t) value;
    return at;
}

/* Returns the byte behind the number; NULL if there is no number. */
static const uint8_t *take_varint(const uint8_t *at, const uint8_t *end, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned i = 0; at < end && i < VARINT_MAX_BYTES; i++) {
        uint8_t byte = *at++;
        value |= (uint64_t) (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *ret_value = value;
            return at;
        }
    }
    return NULL;
}

size_t histogram_export(const struct histogram *histogram, uint8_t *data)
{
    uint8_t *at = data;
    unsigned next = 0;

    if (histogram->total == 0)
        return 0;
    at = put_varint(at, histogram->sum);
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        if (histogram->counts[bucket] == 0)
            continue;
        at = put_varint(at, bucket - next);
        at = put_varint(at, histogram->counts[bucket]);
        next = bucket + 1;
    }
    return (size_t) (at - data);
}

int histogram_import(struct histogram *ret, const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    struct histogram result;
    uint64_t bucket = 0, distance, count;

    memset(&result, 0, sizeof result);
    if (size > 0 && !(at = take_varint(at, end, &result.sum)))
        return -EBADMSG;
    while (at < end) {
        if (!(at = take_varint(at, end, &distance)) || !(at = take_varint(at, end, &count)))
            return -EBADMSG;
        if (distance >= HISTOGRAM_BUCKETS - bucket || count > UINT64_MAX - result.total)
            return -EBADMSG;
        bucket += distance;
        result.counts[bucket++] = count;
        result.total += count;
        if (bucket == HISTOGRAM_BUCKETS && at < end)
            return -EBADMSG;
    }
    *ret = result;
    return 0;
}
