/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compression for tenants, by ISA-L, zlib, libbrotli and libzstd; worker/v8/compress.cc gives it to JavaScript. Knows neither V8
 * nor isolates, reads no file, and has no state but that of its streams, whose memory comes from malloc. Worker process, main
 * thread, inside the jail.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum compress_format {
    COMPRESS_DEFLATE,     /* RFC 1950 */
    COMPRESS_DEFLATE_RAW, /* RFC 1951 */
    COMPRESS_GZIP,        /* RFC 1952, one member */
    COMPRESS_BROTLI,      /* RFC 7932: a decoder takes windows up to 16 MiB, no "large" ones */
    COMPRESS_ZSTD, /* RFC 8878, one frame: a decoder takes windows up to 8 MiB, as RFC 9659 has it */
    COMPRESS_FORMATS,
};

struct compress_input {
    const uint8_t *data; /* borrowed for the call; may be NULL if size is 0 */
    size_t size;
};

struct compress_output {
    uint8_t *data; /* borrowed for the call */
    size_t size;   /* at least 1 */
};

enum compress_state {
    COMPRESS_NEEDS_INPUT, /* all of the input is taken, and all output for it was given */
    COMPRESS_HAS_MORE, /* to be called again, with the rest of the input: there was no more room, or the slice is over */
    COMPRESS_ENDED, /* the end of the compressed data was written, or read; the rest of the input was not taken */
};

/* On whose behalf a step runs. */
struct compress_caller {
    /* True once the step has to end: is looked at after each few KiB, and must be cheap. */
    bool (*is_stopped)(void *owner);
    void *owner;
};

/* The most input that one step takes; the encoder of DEFLATE, which is fast, takes that much. A step is short: some milliseconds,
 * whatever the input. */
#define COMPRESS_SLICE_BYTES ((size_t) 1 << 20)
#define COMPRESS_SLOW_SLICE_BYTES ((size_t) 64 << 10) /* the same of all other libraries */

struct compress_stream;

/* Makes a compressor, or a decompressor. 0, -EINVAL if there is no such format, or -ENOMEM. */
int compress_new(enum compress_format format, bool is_decoder, struct compress_stream **ret_stream);
/* NULL is allowed. Returns NULL. */
struct compress_stream *compress_free(struct compress_stream *stream);

/*
 * Does a slice of work. Takes bytes from the front of *input and fills *output from its front; both are stepped on. is_last: no
 * input will come after this one. Returns an enum compress_state, or
 *   -EBADMSG    data that are not in the format, end too early, have a wrong checksum or ask for a larger window
 *   -ECANCELED  the caller is out of time
 *   -ENOMEM     no memory for the window
 * A stream that has failed or ended takes nothing any more, and answers the same.
 */
int compress_step(struct compress_stream *stream, struct compress_input *input, bool is_last,
                  struct compress_output *output, const struct compress_caller *caller);

#ifdef __cplusplus
}
#endif
