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
    size_t slice_bytes; /* most input of a step of compress.h */
    size_t piece_bytes; /* input between two looks at the caller */
};

/* A few KiB of brotli may ask for a window of output, 16 MiB, before a decoder looks up again; and each few bytes of any format may
 * begin a block with tables of its own. */
#define COMPRESS_SLOW_PIECE_BYTES ((size_t) 4 << 10)

extern const struct compress_codec compress_isal_encoder, compress_zlib_decoder;
extern const struct compress_codec compress_brotli_encoder, compress_brotli_decoder;
extern const struct compress_codec compress_zstd_encoder, compress_zstd_decoder;
