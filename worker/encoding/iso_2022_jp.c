/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder of ISO-2022-JP, whose escape sequences change what bytes mean: https://encoding.spec.whatwg.org/#iso-2022-jp-decoder.
 * decoder.mode has the state, the state after the next escape sequence that is none, and whether an escape sequence was the last thing read.
 */
#include "worker/encoding/internal.h"
#include "worker/encoding/tables.h"

enum state { ASCII, ROMAN, KATAKANA, LEAD, TRAIL, ESCAPE_START, ESCAPE };
enum { STATE_BITS = 3, STATE_MASK = 7, ESCAPED = 0x40, ESC = 0x1b };

static enum state state_of(const struct decoder *d)
{
    return (enum state)(d->mode & STATE_MASK);
}

static enum state output_state(const struct decoder *d)
{
    return (enum state)(d->mode >> STATE_BITS & STATE_MASK);
}

static void set_state(struct decoder *d, enum state state)
{
    d->mode = (uint8_t) ((d->mode & ~(unsigned) STATE_MASK) | state);
}

/* Decodes a byte of a state in which an escape sequence may begin. */
static int decode_byte(struct decoder *d, struct run *run, uint8_t byte)
{
    const enum state state = state_of(d);

    if (byte == ESC) {
        const int r = state == TRAIL ? put_error(run) : 0;
        set_state(d, ESCAPE_START);
        return r;
    }
    d->mode &= (uint8_t) ~ESCAPED;
    switch (state) {
    case KATAKANA:
        if (!is_in(byte, 0x21, 0x5f))
            return put_error(run);
        *run->out++ = (uint16_t) (0xff61 - 0x21 + byte);
        return 0;
    case LEAD:
        if (!is_in(byte, 0x21, 0x7e))
            return put_error(run);
        d->lead = byte;
        set_state(d, TRAIL);
        return 0;
    case TRAIL: {
        const size_t pointer = (d->lead - 0x21u) * 94 + byte - 0x21u;
        const uint16_t unit = is_in(byte, 0x21, 0x7e) && pointer < index_jis0208.size
                                  ? index_jis0208.units[pointer]
                                  : 0;
        set_state(d, LEAD);
        if (unit == 0)
            return put_error(run);
        *run->out++ = unit;
        return 0;
    }
    default:
        if (byte > 0x7f || byte == 0x0e || byte == 0x0f)
            return put_error(run);
        *run->out++ = state == ROMAN && byte == 0x5c   ? 0xa5
                      : state == ROMAN && byte == 0x7e ? 0x203e
                                                       : byte;
        return 0;
    }
}

/* Ends an escape sequence that is none: its bytes are text of the state before. */
static int leave_escape(struct decoder *d, struct run *run)
{
    d->mode &= (uint8_t) ~ESCAPED;
    set_state(d, output_state(d));
    return put_error(run);
}

/* Returns the state that an escape sequence leads to; -1 if it is none. */
static int escape_to(uint8_t lead, uint8_t byte)
{
    if (lead == 0x28)
        return byte == 0x42 ? ASCII : byte == 0x4a ? ROMAN : byte == 0x49 ? KATAKANA : -1;
    return lead == 0x24 && (byte == 0x40 || byte == 0x42) ? LEAD : -1;
}

/* Decodes the last byte of an escape sequence. Two in a row without text between them are an error. */
static int decode_escape(struct decoder *d, struct run *run)
{
    const uint8_t lead = d->lead;
    const int state = escape_to(lead, *run->in);

    d->lead = 0;
    if (state < 0)
        return leave_escape(d, run) < 0 || decode_byte(d, run, lead) < 0 ? -EILSEQ : 0;
    run->in++;
    const bool is_second = (d->mode & ESCAPED) != 0;
    d->mode = (uint8_t) (state | state << STATE_BITS | ESCAPED);
    return is_second ? put_error(run) : 0;
}

int decode_iso_2022_jp(struct decoder *d, struct run *run)
{
    int r = 0;

    if (state_of(d) > ESCAPE || output_state(d) > LEAD)
        *d = (struct decoder){ 0 };
    while (r == 0 && run->in < run->end) {
        const enum state state = state_of(d);
        if (state == ESCAPE) {
            r = decode_escape(d, run);
        } else if (state == ESCAPE_START) {
            if (*run->in == 0x24 || *run->in == 0x28) {
                d->lead = *run->in++;
                set_state(d, ESCAPE);
            } else {
                r = leave_escape(d, run);
            }
        } else {
            r = decode_byte(d, run, *run->in++);
        }
    }
    return r;
}

int end_iso_2022_jp(struct decoder *d, struct run *run)
{
    const uint8_t lead = d->lead;
    int r = 0;

    switch (state_of(d)) {
    case ESCAPE:
        d->lead = 0;
        r = leave_escape(d, run) < 0 || decode_byte(d, run, lead) < 0 ? -EILSEQ : 0;
        return r == 0 && state_of(d) == TRAIL ? put_error(run) : r;
    case ESCAPE_START:
        return leave_escape(d, run);
    case TRAIL:
        return put_error(run);
    default:
        return 0;
    }
}
