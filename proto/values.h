/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed values: the arguments and results of storage operations, see PROTOCOL.md "Operations of storage". JavaScript of the worker writes
 * and reads the same form. A value is a tag and what it says:
 *
 *     'n'                        nothing: null
 *     'i'  i64                   an integer, little-endian
 *     'r'  f64                   a number, IEEE 754 little-endian
 *     't'  u32 size, byte[]      text: UTF-8 by intent, but any bytes may come
 *     'b'  u32 size, byte[]      bytes
 *     's'  u32 size, byte[]      text of an SQL statement, whose parameters are the values up to the next 's'
 *
 * Pure functions on bytes; used by skepd and skep-data.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_kind {
    VALUE_NULL = 'n',
    VALUE_INTEGER = 'i',
    VALUE_REAL = 'r',
    VALUE_TEXT = 't',
    VALUE_BYTES = 'b',
    VALUE_STATEMENT = 's',
};

struct value {
    enum value_kind kind;
    int64_t integer;
    double real;
    const uint8_t *data; /* borrowed: in the packed values; not terminated */
    size_t size;
};

struct values { /* those that values_next has not returned yet */
    const uint8_t *at, *end;
};

static inline struct values values_open(const void *data, size_t size)
{
    return (struct values){ (const uint8_t *) data, (const uint8_t *) data + size };
}
/* Reads the next value. 1; 0: there is none; -EPROTO: the bytes are none. ret_value is written only on 1. */
int values_next(struct values *values, struct value *ret_value);
/* Reads a value that must be there and of that kind (or VALUE_NULL, if allowed). 0 or -EPROTO. */
int values_take(struct values *values, enum value_kind kind, bool or_null, struct value *ret_value);

/* Writers. Each returns the number of bytes that the value takes, and writes it at `to` unless that is NULL. */
size_t values_put_null(uint8_t *to);
size_t values_put_integer(uint8_t *to, int64_t integer);
size_t values_put_real(uint8_t *to, double real);
/* kind: VALUE_TEXT, VALUE_BYTES or VALUE_STATEMENT. size: at most UINT32_MAX. */
size_t values_put_bytes(uint8_t *to, enum value_kind kind, const void *data, size_t size);
