/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of unknown origin made safe to write: for people, for the journal, as JSON. Pure functions.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log_internal.h"

/* Bytes of the UTF-8 character at text that is safe to show, 0 if there is none: a control
 * character (C0, DEL, C1: terminals obey them all) or not UTF-8 (RFC 3629). */
static size_t measure_plain(const unsigned char *text, size_t length)
{
    static const struct {
        unsigned char least, most, second_least, second_most;
        size_t size;
    } kinds[] = {
        { 0xc2, 0xc2, 0xa0, 0xbf, 2 }, { 0xc3, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };

    if (text[0] < 0x80)
        return text[0] >= 0x20 && text[0] != 0x7f;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (text[0] < kinds[i].least || text[0] > kinds[i].most)
            continue;
        if (length < kinds[i].size || text[1] < kinds[i].second_least ||
            text[1] > kinds[i].second_most)
            return 0;
        for (size_t at = 2; at < kinds[i].size; at++)
            if ((text[at] & 0xc0) != 0x80)
                return 0;
        return kinds[i].size;
    }
    return 0;
}

#define REPLACEMENT_BYTES 8

/* Writes what stands for the bytes at text that are not plain. Returns its length; *ret_used: how many
 * bytes it stands for. */
typedef size_t (*replace_fn)(const unsigned char *text, size_t length, char *replacement,
                             size_t *ret_used);

static size_t replace_hex(const unsigned char *text, size_t length, char *replacement,
                          size_t *ret_used)
{
    (void) length;
    *ret_used = 1;
    return (size_t) snprintf(replacement, REPLACEMENT_BYTES, "\\x%02x", *text);
}

static size_t replace_json(const unsigned char *text, size_t length, char *replacement,
                           size_t *ret_used)
{
    bool is_c1 = length > 1 && text[0] == 0xc2 && text[1] >= 0x80 && text[1] < 0xa0;
    unsigned code = is_c1 ? text[1] : text[0] < 0x80 ? text[0] : 0xfffd;

    *ret_used = is_c1 ? 2 : 1;
    if (code == '\n')
        return (size_t) snprintf(replacement, REPLACEMENT_BYTES, "\\n");
    if (code == '"' || code == '\\')
        return (size_t) snprintf(replacement, REPLACEMENT_BYTES, "\\%c", (int) code);
    return (size_t) snprintf(replacement, REPLACEMENT_BYTES, "\\u%04x", code);
}

/* exceptions: characters of ASCII for which it is the other way round. */
static size_t escape(const char *text, size_t length, char *buffer, size_t size,
                     const char *exceptions, replace_fn replace)
{
    const unsigned char *at = (const unsigned char *) text, *end = at + length;
    char replacement[REPLACEMENT_BYTES];
    size_t n = 0;

    while (at < end) {
        size_t plain = measure_plain(at, (size_t) (end - at)), used;
        if (*at != '\0' && strchr(exceptions, *at))
            plain = plain > 0 ? 0 : 1;
        size_t part = plain;
        if (plain == 0)
            part = replace(at, (size_t) (end - at), replacement, &used);
        else
            used = plain;
        if (n + part >= size)
            break;
        memcpy(buffer + n, plain > 0 ? (const char *) at : replacement, part);
        n += part;
        at += used;
    }
    if (size > 0)
        buffer[n] = '\0';
    return n;
}

size_t log_escape(const char *text, size_t length, char *buffer, size_t size)
{
    return escape(text, length, buffer, size, "", replace_hex);
}

size_t log_escape_lines(const char *text, size_t length, char *buffer, size_t size)
{
    return escape(text, length, buffer, size, "\n\t", replace_hex);
}

size_t log_escape_json(const char *text, size_t length, char *buffer, size_t size)
{
    return escape(text, length, buffer, size, "\"\\", replace_json);
}
