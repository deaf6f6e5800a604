/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of this folder: one run of a decoder. */
#pragma once

#include <errno.h>
#include <string.h>

#include "worker/encoding/encoding.h"

struct run {
    const uint8_t *in;
    const uint8_t *end;
    uint16_t *out;
    bool is_fatal;
};

enum { REPLACEMENT_UNIT = 0xfffd, ASCII_END = 0x80 };

/* Puts U+FFFD for a bad sequence. Returns 0; -EILSEQ where that is fatal. */
static inline int put_error(struct run *run)
{
    if (run->is_fatal)
        return -EILSEQ;
    *run->out++ = REPLACEMENT_UNIT;
    return 0;
}

/* Copies the ASCII bytes that come next. */
static inline void put_ascii(struct run *run)
{
    uint64_t word;

    while (run->end - run->in >= (ptrdiff_t) sizeof word) {
        memcpy(&word, run->in, sizeof word);
        if ((word & UINT64_C(0x8080808080808080)) != 0)
            break;
        for (size_t i = 0; i < sizeof word; i++)
            run->out[i] = run->in[i];
        run->out += sizeof word;
        run->in += sizeof word;
    }
    while (run->in < run->end && *run->in < ASCII_END)
        *run->out++ = *run->in++;
}

static inline bool is_in(unsigned value, unsigned least, unsigned most)
{
    return value >= least && value <= most;
}

/* Decoders of multi_byte.c and iso_2022_jp.c. Each decodes the whole run, and returns 0 or -EILSEQ. */
int decode_gb18030(struct decoder *d, struct run *run);
int decode_big5(struct decoder *d, struct run *run);
int decode_euc_jp(struct decoder *d, struct run *run);
int decode_shift_jis(struct decoder *d, struct run *run);
int decode_euc_kr(struct decoder *d, struct run *run);
int decode_iso_2022_jp(struct decoder *d, struct run *run);
int end_iso_2022_jp(struct decoder *d, struct run *run);
