/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed heads: what is packed comes out again, and each kind of bytes that is no head is refused.
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
#include "tests/pack_head.h"

static const char *const texts[] = { "GET", "http://a/", "host", "a", "x", "" };

static int open_it(const uint8_t *packed, size_t size)
{
    struct head head;

    return head_open(packed, size, HEAD_REQUEST_TEXTS, HEAD_FIELDS_MAX, &head);
}

static void test_texts_come_out_as_they_went_in(void **state)
{
    uint8_t packed[128];
    size_t size = pack_head(packed, ARRAY_LEN(texts), texts);
    struct head head;

    (void) state;
    assert_int_equal(head_open(packed, size, HEAD_REQUEST_TEXTS, 2, &head), 0);
    assert_int_equal(head.n_texts, ARRAY_LEN(texts));
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct head_text text = head_next(&head);
        assert_int_equal(text.size, strlen(texts[i]));
        assert_memory_equal(text.data, texts[i], text.size);
    }
    assert_int_equal(head.n_texts, 0);
}

static void test_a_text_is_packed_in_pieces(void **state)
{
    uint8_t packed[64];
    struct head_writer to = head_write(packed, 2);
    struct head head;

    (void) state;
    (void) head_add(&to, "a", 1);
    (void) head_add(&to, "b", 1);
    struct head_text whole = head_extend(&to, "cd", 2);
    assert_int_equal(whole.size, 3);
    assert_memory_equal(whole.data, "bcd", 3);
    assert_int_equal(head_open(packed, (size_t) (to.at - packed), 0, 1, &head), 0);
    assert_int_equal(head_next(&head).size, 1);
    assert_memory_equal(head_next(&head).data, "bcd", 3);
}

static void test_a_head_without_texts_is_four_bytes(void **state)
{
    uint8_t packed[4] = { 0 };
    struct head head;

    (void) state;
    assert_int_equal(head_open(packed, sizeof packed, 0, HEAD_FIELDS_MAX, &head), 0);
    assert_int_equal(head.n_texts, 0);
}

static void test_every_cut_is_refused(void **state)
{
    uint8_t packed[128];
    size_t size = pack_head(packed, ARRAY_LEN(texts), texts);

    (void) state;
    for (size_t n = 0; n < size; n++) {
        _cleanup_free_ uint8_t *part = malloc(n + 1); /* a sanitizer sees a byte behind it */
        memcpy(part, packed, n);
        assert_int_equal(open_it(part, n), -EPROTO);
    }
    packed[size] = 'x';
    assert_int_equal(open_it(packed, size + 1), -EPROTO);
}

static void test_sizes_that_do_not_add_up_are_refused(void **state)
{
    uint8_t packed[128];
    size_t size = pack_head(packed, ARRAY_LEN(texts), texts);

    (void) state;
    head_put_size(packed, 0, 4); /* more in all */
    assert_int_equal(open_it(packed, size), -EPROTO);
    head_put_size(packed, 0, 2); /* less */
    assert_int_equal(open_it(packed, size), -EPROTO);
    head_put_size(packed, 0, UINT32_MAX);
    assert_int_equal(open_it(packed, size), -EPROTO);
    head_put_size(packed, 5, 4); /* 2^32 more in all than there is */
    assert_int_equal(open_it(packed, size), -EPROTO);
    head_put_size(packed, 0, 3);
    head_put_size(packed, 5, 0);
    assert_int_equal(open_it(packed, size), 0);
}

static void test_counts_that_cannot_be_are_refused(void **state)
{
    static const uint32_t bad[] = { 0,         1, 3, 5, 7, 0x40000000, 0x80000002, UINT32_MAX - 1,
                                    UINT32_MAX };
    uint8_t packed[128] = { 0 };
    size_t size = pack_head(packed, ARRAY_LEN(texts), texts);

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        head_put_count(packed, bad[i]);
        assert_int_equal(open_it(packed, size), -EPROTO);
    }
    /* No texts before the headers, where there are to be two; and a name without its value. */
    head_put_count(packed, 0);
    assert_int_equal(open_it(packed, head_table_bytes(0)), -EPROTO);
    memset(packed, 0, sizeof packed);
    head_put_count(packed, 3);
    assert_int_equal(open_it(packed, head_table_bytes(3)), -EPROTO);
}

static int open_empty(uint32_t n_fields, uint32_t max_fields)
{
    size_t size = head_table_bytes(2 * n_fields);
    _cleanup_free_ uint8_t *packed = calloc(1, size);
    struct head head;

    head_put_count(packed, 2 * n_fields);
    return head_open(packed, size, 0, max_fields, &head);
}

static void test_one_header_too_many_is_refused(void **state)
{
    (void) state;
    assert_int_equal(open_empty(HEAD_FIELDS_MAX, HEAD_FIELDS_MAX), 0);
    assert_int_equal(open_empty(HEAD_FIELDS_MAX + 1, HEAD_FIELDS_MAX), -EPROTO);
    assert_int_equal(open_empty(HEAD_REQUEST_FIELDS_MAX, HEAD_REQUEST_FIELDS_MAX), 0);
    assert_int_equal(open_empty(1, 0), -EPROTO);
}

static int open_large(size_t size)
{
    _cleanup_free_ uint8_t *packed = malloc(size);
    struct head head;

    memset(packed, 'x', size);
    head_put_count(packed, 2);
    head_put_size(packed, 0, 0);
    head_put_size(packed, 1, (uint32_t) (size - head_table_bytes(2)));
    return head_open(packed, size, 0, 1, &head);
}

static void test_a_head_over_the_bound_is_refused(void **state)
{
    (void) state;
    assert_int_equal(open_large(HEAD_MAX_BYTES), 0);
    assert_int_equal(open_large(HEAD_MAX_BYTES + 1), -EPROTO);
}

static void test_a_nul_is_refused_wherever_it_is(void **state)
{
    uint8_t packed[128];
    size_t size = pack_head(packed, ARRAY_LEN(texts), texts);

    (void) state;
    for (size_t i = head_table_bytes(ARRAY_LEN(texts)); i < size; i++) {
        uint8_t before = packed[i];
        packed[i] = '\0';
        assert_int_equal(open_it(packed, size), -EPROTO);
        packed[i] = before;
    }
    assert_int_equal(open_it(packed, size), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_come_out_as_they_went_in),
        cmocka_unit_test(test_a_text_is_packed_in_pieces),
        cmocka_unit_test(test_a_head_without_texts_is_four_bytes),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_sizes_that_do_not_add_up_are_refused),
        cmocka_unit_test(test_counts_that_cannot_be_are_refused),
        cmocka_unit_test(test_one_header_too_many_is_refused),
        cmocka_unit_test(test_a_head_over_the_bound_is_refused),
        cmocka_unit_test(test_a_nul_is_refused_wherever_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
