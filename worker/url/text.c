/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that grow, and percent-encoding. See url.h. */
#include <stdlib.h>

#include "worker/url/internal.h"

enum {
    PIECE_BYTES = 1 << URL_LOOK_SHIFT,
    FIRST_BYTES = 256,
};

/* The sets of the standard, each with what it adds to smaller ones. */
#define FORM SET_FORM
#define USERINFO (SET_USERINFO | FORM)
#define PATH (SET_PATH | USERINFO)
#define SPECIAL_QUERY (SET_SPECIAL_QUERY | FORM)
#define QUERY (SET_QUERY | SET_SPECIAL_QUERY | PATH)
#define ALL (SET_C0 | SET_FRAGMENT | QUERY)

const uint8_t url_percent_sets[256] = {
    [0] = ALL | SET_FORBIDDEN,
    [1 ... 8] = ALL,
    ['\t'] = ALL | SET_FORBIDDEN,
    ['\n'] = ALL | SET_FORBIDDEN,
    [11 ... 12] = ALL,
    ['\r'] = ALL | SET_FORBIDDEN,
    [14 ... 31] = ALL,
    [' '] = SET_FRAGMENT | QUERY | SET_FORBIDDEN,
    ['!'] = FORM,
    ['"'] = SET_FRAGMENT | QUERY,
    ['#'] = QUERY | SET_FORBIDDEN,
    ['$'] = FORM,
    ['%'] = FORM,
    ['&'] = FORM,
    ['\''] = SPECIAL_QUERY,
    ['('] = FORM,
    [')'] = FORM,
    ['+'] = FORM,
    [','] = FORM,
    ['/'] = USERINFO | SET_FORBIDDEN,
    [':'] = USERINFO | SET_FORBIDDEN,
    [';'] = USERINFO,
    ['<'] = SET_FRAGMENT | QUERY | SET_FORBIDDEN,
    ['='] = USERINFO,
    ['>'] = SET_FRAGMENT | QUERY | SET_FORBIDDEN,
    ['?'] = PATH | SET_FORBIDDEN,
    ['@'] = USERINFO | SET_FORBIDDEN,
    ['['] = USERINFO | SET_FORBIDDEN,
    ['\\'] = USERINFO | SET_FORBIDDEN,
    [']'] = USERINFO | SET_FORBIDDEN,
    ['^'] = PATH | SET_FORBIDDEN,
    ['`'] = SET_FRAGMENT | PATH,
    ['{'] = PATH,
    ['|'] = USERINFO | SET_FORBIDDEN,
    ['}'] = PATH,
    ['~'] = FORM,
    [127 ... 255] = ALL,
};

void url_text_init(struct url_text *text, char *room, size_t size, const struct url_caller *caller)
{
    *text = (struct url_text){ .data = room, .capacity = size, .caller = caller };
}

void url_text_done(struct url_text *text)
{
    if (text->is_owned)
        free(text->data);
    *text = (struct url_text){ .caller = text->caller };
}

/* Makes room for more bytes. Returns false after an error. */
static bool reserve(struct url_text *text, size_t more)
{
    if (text->error == 0 && more <= text->capacity - text->size)
        return true;
    if (text->error == 0 && (more > URL_TEXT_MAX_BYTES || text->size > URL_TEXT_MAX_BYTES - more))
        text->error = -EFBIG;
    if (text->error != 0)
        return false;
    size_t capacity = text->capacity < FIRST_BYTES ? FIRST_BYTES : 2 * text->capacity;
    if (capacity > URL_TEXT_MAX_BYTES)
        capacity = URL_TEXT_MAX_BYTES;
    if (capacity < text->size + more)
        capacity = text->size + more;
    char *data = text->is_owned ? realloc(text->data, capacity) : malloc(capacity);
    if (!data) {
        text->error = -ENOMEM;
        return false;
    }
    if (!text->is_owned && text->size != 0)
        memcpy(data, text->data, text->size);
    text->data = data;
    text->capacity = capacity;
    text->is_owned = true;
    return true;
}

void url_text_append(struct url_text *text, struct url_span span)
{
    if (span.size == 0 || !reserve(text, span.size))
        return;
    memcpy(text->data + text->size, span.data, span.size);
    text->size += span.size;
}

void url_text_put(struct url_text *text, char c)
{
    if (reserve(text, 1))
        text->data[text->size++] = c;
}

void url_text_look(struct url_text *text)
{
    const struct url_caller *caller = text->caller;

    if (caller && caller->is_stopped && caller->is_stopped(caller->owner) && text->error == 0)
        text->error = -EINTR;
}

/* Returns the next piece of a span, which loses it. */
static struct url_span next_piece(struct url_text *text, struct url_span *span)
{
    const size_t size = span->size < PIECE_BYTES ? span->size : PIECE_BYTES;
    const struct url_span piece = span_head(*span, size);

    *span = span_from(*span, size);
    if (span->size != 0)
        url_text_look(text);
    return piece;
}

static void encode_piece(struct url_text *text, struct url_span piece, enum percent_set set)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = text->data + text->size;

    for (size_t i = 0; i < piece.size; i++) {
        const char c = piece.data[i];
        if (!is_in_set(c, set)) {
            *out++ = c;
        } else if (c == ' ' && set == SET_FORM) {
            *out++ = '+';
        } else {
            *out++ = '%';
            *out++ = digits[(uint8_t) c >> 4];
            *out++ = digits[(uint8_t) c & 15];
        }
    }
    text->size = (size_t) (out - text->data);
}

void url_text_encode(struct url_text *text, struct url_span span, enum percent_set set)
{
    while (span.size != 0 && text->error == 0) {
        const struct url_span piece = next_piece(text, &span);
        size_t plain = 0;
        while (plain < piece.size && !is_in_set(piece.data[plain], set))
            plain++;
        url_text_append(text, span_head(piece, plain));
        if (plain < piece.size && reserve(text, 3 * (piece.size - plain)))
            encode_piece(text, span_from(piece, plain), set);
    }
}

int url_hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    c = to_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void url_text_decode(struct url_text *text, struct url_span span, bool plus_is_blank)
{
    if (!reserve(text, span.size))
        return;
    for (size_t i = 0; i < span.size; i++) {
        char c = span.data[i];
        if (c == '+' && plus_is_blank) {
            c = ' ';
        } else if (c == '%' && span.size - i > 2) {
            const int high = url_hex_digit(span.data[i + 1]);
            const int low = url_hex_digit(span.data[i + 2]);
            if (high >= 0 && low >= 0) {
                c = (char) (high << 4 | low);
                i += 2;
            }
        }
        text->data[text->size++] = c;
    }
}

void url_form_encode(struct url_text *text, struct url_span value)
{
    url_text_encode(text, value, SET_FORM);
}

void url_form_decode(struct url_text *text, struct url_span value)
{
    url_text_decode(text, value, true);
}

static bool is_newline(char c)
{
    return c == '\t' || c == '\n' || c == '\r';
}

struct url_span url_strip_newlines(struct url_span span, struct url_text *room)
{
    size_t first = 0;

    while (first < span.size && !is_newline(span.data[first]))
        first++;
    if (first == span.size || !reserve(room, span.size))
        return span;
    for (size_t i = 0; i < span.size; i++)
        if (!is_newline(span.data[i]))
            room->data[room->size++] = span.data[i];
    return (struct url_span){ room->data, room->size };
}
