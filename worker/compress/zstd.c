/* SPDX-License-Identifier: Apache-2.0 */
/* Zstandard by libzstd. */
#include <zstd.h>
#include <zstd_errors.h>

#include <errno.h>
#include <stdlib.h>

#include "worker/compress/internal.h"

#define LEVEL 3                /* the library's own choice */
#define ENCODER_WINDOW_BITS 19 /* less memory than the 21 of that level */
#define DECODER_WINDOW_BITS 23 /* RFC 9659: at most that for "zstd" on the web */

static int to_errno(size_t code)
{
    return ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation ? -ENOMEM : -EBADMSG;
}

static int start_encoder(enum compress_format format, void **ret_state)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();

    (void) format;
    if (!context)
        return -ENOMEM;
    (void) ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, LEVEL);
    (void) ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, ENCODER_WINDOW_BITS);
    (void) ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    *ret_state = context;
    return 0;
}

static void step_on(struct compress_input *input, const ZSTD_inBuffer *in,
                    struct compress_output *output, const ZSTD_outBuffer *out)
{
    if (in->pos > 0)
        *input = (struct compress_input){ input->data + in->pos, input->size - in->pos };
    *output = (struct compress_output){ output->data + out->pos, output->size - out->pos };
}

static int step_encoder(void *state, struct compress_input *input, bool is_last,
                        struct compress_output *output)
{
    ZSTD_inBuffer in = { input->data, input->size, 0 };
    ZSTD_outBuffer out = { output->data, output->size, 0 };

    size_t left = ZSTD_compressStream2(state, &out, &in, is_last ? ZSTD_e_end : ZSTD_e_continue);
    step_on(input, &in, output, &out);
    if (ZSTD_isError(left))
        return to_errno(left);
    if (is_last)
        return left == 0 ? COMPRESS_ENDED : COMPRESS_HAS_MORE;
    return input->size > 0 || output->size == 0 ? COMPRESS_HAS_MORE : COMPRESS_NEEDS_INPUT;
}

static void end_encoder(void *state)
{
    (void) ZSTD_freeCCtx(state);
}

struct decoder {
    ZSTD_DCtx *context;
    bool is_begun; /* the library has the first byte of the frame */
};

static int start_decoder(enum compress_format format, void **ret_state)
{
    struct decoder *decoder = calloc(1, sizeof *decoder);

    (void) format;
    if (!decoder)
        return -ENOMEM;
    decoder->context = ZSTD_createDCtx();
    if (!decoder->context) {
        free(decoder);
        return -ENOMEM;
    }
    (void) ZSTD_DCtx_setParameter(decoder->context, ZSTD_d_windowLogMax, DECODER_WINDOW_BITS);
    *ret_state = decoder;
    return 0;
}

/* Gives the library the first byte of a frame alone: a frame that it sees whole goes another way, on which an empty last block
 * and a wrong size in the header are an error. Results must not depend on how the input is cut. */
static int step_decoder(void *state, struct compress_input *input, bool is_last,
                        struct compress_output *output)
{
    struct decoder *decoder = state;
    size_t size = decoder->is_begun || input->size == 0 ? input->size : 1;
    ZSTD_inBuffer in = { input->data, size, 0 };
    ZSTD_outBuffer out = { output->data, output->size, 0 };

    decoder->is_begun = decoder->is_begun || size > 0;
    size_t left = ZSTD_decompressStream(decoder->context, &out, &in);
    step_on(input, &in, output, &out);
    if (ZSTD_isError(left))
        return to_errno(left);
    if (left == 0)
        return COMPRESS_ENDED;
    if (input->size > 0 || output->size == 0)
        return COMPRESS_HAS_MORE;
    return is_last ? -EBADMSG : COMPRESS_NEEDS_INPUT;
}

static void end_decoder(void *state)
{
    struct decoder *decoder = state;

    (void) ZSTD_freeDCtx(decoder->context);
    free(decoder);
}

const struct compress_codec compress_zstd_encoder = { start_encoder, step_encoder, end_encoder,
                                                      COMPRESS_SLOW_SLICE_BYTES,
                                                      COMPRESS_SLOW_PIECE_BYTES };
const struct compress_codec compress_zstd_decoder = { start_decoder, step_decoder, end_decoder,
                                                      COMPRESS_SLOW_SLICE_BYTES,
                                                      COMPRESS_SLOW_PIECE_BYTES };
