/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoders of the Encoding standard, but for UTF-8: from bytes that come in parts to UTF-16. Pure functions over tables that
 * make_tables.mjs writes when skep is built. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The order is that of encoding_names in make_tables.mjs. */
enum encoding {
    ENCODING_UTF_8,
    ENCODING_UTF_16LE,
    ENCODING_UTF_16BE,
    ENCODING_GBK,
    ENCODING_GB18030,
    ENCODING_BIG5,
    ENCODING_EUC_JP,
    ENCODING_ISO_2022_JP,
    ENCODING_SHIFT_JIS,
    ENCODING_EUC_KR,
    ENCODING_REPLACEMENT, /* has no decoder here */
    ENCODING_X_USER_DEFINED,
    ENCODING_SINGLE_BYTE, /* the first of those with one table each */
};

enum {
    ENCODING_LABEL_MAX = 32, /* bytes; the longest label has fewer */
    DECODER_MORE_UNITS = 8,  /* see decoder_run */
};

/* A decoder between two parts. All zero: at the start. Every state is safe, also one that no bytes lead to. */
struct decoder {
    uint8_t lead;
    uint8_t second;
    uint8_t third;
    uint8_t
        mode; /* iso-2022-jp: the state machine; euc-jp: 1 within a sequence of JIS X 0212; utf-16: 1 with half a unit in lead */
};

/* Returns the encoding of a label in lower case without blanks around it, -1 if there is none. */
int encoding_find(const char *label, size_t size);

/* Returns the name in lower case; NULL for a number that is none. */
const char *encoding_name(unsigned encoding);

/* Decodes size bytes. out has room for size + DECODER_MORE_UNITS units. Bad sequences become U+FFFD; with is_fatal, the result is
 * -EILSEQ at the first one, and -EINVAL for an encoding without a decoder here. */
int decoder_run(struct decoder *decoder, unsigned encoding, bool is_fatal, const uint8_t *bytes,
                size_t size, uint16_t *out, size_t *ret_units);

/* Decodes the end: what is left of a sequence is a bad one. As decoder_run, with room for DECODER_MORE_UNITS units. */
int decoder_end(struct decoder *decoder, unsigned encoding, bool is_fatal, uint16_t *out,
                size_t *ret_units);

#ifdef __cplusplus
}
#endif
