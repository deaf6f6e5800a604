/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/secrets/seal.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/cleanup.h"
#include "config/names.h"

#define MAGIC "skepsec1"
#define MAGIC_BYTES 8
#define MARK_BYTES 8
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define SECURE_HEAP_BYTES 16384 /* for keys alone */
#define SECURE_LEAST_BYTES 32

/* The beginning of a sealed value; also the beginning of what is bound to it. */
struct sealed_head {
    uint8_t magic[MAGIC_BYTES], owner[SECRET_OWNER_BYTES], mark[MARK_BYTES], time_ms[8], uid[4];
};
_Static_assert(sizeof(struct sealed_head) == 44, "no holes");

struct secret_key {
    uint8_t *bytes; /* in OpenSSL's secure heap */
    uint8_t mark[MARK_BYTES];
    EVP_CIPHER *cipher;
};

static void cipher_cleanup(EVP_CIPHER_CTX **context)
{
    EVP_CIPHER_CTX_free(*context); /* wipes its keys */
}

void secret_wipe(char *value, size_t size)
{
    if (value)
        OPENSSL_cleanse(value, size);
    free(value);
}

/* ---- keys */

static int mark_key(struct secret_key *key)
{
    static const char purpose[] = "skep mark of a key for secrets";
    uint8_t text[sizeof purpose + SECRET_KEY_BYTES], digest[EVP_MAX_MD_SIZE];

    memcpy(text, purpose, sizeof purpose);
    memcpy(text + sizeof purpose, key->bytes, SECRET_KEY_BYTES);
    int done = EVP_Digest(text, sizeof text, digest, NULL, EVP_sha256(), NULL);
    OPENSSL_cleanse(text, sizeof text);
    memcpy(key->mark, digest, sizeof key->mark);
    return done == 1 ? 0 : -ENOMEM;
}

int secret_key_new(uint8_t bytes[static SECRET_KEY_BYTES], struct secret_key **ret_key)
{
    struct secret_key *key = calloc(1, sizeof *key);

    /* Best effort: a host may forbid to lock memory. */
    if (!CRYPTO_secure_malloc_initialized())
        (void) CRYPTO_secure_malloc_init(SECURE_HEAP_BYTES, SECURE_LEAST_BYTES);
    if (key)
        key->bytes = OPENSSL_secure_malloc(SECRET_KEY_BYTES);
    if (key)
        key->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    if (key && key->bytes)
        memcpy(key->bytes, bytes, SECRET_KEY_BYTES);
    OPENSSL_cleanse(bytes, SECRET_KEY_BYTES);
    if (!key || !key->bytes || !key->cipher || mark_key(key) < 0) {
        (void) secret_key_free(key);
        return -ENOMEM;
    }
    *ret_key = key;
    return 0;
}

struct secret_key *secret_key_free(struct secret_key *key)
{
    if (!key)
        return NULL;
    OPENSSL_secure_clear_free(key->bytes, SECRET_KEY_BYTES);
    EVP_CIPHER_free(key->cipher);
    free(key);
    return NULL;
}

/* ---- the bound text: the head, and both names, each with its end */

#define BOUND_MAX_BYTES \
    (sizeof(struct sealed_head) + NAME_MAX_BYTES + 1 + SECRET_NAME_MAX_BYTES + 1)

static int write_bound(const struct sealed_head *head, const struct secret_place *place,
                       uint8_t bound[static BOUND_MAX_BYTES], size_t *ret_size)
{
    size_t tenant = strlen(place->tenant) + 1, name = strlen(place->name) + 1;

    if (tenant > NAME_MAX_BYTES + 1 || name > SECRET_NAME_MAX_BYTES + 1)
        return -EBADMSG;
    memcpy(bound, head, sizeof *head);
    memcpy(bound + sizeof *head, place->tenant, tenant);
    memcpy(bound + sizeof *head + tenant, place->name, name);
    *ret_size = sizeof *head + tenant + name;
    return 0;
}

/* ---- sealing */

static bool seal(EVP_CIPHER_CTX *context, const struct secret_key *key, const uint8_t *bound,
                 size_t bound_size, const char *value, size_t size, uint8_t *out)
{
    uint8_t *text = out + NONCE_BYTES;
    int n = 0;

    return getrandom(out, NONCE_BYTES, 0) == NONCE_BYTES &&
           EVP_EncryptInit_ex2(context, key->cipher, key->bytes, out, NULL) == 1 &&
           EVP_EncryptUpdate(context, NULL, &n, bound, (int) bound_size) == 1 &&
           EVP_EncryptUpdate(context, text, &n, (const uint8_t *) value, (int) size) == 1 &&
           EVP_EncryptFinal_ex(context, text + size, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, text + size) == 1;
}

int secret_seal(const struct secret_key *key, const struct secret_place *place,
                const struct sealed_facts *facts, const char *value, size_t size, uint8_t **ret,
                size_t *ret_size)
{
    _cleanup_(cipher_cleanup) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    const uint64_t time_ms = htobe64(facts->time_ms);
    const uint32_t uid = htobe32(facts->uid);
    struct sealed_head head;
    uint8_t bound[BOUND_MAX_BYTES];
    size_t bound_size = 0;

    if (size > SECRET_VALUE_MAX_BYTES)
        return -EMSGSIZE;
    memcpy(head.magic, MAGIC, MAGIC_BYTES);
    memcpy(head.owner, place->owner, sizeof head.owner);
    memcpy(head.mark, key->mark, sizeof head.mark);
    memcpy(head.time_ms, &time_ms, sizeof head.time_ms);
    memcpy(head.uid, &uid, sizeof head.uid);
    int r = write_bound(&head, place, bound, &bound_size);
    if (r < 0)
        return r;
    size_t all = sizeof head + NONCE_BYTES + size + TAG_BYTES;
    uint8_t *out = malloc(all);
    if (!out || !context) {
        free(out);
        return -ENOMEM;
    }
    memcpy(out, &head, sizeof head);
    if (!seal(context, key, bound, bound_size, value, size, out + sizeof head)) {
        free(out);
        return -EIO;
    }
    *ret = out;
    *ret_size = all;
    return 0;
}

/* ---- opening */

static bool take_head(const uint8_t *sealed, size_t size, struct sealed_head *ret)
{
    if (size < sizeof *ret + NONCE_BYTES + TAG_BYTES || size > SEALED_MAX_BYTES)
        return false;
    memcpy(ret, sealed, sizeof *ret);
    return memcmp(ret->magic, MAGIC, MAGIC_BYTES) == 0;
}

int secret_look(const uint8_t *sealed, size_t size, struct sealed_facts *ret)
{
    struct sealed_head head;
    uint64_t time_ms;
    uint32_t uid;

    if (!take_head(sealed, size, &head))
        return -EBADMSG;
    memcpy(&time_ms, head.time_ms, sizeof time_ms);
    memcpy(&uid, head.uid, sizeof uid);
    *ret = (struct sealed_facts){ .time_ms = be64toh(time_ms), .uid = be32toh(uid) };
    return 0;
}

/* in: nonce, text, tag. */
static bool unseal(EVP_CIPHER_CTX *context, const struct secret_key *key, const uint8_t *bound,
                   size_t bound_size, const uint8_t *in, size_t size, char *value)
{
    const uint8_t *text = in + NONCE_BYTES;
    uint8_t tag[TAG_BYTES], *out = (uint8_t *) value;
    int n = 0;

    memcpy(tag, text + size, sizeof tag);
    return EVP_DecryptInit_ex2(context, key->cipher, key->bytes, in, NULL) == 1 &&
           EVP_DecryptUpdate(context, NULL, &n, bound, (int) bound_size) == 1 &&
           EVP_DecryptUpdate(context, out, &n, text, (int) size) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
           EVP_DecryptFinal_ex(context, out + size, &n) == 1;
}

int secret_open(const struct secret_key *key, const struct secret_place *place,
                const uint8_t *sealed, size_t size, char **ret_value, size_t *ret_size)
{
    _cleanup_(cipher_cleanup) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    struct sealed_head head;
    uint8_t bound[BOUND_MAX_BYTES];
    size_t bound_size = 0;

    if (!take_head(sealed, size, &head))
        return -EBADMSG;
    if (memcmp(head.mark, key->mark, sizeof head.mark) != 0)
        return -ENOKEY;
    if (memcmp(head.owner, place->owner, sizeof head.owner) != 0)
        return -EOWNERDEAD;
    int r = write_bound(&head, place, bound, &bound_size);
    if (r < 0)
        return r;
    size_t length = size - sizeof head - NONCE_BYTES - TAG_BYTES;
    char *value = malloc(length + 1);
    if (!value || !context) {
        free(value);
        return -ENOMEM;
    }
    if (!unseal(context, key, bound, bound_size, sealed + sizeof head, length, value)) {
        secret_wipe(value, length);
        return -EBADMSG;
    }
    value[length] = '\0';
    *ret_value = value;
    *ret_size = length;
    return 0;
}
