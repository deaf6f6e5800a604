/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: which library a format has, and how the work of one is cut into slices. */
#include <errno.h>
#include <stdlib.h>

#include "worker/compress/internal.h"

struct compress_stream {
    const struct compress_codec *codec;
    void *state;
    int result; /* COMPRESS_ENDED or a failure: the last answer; else COMPRESS_HAS_MORE */
};

/* Rows: encoder, decoder. */
static const struct compress_codec *const codecs[COMPRESS_FORMATS][2] = {
    [COMPRESS_DEFLATE] = { &compress_isal_encoder, &compress_zlib_decoder },
    [COMPRESS_DEFLATE_RAW] = { &compress_isal_encoder, &compress_zlib_decoder },
    [COMPRESS_GZIP] = { &compress_isal_encoder, &compress_zlib_decoder },
    [COMPRESS_BROTLI] = { &compress_brotli_encoder, &compress_brotli_decoder },
    [COMPRESS_ZSTD] = { &compress_zstd_encoder, &compress_zstd_decoder },
};

int compress_new(enum compress_format format, bool is_decoder, struct compress_stream **ret_stream)
{
    if ((unsigned) format >= COMPRESS_FORMATS)
        return -EINVAL;
    struct compress_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return -ENOMEM;
    stream->codec = codecs[format][is_decoder];
    stream->result = COMPRESS_HAS_MORE;
    int r = stream->codec->start(format, &stream->state);
    if (r < 0) {
        free(stream);
        return r;
    }
    *ret_stream = stream;
    return 0;
}

struct compress_stream *compress_free(struct compress_stream *stream)
{
    if (stream)
        stream->codec->end(stream->state);
    free(stream);
    return NULL;
}

/* Returns the next piece of the input. */
static struct compress_input next_piece(const struct compress_input *input, size_t most,
                                        size_t left)
{
    size_t size = input->size < most ? input->size : most;

    return (struct compress_input){ input->data, size < left ? size : left };
}

static int work(struct compress_stream *stream, struct compress_input *input, bool is_last,
                struct compress_output *output, const struct compress_caller *caller)
{
    size_t left = stream->codec->slice_bytes;

    for (;;) {
        struct compress_input piece = next_piece(input, stream->codec->piece_bytes, left);
        const size_t size = piece.size;
        const size_t room = output->size;

        if (caller->is_stopped(caller->owner))
            return -ECANCELED;
        int r = stream->codec->step(stream->state, &piece, is_last && size == input->size, output);
        const size_t taken = size - piece.size;
        if (taken > 0)
            *input = (struct compress_input){ input->data + taken, input->size - taken };
        left -= taken;
        if (r < 0 || r == COMPRESS_ENDED)
            return r;
        if (r == COMPRESS_NEEDS_INPUT && input->size == 0)
            return r;
        if (output->size == 0 || left == 0)
            return COMPRESS_HAS_MORE;
        if (taken == 0 && output->size == room)
            return -EBADMSG; /* a library that stands still would do so for ever */
    }
}

int compress_step(struct compress_stream *stream, struct compress_input *input, bool is_last,
                  struct compress_output *output, const struct compress_caller *caller)
{
    if (stream->result != COMPRESS_HAS_MORE)
        return stream->result;
    int r = work(stream, input, is_last, output, caller);
    if (r < 0 || r == COMPRESS_ENDED)
        stream->result = r;
    return r;
}
