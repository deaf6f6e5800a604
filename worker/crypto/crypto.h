/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cryptography for tenants, by the providers of OpenSSL 3; worker/v8/crypto.cc gives it to
 * JavaScript. Knows neither V8 nor isolates. Worker process, main thread; crypto_init before the
 * jail, all else inside it.
 *
 * Unless said otherwise, functions return 0 or -errno:
 *   -EINVAL     a parameter that the algorithm does not take
 *   -EBADMSG    the data, the key or its encoding is bad
 *   -ECANCELED  stopped in the middle, because the caller is out of time
 *   -EDQUOT     not begun: the operation would take more CPU time than the caller has left
 *   -ENOMEM     no memory for the result or on the way to it
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct crypto_bytes {
    const uint8_t *data; /* borrowed for the call; may be NULL if size is 0 */
    size_t size;
};

/* On whose behalf an operation runs. */
struct crypto_caller {
    /* True once the operation has to end: is looked at often, and must be cheap. */
    bool (*is_stopped)(void *owner);
    /* CPU time that is left, in nanoseconds; UINT64_MAX: no limit. */
    uint64_t (*left_ns)(void *owner);
    /* Memory for a result of exactly that size (it may be 0); NULL: there is none. Called once in each operation
     * that has a result, after all checks that can fail before. */
    uint8_t *(*reserve)(void *owner, size_t size);
    void *owner;
};

enum crypto_hash {
    CRYPTO_SHA1,
    CRYPTO_SHA256,
    CRYPTO_SHA384,
    CRYPTO_SHA512,
    CRYPTO_SHA3_256,
    CRYPTO_SHA3_384,
    CRYPTO_SHA3_512,
    CRYPTO_HASHES,
};

#define CRYPTO_DIGEST_MAX 64 /* bytes of the longest digest */

/* Loads what operations need, reads no file, and has all random numbers come from the kernel. Once for the
 * process. 0, -EALREADY or -ENOTSUP if this OpenSSL lacks something. */
int crypto_init(void);

/* Fills the bytes by getrandom(2). 0 or -errno. */
int crypto_random(uint8_t *data, size_t size);

#define CRYPTO_UUID_CHARS 36
/* Writes a random UUID (RFC 9562, version 4), without an end mark. 0 or -errno. */
int crypto_uuid(char text[CRYPTO_UUID_CHARS]);

/* True if both hold the same bytes; takes the same time wherever they differ. */
bool crypto_equal(struct crypto_bytes a, struct crypto_bytes b);

/* ---- digests */

int crypto_digest(enum crypto_hash hash, struct crypto_bytes data,
                  const struct crypto_caller *caller);

/* A digest of data that comes in parts. */
struct crypto_stream;
int crypto_stream_new(enum crypto_hash hash, struct crypto_stream **ret_stream);
int crypto_stream_add(struct crypto_stream *stream, struct crypto_bytes data,
                      const struct crypto_caller *caller);
/* Ends the stream: the result is the digest of all parts. */
int crypto_stream_end(struct crypto_stream *stream, const struct crypto_caller *caller);
/* NULL is allowed. Returns NULL. */
struct crypto_stream *crypto_stream_free(struct crypto_stream *stream);

/* ---- keys */

/* A secret, or one half of a key pair. The last reference wipes it. */
struct crypto_key;
int crypto_key_new_secret(struct crypto_bytes secret, struct crypto_key **ret_key);
/* A secret of that many random bits; bits of the last byte beyond them are 0. */
int crypto_key_generate_secret(size_t bits, struct crypto_key **ret_key);
struct crypto_key *crypto_key_ref(struct crypto_key *key);
/* NULL is allowed. Returns NULL. */
struct crypto_key *crypto_key_unref(struct crypto_key *key);
/* The bytes of a secret key; no bytes for another. Valid as long as the key. */
struct crypto_bytes crypto_key_secret(const struct crypto_key *key);

/* ---- HMAC; the key is a secret */

int crypto_hmac_sign(enum crypto_hash hash, const struct crypto_key *key, struct crypto_bytes data,
                     const struct crypto_caller *caller);
/* 1 if the signature is right, 0 if not, or -errno. */
int crypto_hmac_verify(enum crypto_hash hash, const struct crypto_key *key,
                       struct crypto_bytes signature, struct crypto_bytes data,
                       const struct crypto_caller *caller);

/* ---- AES; the key is a secret of 16, 24 or 32 bytes */

enum crypto_cipher {
    CRYPTO_AES_CBC, /* with the padding of PKCS #7 */
    CRYPTO_AES_CTR,
    CRYPTO_AES_GCM, /* the tag follows the ciphertext */
    CRYPTO_AES_KW,
    CRYPTO_CIPHERS,
};

struct crypto_cipher_params {
    enum crypto_cipher cipher;
    bool decrypt;
    struct crypto_bytes iv; /* CBC, GCM; CTR: the first counter block. KW has none */
    struct crypto_bytes aad;
    size_t tag_bits;     /* GCM */
    size_t counter_bits; /* CTR: low bits of the block that count, 1 to 128 */
};

int crypto_cipher(const struct crypto_key *key, const struct crypto_cipher_params *params,
                  struct crypto_bytes data, const struct crypto_caller *caller);

/* ---- derivation of size bytes from a secret */

int crypto_hkdf(enum crypto_hash hash, const struct crypto_key *key, struct crypto_bytes salt,
                struct crypto_bytes info, size_t size, const struct crypto_caller *caller);
int crypto_pbkdf2(enum crypto_hash hash, const struct crypto_key *key, struct crypto_bytes salt,
                  uint32_t iterations, size_t size, const struct crypto_caller *caller);

/* ---- key pairs: a key is the private half or the public one */

enum crypto_kind {
    CRYPTO_RSA,
    CRYPTO_P256,
    CRYPTO_P384,
    CRYPTO_P521,
    CRYPTO_ED25519,
    CRYPTO_ED448,
    CRYPTO_X25519,
    CRYPTO_X448,
    CRYPTO_KINDS,
};

enum crypto_format {
    CRYPTO_RAW, /* a public key: the point (SEC 1), or the bytes of RFC 8032 and 7748; none for RSA */
    CRYPTO_SPKI,  /* a public key, DER (RFC 5280) */
    CRYPTO_PKCS8, /* a private key, DER (RFC 5208) */
    CRYPTO_FORMATS,
};

/* The parts of a key: numbers with their most significant byte first. */
enum crypto_part {
    CRYPTO_PART_N,
    CRYPTO_PART_E,
    CRYPTO_PART_D, /* RSA's; also the private number of the other kinds */
    CRYPTO_PART_P,
    CRYPTO_PART_Q,
    CRYPTO_PART_DP,
    CRYPTO_PART_DQ,
    CRYPTO_PART_QI,
    CRYPTO_PART_X, /* the public number of the other kinds, and the first coordinate of a point */
    CRYPTO_PART_Y,
    CRYPTO_PARTS,
};

#define CRYPTO_RSA_BITS_MIN 512
#define CRYPTO_RSA_BITS_MAX 16384

struct crypto_pair {
    struct crypto_key *private_key, *public_key;
};

/* RSA: bits and the exponent e. -EINVAL if there are no such keys. */
int crypto_pair_generate(enum crypto_kind kind, size_t bits, struct crypto_bytes e,
                         const struct crypto_caller *caller, struct crypto_pair *ret_pair);
/* Checks that the key is one: numbers of the right size that fit each other, a point on the curve. */
int crypto_pair_import(enum crypto_kind kind, enum crypto_format format, struct crypto_bytes data,
                       struct crypto_key **ret_key);
/* The same from parts; what is not there has no bytes. With D it is a private key. */
int crypto_pair_from_parts(enum crypto_kind kind, const struct crypto_bytes parts[CRYPTO_PARTS],
                           struct crypto_key **ret_key);
/* -EINVAL if this half does not have that format. */
int crypto_pair_export(const struct crypto_key *key, enum crypto_format format,
                       const struct crypto_caller *caller);
/* -EINVAL if this half has no such part. */
int crypto_pair_part(const struct crypto_key *key, enum crypto_part part,
                     const struct crypto_caller *caller);
/* Returns the bits of an RSA modulus; 0 for other keys. */
size_t crypto_rsa_bits(const struct crypto_key *key);

enum crypto_scheme {
    CRYPTO_PKCS1, /* RSASSA-PKCS1-v1_5 */
    CRYPTO_PSS,
    CRYPTO_ECDSA, /* r and s, each as long as the curve's order */
    CRYPTO_EDDSA,
    CRYPTO_SCHEMES,
};

struct crypto_signing {
    enum crypto_scheme scheme;
    enum crypto_hash hash; /* but for EdDSA */
    size_t salt_bytes;     /* PSS */
};

int crypto_sign(const struct crypto_key *key, const struct crypto_signing *how,
                struct crypto_bytes data, const struct crypto_caller *caller);
/* 1 if the signature is right, 0 if not, or -errno. */
int crypto_verify(const struct crypto_key *key, const struct crypto_signing *how,
                  struct crypto_bytes signature, struct crypto_bytes data,
                  const struct crypto_caller *caller);

/* RSA-OAEP: encrypts with the public half, decrypts with the private one. */
int crypto_oaep(const struct crypto_key *key, enum crypto_hash hash, struct crypto_bytes label,
                struct crypto_bytes data, const struct crypto_caller *caller);

/* The secret that both sides of ECDH, X25519 and X448 have. -EBADMSG if it would be none. */
int crypto_agree(const struct crypto_key *private_key, const struct crypto_key *public_key,
                 const struct crypto_caller *caller);

#ifdef __cplusplus
}
#endif
