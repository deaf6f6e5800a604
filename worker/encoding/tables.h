/* SPDX-License-Identifier: Apache-2.0 */
/* The tables that make_tables.mjs writes: the indexes and labels of the Encoding standard. Between the files of this folder. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { GB18030_RANGES = 207, SINGLE_BYTE_UNITS = 128 };

struct encoding_label {
    const char *text;
    uint8_t encoding;
};

struct encoding_range {
    uint32_t pointer;
    uint32_t point;
};

/* A UTF-16 unit for each pointer, 0 for one without. */
struct encoding_index {
    const uint16_t *units;
    size_t size;
};

extern const struct encoding_index index_jis0208;
extern const struct encoding_index index_jis0212;
extern const struct encoding_index index_euc_kr;
extern const struct encoding_index index_gb18030;
extern const uint32_t index_big5[]; /* one unit, or two with the first in the upper half */
extern const size_t index_big5_size;
extern const struct encoding_range gb18030_ranges[GB18030_RANGES];

extern const uint16_t single_byte_units
    [][SINGLE_BYTE_UNITS]; /* units of the upper half of the bytes; U+FFFD for a bad one */
extern const struct encoding_label encoding_labels[]; /* by their bytes */
extern const size_t encoding_labels_size;
extern const char *const encoding_names[];
extern const size_t encoding_names_size;
