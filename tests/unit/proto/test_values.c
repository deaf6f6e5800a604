/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed values are read as they were written; bytes that are none are refused, and none is read beyond the end.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "proto/values.h"

/* Writes one value of each kind; returns their size. */
static size_t put_all(uint8_t *to)
{
    size_t size = 0;

    size += values_put_null(to ? to + size : NULL);
    size += values_put_integer(to ? to + size : NULL, INT64_MIN + 1);
    size += values_put_real(to ? to + size : NULL, -0.5);
    size += values_put_bytes(to ? to + size : NULL, VALUE_TEXT, "t\0x", 3);
    size += values_put_bytes(to ? to + size : NULL, VALUE_BYTES, NULL, 0);
    size += values_put_bytes(to ? to + size : NULL, VALUE_STATEMENT, "SELECT 1", 8);
    return size;
}

static void test_values_are_read_as_they_were_written(void **state)
{
    uint8_t bytes[128];
    const size_t size = put_all(NULL);
    struct value value;

    (void) state;
    assert_int_equal(put_all(bytes), size);
    struct values values = values_open(bytes, size);
    assert_int_equal(values_take(&values, VALUE_NULL, false, &value), 0);
    assert_int_equal(values_take(&values, VALUE_INTEGER, false, &value), 0);
    assert_true(value.integer == INT64_MIN + 1);
    assert_int_equal(values_take(&values, VALUE_REAL, false, &value), 0);
    assert_true(value.real == -0.5);
    assert_int_equal(values_take(&values, VALUE_TEXT, true, &value), 0);
    assert_int_equal(value.size, 3);
    assert_memory_equal(value.data, "t\0x", 3);
    assert_int_equal(values_take(&values, VALUE_BYTES, false, &value), 0);
    assert_int_equal(value.size, 0);
    assert_int_equal(values_next(&values, &value), 1);
    assert_int_equal(value.kind, VALUE_STATEMENT);
    assert_memory_equal(value.data, "SELECT 1", 8);
    assert_int_equal(values_next(&values, &value), 0);
    assert_int_equal(values_take(&values, VALUE_NULL, true, &value), -EPROTO);
}

static void test_the_form_is_little_endian(void **state)
{
    uint8_t bytes[16];

    (void) state;
    assert_int_equal(values_put_integer(bytes, 0x0102030405060708), 9);
    assert_memory_equal(bytes, "i\x08\x07\x06\x05\x04\x03\x02\x01", 9);
    assert_int_equal(values_put_real(bytes, 1.0), 9);
    assert_memory_equal(bytes, "r\0\0\0\0\0\0\xf0\x3f", 9);
    assert_int_equal(values_put_bytes(bytes, VALUE_TEXT, "ab", 2), 7);
    assert_memory_equal(bytes, "t\2\0\0\0ab", 7);
}

static void test_a_value_of_another_kind_stays(void **state)
{
    uint8_t bytes[16];
    struct value value = { .kind = VALUE_TEXT };
    struct values values = values_open(bytes, values_put_integer(bytes, 7));

    (void) state;
    assert_int_equal(values_take(&values, VALUE_TEXT, true, &value), -EPROTO);
    assert_int_equal(value.kind, VALUE_TEXT);
    assert_int_equal(values_take(&values, VALUE_INTEGER, false, &value), 0);
    assert_int_equal(value.integer, 7);
}

/* Each value is cut at each of its bytes, at the end of a block of its own, so that a sanitizer sees what is read behind it. */
static void test_values_that_are_cut_are_refused(void **state)
{
    uint8_t bytes[128];
    const size_t size = put_all(bytes);

    (void) state;
    for (size_t cut = 0; cut < size; cut++) {
        _cleanup_free_ uint8_t *copy = malloc(cut > 0 ? cut : 1);
        struct values values = values_open(copy, cut);
        struct value value;
        int r;
        memcpy(copy, bytes, cut);
        while ((r = values_next(&values, &value)) == 1)
            assert_true(!value.data || value.data + value.size <= copy + cut);
        assert_true(r == 0 || r == -EPROTO);
        assert_true(r == 0 || values.at < values.end);
    }
}

static void test_tags_and_sizes_that_are_none_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } rows[] = { { "x", 1 },
                 { "\0", 1 },
                 { "N", 1 },
                 { "t\4\0\0\0abc", 8 },
                 { "b\377\377\377\377abcdefgh", 13 } };
    struct value value;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct values values = values_open(rows[i].bytes, rows[i].size);
        assert_int_equal(values_next(&values, &value), -EPROTO);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_read_as_they_were_written),
        cmocka_unit_test(test_the_form_is_little_endian),
        cmocka_unit_test(test_a_value_of_another_kind_stays),
        cmocka_unit_test(test_values_that_are_cut_are_refused),
        cmocka_unit_test(test_tags_and_sizes_that_are_none_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
