/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of curves: P-256, P-384 and P-521, and those of RFC 7748 and 8032. */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <string.h>

#include "worker/crypto/pair.h"

#define COORDINATE_MAX 66
#define POINT_MAX (1 + 2 * COORDINATE_MAX)
#define UNCOMPRESSED 0x04

DEFINE_CLEANUP(EC_GROUP *, EC_GROUP_free, group_cleanup)
DEFINE_CLEANUP(EC_POINT *, EC_POINT_free, point_cleanup)

static EC_GROUP *group_of(enum crypto_kind kind)
{
    static const int names[] = {
        [CRYPTO_P256] = NID_X9_62_prime256v1,
        [CRYPTO_P384] = NID_secp384r1,
        [CRYPTO_P521] = NID_secp521r1,
    };

    return EC_GROUP_new_by_curve_name(names[kind]);
}

/* Writes the point that belongs to the private number, which must be from 1 to the order - 1. */
static int multiply(enum crypto_kind kind, const BIGNUM *d, uint8_t point[POINT_MAX],
                    size_t *ret_size)
{
    _cleanup_(group_cleanup) EC_GROUP *group = group_of(kind);
    _cleanup_(point_cleanup) EC_POINT *q = group ? EC_POINT_new(group) : NULL;

    if (!q)
        return -ENOMEM;
    if (BN_is_zero(d) || BN_cmp(d, EC_GROUP_get0_order(group)) >= 0)
        return -EBADMSG;
    if (!EC_POINT_mul(group, q, d, NULL, NULL, NULL))
        return crypto_failure();
    *ret_size = EC_POINT_point2oct(group, q, POINT_CONVERSION_UNCOMPRESSED, point, POINT_MAX, NULL);
    return *ret_size > 0 ? 0 : crypto_failure();
}

/* d: NULL for a public key. OpenSSL looks whether the point is on the curve. */
static int build(enum crypto_kind kind, struct crypto_bytes point, const BIGNUM *d,
                 EVP_PKEY **ret_key)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    _cleanup_(pkey_ctx_cleanup) EVP_PKEY_CTX *context =
        EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);

    *ret_key = NULL;
    if (builder &&
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, pair_kind(kind)->group,
                                        0) &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point.data,
                                         point.size) &&
        (!d || OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, d)))
        params = OSSL_PARAM_BLD_to_param(builder);
    bool is_good = context && params && EVP_PKEY_fromdata_init(context) == 1 &&
                   EVP_PKEY_fromdata(context, ret_key, d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
                                     params) == 1;
    OSSL_PARAM_BLD_free(builder);
    OSSL_PARAM_free(params);
    return is_good ? 0 : crypto_failure();
}

int ec_from_point(enum crypto_kind kind, struct crypto_bytes point, EVP_PKEY **ret_key)
{
    const size_t bytes = pair_kind(kind)->bytes;
    const bool is_whole = point.size == 1 + 2 * bytes && point.data[0] == UNCOMPRESSED;
    const bool is_compressed = point.size == 1 + bytes && (point.data[0] | 1) == 3;

    return is_whole || is_compressed ? build(kind, point, NULL, ret_key) : -EBADMSG;
}

static int private_from_parts(enum crypto_kind kind, struct crypto_bytes d,
                              struct crypto_bytes public, EVP_PKEY **ret_key)
{
    _cleanup_(bn_cleanup) BIGNUM *number = BN_secure_new(); /* wiped wherever it is copied to */
    uint8_t point[POINT_MAX];
    size_t size;

    if (!number || !BN_bin2bn(d.data, (int) d.size, number))
        return -ENOMEM;
    BN_set_flags(number, BN_FLG_CONSTTIME);
    int r = multiply(kind, number, point, &size);
    if (r < 0)
        return r;
    if (public.size > 0 && (public.size != size || memcmp(public.data, point, size) != 0))
        return -EBADMSG;
    return build(kind, (struct crypto_bytes){ point, size }, number, ret_key);
}

int ec_from_parts(enum crypto_kind kind, const struct crypto_bytes parts[CRYPTO_PARTS],
                  EVP_PKEY **ret_key)
{
    const struct crypto_bytes x = parts[CRYPTO_PART_X], y = parts[CRYPTO_PART_Y],
                              d = parts[CRYPTO_PART_D];
    const size_t bytes = pair_kind(kind)->bytes;
    const bool has_point = x.size > 0 || y.size > 0;
    uint8_t point[POINT_MAX];

    if ((has_point && (x.size != bytes || y.size != bytes)) || (!has_point && d.size == 0) ||
        (d.size > 0 && d.size != bytes))
        return -EBADMSG;
    const struct crypto_bytes public = { point, has_point ? 1 + 2 * bytes : 0 };
    point[0] = UNCOMPRESSED;
    if (has_point) {
        memcpy(point + 1, x.data, bytes);
        memcpy(point + 1 + bytes, y.data, bytes);
    }
    return d.size > 0 ? private_from_parts(kind, d, public, ret_key)
                      : build(kind, public, NULL, ret_key);
}

/* ---- the curves whose keys are strings of bytes */

static int check_public(EVP_PKEY *key, struct crypto_bytes expected)
{
    uint8_t bytes[COORDINATE_MAX];
    size_t size = sizeof bytes;

    if (EVP_PKEY_get_raw_public_key(key, bytes, &size) != 1)
        return crypto_failure();
    return size == expected.size && memcmp(bytes, expected.data, size) == 0 ? 0 : -EBADMSG;
}

int okp_from_parts(enum crypto_kind kind, const struct crypto_bytes parts[CRYPTO_PARTS],
                   EVP_PKEY **ret_key)
{
    const struct pair_kind *row = pair_kind(kind);
    const struct crypto_bytes x = parts[CRYPTO_PART_X], d = parts[CRYPTO_PART_D];
    _cleanup_(pkey_cleanup) EVP_PKEY *key = NULL;

    if ((x.size > 0 && x.size != row->bytes) || (d.size > 0 && d.size != row->bytes) ||
        x.size + d.size == 0)
        return -EBADMSG;
    key = d.size > 0 ? EVP_PKEY_new_raw_private_key_ex(NULL, row->name, NULL, d.data, d.size)
                     : EVP_PKEY_new_raw_public_key_ex(NULL, row->name, NULL, x.data, x.size);
    if (!key)
        return crypto_failure();
    int r = d.size > 0 && x.size > 0 ? check_public(key, x) : 0;
    if (r == 0)
        *ret_key = TAKE_PTR(key);
    return r;
}
