/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: counted references to bytes, or to a key of OpenSSL's, wiped with the last one. */
#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "worker/crypto/internal.h"

static struct crypto_key *new_secret(size_t size)
{
    struct crypto_key *key =
        size <= SIZE_MAX - sizeof(struct crypto_key) ? malloc(sizeof *key + size) : NULL;

    if (key)
        *key = (struct crypto_key){ .n_refs = 1, .size = size };
    return key;
}

int crypto_key_new_secret(struct crypto_bytes secret, struct crypto_key **ret_key)
{
    struct crypto_key *key = new_secret(secret.size);

    if (!key)
        return -ENOMEM;
    if (secret.size > 0)
        memcpy(key->secret, secret.data, secret.size);
    *ret_key = key;
    return 0;
}

int crypto_key_generate_secret(size_t bits, struct crypto_key **ret_key)
{
    struct crypto_key *key = new_secret(bits / 8 + (bits % 8 != 0));

    if (!key)
        return -ENOMEM;
    int r = crypto_random(key->secret, key->size);
    if (r < 0) {
        crypto_key_unref(key);
        return r;
    }
    if (bits % 8 != 0)
        key->secret[key->size - 1] &= (uint8_t) (0xff << (8 - bits % 8));
    *ret_key = key;
    return 0;
}

struct crypto_key *crypto_key_ref(struct crypto_key *key)
{
    key->n_refs++;
    return key;
}

struct crypto_key *crypto_key_unref(struct crypto_key *key)
{
    if (!key)
        return NULL;
    assert(key->n_refs > 0);
    if (--key->n_refs == 0) {
        EVP_PKEY_free(key->pair); /* wipes what is secret */
        OPENSSL_cleanse(key->secret, key->size);
        free(key);
    }
    return NULL;
}

struct crypto_bytes crypto_key_secret(const struct crypto_key *key)
{
    return (struct crypto_bytes){ key->secret, key->size };
}
