/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of unknown origin made safe to write: for people, for the journal, as JSON. Pure functions.
 */
#include <stdio.h>
#include <string.h>

#include "common/character.h"
#include "common/log_internal.h"

/* Returns the bytes of the character at text if it may be shown as it is, else 0. */
static size_t measure_plain(const unsigned char *text, size_t length)
{
    uint32_t code;
    size_t size = character_decode(text, length, &code);

    return character_is_visible(code) ? size : 0;
}

#define REPLACEMENT_BYTES 13 /* "\uXXXX\uXXXX" */

/* Writes the replacement of the bytes at text that are not plain. Returns its length; *ret_used:
 * how many bytes it replaces. */
typedef size_t (*replace_fn)(const unsigned char *text, size_t length, char *replacement,
                             size_t *ret_used);

static size_t replace_hex(const unsigned char *text, size_t length, char *replacement,
                          size_t *ret_used)
{
    (void) length;
    *ret_used = 1;
    return (size_t) snprintf(replacement, REPLACEMENT_BYTES, "\\x%02x", *text);
}

/* A character beyond U+FFFF is a pair of surrogates (RFC 8259 section 7). */
static size_t replace_json(const unsigned char *text, size_t length, char *replacement,
                           size_t *ret_used)
{
    uint32_t code;
    size_t size = character_decode(text, length, &code);

    *ret_used = size > 0 ? size : 1;
    if (code == '\n')
        return (size_t) snprintf(replacement, REPLACEMENT_BYTES, "\\n");
    if (code == '"' || code == '\\')
        return (size_t) snprintf(replacement, REPLACEMENT_BYTES, "\\%c", (int) code);
    if (code > 0xffff)
        return (size_t) snprintf(replacement, REPLACEMENT_BYTES, "\\u%04x\\u%04x",
                                 0xd800 + ((code - 0x10000) >> 10), 0xdc00 + (code & 0x3ff));
    return (size_t) snprintf(replacement, REPLACEMENT_BYTES, "\\u%04x", code);
}

/* exceptions: ASCII characters that are escaped although they are plain, or kept although they are
 * not. */
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
