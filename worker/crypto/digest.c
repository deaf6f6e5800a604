/* SPDX-License-Identifier: Apache-2.0 */
/* Digests, of one block of bytes and of a stream of them. */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "worker/crypto/internal.h"

struct crypto_stream {
    EVP_MD_CTX *context; /* NULL once it has ended */
};

int crypto_digest_update(EVP_MD_CTX *context, struct crypto_bytes data,
                         const struct crypto_caller *caller)
{
    while (data.size > 0) {
        struct crypto_bytes piece = crypto_next_piece(&data);
        if (crypto_is_stopped(caller))
            return -ECANCELED;
        if (EVP_DigestUpdate(context, piece.data, piece.size) != 1)
            return crypto_failure();
    }
    return 0;
}

static int end(EVP_MD_CTX *context, const struct crypto_caller *caller)
{
    uint8_t digest[CRYPTO_DIGEST_MAX];
    unsigned size = 0;

    if (EVP_DigestFinal_ex(context, digest, &size) != 1)
        return crypto_failure();
    return crypto_give((struct crypto_bytes){ digest, size }, caller);
}

struct crypto_stream *crypto_stream_free(struct crypto_stream *stream)
{
    if (stream)
        EVP_MD_CTX_free(stream->context);
    free(stream);
    return NULL;
}

int crypto_stream_new(enum crypto_hash hash, struct crypto_stream **ret_stream)
{
    const EVP_MD *md = crypto_md(hash);
    struct crypto_stream *stream = md ? calloc(1, sizeof *stream) : NULL;

    if (!stream)
        return md ? -ENOMEM : -EINVAL;
    stream->context = EVP_MD_CTX_new();
    if (!stream->context || EVP_DigestInit_ex2(stream->context, md, NULL) != 1) {
        crypto_stream_free(stream);
        return -ENOMEM;
    }
    *ret_stream = stream;
    return 0;
}

int crypto_stream_add(struct crypto_stream *stream, struct crypto_bytes data,
                      const struct crypto_caller *caller)
{
    return stream->context ? crypto_digest_update(stream->context, data, caller) : -EINVAL;
}

int crypto_stream_end(struct crypto_stream *stream, const struct crypto_caller *caller)
{
    int r = stream->context ? end(stream->context, caller) : -EINVAL;

    EVP_MD_CTX_free(stream->context);
    stream->context = NULL;
    return r;
}

int crypto_digest(enum crypto_hash hash, struct crypto_bytes data,
                  const struct crypto_caller *caller)
{
    struct crypto_stream *stream;

    int r = crypto_stream_new(hash, &stream);
    if (r < 0)
        return r;
    r = crypto_stream_add(stream, data, caller);
    if (r == 0)
        r = crypto_stream_end(stream, caller);
    crypto_stream_free(stream);
    return r;
}
