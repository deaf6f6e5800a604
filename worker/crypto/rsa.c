/* SPDX-License-Identifier: Apache-2.0 */
/* RSA keys: made of numbers that fit each other, and generated in a way that can be stopped. */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "common/io.h"
#include "worker/crypto/pair.h"

#define E_BYTES_MAX 8      /* a longer exponent would make signatures slow to verify */
#define PRIME_TESTS_MIN 64 /* paid for each prime, however lucky the search */
#define CHEAP_BITS 4096    /* up to here an operation takes a few milliseconds */
#define SAMPLE_BITS 1024

/* The numbers of a key; NULL for those that a public one lacks. */
struct numbers {
    BIGNUM *n, *e, *d, *p, *q, *dp, *dq, *qi;
};

static void numbers_done(struct numbers *numbers)
{
    BN_free(numbers->n);
    BN_free(numbers->e);
    BN_clear_free(numbers->d);
    BN_clear_free(numbers->p);
    BN_clear_free(numbers->q);
    BN_clear_free(numbers->dp);
    BN_clear_free(numbers->dq);
    BN_clear_free(numbers->qi);
}

/* "Secure" numbers are wiped wherever OpenSSL copies them to. */
static bool read_number(struct crypto_bytes bytes, BIGNUM **ret_number)
{
    *ret_number = bytes.size > 0 ? BN_secure_new() : NULL;
    return *ret_number && BN_bin2bn(bytes.data, (int) bytes.size, *ret_number) &&
           !BN_is_zero(*ret_number);
}

static int read_private(const struct crypto_bytes parts[CRYPTO_PARTS], struct numbers *to)
{
    return read_number(parts[CRYPTO_PART_D], &to->d) && read_number(parts[CRYPTO_PART_P], &to->p) &&
                   read_number(parts[CRYPTO_PART_Q], &to->q) &&
                   read_number(parts[CRYPTO_PART_DP], &to->dp) &&
                   read_number(parts[CRYPTO_PART_DQ], &to->dq) &&
                   read_number(parts[CRYPTO_PART_QI], &to->qi)
               ? 0
               : -EBADMSG;
}

static bool is_exponent(const BIGNUM *e)
{
    return BN_is_odd(e) && !BN_is_one(e) && BN_num_bytes(e) <= E_BYTES_MAX;
}

static int read_numbers(const struct crypto_bytes parts[CRYPTO_PARTS], struct numbers *to)
{
    for (size_t i = 0; i < CRYPTO_PARTS; i++)
        if (parts[i].size > CRYPTO_RSA_BITS_MAX / 8 + 1)
            return -EBADMSG;
    if (!read_number(parts[CRYPTO_PART_N], &to->n) || !read_number(parts[CRYPTO_PART_E], &to->e) ||
        !BN_is_odd(to->n) || BN_num_bits(to->n) < CRYPTO_RSA_BITS_MIN ||
        BN_num_bits(to->n) > CRYPTO_RSA_BITS_MAX || !is_exponent(to->e))
        return -EBADMSG;
    return parts[CRYPTO_PART_D].size > 0 ? read_private(parts, to) : 0;
}

/* half = d modulo (prime - 1), and both undo e. */
static bool is_half(const BIGNUM *prime, const BIGNUM *half, const struct numbers *of,
                    BN_CTX *context)
{
    _cleanup_(bn_cleanup) BIGNUM *order = BN_dup(prime), *product = BN_new();

    return order && product && BN_sub_word(order, 1) && !BN_is_zero(order) &&
           BN_mod(product, of->d, order, context) && BN_cmp(product, half) == 0 &&
           BN_mod_mul(product, of->d, of->e, order, context) && BN_is_one(product);
}

/* Returns whether the numbers of a private key belong together. Whether p and q are primes is not tested: a test takes long; a
 * key with others is its owner's loss. */
static bool is_consistent(const struct numbers *of)
{
    _cleanup_(bn_ctx_cleanup) BN_CTX *context = BN_CTX_new();
    _cleanup_(bn_cleanup) BIGNUM *product = BN_new();

    return context && product && BN_is_odd(of->p) && BN_is_odd(of->q) &&
           BN_mul(product, of->p, of->q, context) && BN_cmp(product, of->n) == 0 &&
           BN_cmp(of->qi, of->p) < 0 && BN_mod_mul(product, of->qi, of->q, of->p, context) &&
           BN_is_one(product) && is_half(of->p, of->dp, of, context) &&
           is_half(of->q, of->dq, of, context);
}

static bool push(OSSL_PARAM_BLD *to, const struct numbers *of)
{
    if (!OSSL_PARAM_BLD_push_BN(to, OSSL_PKEY_PARAM_RSA_N, of->n) ||
        !OSSL_PARAM_BLD_push_BN(to, OSSL_PKEY_PARAM_RSA_E, of->e))
        return false;
    return !of->d || (OSSL_PARAM_BLD_push_BN(to, OSSL_PKEY_PARAM_RSA_D, of->d) &&
                      OSSL_PARAM_BLD_push_BN(to, OSSL_PKEY_PARAM_RSA_FACTOR1, of->p) &&
                      OSSL_PARAM_BLD_push_BN(to, OSSL_PKEY_PARAM_RSA_FACTOR2, of->q) &&
                      OSSL_PARAM_BLD_push_BN(to, OSSL_PKEY_PARAM_RSA_EXPONENT1, of->dp) &&
                      OSSL_PARAM_BLD_push_BN(to, OSSL_PKEY_PARAM_RSA_EXPONENT2, of->dq) &&
                      OSSL_PARAM_BLD_push_BN(to, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, of->qi));
}

static int build(const struct numbers *of, EVP_PKEY **ret_key)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = builder && push(builder, of) ? OSSL_PARAM_BLD_to_param(builder) : NULL;
    _cleanup_(pkey_ctx_cleanup) EVP_PKEY_CTX *context =
        params ? EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL) : NULL;
    const int selection = of->d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;

    *ret_key = NULL;
    bool is_good = context && EVP_PKEY_fromdata_init(context) == 1 &&
                   EVP_PKEY_fromdata(context, ret_key, selection, params) == 1;
    OSSL_PARAM_BLD_free(builder);
    OSSL_PARAM_free(params);
    return is_good ? 0 : crypto_failure();
}

int rsa_from_parts(const struct crypto_bytes parts[CRYPTO_PARTS], EVP_PKEY **ret_key)
{
    struct numbers numbers = { 0 };

    int r = read_numbers(parts, &numbers);
    if (r == 0 && numbers.d && !is_consistent(&numbers))
        r = -EBADMSG;
    if (r == 0)
        r = build(&numbers, ret_key);
    numbers_done(&numbers);
    return r;
}

/* ---- cost */

int crypto_afford(double ns, const struct crypto_caller *caller)
{
    return ns / 2 > (double) caller->left_ns(caller->owner) ? -EDQUOT : 0;
}

/* How long an exponentiation takes on this machine, modulo a number of that many bits: three times the bits take at least 20 times the
 * time. 0 if it cannot be told. */
static double power_ns(size_t bits)
{
    _cleanup_(bn_ctx_cleanup) BN_CTX *context = BN_CTX_new();
    _cleanup_(bn_cleanup) BIGNUM *modulus = BN_new(), *result = BN_new();
    const double ratio = (double) bits / SAMPLE_BITS;

    if (!context || !modulus || !result || !BN_set_bit(modulus, SAMPLE_BITS - 1) ||
        !BN_sub_word(modulus, 1))
        return 0;
    const uint64_t begun = io_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    if (!BN_mod_exp_mont_consttime(result, BN_value_one(), modulus, modulus, context, NULL))
        return 0;
    return (double) (io_clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun) * ratio * ratio * ratio * 0.7;
}

int rsa_afford(size_t bits, const struct crypto_caller *caller)
{
    return bits <= CHEAP_BITS ? 0 : crypto_afford(2 * power_ns(bits / 2), caller);
}

/* ---- generation */

/* OpenSSL asks with each candidate, and with each test of one. 0 ends it. */
static int go_on(EVP_PKEY_CTX *context)
{
    return !crypto_is_stopped(EVP_PKEY_CTX_get_app_data(context));
}

static bool set_up(EVP_PKEY_CTX *context, size_t bits, BIGNUM *e)
{
    return EVP_PKEY_keygen_init(context) == 1 &&
           EVP_PKEY_CTX_set_rsa_keygen_bits(context, (int) bits) == 1 &&
           EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, e) == 1;
}

int rsa_generate(size_t bits, struct crypto_bytes e, const struct crypto_caller *caller,
                 EVP_PKEY **ret_key)
{
    _cleanup_(bn_cleanup) BIGNUM *exponent = NULL;
    struct crypto_caller copy = *caller;

    if (bits < CRYPTO_RSA_BITS_MIN || bits > CRYPTO_RSA_BITS_MAX ||
        e.size > CRYPTO_RSA_BITS_MAX / 8 || !read_number(e, &exponent) || !is_exponent(exponent))
        return -EINVAL;
    int r = crypto_afford(2 * PRIME_TESTS_MIN * power_ns(bits / 2), caller);
    if (r < 0)
        return r;
    _cleanup_(pkey_ctx_cleanup) EVP_PKEY_CTX *context =
        EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (!context || !set_up(context, bits, exponent))
        return crypto_failure();
    EVP_PKEY_CTX_set_app_data(context, &copy);
    EVP_PKEY_CTX_set_cb(context, go_on);
    *ret_key = NULL;
    if (EVP_PKEY_keygen(context, ret_key) == 1)
        return 0;
    r = crypto_failure();
    return crypto_is_stopped(caller) ? -ECANCELED : r;
}
