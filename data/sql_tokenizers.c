/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FTS5's tokenizers, which end when the operation's time is over. SQLite indexes a row within one opcode, which no progress handler sees: with
 * "trigram", one text of 2 MiB takes seconds. The default tokenizer, of a table that names none, cannot be replaced.
 * (https://www.sqlite.org/fts5.html#custom_tokenizers)
 */
#include <stdlib.h>

#include "common/cleanup.h"
#include "data/sql_internal.h"

#define CHECK_TOKENS 64 /* tokens between two looks at the clock */

typedef int (*token_fn)(void *owner, int flags, const char *token, int size, int start, int end);

/* A tokenizer of SQLite, as one connection has it. */
struct original {
    struct sql *sql; /* borrowed */
    void *owner;     /* SQLite's */
    fts5_tokenizer tokenizer;
};

/* A tokenizer of one table. */
struct tokenizer {
    const struct original *original; /* borrowed: the connection's */
    Fts5Tokenizer *inner;
};

/* The tokens of one text. */
struct run {
    const struct sql *sql;
    token_fn on_token;
    void *owner;
    unsigned n;
};

static int on_token(void *owner, int flags, const char *token, int size, int start, int end)
{
    struct run *run = owner;

    if (++run->n % CHECK_TOKENS == 0 && run->sql->operation && sql_is_over(run->sql->operation))
        return SQLITE_INTERRUPT;
    return run->on_token(run->owner, flags, token, size, start, end);
}

static int tokenize(Fts5Tokenizer *of, void *owner, int flags, const char *text, int size,
                    token_fn token)
{
    const struct tokenizer *tokenizer = (const struct tokenizer *) (void *) of;
    const struct original *original = tokenizer->original;
    struct run run = { .sql = original->sql, .on_token = token, .owner = owner };

    return original->tokenizer.xTokenize(tokenizer->inner, &run, flags, text, size, on_token);
}

static int create(void *owner, const char **arguments, int n, Fts5Tokenizer **ret)
{
    const struct original *original = owner;
    _cleanup_free_ struct tokenizer *tokenizer = calloc(1, sizeof *tokenizer);

    if (!tokenizer)
        return SQLITE_NOMEM;
    tokenizer->original = original;
    const int code = original->tokenizer.xCreate(original->owner, arguments, n, &tokenizer->inner);
    if (code == SQLITE_OK)
        *ret = (Fts5Tokenizer *) (void *) TAKE_PTR(tokenizer);
    return code;
}

static void destroy(Fts5Tokenizer *of)
{
    struct tokenizer *tokenizer = (struct tokenizer *) (void *) of;

    if (!tokenizer)
        return;
    tokenizer->original->tokenizer.xDelete(tokenizer->inner);
    free(tokenizer);
}

static int replace(struct sql *sql, fts5_api *api, const char *name)
{
    fts5_tokenizer ours = { .xCreate = create, .xDelete = destroy, .xTokenize = tokenize };
    _cleanup_free_ struct original *original = calloc(1, sizeof *original);

    if (!original)
        return SQLITE_NOMEM;
    original->sql = sql;
    int code = api->xFindTokenizer(api, name, &original->owner, &original->tokenizer);
    if (code == SQLITE_OK)
        code = api->xCreateTokenizer(api, name, original, &ours, free);
    if (code == SQLITE_OK)
        (void) TAKE_PTR(original);
    return code;
}

int sql_add_tokenizers(struct sql *sql)
{
    static const char *const names[] = { "unicode61", "ascii", "porter", "trigram" };
    fts5_api *api = NULL;
    int code = sql_find_fts5(sql->db, &api);

    for (size_t i = 0; code == SQLITE_OK && i < ARRAY_LEN(names); i++)
        code = replace(sql, api, names[i]);
    return code;
}
