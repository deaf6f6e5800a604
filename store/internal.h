/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The internals that the files of the store process share: main.c (the process), upload.c (a
 * version on its way in), versions.c (stored versions), callers.c (rights to call), secrets.c (sealed secrets), recover.c
 * (interrupted changes).
 * Included by these and their tests only.
 *
 *   STATE/lock                                  flock(2) for each change: at an upgrade, two skepd run side by side
 *   STATE/owner                                 flock(2) by the skepd whose state folder it is, for its life
 *   STATE/key                                   random bytes that go into the names of versions: who reads a name
 *                                               cannot try what was in env
 *   STATE/callers                               which tenant each name in `callers` stands for, as skepd sends it
 *   STATE/secrets/NAME/.owner                   id of the tenant whose secrets these are
 *   STATE/secrets/NAME/SECRET                   a secret, as skepd has sealed it
 *   STATE/tenants/NAME/current                  link to versions/SHA256: what serves
 *   STATE/tenants/NAME/history                  history.h
 *   STATE/tenants/NAME/versions/SHA256/         bundle/ (the files as sent), env, info, sums
 *   STATE/tenants/NAME/versions/.new-PID-ID/    an upload; locked with flock(2) by who makes it
 *   STATE/tenants/.trash-NAME                   removed, and not yet gone
 */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "config/manifest.h"
#include "config/names.h"
#include "store.pb-c.h"
#include "store/history.h"

#define STORE_UPLOADS_MAX 8
#define STORE_TEXT_MAX 512
#define STORE_VERSIONS_MAX 1100 /* deploy.keep, and versions that are being replaced */
#define STORE_NEW ".new-"
#define STORE_TRASH ".trash-"
#define STORE_INFO_FILE "info"
#define STORE_SUMS_FILE "sums"
#define STORE_KEY_FILE "key"
#define STORE_KEY_BYTES 32
#define STORE_ENV_FILE "env"
#define STORE_BUNDLE "bundle"
#define STORE_VERSIONS "versions"
#define STORE_CURRENT "current"
#define STORE_HISTORY_FILE "history"

#define DIGEST_BYTES 32

struct stored_file {
    char *path;
    uint64_t size;
    uint8_t digest[DIGEST_BYTES];
};

struct upload {
    TAILQ_ENTRY(upload) entry;
    uint64_t id;
    uint32_t uid;
    char tenant[NAME_MAX_BYTES + 1];
    char folder[64]; /* name of the upload's folder in versions/ */
    int tenant_fd, versions_fd, dir_fd, bundle_fd;
    struct stored_file *files;
    unsigned n_files;
    uint64_t bytes, max_bytes; /* max_bytes: without skep.yaml, which has a bound of its own */
    int file_fd;               /* the last of files while more parts of it come; -1: none */
    EVP_MD_CTX *digest;
    struct env_entry *env;
    unsigned n_env;
    bool is_sealed;
    bool is_stored;   /* a version of the same content was there: the upload's own files are gone */
    bool has_damaged; /* likewise, but it is damaged: the upload takes its place */
    char version[VERSION_BYTES + 1];
};
TAILQ_HEAD(upload_list, upload);

struct store_state {
    int state_fd, tenants_fd, lock_fd;
    struct upload_list uploads;
    unsigned n_uploads;
    EVP_MD *sha256;
    uint8_t key[STORE_KEY_BYTES]; /* in the names of versions */
    char *callers;                /* owned; parts of the next STATE/callers; NULL: none */
    size_t callers_size;
    bool callers_have_failed;  /* one of the parts: the others fail, too */
    char text[STORE_TEXT_MAX]; /* the reason of the last failure, for people */
};

/* All return 0 or -errno, and on failure text says why, unless noted otherwise. */

/* Opens the folders below path, made where they are missing. state is zeroed. */
int store_open(struct store_state *state, const char *path);
void store_close(struct store_state *state);
/* Notes why an operation failed. Returns error. */
int store_fail(struct store_state *state, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Takes the lock; waits for the other store, if there is one. */
int store_lock(struct store_state *state);
void store_unlock(struct store_state *state);

/* ---- upload.c */

/* returns NULL if there is none */
struct upload *upload_find(const struct store_state *state, uint64_t id);
int upload_begin(struct store_state *state, const Skep__Store__Begin *begin);
/* Takes one part. If it fails, the upload is gone. */
int upload_part(struct store_state *state, struct upload *upload, const Skep__Store__Part *part);
/* Names the version and syncs all of it to the disk. If that fails, the upload is gone. */
int upload_seal(struct store_state *state, struct upload *upload);
/* Compares two files by their paths, for qsort. */
int upload_compare_files(const void *a, const void *b);
/* Returns whether the version has the name of this content (files and env sorted), by the rule from
 * before there was a key. */
bool upload_is_named(const struct store_state *state, struct upload *upload, const char *version);
/* Frees the list of files, the env and the digest; not the descriptors and the upload itself. */
void upload_done_content(struct upload *upload);
/* Ends the upload, and removes what is left in its folder. */
void upload_free(struct store_state *state, struct upload *upload);

/* ---- check.c */

/* Writes the digests of an upload's files (sorted) and env into the upload's folder. 0 or -errno
 * without text. */
int version_write_sums(const struct store_state *state, const struct upload *upload,
                       const char *env, size_t env_size);
/* Compares a stored version with its sums. -EBADMSG: the version is damaged; text names the
 * file. */
int version_check(struct store_state *state, int versions_fd, const char *version);

/* ---- versions.c */

struct stored_version {
    char name[VERSION_BYTES + 1];
    uint64_t time_ms, bytes;
    uint32_t uid, files;
    int last_record; /* in the history; -1: none */
    bool is_current, is_previous;
};

struct stored_tenant {
    int fd, versions_fd;
    struct history history;
    char current[VERSION_BYTES + 1]; /* "": none */
    struct stored_version *versions; /* those that served last come first */
    unsigned n_versions;
};

/* Reads the version that a tenant's `current` leads to; "" if the link is missing or leads
 * elsewhere. */
void version_current(int tenant_fd, char ret_version[static VERSION_BYTES + 1]);
/* Reads the tenant's versions and history. -ENOENT if no tenant of that name is stored. */
int stored_tenant_open(struct store_state *state, const char *name, struct stored_tenant *ret);
void stored_tenant_done(struct stored_tenant *tenant);
/* Makes a version serve. ret_previous: the version that served before, "" if none did. Ends the
 * upload of that id, if there is one. */
int version_commit(struct store_state *state, const Skep__Store__Commit *commit,
                   char ret_previous[static VERSION_BYTES + 1]);
int version_remove_tenant(struct store_state *state, const char *name, unsigned *ret_versions);

/* ---- callers.c */

/* Takes a part of the rights to call; after the last one all of them are on the disk in place of those before. */
int callers_part(struct store_state *state, const Skep__Store__Callers *part);

/* ---- secrets.c */

int secret_set(struct store_state *state, const Skep__Store__SecretSet *request);
int secret_remove(struct store_state *state, const Skep__Store__SecretRemove *request);
/* Removes all secrets of a tenant, durably. The lock is held. 0 or -errno without text. */
int secrets_remove_tenant(const struct store_state *state, const char *tenant);
/* Removes half-written files, and counts them. The lock is held. 0 or -errno without text. */
int secrets_recover(const struct store_state *state, unsigned *leftovers);

/* ---- recover.c */

/* Removes the leftovers of interrupted writes, but not uploads that another store holds. A tenant
 * that cannot be read is left as it is: then text names it, else text is empty; 0 in both cases. */
int store_recover(struct store_state *state, unsigned *ret_leftovers);
