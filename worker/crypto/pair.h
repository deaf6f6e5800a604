/* SPDX-License-Identifier: Apache-2.0 */
/* Declares what the files about key pairs share: one for each family of algorithms, and pair.c, which knows formats. */
#pragma once

#include "worker/crypto/internal.h"

#include <openssl/bn.h>
#include <openssl/evp.h>

#include "common/cleanup.h"

/* One kind of key pairs, as data. */
struct pair_kind {
    const char *name;  /* OpenSSL's */
    const char *group; /* OpenSSL's name of the curve; NULL for other kinds */
    uint8_t oid[12];   /* the algorithm's, or the named curve's; content only */
    size_t oid_bytes;
    size_t bytes; /* a private number's; public ones of OKP are as long */
    bool is_okp;
};

const struct pair_kind *pair_kind(enum crypto_kind kind);

/* Takes the key over. NULL: there is no memory, and the key is freed. */
struct crypto_key *pair_key_new(enum crypto_kind kind, bool is_private, EVP_PKEY *key);

/* Makes OpenSSL's key of the parts, all of which have been read from somewhere: checks all that there is to check. */
int rsa_from_parts(const struct crypto_bytes parts[CRYPTO_PARTS], EVP_PKEY **ret_key);
int ec_from_parts(enum crypto_kind kind, const struct crypto_bytes parts[CRYPTO_PARTS],
                  EVP_PKEY **ret_key);
/* A public key from its point (SEC 1), compressed or not. */
int ec_from_point(enum crypto_kind kind, struct crypto_bytes point, EVP_PKEY **ret_key);
int okp_from_parts(enum crypto_kind kind, const struct crypto_bytes parts[CRYPTO_PARTS],
                   EVP_PKEY **ret_key);

int rsa_generate(size_t bits, struct crypto_bytes e, const struct crypto_caller *caller,
                 EVP_PKEY **ret_key);

/* -EDQUOT if a private operation with an RSA key of that many bits would take more than is left. */
int rsa_afford(size_t bits, const struct crypto_caller *caller);

/* -EDQUOT if that would take more than twice what is left. */
int crypto_afford(double ns, const struct crypto_caller *caller);

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free, pkey_cleanup)
DEFINE_CLEANUP(EVP_PKEY_CTX *, EVP_PKEY_CTX_free, pkey_ctx_cleanup)
DEFINE_CLEANUP(BIGNUM *, BN_clear_free, bn_cleanup)
DEFINE_CLEANUP(BN_CTX *, BN_CTX_free, bn_ctx_cleanup)
