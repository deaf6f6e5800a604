/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of libevent's buffers: a few pieces for parts of bodies are kept and used again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>

#include "common/large_blocks.h"

static const char part[64 << 10];

static struct evbuffer *make_part(void)
{
    struct evbuffer *buffer = evbuffer_new();

    assert_non_null(buffer);
    assert_int_equal(evbuffer_add(buffer, part, sizeof part), 0);
    return buffer;
}

static void test_piece_is_used_again(void **state)
{
    (void) state;
    evbuffer_free(make_part());
    unsigned kept = large_blocks_kept();
    assert_true(kept > 0);
    for (int i = 0; i < 100; i++) {
        struct evbuffer *buffer = make_part();
        assert_int_equal(large_blocks_kept(), kept - 1);
        evbuffer_free(buffer);
        assert_int_equal(large_blocks_kept(), kept);
    }
}

static void test_only_a_few_pieces_are_kept(void **state)
{
    struct evbuffer *buffers[3 * LARGE_BLOCKS_KEPT];

    (void) state;
    for (size_t i = 0; i < 3 * LARGE_BLOCKS_KEPT; i++)
        buffers[i] = make_part();
    assert_int_equal(large_blocks_kept(), 0);
    for (size_t i = 0; i < 3 * LARGE_BLOCKS_KEPT; i++)
        evbuffer_free(buffers[i]);
    assert_int_equal(large_blocks_kept(), LARGE_BLOCKS_KEPT);
}

static void test_small_and_huge_pieces_are_not_kept(void **state)
{
    static const char huge[1 << 20];
    struct evbuffer *buffer = evbuffer_new();

    (void) state;
    unsigned kept = large_blocks_kept();
    assert_non_null(buffer);
    assert_int_equal(evbuffer_add(buffer, huge, 1000), 0);
    assert_int_equal(evbuffer_add(buffer, huge, sizeof huge), 0);
    evbuffer_free(buffer);
    assert_int_equal(large_blocks_kept(), kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_piece_is_used_again),
        cmocka_unit_test(test_only_a_few_pieces_are_kept),
        cmocka_unit_test(test_small_and_huge_pieces_are_not_kept),
    };

    large_blocks_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
