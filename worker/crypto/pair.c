/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key pairs: how each kind is written (SubjectPublicKeyInfo of RFC 5280, PrivateKeyInfo of RFC
 * 5208, with RFC 8017, 5480, 5915 and 8410), and the parts that JSON Web Keys have. Keys that come
 * from outside are read by der.c, not by OpenSSL.
 */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "worker/crypto/der.h"
#include "worker/crypto/pair.h"

#define RSA_NUMBERS 8 /* in a private key: n to qi */
#define EC_BYTES_MAX 66
#define NUMBER_BYTES_MAX (CRYPTO_RSA_BITS_MAX / 8)
#define PRIVATE_DER_MAX ((size_t) 16 << 10)

static const uint8_t rsa_oid[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01 };
static const uint8_t ec_oid[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01 };

static const struct pair_kind kinds[CRYPTO_KINDS] = {
    [CRYPTO_RSA] = { .name = "RSA" },
    [CRYPTO_P256] = { .name = "EC",
                      .group = "P-256",
                      .bytes = 32,
                      .oid_bytes = 8,
                      .oid = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 } },
    [CRYPTO_P384] = { .name = "EC",
                      .group = "P-384",
                      .bytes = 48,
                      .oid_bytes = 5,
                      .oid = { 0x2b, 0x81, 0x04, 0x00, 0x22 } },
    [CRYPTO_P521] = { .name = "EC",
                      .group = "P-521",
                      .bytes = 66,
                      .oid_bytes = 5,
                      .oid = { 0x2b, 0x81, 0x04, 0x00, 0x23 } },
    [CRYPTO_ED25519] = { .name = "ED25519",
                         .bytes = 32,
                         .is_okp = true,
                         .oid_bytes = 3,
                         .oid = { 0x2b, 0x65, 0x70 } },
    [CRYPTO_ED448] = { .name = "ED448",
                       .bytes = 57,
                       .is_okp = true,
                       .oid_bytes = 3,
                       .oid = { 0x2b, 0x65, 0x71 } },
    [CRYPTO_X25519] = { .name = "X25519",
                        .bytes = 32,
                        .is_okp = true,
                        .oid_bytes = 3,
                        .oid = { 0x2b, 0x65, 0x6e } },
    [CRYPTO_X448] = { .name = "X448",
                      .bytes = 56,
                      .is_okp = true,
                      .oid_bytes = 3,
                      .oid = { 0x2b, 0x65, 0x6f } },
};

const struct pair_kind *pair_kind(enum crypto_kind kind)
{
    return &kinds[kind];
}

struct crypto_key *pair_key_new(enum crypto_kind kind, bool is_private, EVP_PKEY *pair)
{
    struct crypto_key *key = malloc(sizeof *key);

    if (!key) {
        EVP_PKEY_free(pair);
        return NULL;
    }
    *key = (struct crypto_key){ .n_refs = 1, .kind = kind, .is_private = is_private, .pair = pair };
    return key;
}

static int finish(enum crypto_kind kind, bool is_private, EVP_PKEY *pair,
                  struct crypto_key **ret_key)
{
    *ret_key = pair_key_new(kind, is_private, pair);
    return *ret_key ? 0 : -ENOMEM;
}

/* ---- from parts */

int crypto_pair_from_parts(enum crypto_kind kind, const struct crypto_bytes parts[CRYPTO_PARTS],
                           struct crypto_key **ret_key)
{
    EVP_PKEY *pair = NULL;

    if ((unsigned) kind >= CRYPTO_KINDS)
        return -EINVAL;
    int r = kind == CRYPTO_RSA   ? rsa_from_parts(parts, &pair)
            : kinds[kind].is_okp ? okp_from_parts(kind, parts, &pair)
                                 : ec_from_parts(kind, parts, &pair);
    return r < 0 ? r : finish(kind, parts[CRYPTO_PART_D].size > 0, pair, ret_key);
}

/* ---- reading */

static bool is_same(struct crypto_bytes a, const uint8_t *b, size_t size)
{
    return a.size == size && memcmp(a.data, b, size) == 0;
}

/* Takes an AlgorithmIdentifier of the kind. */
static bool read_algorithm(struct crypto_bytes *from, enum crypto_kind kind)
{
    const struct pair_kind *row = &kinds[kind];
    struct crypto_bytes algorithm, oid, parameters;

    if (!der_read(from, DER_SEQUENCE, &algorithm) || !der_read(&algorithm, DER_OID, &oid))
        return false;
    if (kind == CRYPTO_RSA)
        return is_same(oid, rsa_oid, sizeof rsa_oid) &&
               der_read(&algorithm, DER_NULL, &parameters) && parameters.size == 0 &&
               algorithm.size == 0;
    if (row->is_okp)
        return is_same(oid, row->oid, row->oid_bytes) && algorithm.size == 0;
    return is_same(oid, ec_oid, sizeof ec_oid) && der_read(&algorithm, DER_OID, &parameters) &&
           is_same(parameters, row->oid, row->oid_bytes) && algorithm.size == 0;
}

static int read_public_rsa(struct crypto_bytes bits, EVP_PKEY **ret_pair)
{
    struct crypto_bytes parts[CRYPTO_PARTS] = { 0 }, numbers;

    if (!der_read(&bits, DER_SEQUENCE, &numbers) || bits.size > 0 ||
        !der_read_unsigned(&numbers, &parts[CRYPTO_PART_N]) ||
        !der_read_unsigned(&numbers, &parts[CRYPTO_PART_E]) || numbers.size > 0)
        return -EBADMSG;
    return rsa_from_parts(parts, ret_pair);
}

/* A public key as it stands alone, and in a BIT STRING. */
static int read_raw(enum crypto_kind kind, struct crypto_bytes data, EVP_PKEY **ret_pair)
{
    struct crypto_bytes parts[CRYPTO_PARTS] = { [CRYPTO_PART_X] = data };

    if (kind == CRYPTO_RSA)
        return -EINVAL;
    return kinds[kind].is_okp ? okp_from_parts(kind, parts, ret_pair)
                              : ec_from_point(kind, data, ret_pair);
}

static int read_spki(enum crypto_kind kind, struct crypto_bytes data, EVP_PKEY **ret_pair)
{
    struct crypto_bytes info, bits;

    if (!der_read(&data, DER_SEQUENCE, &info) || data.size > 0 || !read_algorithm(&info, kind) ||
        !der_read_bits(&info, &bits) || info.size > 0)
        return -EBADMSG;
    return kind == CRYPTO_RSA ? read_public_rsa(bits, ret_pair) : read_raw(kind, bits, ret_pair);
}

static int read_private_rsa(struct crypto_bytes data, EVP_PKEY **ret_pair)
{
    struct crypto_bytes parts[CRYPTO_PARTS] = { 0 }, numbers;

    if (!der_read(&data, DER_SEQUENCE, &numbers) || data.size > 0 || !der_read_small(&numbers, 0))
        return -EBADMSG;
    for (size_t i = 0; i < RSA_NUMBERS; i++)
        if (!der_read_unsigned(&numbers, &parts[CRYPTO_PART_N + i]))
            return -EBADMSG;
    return numbers.size > 0 ? -EBADMSG : rsa_from_parts(parts, ret_pair);
}

/* ECPrivateKey. The curve may be named once more, and the public key may follow. */
static int read_private_ec(enum crypto_kind kind, struct crypto_bytes data, EVP_PKEY **ret_pair)
{
    const struct pair_kind *row = &kinds[kind];
    struct crypto_bytes parts[CRYPTO_PARTS] = { 0 }, key, choice, name, point;

    if (!der_read(&data, DER_SEQUENCE, &key) || data.size > 0 || !der_read_small(&key, 1) ||
        !der_read(&key, DER_OCTET_STRING, &parts[CRYPTO_PART_D]))
        return -EBADMSG;
    if (der_read(&key, DER_CONTEXT_0, &choice) &&
        (!der_read(&choice, DER_OID, &name) || choice.size > 0 ||
         !is_same(name, row->oid, row->oid_bytes)))
        return -EBADMSG;
    if (der_read(&key, DER_CONTEXT_1, &choice)) {
        if (!der_read_bits(&choice, &point) || choice.size > 0 ||
            point.size != 1 + 2 * row->bytes || point.data[0] != 4)
            return -EBADMSG;
        parts[CRYPTO_PART_X] = (struct crypto_bytes){ point.data + 1, row->bytes };
        parts[CRYPTO_PART_Y] = (struct crypto_bytes){ point.data + 1 + row->bytes, row->bytes };
    }
    if (parts[CRYPTO_PART_D].size != row->bytes || key.size > 0)
        return -EBADMSG;
    return ec_from_parts(kind, parts, ret_pair);
}

static int read_private_okp(enum crypto_kind kind, struct crypto_bytes data, EVP_PKEY **ret_pair)
{
    struct crypto_bytes parts[CRYPTO_PARTS] = { 0 };

    if (!der_read(&data, DER_OCTET_STRING, &parts[CRYPTO_PART_D]) || data.size > 0 ||
        parts[CRYPTO_PART_D].size == 0)
        return -EBADMSG;
    return okp_from_parts(kind, parts, ret_pair);
}

/* Attributes, and the public key that version 1 may have, are passed over. */
static int read_pkcs8(enum crypto_kind kind, struct crypto_bytes data, EVP_PKEY **ret_pair)
{
    struct crypto_bytes info, key, ignored;

    if (!der_read(&data, DER_SEQUENCE, &info) || data.size > 0 ||
        (!der_read_small(&info, 0) && !der_read_small(&info, 1)) || !read_algorithm(&info, kind) ||
        !der_read(&info, DER_OCTET_STRING, &key))
        return -EBADMSG;
    (void) der_read(&info, DER_CONTEXT_0, &ignored);
    (void) der_read(&info, DER_IMPLICIT_1, &ignored);
    if (info.size > 0)
        return -EBADMSG;
    return kind == CRYPTO_RSA   ? read_private_rsa(key, ret_pair)
           : kinds[kind].is_okp ? read_private_okp(kind, key, ret_pair)
                                : read_private_ec(kind, key, ret_pair);
}

typedef int (*read_fn)(enum crypto_kind kind, struct crypto_bytes data, EVP_PKEY **ret_pair);

static const read_fn readers[CRYPTO_FORMATS] = {
    [CRYPTO_RAW] = read_raw,
    [CRYPTO_SPKI] = read_spki,
    [CRYPTO_PKCS8] = read_pkcs8,
};

int crypto_pair_import(enum crypto_kind kind, enum crypto_format format, struct crypto_bytes data,
                       struct crypto_key **ret_key)
{
    EVP_PKEY *pair = NULL;

    if ((unsigned) kind >= CRYPTO_KINDS || (unsigned) format >= CRYPTO_FORMATS)
        return -EINVAL;
    int r = readers[format](kind, data, &pair);
    return r < 0 ? r : finish(kind, format == CRYPTO_PKCS8, pair, ret_key);
}

/* ---- parts */

/* Where OpenSSL has a number of each part. */
static const char *const rsa_names[CRYPTO_PARTS] = {
    [CRYPTO_PART_N] = OSSL_PKEY_PARAM_RSA_N,
    [CRYPTO_PART_E] = OSSL_PKEY_PARAM_RSA_E,
    [CRYPTO_PART_D] = OSSL_PKEY_PARAM_RSA_D,
    [CRYPTO_PART_P] = OSSL_PKEY_PARAM_RSA_FACTOR1,
    [CRYPTO_PART_Q] = OSSL_PKEY_PARAM_RSA_FACTOR2,
    [CRYPTO_PART_DP] = OSSL_PKEY_PARAM_RSA_EXPONENT1,
    [CRYPTO_PART_DQ] = OSSL_PKEY_PARAM_RSA_EXPONENT2,
    [CRYPTO_PART_QI] = OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
};
static const char *const ec_names[CRYPTO_PARTS] = {
    [CRYPTO_PART_D] = OSSL_PKEY_PARAM_PRIV_KEY,
    [CRYPTO_PART_X] = OSSL_PKEY_PARAM_EC_PUB_X,
    [CRYPTO_PART_Y] = OSSL_PKEY_PARAM_EC_PUB_Y,
};

/* to: NUMBER_BYTES_MAX bytes. bytes: how many to write, with zeros in front; 0: as many as the number has. Returns how
 * many, or -errno. */
static int get_number(const EVP_PKEY *pair, const char *name, size_t bytes, uint8_t *to)
{
    _cleanup_(bn_cleanup) BIGNUM *number = NULL;

    if (EVP_PKEY_get_bn_param(pair, name, &number) != 1)
        return crypto_failure();
    const int size = bytes > 0 ? (int) bytes : BN_num_bytes(number);
    return size <= NUMBER_BYTES_MAX && BN_bn2binpad(number, to, size) == size ? size : -EINVAL;
}

static int get_okp(const struct crypto_key *key, enum crypto_part part, uint8_t *to)
{
    size_t size = NUMBER_BYTES_MAX;
    int is_good = part == CRYPTO_PART_D ? EVP_PKEY_get_raw_private_key(key->pair, to, &size)
                                        : EVP_PKEY_get_raw_public_key(key->pair, to, &size);

    return is_good == 1 ? (int) size : crypto_failure();
}

static bool has_part(const struct crypto_key *key, enum crypto_part part)
{
    const bool is_okp = kinds[key->kind].is_okp;
    const char *const *names = key->kind == CRYPTO_RSA ? rsa_names : ec_names;
    const bool is_public = part == CRYPTO_PART_N || part == CRYPTO_PART_E ||
                           part == CRYPTO_PART_X || part == CRYPTO_PART_Y;

    if (!key->pair || (unsigned) part >= CRYPTO_PARTS || (!is_public && !key->is_private))
        return false;
    return is_okp ? part == CRYPTO_PART_X || part == CRYPTO_PART_D : names[part] != NULL;
}

/* to: NUMBER_BYTES_MAX bytes. Returns the size, or -errno. */
static int get_part(const struct crypto_key *key, enum crypto_part part, uint8_t *to)
{
    if (!has_part(key, part))
        return -EINVAL;
    if (kinds[key->kind].is_okp)
        return get_okp(key, part, to);
    return key->kind == CRYPTO_RSA
               ? get_number(key->pair, rsa_names[part], 0, to)
               : get_number(key->pair, ec_names[part], kinds[key->kind].bytes, to);
}

int crypto_pair_part(const struct crypto_key *key, enum crypto_part part,
                     const struct crypto_caller *caller)
{
    uint8_t number[NUMBER_BYTES_MAX];
    int size = get_part(key, part, number);

    int r = size < 0 ? size : crypto_give((struct crypto_bytes){ number, (size_t) size }, caller);
    OPENSSL_cleanse(number, sizeof number);
    return r;
}

size_t crypto_rsa_bits(const struct crypto_key *key)
{
    return key->pair && key->kind == CRYPTO_RSA ? (size_t) EVP_PKEY_get_bits(key->pair) : 0;
}

/* ---- writing */

static void put_algorithm(struct der_writer *to, enum crypto_kind kind)
{
    const struct pair_kind *row = &kinds[kind];
    const struct crypto_bytes none = { NULL, 0 };
    const struct crypto_bytes oid = { row->oid, row->oid_bytes };
    const size_t since = to->written;

    if (kind == CRYPTO_RSA) {
        der_put_element(to, DER_NULL, none);
        der_put_element(to, DER_OID, (struct crypto_bytes){ rsa_oid, sizeof rsa_oid });
    } else {
        der_put_element(to, DER_OID, oid);
        if (!row->is_okp)
            der_put_element(to, DER_OID, (struct crypto_bytes){ ec_oid, sizeof ec_oid });
    }
    der_put_head(to, DER_SEQUENCE, since);
}

/* A part as an INTEGER. */
static int put_number(struct der_writer *to, const struct crypto_key *key, enum crypto_part part)
{
    uint8_t number[NUMBER_BYTES_MAX];
    int size = get_part(key, part, number);

    if (size > 0)
        der_put_unsigned(to, (struct crypto_bytes){ number, (size_t) size });
    OPENSSL_cleanse(number, sizeof number);
    return size > 0 ? 0 : size < 0 ? size : -EINVAL;
}

/* Numbers from the part to the first one, as a SEQUENCE; written from the back. */
static int put_numbers(struct der_writer *to, const struct crypto_key *key, enum crypto_part last)
{
    static const uint8_t zero = 0;
    const size_t since = to->written;
    int r = 0;

    for (int part = (int) last; r == 0 && part >= CRYPTO_PART_N; part--)
        r = put_number(to, key, (enum crypto_part) part);
    if (last != CRYPTO_PART_E)
        der_put_element(to, DER_INTEGER, (struct crypto_bytes){ &zero, 1 });
    der_put_head(to, DER_SEQUENCE, since);
    return r;
}

/* Writes the public key as it stands alone; returns its size, or -errno. */
static int get_raw(const struct crypto_key *key, uint8_t *to)
{
    const size_t bytes = kinds[key->kind].bytes;

    if (key->kind == CRYPTO_RSA)
        return -EINVAL;
    if (kinds[key->kind].is_okp)
        return get_part(key, CRYPTO_PART_X, to);
    to[0] = 4;
    int r = get_number(key->pair, ec_names[CRYPTO_PART_X], bytes, to + 1);
    if (r >= 0)
        r = get_number(key->pair, ec_names[CRYPTO_PART_Y], bytes, to + 1 + bytes);
    return r < 0 ? r : (int) (1 + 2 * bytes);
}

static int put_spki(struct der_writer *to, const struct crypto_key *key)
{
    static const uint8_t whole = 0; /* bits of the last byte that are not used */
    const size_t since = to->written;
    uint8_t raw[NUMBER_BYTES_MAX + EC_BYTES_MAX];
    int r = 0;

    if (key->kind == CRYPTO_RSA) {
        r = put_numbers(to, key, CRYPTO_PART_E);
        der_put(to, (struct crypto_bytes){ &whole, 1 });
        der_put_head(to, DER_BIT_STRING, since);
    } else {
        r = get_raw(key, raw);
        if (r > 0)
            der_put_bits(to, (struct crypto_bytes){ raw, (size_t) r });
    }
    put_algorithm(to, key->kind);
    der_put_head(to, DER_SEQUENCE, since);
    return r < 0 ? r : 0;
}

static int put_private_ec(struct der_writer *to, const struct crypto_key *key)
{
    static const uint8_t one = 1;
    const size_t since = to->written;
    uint8_t raw[NUMBER_BYTES_MAX + EC_BYTES_MAX], d[NUMBER_BYTES_MAX];
    int size = get_raw(key, raw);
    int d_size = get_part(key, CRYPTO_PART_D, d);

    if (size > 0 && d_size > 0) {
        der_put_bits(to, (struct crypto_bytes){ raw, (size_t) size });
        der_put_head(to, DER_CONTEXT_1, since);
        der_put_element(to, DER_OCTET_STRING, (struct crypto_bytes){ d, (size_t) d_size });
        der_put_element(to, DER_INTEGER, (struct crypto_bytes){ &one, 1 });
        der_put_head(to, DER_SEQUENCE, since);
    }
    OPENSSL_cleanse(d, sizeof d);
    return size < 0 ? size : d_size < 0 ? d_size : 0;
}

static int put_private_okp(struct der_writer *to, const struct crypto_key *key)
{
    uint8_t d[NUMBER_BYTES_MAX];
    int size = get_part(key, CRYPTO_PART_D, d);

    if (size > 0)
        der_put_element(to, DER_OCTET_STRING, (struct crypto_bytes){ d, (size_t) size });
    OPENSSL_cleanse(d, sizeof d);
    return size < 0 ? size : 0;
}

static int put_pkcs8(struct der_writer *to, const struct crypto_key *key)
{
    static const uint8_t zero = 0;
    const size_t since = to->written;
    int r = key->kind == CRYPTO_RSA   ? put_numbers(to, key, CRYPTO_PART_QI)
            : kinds[key->kind].is_okp ? put_private_okp(to, key)
                                      : put_private_ec(to, key);

    der_put_head(to, DER_OCTET_STRING, since);
    put_algorithm(to, key->kind);
    der_put_element(to, DER_INTEGER, (struct crypto_bytes){ &zero, 1 });
    der_put_head(to, DER_SEQUENCE, since);
    return r;
}

static int export_raw(const struct crypto_key *key, const struct crypto_caller *caller)
{
    uint8_t raw[NUMBER_BYTES_MAX + EC_BYTES_MAX];
    int size = get_raw(key, raw);

    return size < 0 ? size : crypto_give((struct crypto_bytes){ raw, (size_t) size }, caller);
}

int crypto_pair_export(const struct crypto_key *key, enum crypto_format format,
                       const struct crypto_caller *caller)
{
    uint8_t der[PRIVATE_DER_MAX];
    struct der_writer writer = { .start = der, .room = sizeof der };

    if (!key->pair || (unsigned) format >= CRYPTO_FORMATS ||
        key->is_private != (format == CRYPTO_PKCS8))
        return -EINVAL;
    if (format == CRYPTO_RAW)
        return export_raw(key, caller);
    int r = format == CRYPTO_SPKI ? put_spki(&writer, key) : put_pkcs8(&writer, key);
    if (r == 0)
        r = crypto_give((struct crypto_bytes){ der + writer.room, writer.written }, caller);
    OPENSSL_cleanse(der, sizeof der);
    return r;
}

/* ---- generation */

static int generate_curve(enum crypto_kind kind, EVP_PKEY **ret_pair)
{
    const struct pair_kind *row = &kinds[kind];

    *ret_pair = row->is_okp ? EVP_PKEY_Q_keygen(NULL, NULL, row->name)
                            : EVP_PKEY_Q_keygen(NULL, NULL, row->name, row->group);
    return *ret_pair ? 0 : crypto_failure();
}

int crypto_pair_generate(enum crypto_kind kind, size_t bits, struct crypto_bytes e,
                         const struct crypto_caller *caller, struct crypto_pair *ret_pair)
{
    EVP_PKEY *pair = NULL;

    if ((unsigned) kind >= CRYPTO_KINDS)
        return -EINVAL;
    int r = kind == CRYPTO_RSA ? rsa_generate(bits, e, caller, &pair) : generate_curve(kind, &pair);
    if (r < 0)
        return r;
    (void) EVP_PKEY_up_ref(pair);
    ret_pair->public_key = pair_key_new(kind, false, pair);
    ret_pair->private_key = pair_key_new(kind, true, pair);
    if (ret_pair->public_key && ret_pair->private_key)
        return 0;
    ret_pair->public_key = crypto_key_unref(ret_pair->public_key);
    ret_pair->private_key = crypto_key_unref(ret_pair->private_key);
    return -ENOMEM;
}
