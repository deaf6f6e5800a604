/* SPDX-License-Identifier: Apache-2.0 */
/* Labels, and the decoders that need no index: UTF-16, x-user-defined and those of one table each. The others are rows of decoders. */
#include "worker/encoding/internal.h"
#include "worker/encoding/tables.h"

int encoding_find(const char *label, size_t size)
{
    size_t low = 0;
    size_t high = encoding_labels_size;

    if (memchr(label, '\0', size) != NULL)
        return -1;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const char *text = encoding_labels[middle].text;
        const int r = strncmp(label, text, size);
        if (r == 0 && text[size] == '\0')
            return encoding_labels[middle].encoding;
        if (r > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

const char *encoding_name(unsigned encoding)
{
    return encoding < encoding_names_size ? encoding_names[encoding] : NULL;
}

/* ---- UTF-16 */

static bool is_lead_surrogate(unsigned unit)
{
    return (unit & 0xfc00) == 0xd800;
}

static bool is_trail_surrogate(unsigned unit)
{
    return (unit & 0xfc00) == 0xdc00;
}

/* Decodes a unit. A lead surrogate waits in second and third for its trail. */
static int decode_unit(struct decoder *d, struct run *run, uint16_t unit)
{
    const uint16_t lead = (uint16_t) (d->second << 8 | d->third);

    if (lead != 0) {
        d->second = d->third = 0;
        if (is_trail_surrogate(unit)) {
            *run->out++ = lead;
            *run->out++ = unit;
            return 0;
        }
        if (put_error(run) < 0)
            return -EILSEQ;
    }
    if (is_lead_surrogate(unit)) {
        d->second = (uint8_t) (unit >> 8);
        d->third = (uint8_t) unit;
        return 0;
    }
    if (is_trail_surrogate(unit))
        return put_error(run);
    *run->out++ = unit;
    return 0;
}

static int decode_utf_16(struct decoder *d, struct run *run, bool is_big_endian)
{
    int r = 0;

    while (r == 0 && run->in < run->end) {
        uint8_t first = d->lead;
        if (d->mode == 0)
            first = *run->in++;
        if (run->in == run->end) {
            d->lead = first;
            d->mode = 1;
            break;
        }
        const uint8_t second = *run->in++;
        d->lead = d->mode = 0;
        r = decode_unit(d, run,
                        (uint16_t) (is_big_endian ? first << 8 | second : second << 8 | first));
    }
    return r;
}

static int decode_utf_16le(struct decoder *d, struct run *run)
{
    return decode_utf_16(d, run, false);
}

static int decode_utf_16be(struct decoder *d, struct run *run)
{
    return decode_utf_16(d, run, true);
}

/* ---- a unit for each byte */

static int decode_x_user_defined(struct decoder *d, struct run *run)
{
    (void) d;
    for (; run->in < run->end; run->in++)
        *run->out++ = (uint16_t) (*run->in < ASCII_END ? *run->in : 0xf780 - 0x80 + *run->in);
    return 0;
}

static int decode_single_byte(unsigned encoding, struct run *run)
{
    const uint16_t *units = single_byte_units[encoding - ENCODING_SINGLE_BYTE];

    while (run->in < run->end) {
        put_ascii(run);
        for (; run->in < run->end && *run->in >= ASCII_END; run->in++) {
            const uint16_t unit = units[*run->in - ASCII_END];
            if (unit == REPLACEMENT_UNIT && run->is_fatal)
                return -EILSEQ;
            *run->out++ = unit;
        }
    }
    return 0;
}

/* ---- all */

typedef int (*decode_fn)(struct decoder *d, struct run *run);

static const decode_fn decoders[ENCODING_SINGLE_BYTE] = {
    [ENCODING_UTF_16LE] = decode_utf_16le,
    [ENCODING_UTF_16BE] = decode_utf_16be,
    [ENCODING_GBK] = decode_gb18030,
    [ENCODING_GB18030] = decode_gb18030,
    [ENCODING_BIG5] = decode_big5,
    [ENCODING_EUC_JP] = decode_euc_jp,
    [ENCODING_ISO_2022_JP] = decode_iso_2022_jp,
    [ENCODING_SHIFT_JIS] = decode_shift_jis,
    [ENCODING_EUC_KR] = decode_euc_kr,
    [ENCODING_X_USER_DEFINED] = decode_x_user_defined,
};

int decoder_run(struct decoder *decoder, unsigned encoding, bool is_fatal, const uint8_t *bytes,
                size_t size, uint16_t *out, size_t *ret_units)
{
    struct run run = { .in = bytes, .end = bytes + size, .out = out, .is_fatal = is_fatal };
    int r = -EINVAL;

    if (encoding < ENCODING_SINGLE_BYTE && decoders[encoding] != NULL)
        r = decoders[encoding](decoder, &run);
    else if (encoding >= ENCODING_SINGLE_BYTE && encoding < encoding_names_size)
        r = decode_single_byte(encoding, &run);
    if (r == 0)
        *ret_units = (size_t) (run.out - out);
    return r;
}

int decoder_end(struct decoder *decoder, unsigned encoding, bool is_fatal, uint16_t *out,
                size_t *ret_units)
{
    struct run run = { .out = out, .is_fatal = is_fatal };
    const bool is_left = decoder->lead != 0 || decoder->second != 0 || decoder->mode != 0;
    const int r = encoding == ENCODING_ISO_2022_JP ? end_iso_2022_jp(decoder, &run)
                  : is_left                        ? put_error(&run)
                                                   : 0;

    *decoder = (struct decoder){ 0 };
    if (r == 0)
        *ret_units = (size_t) (run.out - out);
    return r;
}
