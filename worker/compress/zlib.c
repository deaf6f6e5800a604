/* SPDX-License-Identifier: Apache-2.0 */
/* DEFLATE's decoder by zlib: bare, and in the frames of zlib and gzip. The window has 32 KiB. */
#define ZLIB_CONST
#include <zlib.h>

#include <errno.h>
#include <stdlib.h>

#include "worker/compress/internal.h"

#define WINDOW_BITS 15
#define GZIP 16 /* added to the bits: a frame of gzip; negative bits: no frame */

static int window_bits(enum compress_format format)
{
    return format == COMPRESS_GZIP          ? WINDOW_BITS + GZIP
           : format == COMPRESS_DEFLATE_RAW ? -WINDOW_BITS
                                            : WINDOW_BITS;
}

static int to_errno(int r)
{
    return r == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

static int start(enum compress_format format, void **ret_state)
{
    z_stream *z = calloc(1, sizeof *z);

    if (!z)
        return -ENOMEM;
    if (inflateInit2(z, window_bits(format)) != Z_OK) {
        free(z);
        return -ENOMEM;
    }
    *ret_state = z;
    return 0;
}

/* A piece of input, and room for output, are far below 4 GiB. */
static void lend(z_stream *z, const struct compress_input *input,
                 const struct compress_output *output)
{
    z->next_in = input->data;
    z->avail_in = (uInt) input->size;
    z->next_out = output->data;
    z->avail_out = output->size < UINT32_MAX ? (uInt) output->size : UINT32_MAX;
}

static void take_back(z_stream *z, struct compress_input *input, struct compress_output *output)
{
    *input = (struct compress_input){ z->next_in, z->avail_in };
    output->size -= (size_t) (z->next_out - output->data);
    output->data = z->next_out;
    z->next_in = NULL;
    z->next_out = NULL;
}

static int step(void *state, struct compress_input *input, bool is_last,
                struct compress_output *output)
{
    z_stream *z = state;

    lend(z, input, output);
    int r = inflate(z, Z_NO_FLUSH);
    take_back(z, input, output);
    if (r == Z_STREAM_END)
        return COMPRESS_ENDED;
    if (r != Z_OK && r != Z_BUF_ERROR) /* Z_NEED_DICT, too: there is none */
        return to_errno(r);
    if (output->size == 0 || input->size > 0)
        return COMPRESS_HAS_MORE;
    return is_last ? -EBADMSG : COMPRESS_NEEDS_INPUT;
}

static void end(void *state)
{
    (void) inflateEnd(state);
    free(state);
}

const struct compress_codec compress_zlib_decoder = { start, step, end, COMPRESS_SLOW_SLICE_BYTES,
                                                      COMPRESS_SLOW_PIECE_BYTES };
