/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds bytes to the decoders of worker/encoding. The first byte names the encoding, the second the size of the parts that the bytes
 * come in. However they are cut, and whether a bad sequence would be fatal, the text is the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker/encoding/encoding.h"

#define INPUT_MAX_BYTES ((size_t) 16 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
    uint16_t units[INPUT_MAX_BYTES + 2 * DECODER_MORE_UNITS];
    size_t n;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static int decode(unsigned encoding, bool is_fatal, const uint8_t *data, size_t size, size_t part,
                  struct text *text)
{
    struct decoder decoder = { 0 };
    size_t got = 0;
    int r = 0;

    text->n = 0;
    for (size_t at = 0; r == 0 && at < size; at += part) {
        const size_t n = size - at < part ? size - at : part;
        got = 0;
        r = decoder_run(&decoder, encoding, is_fatal, data + at, n, text->units + text->n, &got);
        text->n += got;
        require(text->n <= at + n + DECODER_MORE_UNITS);
    }
    if (r < 0)
        return r;
    got = 0;
    r = decoder_end(&decoder, encoding, is_fatal, text->units + text->n, &got);
    text->n += got;
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct text whole;
    static struct text parts;

    if (size < 2 || size > INPUT_MAX_BYTES)
        return 0;
    const unsigned encoding = data[0];
    const size_t part = data[1] % 32 + 1u;
    const int r = decode(encoding, false, data + 2, size - 2, size, &whole);
    require(decode(encoding, false, data + 2, size - 2, part, &parts) == r);
    require(r < 0 || (whole.n == parts.n && memcmp(whole.units, parts.units, whole.n * 2) == 0));
    if (r == 0 && decode(encoding, true, data + 2, size - 2, part, &parts) == 0)
        require(whole.n == parts.n && memcmp(whole.units, parts.units, whole.n * 2) == 0);
    return 0;
}
