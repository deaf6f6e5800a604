/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The secrets of all tenants: those that the operator gives (secrets.given of skepd.yaml), and those that skep keeps
 * (`skep secrets set`), which the store has on the disk. skepd holds both sealed, by the operator's key or by one of its own
 * that no other process has, and opens one when a worker gets it or a fetch needs it. docs/architecture.md "Secrets".
 * Supervisor, loop thread, and at the start before confinement.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/manifest.h"
#include "supervisor/record/failure.h"
#include "supervisor/secrets/seal.h"

struct secrets;

/* An open value. { 0 } holds none. */
struct secret_value {
    char *data; /* owned; ends with a NUL that size does not count */
    size_t size;
};
void secret_value_done(struct secret_value *value); /* wipes it */

#define SECRETS_DEV_PREFIX "SKEP_SECRET_"

struct secrets_options {
    const struct config *config; /* borrowed */
    bool has_state;              /* the store keeps secrets below config->state */
    bool is_dev; /* `skep dev`: a secret that is nowhere else is the variable SKEP_SECRET_NAME */
};

/* Reads the key, and all secrets. One that cannot be read or opened is an error in the log, and missing afterwards. 0; or -errno,
 * logged: there is no key where the config says. */
int secrets_new(const struct secrets_options *options, struct secrets **ret_secrets);
/* Wipes keys. NULL is allowed. Returns NULL. */
struct secrets *secrets_free(struct secrets *secrets);

/*
 * Opens a secret of a tenant, for secret_value_done. secrets: NULL is allowed, and has none. 0; -ENOENT: it is not set;
 * -ENOKEY: it is kept under a key that is not there; -EBADMSG: changed, or of another tenant or name; -EOWNERDEAD: of a
 * tenant of that name that was removed; -ENOMEM.
 */
int secrets_open(const struct secrets *secrets, const char *tenant, const char *name,
                 struct secret_value *ret_value);

/* Checks whether a version with that manifest can have all of its secrets. new_name: NULL, or the name of one that is to get
 * the value. Returns 0, or -errno, which failure has, too, with the remedy. */
int secrets_check(const struct secrets *secrets, const struct manifest *manifest,
                  const char *new_name, const struct secret_value *new_value,
                  struct failure *failure);

/* Returns a number that is another one after each change of the secrets that a version with that manifest has in env; 0: there are
 * none. */
uint64_t secrets_stamp(const struct secrets *secrets, const struct manifest *manifest);

/* ---- changes, whose bytes the store puts on the disk in between */

/* A sealed value on its way to the store. { 0 } holds none. */
struct sealed_secret {
    uint8_t *data; /* owned */
    size_t size;
    uint8_t owner[SECRET_OWNER_BYTES]; /* id of the tenant */
};
void sealed_secret_done(struct sealed_secret *sealed);

/* Seals a value that is to be kept. Returns 0, or -errno, which failure has, too: without a key, with a wrong name or value,
 * with too many, or for one that the operator gives. */
int secrets_seal(struct secrets *secrets, const char *tenant, const char *name,
                 const struct secret_value *value, uint32_t uid, struct sealed_secret *ret_sealed,
                 struct failure *failure);
/* Takes over a sealed value that is on the disk: it counts from now on. 0 or -ENOMEM. */
int secrets_keep(struct secrets *secrets, const char *tenant, const char *name,
                 struct sealed_secret *sealed);
/* Returns whether skep keeps a secret of that name. */
bool secrets_has_kept(const struct secrets *secrets, const char *tenant, const char *name);
/* Forgets a secret that is not on the disk any more. */
void secrets_forget(struct secrets *secrets, const char *tenant, const char *name);
/* Forgets all kept secrets of a tenant, and its id: another tenant of that name can open none of them. */
void secrets_forget_tenant(struct secrets *secrets, const char *tenant);

/* ---- lists */

struct secret_row { /* borrowed for the call */
    const char *tenant, *name;
    bool is_given;
    uint64_t time_ms; /* when it was set; 0: not known */
    uint32_t uid;     /* user who has set it */
    int error;        /* 0, or what secrets_open would return */
};
/* Calls visit for the secrets of a tenant (NULL: of all), by tenant and name, until it returns other than 0; returns that. */
int secrets_each(const struct secrets *secrets, const char *tenant,
                 int (*visit)(void *owner, const struct secret_row *row), void *owner);

/* ---- injection into fetches; inject.c */

/* A header that a request must have, in place of all that the tenant has set under that name. */
struct injected_header {
    const char *name; /* lower case; borrowed from the manifest */
    struct secret_value value;
};
struct injected {
    struct injected_header headers[TENANT_SECRETS_MAX];
    size_t n;
};

/* Decides which secrets go into one request, at each hop anew. question: the server and path that will be asked. 0 with
 * *ret_injected, for injected_done; or -errno of secrets_open, and *ret_name is the secret: then the request must not be
 * sent. */
int secrets_inject(const struct secrets *secrets, const struct manifest *manifest,
                   const struct host_question *question, struct injected *ret_injected,
                   const char **ret_name);
void injected_done(struct injected *injected);
/* Returns why a value cannot be in a header; NULL: it can. Static string. */
const char *secret_check_header(const struct secret_value *value);
