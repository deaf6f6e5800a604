/* SPDX-License-Identifier: Apache-2.0 */
/* AES in the modes of Web Crypto. */
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <string.h>

#include "common/cleanup.h"
#include "worker/crypto/internal.h"

#define BLOCK_BYTES 16
#define TAG_BYTES_MAX 16
#define WRAP_STEP_BYTES 8
/* A key that is wrapped is short. One step of the wrap goes over all of it, and cannot be stopped. */
#define WRAP_BYTES_MAX ((size_t) 256 << 10)

/* One use of a cipher. */
struct run {
    EVP_CIPHER_CTX *context;
    const struct crypto_cipher_params *params;
    const struct crypto_key *key;
    struct crypto_bytes data;
    const struct crypto_caller *caller;
};

static int begin(const struct run *run, const uint8_t *iv)
{
    struct crypto_bytes secret = crypto_key_secret(run->key);

    return EVP_CipherInit_ex2(run->context, NULL, secret.data, iv, !run->params->decrypt, NULL) == 1
               ? 0
               : crypto_failure();
}

/* Runs the cipher over the data. to: as much memory, and a block more where the cipher pads; NULL: the data is only
 * authenticated. Steps *to on by what was written. */
static int update(const struct run *run, struct crypto_bytes data, uint8_t **to)
{
    while (data.size > 0) {
        struct crypto_bytes piece = crypto_next_piece(&data);
        int written = 0;
        if (crypto_is_stopped(run->caller))
            return -ECANCELED;
        if (EVP_CipherUpdate(run->context, to ? *to : NULL, &written, piece.data,
                             (int) piece.size) != 1)
            return crypto_failure();
        if (to)
            *to += written;
    }
    return 0;
}

static uint8_t *reserve(const struct run *run, size_t size)
{
    return run->caller->reserve(run->caller->owner, size);
}

/* ---- CBC */

static int encrypt_cbc(const struct run *run)
{
    const size_t size = (run->data.size / BLOCK_BYTES + 1) * BLOCK_BYTES;
    uint8_t *to;
    int written;

    int r = begin(run, run->params->iv.data);
    if (r < 0)
        return r;
    to = reserve(run, size);
    if (!to)
        return -ENOMEM;
    r = update(run, run->data, &to);
    if (r < 0)
        return r;
    return EVP_CipherFinal_ex(run->context, to, &written) == 1 ? 0 : crypto_failure();
}

/* Decrypts the last block alone. Returns the bytes of its padding, or -errno. */
static int read_padding(const struct run *run)
{
    const uint8_t *last = run->data.data + run->data.size - BLOCK_BYTES;
    uint8_t block[BLOCK_BYTES], *to = block;
    unsigned wrong = 0;

    int r = begin(run, run->data.size > BLOCK_BYTES ? last - BLOCK_BYTES : run->params->iv.data);
    if (r == 0 && EVP_CIPHER_CTX_set_padding(run->context, 0) != 1)
        r = crypto_failure();
    if (r == 0)
        r = update(run, (struct crypto_bytes){ last, BLOCK_BYTES }, &to);
    if (r < 0)
        return r;
    const unsigned padding = block[BLOCK_BYTES - 1];
    for (unsigned i = 0; i < BLOCK_BYTES; i++)
        wrong |= i < padding ? block[BLOCK_BYTES - 1 - i] ^ padding : 0;
    OPENSSL_cleanse(block, sizeof block);
    return padding == 0 || padding > BLOCK_BYTES || wrong ? -EBADMSG : (int) padding;
}

/* Decrypts the last block, which is not whole, to where its first bytes belong. */
static int end_cbc(const struct run *run, struct crypto_bytes last, uint8_t *to, size_t size)
{
    uint8_t block[BLOCK_BYTES], *at = block;
    int r = update(run, last, &at);

    if (r == 0)
        memcpy(to, block, size);
    OPENSSL_cleanse(block, sizeof block);
    return r;
}

static int decrypt_cbc(const struct run *run)
{
    if (run->data.size == 0 || run->data.size % BLOCK_BYTES != 0)
        return -EBADMSG;
    int padding = read_padding(run);
    if (padding < 0)
        return padding;
    int r = begin(run, run->params->iv.data);
    if (r == 0 && EVP_CIPHER_CTX_set_padding(run->context, 0) != 1)
        r = crypto_failure();
    if (r < 0)
        return r;
    const size_t size = run->data.size - (size_t) padding, whole = run->data.size - BLOCK_BYTES;
    uint8_t *to = reserve(run, size);
    if (!to)
        return size > 0 ? -ENOMEM : 0;
    r = update(run, (struct crypto_bytes){ run->data.data, whole }, &to);
    if (r < 0)
        return r;
    return end_cbc(run, (struct crypto_bytes){ run->data.data + whole, BLOCK_BYTES }, to,
                   size - whole);
}

static int run_cbc(const struct run *run)
{
    if (run->params->iv.size != BLOCK_BYTES)
        return -EINVAL;
    return run->params->decrypt ? decrypt_cbc(run) : encrypt_cbc(run);
}

/* ---- CTR */

/* How many blocks there are until the counter, the low bits of the block, begins again at 0; SIZE_MAX: more than
 * anybody has. */
static size_t blocks_to_wrap(const uint8_t block[BLOCK_BYTES], size_t bits)
{
    uint64_t low = 0;

    for (size_t i = 0; i < 8; i++)
        low = low << 8 | block[8 + i];
    if (bits >= 64) { /* far from its end unless all bits above the low 63 are set */
        for (size_t i = 0; i < bits; i++)
            if (!(block[BLOCK_BYTES - 1 - i / 8] >> (i % 8) & 1) && i >= 48)
                return SIZE_MAX;
        return (size_t) ((UINT64_C(1) << 48) - (low & ((UINT64_C(1) << 48) - 1)));
    }
    const uint64_t count = UINT64_C(1) << bits;
    return (size_t) (count - (low & (count - 1)));
}

static void clear_counter(uint8_t block[BLOCK_BYTES], size_t bits)
{
    for (size_t i = 0; i < bits; i++)
        block[BLOCK_BYTES - 1 - i / 8] &= (uint8_t) ~(1U << (i % 8));
}

static bool has_room(struct crypto_bytes data, size_t bits)
{
    const size_t blocks = data.size / BLOCK_BYTES + (data.size % BLOCK_BYTES != 0);

    return bits >= 60 || blocks <= (size_t) 1 << bits;
}

/* OpenSSL's counter takes the whole block, Web Crypto's the low bits: at their end it is set back by hand. */
static int run_ctr(const struct run *run)
{
    const size_t bits = run->params->counter_bits;
    uint8_t block[BLOCK_BYTES];

    if (run->params->iv.size != BLOCK_BYTES || bits < 1 || bits > 8 * BLOCK_BYTES ||
        !has_room(run->data, bits))
        return -EINVAL;
    memcpy(block, run->params->iv.data, sizeof block);
    const size_t blocks = blocks_to_wrap(block, bits);
    const size_t room = blocks < SIZE_MAX / BLOCK_BYTES ? blocks * BLOCK_BYTES : SIZE_MAX;
    struct crypto_bytes first = { run->data.data, run->data.size < room ? run->data.size : room };
    int r = begin(run, block);
    if (r < 0)
        return r;
    uint8_t *to = reserve(run, run->data.size);
    if (!to)
        return run->data.size > 0 ? -ENOMEM : 0;
    r = update(run, first, &to);
    if (r < 0 || first.size == run->data.size)
        return r;
    clear_counter(block, bits);
    r = begin(run, block);
    if (r < 0)
        return r;
    return update(
        run, (struct crypto_bytes){ first.data + first.size, run->data.size - first.size }, &to);
}

/* ---- GCM */

static int begin_gcm(const struct run *run)
{
    if (run->params->iv.size == 0 || run->params->iv.size > INT_MAX)
        return -EINVAL;
    if (EVP_CIPHER_CTX_ctrl(run->context, EVP_CTRL_AEAD_SET_IVLEN, (int) run->params->iv.size,
                            NULL) != 1) {
        (void) crypto_failure();
        return -EINVAL;
    }
    int r = begin(run, run->params->iv.data);
    return r < 0 ? r : update(run, run->params->aad, NULL);
}

static int finish_gcm(const struct run *run, uint8_t *tag, size_t tag_bytes)
{
    uint8_t none[BLOCK_BYTES];
    int written = 0;

    if (run->params->decrypt &&
        EVP_CIPHER_CTX_ctrl(run->context, EVP_CTRL_AEAD_SET_TAG, (int) tag_bytes, tag) != 1)
        return crypto_failure();
    if (EVP_CipherFinal_ex(run->context, none, &written) != 1)
        return crypto_failure();
    if (!run->params->decrypt &&
        EVP_CIPHER_CTX_ctrl(run->context, EVP_CTRL_AEAD_GET_TAG, (int) tag_bytes, tag) != 1)
        return crypto_failure();
    return 0;
}

static int encrypt_gcm(const struct run *run, size_t tag_bytes)
{
    if (run->data.size > SIZE_MAX - tag_bytes)
        return -ENOMEM;
    uint8_t *to = reserve(run, run->data.size + tag_bytes);
    if (!to)
        return -ENOMEM;
    int r = update(run, run->data, &to);
    return r < 0 ? r : finish_gcm(run, to, tag_bytes);
}

static int decrypt_gcm(const struct run *run, size_t tag_bytes)
{
    uint8_t tag[TAG_BYTES_MAX];
    const size_t size = run->data.size - tag_bytes;
    uint8_t *to = reserve(run, size);

    if (!to && size > 0)
        return -ENOMEM;
    memcpy(tag, run->data.data + size, tag_bytes);
    int r = update(run, (struct crypto_bytes){ run->data.data, size }, &to);
    return r < 0 ? r : finish_gcm(run, tag, tag_bytes);
}

static int run_gcm(const struct run *run)
{
    const size_t tag_bytes = run->params->tag_bits / 8;

    if (tag_bytes == 0 || tag_bytes > TAG_BYTES_MAX || run->params->tag_bits % 8 != 0)
        return -EINVAL;
    if (run->params->decrypt && run->data.size < tag_bytes)
        return -EBADMSG;
    int r = begin_gcm(run);
    if (r < 0)
        return r;
    return run->params->decrypt ? decrypt_gcm(run, tag_bytes) : encrypt_gcm(run, tag_bytes);
}

/* ---- KW (RFC 3394) */

static int run_kw(const struct run *run)
{
    const size_t size = run->data.size;
    uint8_t *to;
    int written = 0;

    if (size % WRAP_STEP_BYTES != 0 || size < 2 * WRAP_STEP_BYTES || size > WRAP_BYTES_MAX ||
        (run->params->decrypt && size < 3 * WRAP_STEP_BYTES))
        return -EBADMSG;
    EVP_CIPHER_CTX_set_flags(run->context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    int r = begin(run, NULL);
    if (r < 0)
        return r;
    const size_t to_size = run->params->decrypt ? size - WRAP_STEP_BYTES : size + WRAP_STEP_BYTES;
    to = reserve(run, to_size);
    if (!to)
        return -ENOMEM;
    if (EVP_CipherUpdate(run->context, to, &written, run->data.data, (int) size) != 1 ||
        (size_t) written != to_size)
        return crypto_failure();
    return 0;
}

typedef int (*run_fn)(const struct run *run);

static const run_fn modes[CRYPTO_CIPHERS] = {
    [CRYPTO_AES_CBC] = run_cbc,
    [CRYPTO_AES_CTR] = run_ctr,
    [CRYPTO_AES_GCM] = run_gcm,
    [CRYPTO_AES_KW] = run_kw,
};

int crypto_cipher(const struct crypto_key *key, const struct crypto_cipher_params *params,
                  struct crypto_bytes data, const struct crypto_caller *caller)
{
    const EVP_CIPHER *cipher = crypto_evp_cipher(params->cipher, crypto_key_secret(key).size);
    struct run run = {
        .params = params,
        .key = key,
        .data = data,
        .caller = caller,
    };

    if (!cipher)
        return -EINVAL;
    run.context = EVP_CIPHER_CTX_new();
    if (!run.context)
        return -ENOMEM;
    int r = EVP_CipherInit_ex2(run.context, cipher, NULL, NULL, !params->decrypt, NULL) == 1
                ? modes[params->cipher](&run)
                : crypto_failure();
    EVP_CIPHER_CTX_free(run.context); /* wipes the key schedule */
    return r;
}
