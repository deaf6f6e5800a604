/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/histogram.h"
#include "common/io.h"

#define SAMPLES 5000

static uint64_t random_state = 88172645463325252U;

/* xorshift64, Marsaglia 2003: the same samples in each run. */
static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Returns a sample of any magnitude, as latencies are. */
static uint64_t next_sample(void)
{
    return next_random() >> (32 + next_random() % 32);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return (x > y) - (x < y);
}

static void test_buckets_are_in_order_without_gaps_and_within_a_sixteenth(void **state)
{
    uint64_t least = 0;

    (void) state;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t top = histogram_bucket_top(bucket);
        assert_true(top >= least);
        assert_int_equal(histogram_bucket(least), bucket);
        assert_int_equal(histogram_bucket(top), bucket);
        assert_true((top - least) * 16 <= least);
        least = top + 1;
    }
    assert_int_equal(least - 1, UINT32_MAX);
}

static void test_what_is_too_large_counts_in_the_last_bucket(void **state)
{
    struct histogram histogram = { 0 };

    (void) state;
    assert_int_equal(histogram_bucket((uint64_t) UINT32_MAX + 1), HISTOGRAM_BUCKETS - 1);
    histogram_record(&histogram, UINT64_MAX);
    histogram_record(&histogram, UINT64_MAX);
    assert_int_equal(histogram.total, 2);
    assert_int_equal(histogram.sum, 2 * (uint64_t) UINT32_MAX);
    assert_int_equal(histogram_percentile(&histogram, 500), UINT32_MAX);
}

static void test_an_hour_is_within_range(void **state)
{
    (void) state;
    assert_true(histogram_bucket(UINT64_C(3600000000)) < HISTOGRAM_BUCKETS - 1);
}

static void test_empty_one_has_no_percentiles(void **state)
{
    struct histogram histogram = { 0 };

    (void) state;
    assert_int_equal(histogram_percentile(&histogram, 0), 0);
    assert_int_equal(histogram_percentile(&histogram, 999), 0);
}

/* A percentile is the value at the rank of the sorted samples, or at most a sixteenth above it. */
static void test_percentiles_are_those_of_the_sorted_samples(void **state)
{
    static const unsigned permilles[] = { 0, 1, 10, 500, 900, 990, 999, 1000 };
    static uint64_t samples[SAMPLES];

    (void) state;
    for (size_t n = 1; n <= SAMPLES; n = n * 3 + 1) {
        struct histogram histogram = { 0 };
        uint64_t sum = 0;
        for (size_t i = 0; i < n; i++) {
            samples[i] = next_sample();
            sum += samples[i];
            histogram_record(&histogram, samples[i]);
        }
        assert_int_equal(histogram.total, n);
        assert_int_equal(histogram.sum, sum);
        qsort(samples, n, sizeof *samples, compare);
        for (size_t i = 0; i < sizeof permilles / sizeof *permilles; i++) {
            size_t rank = (n * permilles[i] + 999) / 1000;
            uint64_t exact = samples[rank > 0 ? rank - 1 : 0];
            uint64_t found = histogram_percentile(&histogram, permilles[i]);
            assert_true(found >= exact);
            assert_true(found - exact <= exact / 16);
        }
    }
}

static void test_counts_up_to_a_bound_never_have_what_is_above_it(void **state)
{
    struct histogram histogram = { 0 };
    static uint64_t samples[SAMPLES];
    unsigned bucket = 0;
    uint64_t count = 0, before = 0;

    (void) state;
    for (size_t i = 0; i < SAMPLES; i++)
        histogram_record(&histogram, samples[i] = next_sample());
    for (uint64_t bound = 1000; bound < UINT64_C(60000000); bound = bound * 5 / 2) {
        uint64_t at_most = 0, at_least = 0;
        for (size_t i = 0; i < SAMPLES; i++) {
            at_most += samples[i] <= bound;
            at_least += samples[i] <= bound - bound / 16;
        }
        uint64_t found = histogram_count_up_to(&histogram, bound, &bucket, &count);
        assert_in_range(found, at_least, at_most);
        assert_true(found >= before);
        before = found;
    }
    assert_int_equal(histogram_count_up_to(&histogram, UINT32_MAX, &bucket, &count), SAMPLES);
}

static void test_merged_ones_are_one_of_all_samples(void **state)
{
    struct histogram parts[3] = { 0 }, all = { 0 }, merged = { 0 };

    (void) state;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint64_t sample = next_sample();
        histogram_record(&parts[i % 3], sample);
        histogram_record(&all, sample);
    }
    for (size_t i = 0; i < 3; i++)
        histogram_merge(&merged, &parts[i]);
    assert_memory_equal(&merged, &all, sizeof all);
}

static void test_difference_is_what_came_since(void **state)
{
    struct histogram before = { 0 }, now, later = { 0 }, difference;

    (void) state;
    for (size_t i = 0; i < SAMPLES; i++)
        histogram_record(&before, next_sample());
    now = before;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint64_t sample = next_sample();
        histogram_record(&now, sample);
        histogram_record(&later, sample);
    }
    histogram_difference(&now, &before, &difference);
    assert_memory_equal(&difference, &later, sizeof later);
}

static void test_difference_to_another_histogram_is_all_of_it(void **state)
{
    struct histogram before = { 0 }, now = { 0 }, difference;

    (void) state;
    histogram_record(&before, 5);
    histogram_record(&now, 7);
    histogram_record(&now, 7);
    histogram_difference(&now, &before, &difference);
    assert_memory_equal(&difference, &now, sizeof now);
}

static void test_export_is_read_back(void **state)
{
    uint8_t data[HISTOGRAM_EXPORT_MAX_BYTES];

    (void) state;
    for (size_t n = 0; n <= SAMPLES; n = n * 4 + 1) {
        struct histogram histogram = { 0 }, copy;
        for (size_t i = 0; i < n; i++)
            histogram_record(&histogram, next_sample());
        size_t size = histogram_export(&histogram, data);
        assert_true(size <= sizeof data);
        assert_true(n > 0 || size == 0);
        assert_int_equal(histogram_import(&copy, data, size), 0);
        assert_memory_equal(&copy, &histogram, sizeof copy);
    }
}

static void test_largest_export_fits(void **state)
{
    uint8_t data[HISTOGRAM_EXPORT_MAX_BYTES];
    struct histogram histogram = { 0 }, copy;

    (void) state;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram.counts[i] = UINT64_MAX / HISTOGRAM_BUCKETS;
    histogram.total = UINT64_MAX / HISTOGRAM_BUCKETS * HISTOGRAM_BUCKETS;
    histogram.sum = UINT64_MAX;
    size_t size = histogram_export(&histogram, data);
    assert_true(size <= sizeof data);
    assert_int_equal(histogram_import(&copy, data, size), 0);
    assert_memory_equal(&copy, &histogram, sizeof copy);
}

static void test_bytes_that_are_no_export_are_refused_and_write_nothing(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {
        { "\x80", 1 },                     /* broken off */
        { "\x01\x00", 2 },                 /* no count */
        { "\x01\xd0\x03\x01", 4 },         /* bucket 464 */
        { "\x01\xcf\x03\x01\x00\x01", 6 }, /* after the last one */
        { "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01",
          12 }, /* a distance that is too large */
        { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x01", 13 },     /* 11 bytes */
        { "\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x01", 14 }, /* too many in all */
    };

    (void) state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct histogram histogram = { .total = 42 };
        assert_int_not_equal(
            histogram_import(&histogram, (const uint8_t *) bad[i].bytes, bad[i].size), 0);
        assert_int_equal(histogram.total, 42);
    }
}

static void test_no_bytes_at_all_crash_the_import(void **state)
{
    struct histogram histogram;
    uint8_t data[64];

    (void) state;
    for (unsigned round = 0; round < 20000; round++) {
        size_t size = next_random() % sizeof data;
        for (size_t i = 0; i < size; i++)
            data[i] = (uint8_t) (next_random() >> (next_random() % 2 ? 40 : 58));
        if (histogram_import(&histogram, data, size) < 0)
            continue;
        uint64_t total = 0;
        for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
            total += histogram.counts[i];
        assert_int_equal(total, histogram.total);
    }
}

/* Prints the cost of one record: the figure in docs/metrics.md. Sets no bound that a busy machine
 * would break. */
static void test_recording_is_cheap(void **state)
{
    static struct histogram histogram;
    enum { ROUNDS = 2000000 };
    uint64_t value = 1;

    (void) state;
    uint64_t began = io_now_ns();
    for (unsigned i = 0; i < ROUNDS; i++) {
        value = value * UINT64_C(6364136223846793005) + 1442695040888963407U;
        histogram_record(&histogram, value >> 40);
    }
    uint64_t took_ns = io_now_ns() - began;
    print_message("histogram_record: %.2f ns\n", (double) took_ns / ROUNDS);
    assert_int_equal(histogram.total, ROUNDS);
    assert_true(took_ns / ROUNDS < 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets_are_in_order_without_gaps_and_within_a_sixteenth),
        cmocka_unit_test(test_what_is_too_large_counts_in_the_last_bucket),
        cmocka_unit_test(test_an_hour_is_within_range),
        cmocka_unit_test(test_empty_one_has_no_percentiles),
        cmocka_unit_test(test_percentiles_are_those_of_the_sorted_samples),
        cmocka_unit_test(test_counts_up_to_a_bound_never_have_what_is_above_it),
        cmocka_unit_test(test_merged_ones_are_one_of_all_samples),
        cmocka_unit_test(test_difference_is_what_came_since),
        cmocka_unit_test(test_difference_to_another_histogram_is_all_of_it),
        cmocka_unit_test(test_export_is_read_back),
        cmocka_unit_test(test_largest_export_fits),
        cmocka_unit_test(test_bytes_that_are_no_export_are_refused_and_write_nothing),
        cmocka_unit_test(test_no_bytes_at_all_crash_the_import),
        cmocka_unit_test(test_recording_is_cheap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
