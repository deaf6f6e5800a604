/* SPDX-License-Identifier: Apache-2.0 */
/* worker/compress: data that other programs have made, round trips in parts of any size, bad data, bombs and windows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h> /* needs some of the above */

#include "common/cleanup.h"
#include "worker/compress/compress.h"

#define ROOM_BYTES ((size_t) 64 << 10)
#define INPUT_MAX_BYTES ((size_t) 4 << 20)
#define TEXT "expected output"
#define KNOWN_MAX_BYTES 64

static unsigned looks, looks_allowed;

static bool is_stopped(void *owner)
{
    (void) owner;
    return ++looks > looks_allowed;
}

static const struct compress_caller caller = { is_stopped, NULL };

/* The ends of memory for input and for output, behind which is nothing: sanitizers do not see what the libraries' code in assembler
 * touches. */
static uint8_t *input_end, *room_end;

static uint8_t *map_up_to_nothing(size_t size)
{
    const size_t page = (size_t) sysconf(_SC_PAGESIZE);
    uint8_t *data =
        mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(data != MAP_FAILED);
    assert_int_equal(mprotect(data + size, page, PROT_NONE), 0);
    return data + size;
}

static int setup(void **state)
{
    (void) state;
    if (!input_end) {
        input_end = map_up_to_nothing(INPUT_MAX_BYTES);
        room_end = map_up_to_nothing(ROOM_BYTES);
    }
    looks = 0;
    looks_allowed = UINT32_MAX;
    return 0;
}

struct bytes {
    uint8_t *data;
    size_t size;
};

static void bytes_cleanup(struct bytes *bytes)
{
    free(bytes->data);
}

static void append(struct bytes *to, const uint8_t *data, size_t size)
{
    to->data = realloc(to->data, to->size + size + 1);
    assert_non_null(to->data);
    memcpy(to->data + to->size, data, size);
    to->size += size;
}

static void stream_cleanup(struct compress_stream **stream)
{
    *stream = compress_free(*stream);
}

/* Feeds data in parts, and takes the result in parts. Returns COMPRESS_ENDED or -errno; *ret_rest: the bytes that were not taken. */
static int run(enum compress_format format, bool is_decoder, const uint8_t *data, size_t size,
               size_t part, size_t room, struct bytes *result, size_t *ret_rest)
{
    _cleanup_(stream_cleanup) struct compress_stream *stream = NULL;
    int r;

    assert_int_equal(compress_new(format, is_decoder, &stream), 0);
    do {
        size_t now = size < part ? size : part;
        assert_in_range(now, 0, INPUT_MAX_BYTES);
        memcpy(input_end - now, data, now);
        struct compress_input input = { input_end - now, now };
        do {
            struct compress_output output = { room_end - room, room };
            r = compress_step(stream, &input, now == size, &output, &caller);
            append(result, room_end - room, room - output.size);
        } while (r == COMPRESS_HAS_MORE);
        data += now - input.size;
        size -= now - input.size;
    } while (r == COMPRESS_NEEDS_INPUT);
    if (ret_rest)
        *ret_rest = size;
    return r;
}

static int decode(enum compress_format format, const uint8_t *data, size_t size,
                  struct bytes *result, size_t *ret_rest)
{
    return run(format, true, data, size, size + 1, ROOM_BYTES, result, ret_rest);
}

/* "expected output", as other programs have written it. */
static const struct {
    size_t size;
    uint8_t data[KNOWN_MAX_BYTES];
} known[COMPRESS_FORMATS] = {
    [COMPRESS_DEFLATE] = { 23, { 120, 156, 75, 173, 40, 72, 77, 46, 73,  77, 81, 200,
                                 47,  45,  41, 40,  45, 1,  0,  48, 173, 6,  36 } },
    [COMPRESS_DEFLATE_RAW] = { 17,
                               { 0x4b, 0xad, 0x28, 0x48, 0x4d, 0x2e, 0x49, 0x4d, 0x51, 0xc8, 0x2f,
                                 0x2d, 0x29, 0x28, 0x2d, 0x01, 0x00 } },
    [COMPRESS_GZIP] = { 35,
                        { 31, 139, 8,  0,  0,  0,  0,  0, 0, 3,   75, 173, 40,  72, 77, 46, 73, 77,
                          81, 200, 47, 45, 41, 40, 45, 1, 0, 176, 1,  57,  179, 15, 0,  0,  0 } },
    [COMPRESS_BROTLI] = { 14,
                          { 0x1b, 0x0e, 0x00, 0xf8, 0x25, 0x00, 0x8a, 0x10, 0x43, 0xaa, 0x94, 0x6e,
                            0xa6, 0x10 } },
    [COMPRESS_ZSTD] = { 28, { 0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x79, 0x00, 0x00, 0x65,
                              0x78, 0x70, 0x65, 0x63, 0x74, 0x65, 0x64, 0x20, 0x6f, 0x75,
                              0x74, 0x70, 0x75, 0x74, 0x5b, 0x11, 0xc6, 0x85 } },
};

static void test_data_of_other_programs_is_read(void **state)
{
    (void) state;
    for (unsigned i = 0; i < COMPRESS_FORMATS; i++) {
        _cleanup_(bytes_cleanup) struct bytes result = { NULL, 0 };
        size_t rest = 1;
        int r = decode((enum compress_format) i, known[i].data, known[i].size, &result, &rest);
        if (r != COMPRESS_ENDED || rest != 0)
            fail_msg("format %u: %d, %zu bytes left", i, r, rest);
        assert_int_equal(result.size, strlen(TEXT));
        assert_memory_equal(result.data, TEXT, strlen(TEXT));
    }
}

static void test_what_follows_the_end_is_not_taken(void **state)
{
    (void) state;
    for (unsigned i = 0; i < COMPRESS_FORMATS; i++) {
        _cleanup_(bytes_cleanup) struct bytes result = { NULL, 0 };
        uint8_t longer[KNOWN_MAX_BYTES + 3] = { 0 };
        size_t rest = 0;
        memcpy(longer, known[i].data, known[i].size);
        assert_int_equal(
            decode((enum compress_format) i, longer, known[i].size + 3, &result, &rest),
            COMPRESS_ENDED);
        assert_int_equal(rest, 3);
    }
}

static void test_cut_data_is_bad_wherever_it_is_cut(void **state)
{
    (void) state;
    for (unsigned i = 0; i < COMPRESS_FORMATS; i++)
        for (size_t size = 0; size < known[i].size; size++) {
            _cleanup_(bytes_cleanup) struct bytes result = { NULL, 0 };
            int r = decode((enum compress_format) i, known[i].data, size, &result, NULL);
            if (r != -EBADMSG)
                fail_msg("format %u, %zu bytes: %d", i, size, r);
        }
}

static void test_wrong_checksums_are_found(void **state)
{
    static const enum compress_format formats[] = { COMPRESS_DEFLATE, COMPRESS_GZIP,
                                                    COMPRESS_ZSTD };

    (void) state;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        _cleanup_(bytes_cleanup) struct bytes result = { NULL, 0 };
        uint8_t data[KNOWN_MAX_BYTES];
        const size_t size = known[formats[i]].size;
        memcpy(data, known[formats[i]].data, size);
        data[size - 1] ^= 1;
        assert_int_equal(decode(formats[i], data, size, &result, NULL), -EBADMSG);
    }
}

/* Bytes that no coder makes shorter, then some that are. */
static void fill(uint8_t *data, size_t size)
{
    uint32_t random = 1;

    for (size_t i = 0; i < size; i++) {
        random = random * 1664525 + 1013904223;
        data[i] = i < size / 2 ? (uint8_t) (random >> 24) : (uint8_t) (i / 1000);
    }
}

static void check_round_trip(enum compress_format format, const uint8_t *data, size_t size,
                             size_t part, size_t room)
{
    _cleanup_(bytes_cleanup) struct bytes packed = { NULL, 0 };
    _cleanup_(bytes_cleanup) struct bytes again = { NULL, 0 };

    assert_int_equal(run(format, false, data, size, part, room, &packed, NULL), COMPRESS_ENDED);
    assert_int_equal(run(format, true, packed.data, packed.size, part, room, &again, NULL),
                     COMPRESS_ENDED);
    assert_int_equal(again.size, size);
    assert_memory_equal(again.data, data, size);
}

static void test_parts_of_any_size_give_the_same_data_again(void **state)
{
    static const size_t sizes[] = { 0, 1, 4096, 4097, 300000 };
    static const size_t parts[] = { 1000, 4096, 65536, 65537, 1000000 };
    static uint8_t data[300000];

    (void) state;
    fill(data, sizeof data);
    for (unsigned format = 0; format < COMPRESS_FORMATS; format++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (size_t j = 0; j < sizeof parts / sizeof *parts; j++)
                check_round_trip((enum compress_format) format, data, sizes[i], parts[j],
                                 parts[j] < ROOM_BYTES ? parts[j] : ROOM_BYTES);
    for (unsigned format = 0; format < COMPRESS_FORMATS; format++)
        check_round_trip((enum compress_format) format, data, 2000, 1, 1);
}

/* The encoder of DEFLATE takes another level for data whose beginning repeats itself. */
static void test_data_that_repeat_themselves_at_first_are_the_same_again(void **state)
{
    static const size_t sizes[] = { 8191, 8192, 16383, 16384, 16385, 40000, 400000 };
    static const size_t repeated[] = { 8191, 8192, 20000, 400000 };
    static uint8_t data[400000];

    (void) state;
    for (size_t r = 0; r < sizeof repeated / sizeof *repeated; r++) {
        fill(data, sizeof data);
        for (size_t i = 0; i < repeated[r]; i++)
            data[i] = (uint8_t) (i % 45);
        for (unsigned format = 0; format <= COMPRESS_GZIP; format++)
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
                check_round_trip((enum compress_format) format, data, sizes[i], sizeof data,
                                 ROOM_BYTES);
    }
}

/* With the best level alone, the output for these data is twice as long. */
static void test_zeros_become_a_six_hundredth(void **state)
{
    const size_t size = (size_t) 1 << 20;
    uint8_t *zeros = calloc(1, size);
    _cleanup_(bytes_cleanup) struct bytes packed = { NULL, 0 };

    (void) state;
    assert_non_null(zeros);
    assert_int_equal(run(COMPRESS_GZIP, false, zeros, size, size, ROOM_BYTES, &packed, NULL),
                     COMPRESS_ENDED);
    assert_in_range(packed.size, 1, size / 600);
    free(zeros);
}

static void test_a_step_takes_and_gives_a_slice_at_the_most(void **state)
{
    const size_t size = (size_t) 4 << 20;
    uint8_t *zeros = calloc(1, size);
    static uint8_t buffer[ROOM_BYTES];

    (void) state;
    assert_non_null(zeros);
    for (unsigned format = 0; format < COMPRESS_FORMATS; format++) {
        _cleanup_(bytes_cleanup) struct bytes bomb = { NULL, 0 };
        _cleanup_(stream_cleanup) struct compress_stream *stream = NULL;
        assert_int_equal(compress_new((enum compress_format) format, false, &stream), 0);
        struct compress_input input = { zeros, size };
        struct compress_output output = { buffer, sizeof buffer };
        assert_int_equal(compress_step(stream, &input, false, &output, &caller), COMPRESS_HAS_MORE);
        assert_int_equal(input.size, size - (format <= COMPRESS_GZIP ? COMPRESS_SLICE_BYTES
                                                                     : COMPRESS_SLOW_SLICE_BYTES));

        assert_int_equal(
            run((enum compress_format) format, false, zeros, size, size, ROOM_BYTES, &bomb, NULL),
            COMPRESS_ENDED);
        stream = compress_free(stream);
        assert_int_equal(compress_new((enum compress_format) format, true, &stream), 0);
        input = (struct compress_input){ bomb.data, bomb.size };
        output = (struct compress_output){ buffer, sizeof buffer };
        assert_int_equal(compress_step(stream, &input, false, &output, &caller), COMPRESS_HAS_MORE);
        assert_int_equal(output.size, 0);
    }
    free(zeros);
}

static void test_a_caller_out_of_time_is_heeded(void **state)
{
    static uint8_t data[COMPRESS_SLICE_BYTES], buffer[ROOM_BYTES];

    (void) state;
    for (unsigned format = 0; format < COMPRESS_FORMATS; format++) {
        _cleanup_(stream_cleanup) struct compress_stream *stream = NULL;
        assert_int_equal(compress_new((enum compress_format) format, false, &stream), 0);
        struct compress_input input = { data, sizeof data };
        struct compress_output output = { buffer, sizeof buffer };
        looks = 0;
        looks_allowed = 3;
        assert_int_equal(compress_step(stream, &input, false, &output, &caller), -ECANCELED);
        assert_true(input.size > 0 && input.size < sizeof data);
        looks_allowed = UINT32_MAX;
        assert_int_equal(compress_step(stream, &input, false, &output, &caller), -ECANCELED);
    }
}

/* RFC 7932 has windows up to 16 MiB; the header of a "large" one begins with 0x11. */
static void test_a_decoder_refuses_large_windows(void **state)
{
    static const uint8_t large_brotli[] = { 0x11, 0x1e, 0x03 };
    /* Frames of an empty block, with windows of 8 MiB, of a bit more, and of 2^41 bytes. */
    static const uint8_t fits[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68, 0x01, 0x00, 0x00 };
    static const uint8_t above[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x69, 0x01, 0x00, 0x00 };
    static const uint8_t huge[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x01, 0x00, 0x00 };
    _cleanup_(bytes_cleanup) struct bytes result = { NULL, 0 };

    (void) state;
    assert_int_equal(decode(COMPRESS_BROTLI, large_brotli, sizeof large_brotli, &result, NULL),
                     -EBADMSG);
    assert_int_equal(decode(COMPRESS_ZSTD, fits, sizeof fits, &result, NULL), COMPRESS_ENDED);
    assert_int_equal(decode(COMPRESS_ZSTD, above, sizeof above, &result, NULL), -EBADMSG);
    assert_int_equal(decode(COMPRESS_ZSTD, huge, sizeof huge, &result, NULL), -EBADMSG);
}

static void test_a_dictionary_is_refused(void **state)
{
    static const uint8_t data[] = { 0x78, 0xbb, 0x74, 0xee, 0x09, 0x59, 0x2b, 0xc1,
                                    0x2e, 0x0c, 0x00, 0x74, 0xee, 0x09, 0x59 };
    _cleanup_(bytes_cleanup) struct bytes result = { NULL, 0 };

    (void) state;
    assert_int_equal(decode(COMPRESS_DEFLATE, data, sizeof data, &result, NULL), -EBADMSG);
}

static void test_a_stream_that_has_failed_takes_nothing_more(void **state)
{
    _cleanup_(stream_cleanup) struct compress_stream *stream = NULL;
    uint8_t buffer[16];
    struct compress_input input = { (const uint8_t *) "no gzip", 7 };
    struct compress_output output = { buffer, sizeof buffer };

    (void) state;
    assert_int_equal(compress_new(COMPRESS_GZIP, true, &stream), 0);
    assert_int_equal(compress_step(stream, &input, false, &output, &caller), -EBADMSG);
    input = (struct compress_input){ known[COMPRESS_GZIP].data, known[COMPRESS_GZIP].size };
    assert_int_equal(compress_step(stream, &input, false, &output, &caller), -EBADMSG);
    assert_int_equal(input.size, known[COMPRESS_GZIP].size);
    stream = compress_free(stream);
    assert_int_equal(compress_new(COMPRESS_FORMATS, true, &stream), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_data_of_other_programs_is_read),
        TEST(test_what_follows_the_end_is_not_taken),
        TEST(test_cut_data_is_bad_wherever_it_is_cut),
        TEST(test_wrong_checksums_are_found),
        TEST(test_parts_of_any_size_give_the_same_data_again),
        TEST(test_data_that_repeat_themselves_at_first_are_the_same_again),
        TEST(test_zeros_become_a_six_hundredth),
        TEST(test_a_step_takes_and_gives_a_slice_at_the_most),
        TEST(test_a_caller_out_of_time_is_heeded),
        TEST(test_a_decoder_refuses_large_windows),
        TEST(test_a_dictionary_is_refused),
        TEST(test_a_stream_that_has_failed_takes_nothing_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
