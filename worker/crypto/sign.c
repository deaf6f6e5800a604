/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures, RSA-OAEP and key agreement. */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <string.h>

#include "common/io.h"
#include "worker/crypto/pair.h"

#define SIGNATURE_MAX (CRYPTO_RSA_BITS_MAX / 8)
#define LABEL_MAX ((size_t) 64 << 10)
/* Ed25519 and Ed448 read all of the data at once; up to here nobody has to ask how long that takes. */
#define CHEAP_BYTES ((size_t) 1 << 20)
#define SAMPLE_BYTES ((size_t) 64 << 10)
#define EDDSA_PASSES 2
#define POINT_MAX 57 /* Ed448's */

DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free, md_ctx_cleanup)
DEFINE_CLEANUP(ECDSA_SIG *, ECDSA_SIG_free, ecdsa_sig_cleanup)

static bool is_curve(const struct crypto_key *key)
{
    return key->kind == CRYPTO_P256 || key->kind == CRYPTO_P384 || key->kind == CRYPTO_P521;
}

static bool fits(const struct crypto_key *key, enum crypto_scheme scheme)
{
    if (!key->pair)
        return false;
    switch (scheme) {
    case CRYPTO_PKCS1:
    case CRYPTO_PSS:
        return key->kind == CRYPTO_RSA;
    case CRYPTO_ECDSA:
        return is_curve(key);
    case CRYPTO_EDDSA:
        return key->kind == CRYPTO_ED25519 || key->kind == CRYPTO_ED448;
    case CRYPTO_SCHEMES:
        break;
    }
    return false;
}

static int digest(const EVP_MD *md, struct crypto_bytes data, const struct crypto_caller *caller,
                  uint8_t to[CRYPTO_DIGEST_MAX])
{
    _cleanup_(md_ctx_cleanup) EVP_MD_CTX *context = EVP_MD_CTX_new();

    if (!context || EVP_DigestInit_ex2(context, md, NULL) != 1)
        return -ENOMEM;
    int r = crypto_digest_update(context, data, caller);
    if (r < 0)
        return r;
    return EVP_DigestFinal_ex(context, to, NULL) == 1 ? 0 : crypto_failure();
}

/* Sets what the scheme wants besides the digest. */
static int set_up(EVP_PKEY_CTX *context, const struct crypto_signing *how, const EVP_MD *md,
                  size_t key_bytes)
{
    const int padding = how->scheme == CRYPTO_PSS ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;

    if (EVP_PKEY_CTX_set_signature_md(context, md) != 1)
        return crypto_failure();
    if (how->scheme == CRYPTO_ECDSA)
        return 0;
    if (EVP_PKEY_CTX_set_rsa_padding(context, padding) != 1)
        return crypto_failure();
    if (how->scheme == CRYPTO_PKCS1)
        return 0;
    if (how->salt_bytes >
        key_bytes) /* some numbers that are too large mean something else to OpenSSL */
        return -EINVAL;
    return EVP_PKEY_CTX_set_rsa_pss_saltlen(context, (int) how->salt_bytes) == 1 ? 0
                                                                                 : crypto_failure();
}

typedef int (*init_fn)(EVP_PKEY_CTX *context);

static int begin(const struct crypto_key *key, const struct crypto_signing *how, init_fn init,
                 EVP_PKEY_CTX **ret_context)
{
    _cleanup_(pkey_ctx_cleanup) EVP_PKEY_CTX *context =
        EVP_PKEY_CTX_new_from_pkey(NULL, key->pair, NULL);

    if (!context || init(context) != 1)
        return crypto_failure();
    int r = set_up(context, how, crypto_md(how->hash), (size_t) EVP_PKEY_get_size(key->pair));
    if (r == 0)
        *ret_context = TAKE_PTR(context);
    return r;
}

/* ---- ECDSA: DER to OpenSSL, two numbers of a fixed length to Web Crypto */

static int give_numbers(struct crypto_bytes der, size_t bytes, const struct crypto_caller *caller)
{
    const uint8_t *at = der.data;
    _cleanup_(ecdsa_sig_cleanup) ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long) der.size);
    uint8_t numbers[SIGNATURE_MAX];

    if (!signature || BN_bn2binpad(ECDSA_SIG_get0_r(signature), numbers, (int) bytes) < 0 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(signature), numbers + bytes, (int) bytes) < 0)
        return crypto_failure();
    return crypto_give((struct crypto_bytes){ numbers, 2 * bytes }, caller);
}

/* Returns the size, or -errno. */
static int to_der(struct crypto_bytes numbers, size_t bytes, uint8_t der[SIGNATURE_MAX])
{
    _cleanup_(ecdsa_sig_cleanup) ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r, *s;

    if (numbers.size != 2 * bytes)
        return -EBADMSG;
    r = BN_bin2bn(numbers.data, (int) bytes, NULL);
    s = BN_bin2bn(numbers.data + bytes, (int) bytes, NULL);
    if (!signature || !r || !s || ECDSA_SIG_set0(signature, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return -ENOMEM;
    }
    uint8_t *at = der;
    const int size = i2d_ECDSA_SIG(signature, &at);
    return size > 0 ? size : crypto_failure();
}

/* ---- EdDSA */

/* How long it takes to read all of the data, twice, by what a small part of it takes. */
static int afford_passes(struct crypto_bytes data, const struct crypto_caller *caller)
{
    uint8_t sample[CRYPTO_DIGEST_MAX];

    if (data.size <= CHEAP_BYTES)
        return 0;
    const uint64_t begun = io_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int r = digest(crypto_md(CRYPTO_SHA512), (struct crypto_bytes){ data.data, SAMPLE_BYTES },
                   caller, sample);
    const double each = (double) (io_clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun) / SAMPLE_BYTES;
    return r < 0 ? r : crypto_afford(each * (double) data.size * EDDSA_PASSES, caller);
}

/* Points that a small multiple makes 0: with such a key, or such a first half, one signature fits many messages. By their
 * y: 0, 1 and p - 1, for Ed25519 also p and p + 1, which OpenSSL takes for 0 and 1, and two more. */
struct small_point {
    enum crypto_kind kind;
    uint8_t low, fill, bend, high; /* the first byte, the others, byte 28 of Ed448, and the last */
};

static const struct small_point small_points[] = {
    { CRYPTO_ED25519, 0x00, 0x00, 0x00, 0x00 }, { CRYPTO_ED25519, 0x01, 0x00, 0x00, 0x00 },
    { CRYPTO_ED25519, 0xec, 0xff, 0xff, 0x7f }, { CRYPTO_ED25519, 0xed, 0xff, 0xff, 0x7f },
    { CRYPTO_ED25519, 0xee, 0xff, 0xff, 0x7f }, { CRYPTO_ED448, 0x00, 0x00, 0x00, 0x00 },
    { CRYPTO_ED448, 0x01, 0x00, 0x00, 0x00 },   { CRYPTO_ED448, 0xfe, 0xff, 0xfe, 0x00 },
};

static const uint8_t of_order_8[][32] = {
    { 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
      0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
      0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05 },
    { 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
      0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
      0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a },
};

static void write_small_point(const struct small_point *point, size_t size, uint8_t *y)
{
    memset(y, point->fill, size);
    y[0] = point->low;
    if (point->kind == CRYPTO_ED448)
        y[28] = point->bend;
    y[size - 1] = point->high;
}

static bool is_small_order(enum crypto_kind kind, const uint8_t *point)
{
    const size_t size = pair_kind(kind)->bytes;
    uint8_t y[POINT_MAX], small[POINT_MAX];

    memcpy(y, point, size);
    y[size - 1] &= 0x7f; /* without the sign of x */
    for (size_t i = 0; i < ARRAY_LEN(of_order_8); i++)
        if (kind == CRYPTO_ED25519 && memcmp(y, of_order_8[i], size) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_LEN(small_points); i++) {
        write_small_point(&small_points[i], size, small);
        if (small_points[i].kind == kind && memcmp(y, small, size) == 0)
            return true;
    }
    return false;
}

static int sign_eddsa(const struct crypto_key *key, struct crypto_bytes data,
                      const struct crypto_caller *caller)
{
    _cleanup_(md_ctx_cleanup) EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t signature[SIGNATURE_MAX];
    size_t size = sizeof signature;

    int r = afford_passes(data, caller);
    if (r < 0)
        return r;
    if (!context || EVP_DigestSignInit(context, NULL, NULL, NULL, key->pair) != 1 ||
        EVP_DigestSign(context, signature, &size, data.data, data.size) != 1)
        return crypto_failure();
    return crypto_give((struct crypto_bytes){ signature, size }, caller);
}

/* 1 if the key or the first half of the signature is of small order, 0 if not, or -errno. */
static int is_weak(const struct crypto_key *key, struct crypto_bytes signature)
{
    const size_t bytes = pair_kind(key->kind)->bytes;
    uint8_t point[POINT_MAX];
    size_t size = sizeof point;

    if (signature.size != 2 * bytes)
        return 1;
    if (EVP_PKEY_get_raw_public_key(key->pair, point, &size) != 1 || size != bytes)
        return crypto_failure();
    return is_small_order(key->kind, point) || is_small_order(key->kind, signature.data);
}

static int verify_eddsa(const struct crypto_key *key, struct crypto_bytes signature,
                        struct crypto_bytes data, const struct crypto_caller *caller)
{
    _cleanup_(md_ctx_cleanup) EVP_MD_CTX *context = EVP_MD_CTX_new();

    int r = afford_passes(data, caller);
    if (r < 0)
        return r;
    r = is_weak(key, signature);
    if (r != 0)
        return r < 0 ? r : 0;
    if (!context || EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->pair) != 1)
        return crypto_failure();
    if (EVP_DigestVerify(context, signature.data, signature.size, data.data, data.size) == 1)
        return 1;
    (void) crypto_failure();
    return 0;
}

/* ---- all schemes */

int crypto_sign(const struct crypto_key *key, const struct crypto_signing *how,
                struct crypto_bytes data, const struct crypto_caller *caller)
{
    const EVP_MD *md = crypto_md(how->hash);
    _cleanup_(pkey_ctx_cleanup) EVP_PKEY_CTX *context = NULL;
    uint8_t hashed[CRYPTO_DIGEST_MAX], signature[SIGNATURE_MAX];
    size_t size = sizeof signature;

    if (!fits(key, how->scheme) || !key->is_private || (!md && how->scheme != CRYPTO_EDDSA))
        return -EINVAL;
    if (how->scheme == CRYPTO_EDDSA)
        return sign_eddsa(key, data, caller);
    int r = rsa_afford(crypto_rsa_bits(key), caller);
    if (r == 0)
        r = digest(md, data, caller, hashed);
    if (r == 0)
        r = begin(key, how, EVP_PKEY_sign_init, &context);
    if (r < 0)
        return r;
    if (EVP_PKEY_sign(context, signature, &size, hashed, (size_t) EVP_MD_get_size(md)) != 1)
        return crypto_failure();
    const struct crypto_bytes made = { signature, size };
    return how->scheme == CRYPTO_ECDSA ? give_numbers(made, pair_kind(key->kind)->bytes, caller)
                                       : crypto_give(made, caller);
}

static int verify_digest(const struct crypto_key *key, const struct crypto_signing *how,
                         struct crypto_bytes signature, struct crypto_bytes hashed)
{
    _cleanup_(pkey_ctx_cleanup) EVP_PKEY_CTX *context = NULL;
    uint8_t der[SIGNATURE_MAX];

    if (how->scheme == CRYPTO_ECDSA) {
        int size = to_der(signature, pair_kind(key->kind)->bytes, der);
        if (size < 0)
            return size == -EBADMSG ? 0 : size;
        signature = (struct crypto_bytes){ der, (size_t) size };
    }
    int r = begin(key, how, EVP_PKEY_verify_init, &context);
    if (r < 0)
        return r == -EINVAL ? 0 : r; /* no signature has a salt of that length */
    r = EVP_PKEY_verify(context, signature.data, signature.size, hashed.data, hashed.size);
    (void) crypto_failure();
    return r == 1;
}

int crypto_verify(const struct crypto_key *key, const struct crypto_signing *how,
                  struct crypto_bytes signature, struct crypto_bytes data,
                  const struct crypto_caller *caller)
{
    const EVP_MD *md = crypto_md(how->hash);
    uint8_t hashed[CRYPTO_DIGEST_MAX];

    if (!fits(key, how->scheme) || (!md && how->scheme != CRYPTO_EDDSA))
        return -EINVAL;
    if (signature.size == 0 || signature.size > SIGNATURE_MAX)
        return 0;
    if (how->scheme == CRYPTO_EDDSA)
        return verify_eddsa(key, signature, data, caller);
    int r = digest(md, data, caller, hashed);
    if (r < 0)
        return r;
    return verify_digest(key, how, signature,
                         (struct crypto_bytes){ hashed, (size_t) EVP_MD_get_size(md) });
}

/* ---- RSA-OAEP */

static int set_oaep(EVP_PKEY_CTX *context, const EVP_MD *md, struct crypto_bytes label)
{
    if (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(context, md) != 1 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md(context, md) != 1)
        return crypto_failure();
    if (label.size == 0)
        return 0;
    void *copy = OPENSSL_memdup(label.data, label.size);
    if (copy && EVP_PKEY_CTX_set0_rsa_oaep_label(context, copy, (int) label.size) == 1)
        return 0;
    OPENSSL_free(copy);
    return crypto_failure();
}

int crypto_oaep(const struct crypto_key *key, enum crypto_hash hash, struct crypto_bytes label,
                struct crypto_bytes data, const struct crypto_caller *caller)
{
    const EVP_MD *md = crypto_md(hash);
    _cleanup_(pkey_ctx_cleanup) EVP_PKEY_CTX *context = NULL;
    uint8_t result[CRYPTO_RSA_BITS_MAX / 8];
    size_t size = sizeof result;

    if (!key->pair || key->kind != CRYPTO_RSA || !md || label.size > LABEL_MAX)
        return -EINVAL;
    int r = key->is_private ? rsa_afford(crypto_rsa_bits(key), caller) : 0;
    if (r < 0)
        return r;
    context = EVP_PKEY_CTX_new_from_pkey(NULL, key->pair, NULL);
    if (!context ||
        (key->is_private ? EVP_PKEY_decrypt_init(context) : EVP_PKEY_encrypt_init(context)) != 1)
        return crypto_failure();
    r = set_oaep(context, md, label);
    if (r < 0)
        return r;
    r = key->is_private ? EVP_PKEY_decrypt(context, result, &size, data.data, data.size)
                        : EVP_PKEY_encrypt(context, result, &size, data.data, data.size);
    r = r == 1 ? crypto_give((struct crypto_bytes){ result, size }, caller) : crypto_failure();
    OPENSSL_cleanse(result, sizeof result);
    return r;
}

/* ---- key agreement */

int crypto_agree(const struct crypto_key *private_key, const struct crypto_key *public_key,
                 const struct crypto_caller *caller)
{
    _cleanup_(pkey_ctx_cleanup) EVP_PKEY_CTX *context = NULL;
    uint8_t secret[SIGNATURE_MAX];
    size_t size = sizeof secret;

    if (!private_key->pair || !public_key->pair || !private_key->is_private ||
        public_key->is_private || private_key->kind != public_key->kind ||
        (!is_curve(private_key) && private_key->kind != CRYPTO_X25519 &&
         private_key->kind != CRYPTO_X448))
        return -EINVAL;
    context = EVP_PKEY_CTX_new_from_pkey(NULL, private_key->pair, NULL);
    if (!context || EVP_PKEY_derive_init(context) != 1 ||
        EVP_PKEY_derive_set_peer(context, public_key->pair) != 1 ||
        EVP_PKEY_derive(context, secret, &size) != 1)
        return crypto_failure();
    int r = crypto_give((struct crypto_bytes){ secret, size }, caller);
    OPENSSL_cleanse(secret, sizeof secret);
    return r;
}
