/* SPDX-License-Identifier: Apache-2.0 */
/* HMAC (FIPS 198-1). */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>

#include "worker/crypto/internal.h"

static int begin(EVP_MAC_CTX *context, enum crypto_hash hash, const struct crypto_key *key)
{
    static const uint8_t none = 0; /* without a key OpenSSL would use the last one */
    struct crypto_bytes secret = crypto_key_secret(key);
    const EVP_MD *md = crypto_md(hash);
    char name[32];

    if (!md)
        return -EINVAL;
    OPENSSL_strlcpy(name, EVP_MD_get0_name(md), sizeof name);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end(),
    };
    const uint8_t *bytes = secret.size > 0 ? secret.data : &none;
    return EVP_MAC_init(context, bytes, secret.size, params) == 1 ? 0 : crypto_failure();
}

static int run(EVP_MAC_CTX *context, struct crypto_bytes data, const struct crypto_caller *caller,
               uint8_t mac[CRYPTO_DIGEST_MAX], size_t *ret_size)
{
    while (data.size > 0) {
        struct crypto_bytes piece = crypto_next_piece(&data);
        if (crypto_is_stopped(caller))
            return -ECANCELED;
        if (EVP_MAC_update(context, piece.data, piece.size) != 1)
            return crypto_failure();
    }
    return EVP_MAC_final(context, mac, ret_size, CRYPTO_DIGEST_MAX) == 1 ? 0 : crypto_failure();
}

static int compute(enum crypto_hash hash, const struct crypto_key *key, struct crypto_bytes data,
                   const struct crypto_caller *caller, uint8_t mac[CRYPTO_DIGEST_MAX],
                   size_t *ret_size)
{
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(crypto_mac());

    if (!context)
        return crypto_failure();
    int r = begin(context, hash, key);
    if (r == 0)
        r = run(context, data, caller, mac, ret_size);
    EVP_MAC_CTX_free(context);
    return r;
}

int crypto_hmac_sign(enum crypto_hash hash, const struct crypto_key *key, struct crypto_bytes data,
                     const struct crypto_caller *caller)
{
    uint8_t mac[CRYPTO_DIGEST_MAX];
    size_t size = 0;

    int r = compute(hash, key, data, caller, mac, &size);
    return r < 0 ? r : crypto_give((struct crypto_bytes){ mac, size }, caller);
}

int crypto_hmac_verify(enum crypto_hash hash, const struct crypto_key *key,
                       struct crypto_bytes signature, struct crypto_bytes data,
                       const struct crypto_caller *caller)
{
    uint8_t mac[CRYPTO_DIGEST_MAX];
    size_t size = 0;

    int r = compute(hash, key, data, caller, mac, &size);
    return r < 0 ? r : crypto_equal((struct crypto_bytes){ mac, size }, signature);
}
