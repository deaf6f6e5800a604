/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second pair of eyes over the raw bytes of heads, chunk sizes and trailers: lines end with CR LF
 * and nothing else, no line is folded, no control characters. Debian 12's llhttp 8.1.0 lets pass a
 * bare LF behind the request line, folded lines, any two bytes behind chunk data, and "0 CR LF LF".
 * Also finds where the section ends. Pure. Supervisor, loop thread.
 */
#include <errno.h>

#include "supervisor/http/internal.h"

enum byte_class {
    BYTE_BAD, /* control characters */
    BYTE_TEXT,
    BYTE_BLANK,
    BYTE_CR,
    BYTE_LF,
    BYTE_HEX,
    BYTE_SEMICOLON,
    BYTE_CLASSES,
};

static const uint8_t classes[256] = {
    ['\t'] = BYTE_BLANK,       ['\n'] = BYTE_LF,
    ['\r'] = BYTE_CR,          [' '] = BYTE_BLANK,
    ['!' ... '/'] = BYTE_TEXT, ['0' ... '9'] = BYTE_HEX,
    [':'] = BYTE_TEXT,         [';'] = BYTE_SEMICOLON,
    ['<' ... '@'] = BYTE_TEXT, ['A' ... 'F'] = BYTE_HEX,
    ['G' ... '`'] = BYTE_TEXT, ['a' ... 'f'] = BYTE_HEX,
    ['g' ... '~'] = BYTE_TEXT, [0x80 ... 0xff] = BYTE_TEXT,
};

#define TEXT(next) [BYTE_TEXT] = (next), [BYTE_HEX] = (next), [BYTE_SEMICOLON] = (next)

/* What is not listed is HTTP_SCAN_BAD, 0. */
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
                         [BYTE_SEMICOLON] = HTTP_SCAN_LINE,
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
