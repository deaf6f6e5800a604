/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds bytes to the readers of keys (worker/crypto/pair.c): the first byte names the kind, the second the format. A key that is
 * taken must come out again, in its one spelling, and that spelling must be the same key.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker/crypto/crypto.h"

#define INPUT_MAX_BYTES 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    uint8_t bytes[16384];
    size_t size;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool is_stopped(void *owner)
{
    (void) owner;
    return false;
}

static uint64_t left_ns(void *owner)
{
    (void) owner;
    return UINT64_MAX;
}

static uint8_t *reserve(void *owner, size_t size)
{
    struct result *result = owner;

    require(size <= sizeof result->bytes);
    result->size = size;
    return result->bytes;
}

static struct crypto_bytes write_key(const struct crypto_key *key, enum crypto_format format,
                                     struct result *to)
{
    const struct crypto_caller caller = { is_stopped, left_ns, reserve, to };

    require(crypto_pair_export(key, format, &caller) == 0);
    return (struct crypto_bytes){ to->bytes, to->size };
}

static void check_key(const struct crypto_key *key, enum crypto_kind kind,
                      enum crypto_format format)
{
    static struct result first, second;
    struct crypto_key *again = NULL;

    struct crypto_bytes once = write_key(key, format, &first);
    require(crypto_pair_import(kind, format, once, &again) == 0);
    struct crypto_bytes twice = write_key(again, format, &second);
    require(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    crypto_key_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_loaded;
    struct crypto_key *key = NULL;

    if (!is_loaded)
        require(crypto_init() == 0);
    is_loaded = true;
    if (size < 2 || size > INPUT_MAX_BYTES)
        return 0;
    const enum crypto_kind kind = (enum crypto_kind)(data[0] % CRYPTO_KINDS);
    const enum crypto_format format = (enum crypto_format)(data[1] % CRYPTO_FORMATS);
    if (crypto_pair_import(kind, format, (struct crypto_bytes){ data + 2, size - 2 }, &key) == 0)
        check_key(key, kind, format);
    crypto_key_unref(key);
    return 0;
}
