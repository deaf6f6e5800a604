/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HKDF (RFC 5869) and PBKDF2 (RFC 8018). OpenSSL's own PBKDF2 cannot be stopped; so its loop is here, over two digests that have taken
 * the key already and are copied for each round.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "worker/crypto/internal.h"

#define BLOCK_BYTES_MAX 168 /* the largest is that of SHAKE128 */
#define ROUNDS_OF_LOOK 256  /* well below a millisecond */
#define ROUNDS_OF_MEASURE 1024

/* HMAC with a key that it has taken. */
struct mac {
    EVP_MD_CTX *inner, *outer; /* which have taken the key's block */
    EVP_MD_CTX *running;
    size_t size;
};

static void mac_done(struct mac *mac)
{
    EVP_MD_CTX_free(mac->inner);
    EVP_MD_CTX_free(mac->outer);
    EVP_MD_CTX_free(mac->running);
}

/* A key that is longer than a block counts by its digest. */
static int shorten(EVP_MD_CTX *context, const EVP_MD *md, struct crypto_bytes key,
                   const struct crypto_caller *caller, uint8_t block[BLOCK_BYTES_MAX])
{
    if (key.size <= (size_t) EVP_MD_get_block_size(md)) {
        if (key.size > 0)
            memcpy(block, key.data, key.size);
        return 0;
    }
    if (EVP_DigestInit_ex2(context, md, NULL) != 1)
        return crypto_failure();
    int r = crypto_digest_update(context, key, caller);
    return r < 0 || EVP_DigestFinal_ex(context, block, NULL) == 1 ? r : crypto_failure();
}

static int take_key(EVP_MD_CTX *context, const EVP_MD *md, const uint8_t *block, uint8_t pad)
{
    uint8_t padded[BLOCK_BYTES_MAX];
    const size_t size = (size_t) EVP_MD_get_block_size(md);

    for (size_t i = 0; i < size; i++)
        padded[i] = block[i] ^ pad;
    bool is_good =
        EVP_DigestInit_ex2(context, md, NULL) == 1 && EVP_DigestUpdate(context, padded, size) == 1;
    OPENSSL_cleanse(padded, sizeof padded);
    return is_good ? 0 : crypto_failure();
}

static int mac_init(struct mac *mac, const EVP_MD *md, struct crypto_bytes key,
                    const struct crypto_caller *caller)
{
    uint8_t block[BLOCK_BYTES_MAX] = { 0 };

    *mac = (struct mac){
        .inner = EVP_MD_CTX_new(),
        .outer = EVP_MD_CTX_new(),
        .running = EVP_MD_CTX_new(),
        .size = (size_t) EVP_MD_get_size(md),
    };
    if (!mac->inner || !mac->outer || !mac->running)
        return -ENOMEM;
    int r = shorten(mac->running, md, key, caller, block);
    if (r == 0)
        r = take_key(mac->inner, md, block, 0x36);
    if (r == 0)
        r = take_key(mac->outer, md, block, 0x5c);
    OPENSSL_cleanse(block, sizeof block);
    return r;
}

/* The MAC of the parts, one behind the other; out may be one of them. */
static bool mac_run(struct mac *mac, const struct crypto_bytes *parts, size_t n_parts, uint8_t *out)
{
    unsigned size;
    bool is_good = EVP_MD_CTX_copy_ex(mac->running, mac->inner) == 1;

    for (size_t i = 0; is_good && i < n_parts; i++)
        is_good = EVP_DigestUpdate(mac->running, parts[i].data, parts[i].size) == 1;
    return is_good && EVP_DigestFinal_ex(mac->running, out, &size) == 1 &&
           EVP_MD_CTX_copy_ex(mac->running, mac->outer) == 1 &&
           EVP_DigestUpdate(mac->running, out, size) == 1 &&
           EVP_DigestFinal_ex(mac->running, out, &size) == 1;
}

/* Takes the data in pieces, unlike mac_run. */
static int mac_of(const EVP_MD *md, struct crypto_bytes key, struct crypto_bytes data,
                  const struct crypto_caller *caller, uint8_t *out)
{
    struct mac mac;
    unsigned size;

    int r = mac_init(&mac, md, key, caller);
    if (r == 0)
        r = crypto_digest_update(mac.inner, data, caller);
    if (r == 0 && (EVP_DigestFinal_ex(mac.inner, out, &size) != 1 ||
                   EVP_DigestUpdate(mac.outer, out, size) != 1 ||
                   EVP_DigestFinal_ex(mac.outer, out, &size) != 1))
        r = crypto_failure();
    mac_done(&mac);
    return r;
}

/* ---- HKDF */

/* Writes the bytes that the pseudorandom key gives for the info. */
static int expand(struct mac *mac, struct crypto_bytes info, uint8_t *to, size_t size,
                  const struct crypto_caller *caller)
{
    uint8_t block[CRYPTO_DIGEST_MAX];
    int r = 0;

    for (uint8_t counter = 1; r == 0 && size > 0; counter++) {
        const struct crypto_bytes parts[] = {
            { block, counter > 1 ? mac->size : 0 },
            info,
            { &counter, 1 },
        };
        const size_t n = size < mac->size ? size : mac->size;
        if (crypto_is_stopped(caller))
            r = -ECANCELED;
        else if (!mac_run(mac, parts, ARRAY_LEN(parts), block))
            r = crypto_failure();
        else
            memcpy(to, block, n);
        to += n;
        size -= n;
    }
    OPENSSL_cleanse(block, sizeof block);
    return r;
}

int crypto_hkdf(enum crypto_hash hash, const struct crypto_key *key, struct crypto_bytes salt,
                struct crypto_bytes info, size_t size, const struct crypto_caller *caller)
{
    static const uint8_t zeros[CRYPTO_DIGEST_MAX];
    const EVP_MD *md = crypto_md(hash);
    uint8_t pseudorandom[CRYPTO_DIGEST_MAX];
    struct mac mac;

    if (!md || size > 255 * (size_t) EVP_MD_get_size(md) || info.size > CRYPTO_PIECE_BYTES)
        return -EINVAL;
    const size_t digest_size = (size_t) EVP_MD_get_size(md);
    if (salt.size == 0)
        salt = (struct crypto_bytes){ zeros, digest_size };
    int r = mac_of(md, salt, crypto_key_secret(key), caller, pseudorandom);
    if (r < 0)
        return r;
    uint8_t *to = caller->reserve(caller->owner, size);
    r = mac_init(&mac, md, (struct crypto_bytes){ pseudorandom, digest_size }, caller);
    if (r == 0 && size > 0)
        r = to ? expand(&mac, info, to, size, caller) : -ENOMEM;
    mac_done(&mac);
    OPENSSL_cleanse(pseudorandom, sizeof pseudorandom);
    return r;
}

/* ---- PBKDF2 */

/* A derivation that runs. */
struct pbkdf2 {
    struct mac mac;
    struct crypto_bytes salt;
    uint32_t iterations;
    uint64_t rounds; /* left to do, in all blocks */
    const struct crypto_caller *caller;
};

static uint64_t cpu_ns(void)
{
    return io_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* Runs that many rounds. last: the MAC of the round before; sum: of all. */
static int run_rounds(struct pbkdf2 *run, uint32_t n, uint8_t *last, uint8_t *sum)
{
    const struct crypto_bytes part = { last, run->mac.size };

    for (uint32_t i = 0; i < n; i++) {
        if (i % ROUNDS_OF_LOOK == 0 && crypto_is_stopped(run->caller))
            return -ECANCELED;
        if (!mac_run(&run->mac, &part, 1, last))
            return crypto_failure();
        for (size_t b = 0; b < run->mac.size; b++)
            sum[b] ^= last[b];
    }
    run->rounds -= n;
    return 0;
}

/* Runs the first rounds, and refuses the others if they would take more than twice the CPU time that is left, going
 * by these: a machine that happens to be slow for a moment must not refuse what would have fitted. */
static int run_measured(struct pbkdf2 *run, uint32_t n, uint8_t *last, uint8_t *sum)
{
    const uint64_t begun = cpu_ns();

    int r = run_rounds(run, n, last, sum);
    if (r < 0)
        return r;
    const double each_ns = (double) (cpu_ns() - begun) / n;
    const uint64_t left = run->caller->left_ns(run->caller->owner);
    return each_ns * (double) run->rounds / 2 > (double) left ? -EDQUOT : 0;
}

static int run_block(struct pbkdf2 *run, uint32_t number, uint8_t *sum)
{
    const uint8_t big_endian[] = { (uint8_t) (number >> 24), (uint8_t) (number >> 16),
                                   (uint8_t) (number >> 8), (uint8_t) number };
    const struct crypto_bytes parts[] = { run->salt, { big_endian, sizeof big_endian } };
    uint8_t last[CRYPTO_DIGEST_MAX];
    uint32_t left = run->iterations - 1;
    int r = 0;

    if (!mac_run(&run->mac, parts, ARRAY_LEN(parts), last))
        return crypto_failure();
    run->rounds--;
    memcpy(sum, last, run->mac.size);
    if (number == 1 && left > ROUNDS_OF_MEASURE) {
        r = run_measured(run, ROUNDS_OF_MEASURE, last, sum);
        left -= ROUNDS_OF_MEASURE;
    }
    if (r == 0)
        r = run_rounds(run, left, last, sum);
    OPENSSL_cleanse(last, sizeof last);
    return r;
}

static int run_blocks(struct pbkdf2 *run, size_t size)
{
    uint8_t sum[CRYPTO_DIGEST_MAX], *to = NULL;
    int r = 0;

    for (uint32_t number = 1; r == 0 && size > 0; number++) {
        const size_t n = size < run->mac.size ? size : run->mac.size;
        if (crypto_is_stopped(run->caller))
            return -ECANCELED;
        r = run_block(run, number, sum);
        if (r == 0 && number == 1 && !(to = run->caller->reserve(run->caller->owner, size)))
            r = -ENOMEM;
        if (r == 0) {
            memcpy(to, sum, n);
            to += n;
            size -= n;
        }
    }
    OPENSSL_cleanse(sum, sizeof sum);
    return r;
}

int crypto_pbkdf2(enum crypto_hash hash, const struct crypto_key *key, struct crypto_bytes salt,
                  uint32_t iterations, size_t size, const struct crypto_caller *caller)
{
    const EVP_MD *md = crypto_md(hash);
    struct pbkdf2 run = { .salt = salt, .iterations = iterations, .caller = caller };

    if (!md || iterations == 0 || salt.size > CRYPTO_PIECE_BYTES)
        return -EINVAL;
    if (size == 0)
        return crypto_give((struct crypto_bytes){ NULL, 0 }, caller);
    int r = mac_init(&run.mac, md, crypto_key_secret(key), caller);
    run.rounds = (size / run.mac.size + (size % run.mac.size != 0)) * (uint64_t) iterations;
    if (r == 0)
        r = run_blocks(&run, size);
    mac_done(&run.mac);
    return r;
}
