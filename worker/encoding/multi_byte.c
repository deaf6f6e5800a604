/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoders with a lead byte: gb18030 (and gbk), Big5, EUC-JP, Shift_JIS, EUC-KR; https://encoding.spec.whatwg.org/, sections 10 to 13.
 * An ASCII byte that cannot follow its lead is read again, so that nobody hides one behind a bad lead.
 */
#include "worker/encoding/internal.h"
#include "worker/encoding/tables.h"

static uint16_t look_up(const struct encoding_index *index, size_t pointer)
{
    return pointer < index->size ? index->units[pointer] : 0;
}

/* Ends a sequence that is bad at its last byte. */
static int end_badly(struct run *run)
{
    if (*run->in >= ASCII_END)
        run->in++;
    return put_error(run);
}

/* ---- gb18030 */

/* Returns the code point of a sequence of four bytes; 0 without one. */
static uint32_t look_up_range(uint32_t pointer)
{
    size_t low = 0;
    size_t high = GB18030_RANGES;

    if ((pointer > 39419 && pointer < 189000) || pointer > 1237575)
        return 0;
    if (pointer == 7457)
        return 0xe7c7;
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        if (gb18030_ranges[middle].pointer <= pointer)
            low = middle;
        else
            high = middle;
    }
    return gb18030_ranges[low].point + pointer - gb18030_ranges[low].pointer;
}

/* Decodes the fourth byte. The second one is a digit and the third no ASCII: after a bad fourth they are read again. */
static int decode_fourth(struct decoder *d, struct run *run)
{
    const uint8_t byte = *run->in;
    uint32_t point = 0;

    if (!is_in(byte, 0x30, 0x39)) {
        const uint8_t second = d->second;
        d->lead = d->third;
        d->second = d->third = 0;
        if (put_error(run) < 0)
            return -EILSEQ;
        *run->out++ = second;
        return 0;
    }
    run->in++;
    point = look_up_range(
        ((d->lead - 0x81u) * 126 * 10 + (d->second - 0x30u) * 126 + d->third - 0x81u) * 10 + byte -
        0x30u);
    d->lead = d->second = d->third = 0;
    if (point == 0)
        return put_error(run);
    if (point > 0xffff) {
        *run->out++ = (uint16_t) (0xd7c0 + (point >> 10));
        point = 0xdc00 | (point & 0x3ff);
    }
    *run->out++ = (uint16_t) point;
    return 0;
}

/* Decodes the byte after a lead and a digit. */
static int decode_third(struct decoder *d, struct run *run)
{
    const uint8_t second = d->second;

    if (is_in(*run->in, 0x81, 0xfe)) {
        d->third = *run->in++;
        return 0;
    }
    d->lead = d->second = 0;
    if (put_error(run) < 0)
        return -EILSEQ;
    *run->out++ = second;
    return 0;
}

static int decode_second(struct decoder *d, struct run *run)
{
    const uint8_t byte = *run->in;
    uint16_t unit = 0;

    if (is_in(byte, 0x30, 0x39)) {
        d->second = byte;
        run->in++;
        return 0;
    }
    if (is_in(byte, 0x40, 0xfe) && byte != 0x7f)
        unit =
            look_up(&index_gb18030, (d->lead - 0x81u) * 190 + byte - (byte < 0x7f ? 0x40u : 0x41u));
    d->lead = 0;
    if (unit == 0)
        return end_badly(run);
    *run->out++ = unit;
    run->in++;
    return 0;
}

int decode_gb18030(struct decoder *d, struct run *run)
{
    int r = 0;

    while (r == 0 && run->in < run->end) {
        if (d->third != 0) {
            r = decode_fourth(d, run);
        } else if (d->second != 0) {
            r = decode_third(d, run);
        } else if (d->lead != 0) {
            r = decode_second(d, run);
        } else if (*run->in < ASCII_END) {
            put_ascii(run);
        } else {
            const uint8_t byte = *run->in++;
            if (byte == 0x80)
                *run->out++ = 0x20ac;
            else if (byte == 0xff)
                r = put_error(run);
            else
                d->lead = byte;
        }
    }
    return r;
}

/* ---- two bytes */

/* Decodes leads from 0x81 to 0xfe with one byte behind each. look_up_pair: returns the unit of both, or two, the first of them in the
 * upper half; 0 without one. */
static inline int decode_pairs(struct decoder *d, struct run *run,
                               uint32_t (*look_up_pair)(uint8_t lead, uint8_t byte))
{
    int r = 0;

    while (r == 0 && run->in < run->end) {
        uint32_t units = 0;
        if (d->lead == 0) {
            put_ascii(run);
            if (run->in < run->end && is_in(*run->in, 0x81, 0xfe))
                d->lead = *run->in++;
            else if (run->in < run->end)
                r = end_badly(run);
            continue;
        }
        units = look_up_pair(d->lead, *run->in);
        d->lead = 0;
        if (units == 0) {
            r = end_badly(run);
            continue;
        }
        if (units > 0xffff)
            *run->out++ = (uint16_t) (units >> 16);
        *run->out++ = (uint16_t) units;
        run->in++;
    }
    return r;
}

static uint32_t look_up_big5(uint8_t lead, uint8_t byte)
{
    if (!is_in(byte, 0x40, 0x7e) && !is_in(byte, 0xa1, 0xfe))
        return 0;
    const size_t pointer = (lead - 0x81u) * 157 + byte - (byte < 0x7f ? 0x40u : 0x62u);
    return pointer < index_big5_size ? index_big5[pointer] : 0;
}

int decode_big5(struct decoder *d, struct run *run)
{
    return decode_pairs(d, run, look_up_big5);
}

static uint32_t look_up_euc_kr(uint8_t lead, uint8_t byte)
{
    return is_in(byte, 0x41, 0xfe) ? look_up(&index_euc_kr, (lead - 0x81u) * 190 + byte - 0x41u)
                                   : 0;
}

int decode_euc_kr(struct decoder *d, struct run *run)
{
    return decode_pairs(d, run, look_up_euc_kr);
}

/* ---- Japanese */

/* Returns the unit of a lead and the byte after it; 0 without one. */
static uint16_t shift_jis_unit(uint8_t lead, uint8_t byte)
{
    size_t pointer = 0;

    if (!is_in(byte, 0x40, 0xfc) || byte == 0x7f)
        return 0;
    pointer = (lead - (lead < 0xa0 ? 0x81u : 0xc1u)) * 188 + byte - (byte < 0x7f ? 0x40u : 0x41u);
    if (pointer >= 8836 && pointer <= 10715)
        return (uint16_t) (0xe000 - 8836 + pointer);
    return look_up(&index_jis0208, pointer);
}

int decode_shift_jis(struct decoder *d, struct run *run)
{
    int r = 0;

    while (r == 0 && run->in < run->end) {
        uint8_t byte = *run->in;
        if (d->lead != 0) {
            const uint16_t unit = shift_jis_unit(d->lead, byte);
            d->lead = 0;
            if (unit == 0) {
                r = end_badly(run);
                continue;
            }
            *run->out++ = unit;
            run->in++;
            continue;
        }
        put_ascii(run);
        if (run->in == run->end)
            break;
        byte = *run->in++;
        if (byte == 0x80)
            *run->out++ = byte;
        else if (is_in(byte, 0xa1, 0xdf))
            *run->out++ = (uint16_t) (0xff61 - 0xa1 + byte);
        else if (is_in(byte, 0x81, 0x9f) || is_in(byte, 0xe0, 0xfc))
            d->lead = byte;
        else
            r = put_error(run);
    }
    return r;
}

/* Decodes a byte after a lead: 0x8e is for half-width katakana, 0x8f for JIS X 0212, whose first byte is a lead again. */
static int decode_euc_jp_next(struct decoder *d, struct run *run)
{
    const uint8_t byte = *run->in;
    const uint8_t lead = d->lead;
    const bool is_0212 = d->mode != 0;
    uint16_t unit = 0;

    if (lead == 0x8f && !is_0212 && is_in(byte, 0xa1, 0xfe)) {
        d->mode = 1;
        d->lead = byte;
        run->in++;
        return 0;
    }
    d->lead = d->mode = 0;
    if (lead == 0x8e && is_in(byte, 0xa1, 0xdf))
        unit = (uint16_t) (0xff61 - 0xa1 + byte);
    else if (is_in(lead, 0xa1, 0xfe) && is_in(byte, 0xa1, 0xfe))
        unit =
            look_up(is_0212 ? &index_jis0212 : &index_jis0208, (lead - 0xa1u) * 94 + byte - 0xa1u);
    if (unit == 0)
        return end_badly(run);
    *run->out++ = unit;
    run->in++;
    return 0;
}

int decode_euc_jp(struct decoder *d, struct run *run)
{
    int r = 0;

    while (r == 0 && run->in < run->end) {
        if (d->lead != 0) {
            r = decode_euc_jp_next(d, run);
            continue;
        }
        put_ascii(run);
        if (run->in == run->end)
            break;
        if (*run->in == 0x8e || *run->in == 0x8f || is_in(*run->in, 0xa1, 0xfe))
            d->lead = *run->in++;
        else
            r = end_badly(run);
    }
    return r;
}
