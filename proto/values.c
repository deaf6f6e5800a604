/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/values.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define TAG_BYTES 1
#define NUMBER_BYTES 8
#define SIZE_BYTES 4

static size_t left(const struct values *values)
{
    return (size_t) (values->end - values->at);
}

/* Reads the eight bytes of a number after its tag. 1 or -EPROTO. */
static int read_number(struct values *values, enum value_kind kind, struct value *ret_value)
{
    struct value value = { .kind = kind };
    uint64_t bits;

    if (left(values) < TAG_BYTES + NUMBER_BYTES)
        return -EPROTO;
    memcpy(&bits, values->at + TAG_BYTES, NUMBER_BYTES);
    bits = le64toh(bits);
    if (kind == VALUE_INTEGER)
        memcpy(&value.integer, &bits, NUMBER_BYTES);
    else
        memcpy(&value.real, &bits, NUMBER_BYTES);
    values->at += TAG_BYTES + NUMBER_BYTES;
    *ret_value = value;
    return 1;
}

/* Reads size and bytes after their tag. 1 or -EPROTO. */
static int read_bytes(struct values *values, enum value_kind kind, struct value *ret_value)
{
    uint32_t size;

    if (left(values) < TAG_BYTES + SIZE_BYTES)
        return -EPROTO;
    memcpy(&size, values->at + TAG_BYTES, SIZE_BYTES);
    size = le32toh(size);
    if (left(values) - TAG_BYTES - SIZE_BYTES < size)
        return -EPROTO;
    *ret_value = (struct value){
        .kind = kind,
        .data = values->at + TAG_BYTES + SIZE_BYTES,
        .size = size,
    };
    values->at += TAG_BYTES + SIZE_BYTES + size;
    return 1;
}

int values_next(struct values *values, struct value *ret_value)
{
    if (left(values) == 0)
        return 0;
    switch (values->at[0]) {
    case VALUE_NULL:
        values->at += TAG_BYTES;
        *ret_value = (struct value){ .kind = VALUE_NULL };
        return 1;
    case VALUE_INTEGER:
    case VALUE_REAL:
        return read_number(values, (enum value_kind) values->at[0], ret_value);
    case VALUE_TEXT:
    case VALUE_BYTES:
    case VALUE_STATEMENT:
        return read_bytes(values, (enum value_kind) values->at[0], ret_value);
    default:
        return -EPROTO;
    }
}

int values_take(struct values *values, enum value_kind kind, bool or_null, struct value *ret_value)
{
    struct values after = *values;
    struct value value;

    if (values_next(&after, &value) != 1)
        return -EPROTO;
    if (value.kind != kind && !(or_null && value.kind == VALUE_NULL))
        return -EPROTO;
    *values = after;
    *ret_value = value;
    return 0;
}

size_t values_put_null(uint8_t *to)
{
    if (to)
        to[0] = VALUE_NULL;
    return TAG_BYTES;
}

static size_t put_number(uint8_t *to, enum value_kind kind, uint64_t bits)
{
    if (to) {
        bits = htole64(bits);
        to[0] = (uint8_t) kind;
        memcpy(to + TAG_BYTES, &bits, NUMBER_BYTES);
    }
    return TAG_BYTES + NUMBER_BYTES;
}

size_t values_put_integer(uint8_t *to, int64_t integer)
{
    return put_number(to, VALUE_INTEGER, (uint64_t) integer);
}

size_t values_put_real(uint8_t *to, double real)
{
    uint64_t bits;

    memcpy(&bits, &real, NUMBER_BYTES);
    return put_number(to, VALUE_REAL, bits);
}

size_t values_put_bytes(uint8_t *to, enum value_kind kind, const void *data, size_t size)
{
    const uint32_t size_le = htole32((uint32_t) size);

    if (to) {
        to[0] = (uint8_t) kind;
        memcpy(to + TAG_BYTES, &size_le, SIZE_BYTES);
        if (size > 0)
            memcpy(to + TAG_BYTES + SIZE_BYTES, data, size);
    }
    return TAG_BYTES + SIZE_BYTES + size;
}
