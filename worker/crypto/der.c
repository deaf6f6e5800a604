/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/crypto/der.h"

#include <assert.h>
#include <string.h>

#define LONG_LENGTH 0x80
#define LENGTH_BYTES_MAX 4

/* Reads a length of the long form. Returns the bytes that it takes, 0 if it is none. */
static size_t read_long_length(struct crypto_bytes from, size_t *ret_length)
{
    const size_t n = from.data[0] & ~(unsigned) LONG_LENGTH;
    size_t length = 0;

    if (n == 0 || n > LENGTH_BYTES_MAX || from.size < 1 + n || from.data[1] == 0)
        return 0;
    for (size_t i = 1; i <= n; i++)
        length = length << 8 | from.data[i];
    if (length < LONG_LENGTH)
        return 0;
    *ret_length = length;
    return 1 + n;
}

bool der_read(struct crypto_bytes *from, enum der_tag tag, struct crypto_bytes *ret_content)
{
    size_t head = 2, length;

    if (from->size < 2 || from->data[0] != tag)
        return false;
    length = from->data[1];
    if (length >= LONG_LENGTH) {
        const struct crypto_bytes rest = { from->data + 1, from->size - 1 };
        const size_t n = read_long_length(rest, &length);
        if (n == 0)
            return false;
        head = 1 + n;
    }
    if (length > from->size - head)
        return false;
    *ret_content = (struct crypto_bytes){ from->data + head, length };
    *from = (struct crypto_bytes){ from->data + head + length, from->size - head - length };
    return true;
}

bool der_read_unsigned(struct crypto_bytes *from, struct crypto_bytes *ret_magnitude)
{
    struct crypto_bytes rest = *from, number;

    if (!der_read(&rest, DER_INTEGER, &number) || number.size == 0 || number.data[0] >= 0x80)
        return false;
    if (number.data[0] == 0 && number.size > 1) {
        if (number.data[1] < 0x80) /* a zero that need not be there */
            return false;
        number = (struct crypto_bytes){ number.data + 1, number.size - 1 };
    }
    *from = rest;
    *ret_magnitude = number;
    return true;
}

bool der_read_small(struct crypto_bytes *from, uint8_t value)
{
    struct crypto_bytes rest = *from, number;

    if (!der_read(&rest, DER_INTEGER, &number) || number.size != 1 || number.data[0] != value)
        return false;
    *from = rest;
    return true;
}

bool der_read_bits(struct crypto_bytes *from, struct crypto_bytes *ret_bytes)
{
    struct crypto_bytes rest = *from, bits;

    if (!der_read(&rest, DER_BIT_STRING, &bits) || bits.size == 0 || bits.data[0] != 0)
        return false;
    *from = rest;
    *ret_bytes = (struct crypto_bytes){ bits.data + 1, bits.size - 1 };
    return true;
}

void der_put(struct der_writer *to, struct crypto_bytes bytes)
{
    to->written += bytes.size;
    if (!to->start)
        return;
    assert(bytes.size <= to->room);
    to->room -= bytes.size;
    if (bytes.size > 0)
        memcpy(to->start + to->room, bytes.data, bytes.size);
}

static void put_byte(struct der_writer *to, uint8_t byte)
{
    der_put(to, (struct crypto_bytes){ &byte, 1 });
}

void der_put_head(struct der_writer *to, enum der_tag tag, size_t since)
{
    const size_t length = to->written - since;
    uint8_t n = 0;

    if (length < LONG_LENGTH) {
        put_byte(to, (uint8_t) length);
    } else {
        for (size_t rest = length; rest > 0; rest >>= 8, n++)
            put_byte(to, (uint8_t) rest);
        put_byte(to, (uint8_t) (LONG_LENGTH | n));
    }
    put_byte(to, (uint8_t) tag);
}

void der_put_element(struct der_writer *to, enum der_tag tag, struct crypto_bytes content)
{
    const size_t since = to->written;

    der_put(to, content);
    der_put_head(to, tag, since);
}

void der_put_unsigned(struct der_writer *to, struct crypto_bytes magnitude)
{
    const size_t since = to->written;

    der_put(to, magnitude);
    if (magnitude.size == 0 || magnitude.data[0] >= 0x80)
        put_byte(to, 0);
    der_put_head(to, DER_INTEGER, since);
}

void der_put_bits(struct der_writer *to, struct crypto_bytes bytes)
{
    const size_t since = to->written;

    der_put(to, bytes);
    put_byte(to, 0);
    der_put_head(to, DER_BIT_STRING, since);
}
