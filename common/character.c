/* SPDX-License-Identifier: Apache-2.0 */
#include "common/character.h"

#include "common/cleanup.h"

#define NOT_UTF8 0xfffd

size_t character_decode(const void *text, size_t length, uint32_t *ret_code)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char *p = text;
    size_t size = p[0] < 0x80             ? 1
                  : (p[0] & 0xe0) == 0xc0 ? 2
                  : (p[0] & 0xf0) == 0xe0 ? 3
                  : (p[0] & 0xf8) == 0xf0 ? 4
                                          : 0;

    *ret_code = NOT_UTF8;
    if (size == 0 || size > length)
        return 0;
    uint32_t code = size == 1 ? p[0] : p[0] & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code = code;
    return size;
}

/* Unicode 15: general categories Cc, Cf, Zl and Zp, and all that is Default_Ignorable_Code_Point (variation
 * selectors, fillers, tags: drawn as nothing, so that text can be hidden in them). In ascending order. */
static const struct {
    uint32_t first, last;
} invisible[] = {
    { 0x0000, 0x001f },   { 0x007f, 0x009f },   { 0x00ad, 0x00ad },   { 0x034f, 0x034f },
    { 0x0600, 0x0605 },   { 0x061c, 0x061c },   { 0x06dd, 0x06dd },   { 0x070f, 0x070f },
    { 0x0890, 0x0891 },   { 0x08e2, 0x08e2 },   { 0x115f, 0x1160 },   { 0x17b4, 0x17b5 },
    { 0x180b, 0x180f },   { 0x200b, 0x200f },   { 0x2028, 0x202e },   { 0x2060, 0x206f },
    { 0x3164, 0x3164 },   { 0xfe00, 0xfe0f },   { 0xfeff, 0xfeff },   { 0xffa0, 0xffa0 },
    { 0xfff0, 0xfffb },   { 0x110bd, 0x110bd }, { 0x110cd, 0x110cd }, { 0x13430, 0x1343f },
    { 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a }, { 0xe0000, 0xe0fff },
};

bool character_is_visible(uint32_t code)
{
    if (code < invisible[2].first) /* most text */
        return code >= 0x20 && (code < 0x7f || code > 0x9f);
    for (size_t i = 2; i < ARRAY_LEN(invisible) && invisible[i].first <= code; i++)
        if (code <= invisible[i].last)
            return false;
    return true;
}
