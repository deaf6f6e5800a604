/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds bytes to the reader of packed values: all that it reads is inside, and is written as the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/values.h"

#define INPUT_MAX_BYTES ((size_t) 16 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static size_t put(uint8_t *to, const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        return values_put_null(to);
    case VALUE_INTEGER:
        return values_put_integer(to, value->integer);
    case VALUE_REAL:
        return values_put_real(to, value->real);
    case VALUE_TEXT:
    case VALUE_BYTES:
    case VALUE_STATEMENT:
        return values_put_bytes(to, value->kind, value->data, value->size);
    }
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t copy[INPUT_MAX_BYTES];
    struct values values = values_open(data, size);
    struct value value;
    int r;

    if (size > INPUT_MAX_BYTES)
        return 0;
    while ((r = values_next(&values, &value)) == 1) {
        const uint8_t *end = values.at;
        const size_t written = put(copy, &value);
        require(end <= data + size && written <= (size_t) (end - data));
        require(memcmp(end - written, copy, written) == 0);
    }
    require(r < 0 || values.at == data + size);
    return 0;
}
