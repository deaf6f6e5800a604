/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarations that the files of secrets/ share: secrets.c (all of them), sources.c (where they come from at the start). No other
 * file includes this.
 */
#pragma once

#include <sys/queue.h>

#include "config/names.h"
#include "supervisor/secrets/secrets.h"

#define SECRETS_BUCKETS 1024
#define SECRETS_OF_TENANT_MAX 64

struct secret {
    char name[SECRET_NAME_MAX_BYTES + 1];
    bool is_given;
    uint8_t *sealed; /* owned; a given one: by the secrets' own key, and for a tenant without id */
    size_t size;
    uint64_t stamp; /* grows with each value that any secret gets */
};

struct secret_owner {
    LIST_ENTRY(secret_owner) entry;
    char tenant[NAME_MAX_BYTES + 1];
    uint8_t id[SECRET_OWNER_BYTES];
    bool has_id;
    struct secret *list; /* owned; sorted by name, given ones first */
    unsigned n;
};

struct secrets {
    bool is_dev;
    const char *state;      /* borrowed from the config; NULL: nothing is kept */
    const char *key_place;  /* borrowed; file or credential of the key; NULL: there is none */
    struct secret_key *key; /* NULL: there is none */
    struct secret_key *own; /* made at the start; for given secrets */
    uint64_t last_stamp;
    LIST_HEAD(, secret_owner) buckets[SECRETS_BUCKETS];
};

/* Finds the tenant's entry; NULL if it has no secret. */
struct secret_owner *secrets_find(const struct secrets *secrets, const char *tenant);
/* Finds or makes it. NULL: out of memory. */
struct secret_owner *secrets_get(struct secrets *secrets, const char *tenant);
/* Adds or replaces. sealed: owned from success on. 0 or -ENOMEM. */
int secrets_put(struct secrets *secrets, struct secret_owner *owner, const char *name,
                bool is_given, uint8_t *sealed, size_t size);
/* Returns why a value cannot be a secret; NULL: it can. Static string. */
const char *secrets_check_value(const char *data, size_t size);

/* ---- sources.c: before confinement. Errors are logged. */

int secrets_read_key(struct secrets *secrets, const struct config *config);
int secrets_read_given(struct secrets *secrets, const struct config *config);
int secrets_read_kept(struct secrets *secrets);
