/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second pair of eyes over the raw bytes of heads, chunk sizes and trailers: lines end with CR LF
 * and nothing else, no line is folded, no control characters. Debian 12's llhttp 8.1.0 lets pass a
 * bare LF behind the request line, folded lines, any two bytes behind chunk data, and "0 CR LF LF".
 * The scan also finds where the section ends. Pure. Supervisor, loop thread.
 */
#include <errno.h>

#include "supervisor/http/internal.h"

enum byte_class {
    BYTE_BAD,  /* control characters */
    BYTE_TEXT, /* not allowed in tokens */
    BYTE_TOKEN,
    BYTE_HEX,
    BYTE_BLANK,
    BYTE_CR,
    BYTE_LF,
    BYTE_SEMICOLON,
    BYTE_EQUALS,
    BYTE_QUOTE,
    BYTE_BACKSLASH,
    BYTE_CLASSES,
};

static const uint8_t classes[256] = {
    ['\t'] = BYTE_BLANK,         ['\n'] = BYTE_LF,           ['\r'] = BYTE_CR,
    [' '] = BYTE_BLANK,          ['!'] = BYTE_TOKEN,         ['"'] = BYTE_QUOTE,
    ['#' ... '\''] = BYTE_TOKEN, ['(' ... ')'] = BYTE_TEXT,  ['*' ... '+'] = BYTE_TOKEN,
    [','] = BYTE_TEXT,           ['-' ... '.'] = BYTE_TOKEN, ['/'] = BYTE_TEXT,
    ['0' ... '9'] = BYTE_HEX,    [':'] = BYTE_TEXT,          [';'] = BYTE_SEMICOLON,
    ['<'] = BYTE_TEXT,           ['='] = BYTE_EQUALS,        ['>' ... '@'] = BYTE_TEXT,
    ['A' ... 'F'] = BYTE_HEX,    ['G' ... 'Z'] = BYTE_TOKEN, ['['] = BYTE_TEXT,
    ['\\'] = BYTE_BACKSLASH,     [']'] = BYTE_TEXT,          ['^' ... '`'] = BYTE_TOKEN,
    ['a' ... 'f'] = BYTE_HEX,    ['g' ... 'z'] = BYTE_TOKEN, ['{'] = BYTE_TEXT,
    ['|'] = BYTE_TOKEN,          ['}'] = BYTE_TEXT,          ['~'] = BYTE_TOKEN,
    [0x80 ... 0xff] = BYTE_TEXT,
};

#define TOKEN(next) [BYTE_TOKEN] = (next), [BYTE_HEX] = (next)
#define TEXT(next)                                                                        \
    TOKEN(next), [BYTE_TEXT] = (next), [BYTE_SEMICOLON] = (next), [BYTE_EQUALS] = (next), \
                 [BYTE_QUOTE] = (next), [BYTE_BACKSLASH] = (next)

/* Steps that are not listed are HTTP_SCAN_BAD, 0. */
static const uint8_t steps[HTTP_SCAN_STATES][BYTE_CLASSES] = {
    [HTTP_SCAN_START] = { TEXT(HTTP_SCAN_LINE), [BYTE_CR] = HTTP_SCAN_START_CR },
    [HTTP_SCAN_START_CR] = { [BYTE_LF] = HTTP_SCAN_START },
    [HTTP_SCAN_LINE] = { TEXT(HTTP_SCAN_LINE), [BYTE_BLANK] = HTTP_SCAN_LINE,
                         [BYTE_CR] = HTTP_SCAN_LINE_CR },
    [HTTP_SCAN_LINE_CR] = { [BYTE_LF] = HTTP_SCAN_NEXT },
    [HTTP_SCAN_NEXT] = { TEXT(HTTP_SCAN_LINE), [BYTE_CR] = HTTP_SCAN_END_CR },
    [HTTP_SCAN_END_CR] = { [BYTE_LF] = HTTP_SCAN_DONE },
    [HTTP_SCAN_DATA_END] = { [BYTE_CR] = HTTP_SCAN_DATA_END_CR },
    [HTTP_SCAN_DATA_END_CR] = { [BYTE_LF] = HTTP_SCAN_SIZE },
    [HTTP_SCAN_SIZE] = { [BYTE_HEX] = HTTP_SCAN_SIZE,
                         [BYTE_BLANK] = HTTP_SCAN_EXTENSION_END,
                         [BYTE_SEMICOLON] = HTTP_SCAN_EXTENSION,
                         [BYTE_CR] = HTTP_SCAN_LINE_CR },
    /* RFC 9112 section 7.1.1, with its blanks (BWS) before and behind ";" and "=". */
    [HTTP_SCAN_EXTENSION_END] = { [BYTE_BLANK] = HTTP_SCAN_EXTENSION_END,
                                  [BYTE_SEMICOLON] = HTTP_SCAN_EXTENSION },
    [HTTP_SCAN_EXTENSION] = { [BYTE_BLANK] = HTTP_SCAN_EXTENSION, TOKEN(HTTP_SCAN_NAME) },
    [HTTP_SCAN_NAME] = { TOKEN(HTTP_SCAN_NAME), [BYTE_BLANK] = HTTP_SCAN_NAME_END,
                         [BYTE_EQUALS] = HTTP_SCAN_VALUE, [BYTE_SEMICOLON] = HTTP_SCAN_EXTENSION,
                         [BYTE_CR] = HTTP_SCAN_LINE_CR },
    [HTTP_SCAN_NAME_END] = { [BYTE_BLANK] = HTTP_SCAN_NAME_END,
                             [BYTE_EQUALS] = HTTP_SCAN_VALUE,
                             [BYTE_SEMICOLON] = HTTP_SCAN_EXTENSION },
    [HTTP_SCAN_VALUE] = { [BYTE_BLANK] = HTTP_SCAN_VALUE,
                          TOKEN(HTTP_SCAN_TOKEN),
                          [BYTE_QUOTE] = HTTP_SCAN_QUOTED },
    [HTTP_SCAN_TOKEN] = { TOKEN(HTTP_SCAN_TOKEN), [BYTE_BLANK] = HTTP_SCAN_EXTENSION_END,
                          [BYTE_SEMICOLON] = HTTP_SCAN_EXTENSION, [BYTE_CR] = HTTP_SCAN_LINE_CR },
    [HTTP_SCAN_QUOTED] = { TOKEN(HTTP_SCAN_QUOTED), [BYTE_TEXT] = HTTP_SCAN_QUOTED,
                           [BYTE_BLANK] = HTTP_SCAN_QUOTED, [BYTE_SEMICOLON] = HTTP_SCAN_QUOTED,
                           [BYTE_EQUALS] = HTTP_SCAN_QUOTED,
                           [BYTE_BACKSLASH] = HTTP_SCAN_QUOTED_PAIR,
                           [BYTE_QUOTE] = HTTP_SCAN_QUOTED_END },
    [HTTP_SCAN_QUOTED_PAIR] = { TEXT(HTTP_SCAN_QUOTED), [BYTE_BLANK] = HTTP_SCAN_QUOTED },
    [HTTP_SCAN_QUOTED_END] = { [BYTE_BLANK] = HTTP_SCAN_EXTENSION_END,
                               [BYTE_SEMICOLON] = HTTP_SCAN_EXTENSION,
                               [BYTE_CR] = HTTP_SCAN_LINE_CR },
};

ssize_t http_scan_bytes(struct http_scan *scan, const uint8_t *data, size_t size)
{
    uint8_t state = (uint8_t) scan->state;
    size_t i;

    for (i = 0; i < size && state != HTTP_SCAN_DONE; i++) {
        uint8_t next = steps[state][classes[data[i]]];

        if (next == HTTP_SCAN_BAD)
            return -EBADMSG;
        scan->lines += next == HTTP_SCAN_NEXT;
        state = next;
    }
    scan->state = state;
    scan->bytes += (uint32_t) i;
    return (ssize_t) i;
}
