/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as JSON.parse reads it. Texts are not checked for being UTF-8: bytes pass. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/sql_internal.h"

#define INTEGER_MAX_CHARS 20
#define REAL_MAX_CHARS 32
/* Integers up to here have no exponent, and are exact as a double. */
#define PLAIN_MAX 1e15
/* Numbers from here to PLAIN_MAX are written without an exponent. */
#define DECIMAL_MIN 1e-5
#define MANTISSA_BITS 53
#define DIGITS_17_MIN UINT64_C(10000000000000000)

__extension__ typedef unsigned __int128 wide;

/* Returns how many bytes a byte takes within a text. */
static size_t width(uint8_t c)
{
    if (c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t')
        return 2;
    return c < ' ' ? 6 : 1;
}

static uint8_t *write_escape(uint8_t *to, uint8_t c)
{
    static const char digits[] = "0123456789abcdef";

    *to++ = '\\';
    if (width(c) == 2) {
        *to++ = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : c;
        return to;
    }
    memcpy(to, "u00", 3);
    to[3] = (uint8_t) digits[c >> 4];
    to[4] = (uint8_t) digits[c & 15];
    return to + 5;
}

int sql_json_text(struct data_answer *answer, const void *data, size_t size)
{
    const uint8_t *from = data;
    size_t room = 2;

    for (size_t i = 0; i < size; i++)
        room += width(from[i]);
    uint8_t *to = data_answer_reserve(answer, room);
    if (!to)
        return -errno;
    *to++ = '"';
    if (room == size + 2 && size > 0) {
        memcpy(to, from, size);
        to += size;
    } else {
        for (size_t i = 0; i < size; i++) {
            if (width(from[i]) == 1)
                *to++ = from[i];
            else
                to = write_escape(to, from[i]);
        }
    }
    *to = '"';
    return 0;
}

int sql_json_literal(struct data_answer *answer, const char *literal)
{
    return data_answer_add(answer, literal, strlen(literal));
}

int sql_json_integer(struct data_answer *answer, int64_t integer)
{
    char digits[INTEGER_MAX_CHARS];
    char *at = digits + sizeof digits;
    uint64_t rest = integer < 0 ? -(uint64_t) integer : (uint64_t) integer;

    do {
        *--at = (char) ('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (integer < 0)
        *--at = '-';
    return data_answer_add(answer, at, (size_t) (digits + sizeof digits - at));
}

/* n: at most 22: up to there a double has the power exactly. */
static wide power_of_ten(unsigned n)
{
    wide power = 1;

    while (n-- > 0)
        power *= 10;
    return power;
}

/* Returns |real| * 10^n, rounded once. real: of DECIMAL_MIN to PLAIN_MAX; the result has at most 18 digits. */
static uint64_t scale(double real, unsigned n)
{
    int exponent;
    const uint64_t mantissa = (uint64_t) ldexp(frexp(fabs(real), &exponent), MANTISSA_BITS);
    const unsigned shift = (unsigned) (MANTISSA_BITS - exponent);

    return (uint64_t) ((mantissa * power_of_ten(n) + ((wide) 1 << (shift - 1))) >> shift);
}

/* Writes the digits of whole / 10^decimals. Returns the size. */
static size_t write_digits(char *to, uint64_t whole, unsigned decimals, bool is_negative)
{
    char digits[REAL_MAX_CHARS];
    char *at = digits + sizeof digits;

    for (; decimals > 1 && whole % 10 == 0; decimals--)
        whole /= 10;
    for (unsigned n = 0; n <= decimals || whole > 0; n++, whole /= 10) {
        if (n == decimals)
            *--at = '.';
        *--at = (char) ('0' + whole % 10);
    }
    if (is_negative)
        *--at = '-';
    const size_t size = (size_t) (digits + sizeof digits - at);
    memcpy(to, at, size);
    return size;
}

/* Writes a number of DECIMAL_MIN to PLAIN_MAX that is not whole: with 15 digits if they say it exactly, as whole / 10^n is rounded as a
 * reader of the text rounds, else with 17, which always do. Returns the size. */
static size_t write_decimal(char *to, double real)
{
    const double size = fabs(real);
    unsigned decimals = 16;

    for (double limit = 10; size >= limit; limit *= 10)
        decimals--;
    uint64_t all = scale(real, decimals);
    while (all < DIGITS_17_MIN)
        all = scale(real, ++decimals);
    const uint64_t few = (all + 50) / 100;
    const bool is_short = (double) few / (double) power_of_ten(decimals - 2) == size;
    return write_digits(to, is_short ? few : all, is_short ? decimals - 2 : decimals, real < 0);
}

int sql_json_real(struct data_answer *answer, double real)
{
    char text[REAL_MAX_CHARS];

    if (isnan(real))
        return sql_json_literal(answer, "null");
    if (isinf(real))
        return sql_json_literal(answer, real > 0 ? "1e999" : "-1e999");
    if (fabs(real) < PLAIN_MAX && real == trunc(real))
        return signbit(real) && real == 0.0 ? sql_json_literal(answer, "-0")
                                            : sql_json_integer(answer, (int64_t) real);
    if (fabs(real) >= DECIMAL_MIN && fabs(real) < PLAIN_MAX)
        return data_answer_add(answer, text, write_decimal(text, real));
    (void) snprintf(text, sizeof text, "%.15g", real);
    if (strtod(text, NULL) != real)
        (void) snprintf(text, sizeof text, "%.17g", real);
    return sql_json_literal(answer, text);
}

int sql_json_ms(struct data_answer *answer, uint64_t ns)
{
    char text[48];

    (void) snprintf(text, sizeof text, "%llu.%03llu", (unsigned long long) (ns / 1000000),
                    (unsigned long long) (ns / 1000 % 1000));
    return sql_json_literal(answer, text);
}

int sql_json_bytes(struct data_answer *answer, const void *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *from = data;
    uint8_t *to = data_answer_reserve(answer, (size + 2) / 3 * 4 + 4);

    if (!to)
        return -errno;
    *to++ = '[';
    *to++ = '"';
    for (size_t i = 0; i < size; i += 3) {
        const size_t n = size - i;
        const uint32_t bits = (uint32_t) from[i] << 16 | (n > 1 ? (uint32_t) from[i + 1] << 8 : 0) |
                              (n > 2 ? from[i + 2] : 0);
        *to++ = (uint8_t) digits[bits >> 18];
        *to++ = (uint8_t) digits[bits >> 12 & 63];
        *to++ = n > 1 ? (uint8_t) digits[bits >> 6 & 63] : '=';
        *to++ = n > 2 ? (uint8_t) digits[bits & 63] : '=';
    }
    to[0] = '"';
    to[1] = ']';
    return 0;
}
