/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds bytes to the decoders of worker/compress, and what the encoders make of them to the decoders again. The first byte names the
 * format and how often the encoders get the bytes, the second the size of the parts that the bytes come in. However the bytes are
 * cut, the result is the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker/compress/compress.h"

#define INPUT_MAX_BYTES ((size_t) 64 << 10)
#define PLAIN_MAX_BYTES ((size_t) 128 << 10)
#define RESULT_MAX_BYTES ((size_t) 256 << 10) /* a bomb is left alone beyond */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    uint8_t bytes[RESULT_MAX_BYTES];
    size_t size;
    int end; /* COMPRESS_ENDED, -errno, or COMPRESS_HAS_MORE for a bomb */
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool is_stopped(void *owner)
{
    (void) owner;
    return false;
}

/* Offers the next part until it is taken, or nothing more can be. Returns the last answer. */
static int feed(struct compress_stream *stream, struct compress_input *part, bool is_last,
                size_t room, struct result *result)
{
    const struct compress_caller caller = { is_stopped, NULL };
    int r;

    do {
        const size_t left = RESULT_MAX_BYTES - result->size;
        struct compress_output output = { result->bytes + result->size, left < room ? left : room };
        if (left == 0)
            return COMPRESS_HAS_MORE;
        r = compress_step(stream, part, is_last, &output, &caller);
        result->size = (size_t) (output.data - result->bytes);
        require(result->size <= RESULT_MAX_BYTES);
    } while (r == COMPRESS_HAS_MORE);
    return r;
}

static void run(enum compress_format format, bool is_decoder, struct compress_input input,
                size_t part, size_t room, struct result *result)
{
    struct compress_stream *stream = NULL;

    require(compress_new(format, is_decoder, &stream) == 0);
    result->size = 0;
    do {
        const size_t now = input.size < part ? input.size : part;
        struct compress_input next = { input.data, now };
        result->end = feed(stream, &next, now == input.size, room, result);
        require(next.size <= now);
        input.data += now - next.size;
        input.size -= now - next.size;
    } while (result->end == COMPRESS_NEEDS_INPUT);
    compress_free(stream);
}

/* Fills plain with the input so often, each time with other bytes: encoders end a block only after many KiB. Returns the size. */
static size_t repeat(const struct compress_input *input, unsigned times, uint8_t *plain)
{
    size_t size = 0;

    for (unsigned i = 0; i < times && size + input->size <= PLAIN_MAX_BYTES; i++)
        for (size_t j = 0; j < input->size; j++)
            plain[size++] = (uint8_t) (input->data[j] ^ i);
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[PLAIN_MAX_BYTES];
    static struct result once, in_parts, packed;

    if (size < 2 || size > INPUT_MAX_BYTES)
        return 0;
    const enum compress_format format = (enum compress_format)(data[0] % COMPRESS_FORMATS);
    const size_t part = 1 + data[1];
    const struct compress_input input = { data + 2, size - 2 };

    run(format, true, input, size, RESULT_MAX_BYTES, &once);
    run(format, true, input, part, part, &in_parts);
    /* A decoder may have given less of bad data when it meets the fault, and end at the bound or not. */
    if (once.end != COMPRESS_HAS_MORE && in_parts.end != COMPRESS_HAS_MORE)
        require(in_parts.end == once.end);
    if (once.end == COMPRESS_ENDED && in_parts.end == COMPRESS_ENDED)
        require(in_parts.size == once.size && memcmp(in_parts.bytes, once.bytes, once.size) == 0);

    const unsigned times = 1 + data[0] / COMPRESS_FORMATS;
    const struct compress_input plain = { bytes, repeat(&input, times, bytes) };
    run(format, false, plain, part * times, part * times, &packed);
    require(packed.end == COMPRESS_ENDED);
    run(format, true, (struct compress_input){ packed.bytes, packed.size }, part * times,
        part * times, &once);
    require(once.end == COMPRESS_ENDED && once.size == plain.size &&
            memcmp(once.bytes, plain.data, plain.size) == 0);
    return 0;
}
