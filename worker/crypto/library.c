/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL as one library for the process: loaded before the jail, without a file, with a random generator of its
 * own replaced by the kernel's. Every tenant of the worker shares what is here, so none of it holds a key.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* RAND_METHOD has no successor that needs no state of its own */

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/random.h>

#include "common/cleanup.h"
#include "worker/crypto/internal.h"

#define AES_KEY_SIZES 3 /* 16, 24 and 32 bytes */

static const char *const hash_names[CRYPTO_HASHES] = {
    [CRYPTO_SHA1] = "SHA1",         [CRYPTO_SHA256] = "SHA2-256",   [CRYPTO_SHA384] = "SHA2-384",
    [CRYPTO_SHA512] = "SHA2-512",   [CRYPTO_SHA3_256] = "SHA3-256", [CRYPTO_SHA3_384] = "SHA3-384",
    [CRYPTO_SHA3_512] = "SHA3-512",
};

static const char *const cipher_names[CRYPTO_CIPHERS][AES_KEY_SIZES] = {
    [CRYPTO_AES_CBC] = { "AES-128-CBC", "AES-192-CBC", "AES-256-CBC" },
    [CRYPTO_AES_CTR] = { "AES-128-CTR", "AES-192-CTR", "AES-256-CTR" },
    [CRYPTO_AES_GCM] = { "AES-128-GCM", "AES-192-GCM", "AES-256-GCM" },
    [CRYPTO_AES_KW] = { "AES-128-WRAP", "AES-192-WRAP", "AES-256-WRAP" },
};

/* Written once, before the jail; read-only from then on. */
static struct {
    EVP_MD *hashes[CRYPTO_HASHES];
    EVP_CIPHER *ciphers[CRYPTO_CIPHERS][AES_KEY_SIZES];
    EVP_MAC *mac;
    bool is_loaded;
} library;

int crypto_random(uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = getrandom(data, size, 0);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            data += n;
            size -= (size_t) n;
        }
    }
    return 0;
}

static int random_bytes(unsigned char *data, int size)
{
    return size >= 0 && crypto_random(data, (size_t) size) == 0;
}

static int is_random_ready(void)
{
    return 1;
}

static const RAND_METHOD from_kernel = {
    .bytes = random_bytes,
    .pseudorand = random_bytes,
    .status = is_random_ready,
};

/* Fetched once more, by name, when they are used: OpenSSL keeps what it has loaded. */
static const char *const pair_names[] = { "RSA", "EC", "ED25519", "ED448", "X25519", "X448" };
static const char *const signature_names[] = { "RSA", "ECDSA", "ED25519", "ED448" };
static const char *const exchange_names[] = { "ECDH", "X25519", "X448" };

static int fetch_pairs(void)
{
    for (size_t i = 0; i < ARRAY_LEN(pair_names); i++)
        if (!EVP_KEYMGMT_fetch(NULL, pair_names[i], NULL))
            return -ENOTSUP;
    for (size_t i = 0; i < ARRAY_LEN(signature_names); i++)
        if (!EVP_SIGNATURE_fetch(NULL, signature_names[i], NULL))
            return -ENOTSUP;
    for (size_t i = 0; i < ARRAY_LEN(exchange_names); i++)
        if (!EVP_KEYEXCH_fetch(NULL, exchange_names[i], NULL))
            return -ENOTSUP;
    return EVP_ASYM_CIPHER_fetch(NULL, "RSA", NULL) ? 0 : -ENOTSUP;
}

static int fetch_all(void)
{
    for (size_t i = 0; i < CRYPTO_HASHES; i++)
        if (!(library.hashes[i] = EVP_MD_fetch(NULL, hash_names[i], NULL)))
            return -ENOTSUP;
    for (size_t i = 0; i < CRYPTO_CIPHERS; i++)
        for (size_t k = 0; k < AES_KEY_SIZES; k++)
            if (!(library.ciphers[i][k] = EVP_CIPHER_fetch(NULL, cipher_names[i][k], NULL)))
                return -ENOTSUP;
    library.mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    return library.mac ? fetch_pairs() : -ENOTSUP;
}

int crypto_init(void)
{
    const uint64_t options =
        OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS;

    if (library.is_loaded)
        return -EALREADY;
    if (!OPENSSL_init_crypto(options, NULL) || !RAND_set_rand_method(&from_kernel) ||
        !OSSL_PROVIDER_load(NULL, "default"))
        return -ENOTSUP;
    int r = fetch_all();
    library.is_loaded = r == 0;
    return r;
}

const EVP_MD *crypto_md(enum crypto_hash hash)
{
    return (unsigned) hash < CRYPTO_HASHES ? library.hashes[hash] : NULL;
}

const EVP_CIPHER *crypto_evp_cipher(enum crypto_cipher cipher, size_t key_bytes)
{
    if ((unsigned) cipher >= CRYPTO_CIPHERS ||
        (key_bytes != 16 && key_bytes != 24 && key_bytes != 32))
        return NULL;
    return library.ciphers[cipher][key_bytes / 8 - 2];
}

EVP_MAC *crypto_mac(void)
{
    return library.mac;
}

int crypto_failure(void)
{
    bool is_memory = ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE;

    ERR_clear_error();
    return is_memory ? -ENOMEM : -EBADMSG;
}

int crypto_give(struct crypto_bytes data, const struct crypto_caller *caller)
{
    uint8_t *to = caller->reserve(caller->owner, data.size);

    if (!to && data.size > 0)
        return -ENOMEM;
    if (data.size > 0)
        memcpy(to, data.data, data.size);
    return 0;
}

int crypto_uuid(char text[CRYPTO_UUID_CHARS])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[16];
    size_t at = 0;

    int r = crypto_random(bytes, sizeof bytes);
    if (r < 0)
        return r;
    bytes[6] = (uint8_t) ((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t) ((bytes[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < sizeof bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text[at++] = '-';
        text[at++] = digits[bytes[i] >> 4];
        text[at++] = digits[bytes[i] & 15];
    }
    return 0;
}

bool crypto_equal(struct crypto_bytes a, struct crypto_bytes b)
{
    return a.size == b.size && (a.size == 0 || CRYPTO_memcmp(a.data, b.data, a.size) == 0);
}
