/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations that the files of worker/compress share: one for each library. */
#pragma once

#include "worker/compress/compress.h"

/* One direction of a library. Functions return 0 or an enum compress_state, or -errno as compress.h has it. */
struct compress_codec {
    /* Makes the library's state. */
    int (*start)(enum compress_format format, void **ret_state);
    /* Takes and writes as much as it can. is_last: the input ends with this piece. */
    int (*step)(void *state, struct compress_input *input, bool is_last,
                struct compress_output *output);
    void (*end)(void *state);
};

extern const struct compress_codec compress_isal_encoder, compress_zlib_decoder;
extern const struct compress_codec compress_brotli_encoder, compress_brotli_decoder;
extern const struct compress_codec compress_zstd_encoder, compress_zstd_decoder;
