/* SPDX-License-Identifier: Apache-2.0 */
/* A caller with a buffer for results, and vectors as hexadecimal text. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* needs some of the above */

#include "worker/crypto/crypto.h"

#define TEST(test) cmocka_unit_test(test)

struct result {
    uint8_t *data;
    size_t size;
    bool is_out_of_memory;
    unsigned looks_left; /* looks at is_stopped until it is true */
    unsigned looks;
    uint64_t left_ns;
};

static struct result result;

static inline bool is_stopped(void *owner)
{
    struct result *to = owner;

    to->looks++;
    if (to->looks_left == 0)
        return true;
    to->looks_left--;
    return false;
}

static inline uint64_t left_ns(void *owner)
{
    return ((struct result *) owner)->left_ns;
}

static inline uint8_t *reserve(void *owner, size_t size)
{
    struct result *to = owner;

    assert_null(to->data);
    if (to->is_out_of_memory)
        return NULL;
    to->data = malloc(size + 1);
    to->size = size;
    return to->data;
}

static const struct crypto_caller caller = { is_stopped, left_ns, reserve, &result };

/* Resets the caller. Before each operation. */
static inline void clear(void)
{
    free(result.data);
    result = (struct result){ .looks_left = UINT32_MAX, .left_ns = UINT64_MAX };
}

static inline struct crypto_bytes text(const char *string)
{
    return (struct crypto_bytes){ (const uint8_t *) string, strlen(string) };
}

/* Memory for the rest of the program. */
static inline uint8_t *lasting(size_t size)
{
    static uint8_t arena[4 << 20];
    static size_t used;

    assert_true(size <= sizeof arena - used);
    used += size;
    return arena + used - size;
}

/* The bytes of hexadecimal text. */
static inline struct crypto_bytes hex(const char *digits)
{
    const size_t size = strlen(digits) / 2;
    uint8_t *data = lasting(size);

    for (size_t i = 0; i < size; i++)
        assert_int_equal(sscanf(digits + 2 * i, "%2hhx", &data[i]), 1);
    return (struct crypto_bytes){ data, size };
}

static inline void assert_result(const char *digits)
{
    struct crypto_bytes expected = hex(digits);

    assert_int_equal(result.size, expected.size);
    assert_memory_equal(result.data, expected.data, expected.size);
}

static inline int load_crypto(void **state)
{
    (void) state;
    return crypto_init();
}
