/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DEFLATE's encoder by ISA-L: bare, and in the frames of zlib and gzip. Takes a tenth of zlib's time or less, for output that is about
 * a seventh larger. Picks code for the processor by CPUID alone. The window has 32 KiB.
 */
#include <isa-l/igzip_lib.h>

#include <errno.h>
#include <stdlib.h>

#include "worker/compress/internal.h"

/* The library's best. With its smallest tables for this level: larger ones gain nothing. */
#define LEVEL 3
#define LEVEL_BYTES ISAL_DEF_LVL3_SMALL
/* The best level looks at every match, and takes 25 times as long as the one below where data match everywhere, for output that is
 * small with either. */
#define LEVEL_OF_REPEATS 2
_Static_assert(ISAL_DEF_LVL2_SMALL <= LEVEL_BYTES, "both levels have the same tables");
#define PROBE_BYTES ((size_t) 8 << 10)
#define PROBE_RATIO 16

struct encoder {
    struct isal_zstream stream;
    enum compress_format format;
    bool has_begun;
    _Alignas(64) uint8_t level[LEVEL_BYTES];
};

static uint16_t frame(enum compress_format format)
{
    return format == COMPRESS_GZIP          ? IGZIP_GZIP
           : format == COMPRESS_DEFLATE_RAW ? IGZIP_DEFLATE
                                            : IGZIP_ZLIB;
}

/* The memory is cleared, so that no bytes of others can be in the output whatever the library does. */
static int start(enum compress_format format, void **ret_state)
{
    struct encoder *encoder = calloc(1, sizeof *encoder);

    if (!encoder)
        return -ENOMEM;
    encoder->format = format;
    *ret_state = encoder;
    return 0;
}

/* Lends the input and the room. The library does not write to its input. A piece, and room, are far below 4 GiB. */
static void lend(struct isal_zstream *stream, const struct compress_input *input,
                 const struct compress_output *output)
{
    stream->next_in = (uint8_t *) (uintptr_t) input->data;
    stream->avail_in = (uint32_t) input->size;
    stream->next_out = output->data;
    stream->avail_out = output->size < UINT32_MAX ? (uint32_t) output->size : UINT32_MAX;
}

static void take_back(struct isal_zstream *stream, struct compress_input *input,
                      struct compress_output *output)
{
    *input = (struct compress_input){ stream->next_in, stream->avail_in };
    output->size -= (size_t) (stream->next_out - output->data);
    output->data = stream->next_out;
    stream->next_in = NULL;
    stream->next_out = NULL;
}

/* Returns whether the beginning of long data repeats itself: whether the fastest level makes a sixteenth of it. Leaves the stream to be
 * made anew. */
static bool is_repetitive(struct isal_zstream *stream, const struct compress_input *input)
{
    uint8_t room[PROBE_BYTES / PROBE_RATIO];

    if (input->size < 2 * PROBE_BYTES)
        return false;
    isal_deflate_stateless_init(stream);
    stream->end_of_stream = 1;
    lend(stream, &(struct compress_input){ input->data, PROBE_BYTES },
         &(struct compress_output){ room, sizeof room });
    return isal_deflate_stateless(stream) == COMP_OK;
}

static void begin(struct encoder *encoder, const struct compress_input *input)
{
    struct isal_zstream *stream = &encoder->stream;
    const bool repeats = is_repetitive(stream, input);

    isal_deflate_init(stream);
    stream->gzip_flag = frame(encoder->format);
    stream->level = repeats ? LEVEL_OF_REPEATS : LEVEL;
    stream->level_buf = encoder->level;
    stream->level_buf_size = sizeof encoder->level;
    encoder->has_begun = true;
}

static int step(void *state, struct compress_input *input, bool is_last,
                struct compress_output *output)
{
    struct encoder *encoder = state;
    struct isal_zstream *stream = &encoder->stream;

    if (!encoder->has_begun)
        begin(encoder, input);
    lend(stream, input, output);
    stream->end_of_stream = is_last;
    int r = isal_deflate(stream);
    take_back(stream, input, output);
    if (r != COMP_OK)
        return -EBADMSG;
    if (stream->internal_state.state == ZSTATE_END)
        return COMPRESS_ENDED;
    return is_last || output->size == 0 || input->size > 0 ? COMPRESS_HAS_MORE
                                                           : COMPRESS_NEEDS_INPUT;
}

/* A piece takes less than a fifth of a millisecond, a slice up to six. */
const struct compress_codec compress_isal_encoder = { start, step, free, COMPRESS_SLICE_BYTES,
                                                      (size_t) 32 << 10 };
