/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations that the files of worker/crypto share. */
#pragma once

#include "worker/crypto/crypto.h"

#include <openssl/evp.h>

struct crypto_key {
    unsigned n_refs;
    enum crypto_kind kind; /* a half of a pair only: the private one */
    bool is_private;
    EVP_PKEY *pair; /* both halves, of which only one may be used; NULL: a secret */
    size_t size;
    uint8_t secret[];
};

/* Between two looks at the caller. */
#define CRYPTO_PIECE_BYTES ((size_t) 1 << 20)

/* Returns NULL for a number that is no hash. */
const EVP_MD *crypto_md(enum crypto_hash hash);
/* Returns NULL for a number that is no cipher, or a key of another size. */
const EVP_CIPHER *crypto_evp_cipher(enum crypto_cipher cipher, size_t key_bytes);
/* HMAC. */
EVP_MAC *crypto_mac(void);

/* Returns the error of an OpenSSL call that failed for another reason than its arguments: -ENOMEM or -EBADMSG.
 * Clears OpenSSL's queue of errors. */
int crypto_failure(void);

/* Copies the bytes to the result. */
int crypto_give(struct crypto_bytes data, const struct crypto_caller *caller);

static inline bool crypto_is_stopped(const struct crypto_caller *caller)
{
    return caller->is_stopped(caller->owner);
}

/* Adds all of data to a digest, in pieces. 0, -ECANCELED, or as crypto_failure. digest.c */
int crypto_digest_update(EVP_MD_CTX *context, struct crypto_bytes data,
                         const struct crypto_caller *caller);

/* Returns the next bytes of data, at most a piece, and steps data on. */
static inline struct crypto_bytes crypto_next_piece(struct crypto_bytes *data)
{
    struct crypto_bytes piece = { data->data, data->size < CRYPTO_PIECE_BYTES
                                                  ? data->size
                                                  : CRYPTO_PIECE_BYTES };

    if (piece.size > 0)
        *data = (struct crypto_bytes){ data->data + piece.size, data->size - piece.size };
    return piece;
}
