/* SPDX-License-Identifier: Apache-2.0 */
/* Brotli by libbrotlienc and libbrotlidec. */
#include <brotli/decode.h>
#include <brotli/encode.h>

#include <errno.h>

#include "worker/compress/internal.h"

/* The quality that servers take for answers they make on the fly: 11 takes some hundred times as long. */
#define QUALITY 5
#define WINDOW_BITS 19 /* the window of the encoder: less memory than the library's 22 */

static int start_encoder(enum compress_format format, void **ret_state)
{
    BrotliEncoderState *state = BrotliEncoderCreateInstance(NULL, NULL, NULL);

    (void) format;
    if (!state)
        return -ENOMEM;
    (void) BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, QUALITY);
    (void) BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, WINDOW_BITS);
    *ret_state = state;
    return 0;
}

static int step_encoder(void *state, struct compress_input *input, bool is_last,
                        struct compress_output *output)
{
    const BrotliEncoderOperation operation =
        is_last ? BROTLI_OPERATION_FINISH : BROTLI_OPERATION_PROCESS;

    if (!BrotliEncoderCompressStream(state, operation, &input->size, &input->data, &output->size,
                                     &output->data, NULL))
        return -ENOMEM;
    if (BrotliEncoderIsFinished(state))
        return COMPRESS_ENDED;
    return is_last || input->size > 0 || BrotliEncoderHasMoreOutput(state) ? COMPRESS_HAS_MORE
                                                                           : COMPRESS_NEEDS_INPUT;
}

static void end_encoder(void *state)
{
    BrotliEncoderDestroyInstance(state);
}

/* A decoder takes no large window as long as it is not told to. */
static int start_decoder(enum compress_format format, void **ret_state)
{
    (void) format;
    *ret_state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    return *ret_state ? 0 : -ENOMEM;
}

static int to_errno(BrotliDecoderErrorCode code)
{
    return code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
                   code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES
               ? -ENOMEM
               : -EBADMSG;
}

static int step_decoder(void *state, struct compress_input *input, bool is_last,
                        struct compress_output *output)
{
    switch (BrotliDecoderDecompressStream(state, &input->size, &input->data, &output->size,
                                          &output->data, NULL)) {
    case BROTLI_DECODER_RESULT_SUCCESS:
        return COMPRESS_ENDED;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
        return COMPRESS_HAS_MORE;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
        return is_last ? -EBADMSG : COMPRESS_NEEDS_INPUT;
    case BROTLI_DECODER_RESULT_ERROR:
    default:
        return to_errno(BrotliDecoderGetErrorCode(state));
    }
}

static void end_decoder(void *state)
{
    BrotliDecoderDestroyInstance(state);
}

const struct compress_codec compress_brotli_encoder = { start_encoder, step_encoder, end_encoder,
                                                        COMPRESS_SLOW_SLICE_BYTES,
                                                        COMPRESS_SLOW_PIECE_BYTES };
const struct compress_codec compress_brotli_decoder = { start_decoder, step_decoder, end_decoder,
                                                        COMPRESS_SLOW_SLICE_BYTES,
                                                        COMPRESS_SLOW_PIECE_BYTES };
