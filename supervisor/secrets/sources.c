/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the key and all secrets at the start: files, credentials of the service manager, the environment, and what the store keeps.
 * Supervisor, before confinement.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "config/named_files.h"
#include "store/program.h"
#include "supervisor/secrets/internal.h"

/* ---- the key */

static int credential_path(const char *name, char **ret_path)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");

    if (!folder)
        return -ENOENT;
    return asprintf(ret_path, "%s/%s", folder, name) < 0 ? -ENOMEM : 0;
}

static int read_key(struct secrets *secrets, const char *path)
{
    char *text = NULL;
    size_t size = 0;

    int r = io_read_file(AT_FDCWD, path, PATH_MAX, &text, &size);
    if (r < 0)
        return log_error_errno(r, "secrets: the key %s cannot be read", path);
    if (size != SECRET_KEY_BYTES) {
        secret_wipe(text, size);
        log_error("secrets: %s cannot be the key: it has not exactly 32 bytes", path);
        return -EINVAL;
    }
    r = secret_key_new((uint8_t *) text, &secrets->key);
    free(text);
    return r < 0 ? log_error_errno(r, "secrets: the key %s cannot be kept in memory", path) : 0;
}

/* Reads the key of a file, which must be for skepd alone. */
static int read_key_file(struct secrets *secrets, const char *path, const char *state)
{
    char why[PATH_MAX + 256];
    int r = named_key_check(path, state, why, sizeof why);

    if (r < 0) {
        log_error("secrets: %s", why);
        return r;
    }
    return read_key(secrets, path);
}

int secrets_read_key(struct secrets *secrets, const struct config *config)
{
    _cleanup_free_ char *credential = NULL;

    if (config->secrets.key) {
        secrets->key_place = config->secrets.key;
        return read_key_file(secrets, config->secrets.key, config->state);
    }
    if (!config->secrets.credential)
        return 0;
    secrets->key_place = config->secrets.credential;
    int r = credential_path(config->secrets.credential, &credential);
    if (r == -ENOENT) /* any other error is no memory */
        log_error("secrets: there is no credential \"%s\": the unit needs "
                  "LoadCredential=%s:/PATH/OF/THE/KEY",
                  config->secrets.credential, config->secrets.credential);
    return r < 0 ? r : read_key(secrets, credential);
}

/* ---- given ones */

static int read_source(const struct given_secret *given, struct secret_value *ret)
{
    _cleanup_free_ char *path = NULL;
    const char *variable;
    int r = 0;

    switch (given->source) {
    case SECRET_VARIABLE:
        variable = getenv(given->place);
        if (!variable)
            return -ENOENT;
        ret->data = strdup(variable);
        ret->size = strlen(variable);
        return ret->data ? 0 : -ENOMEM;
    case SECRET_CREDENTIAL:
        r = credential_path(given->place, &path);
        break;
    case SECRET_FILE:
        path = strdup(given->place);
        r = path ? 0 : -ENOMEM;
        break;
    }
    if (r == 0)
        r = io_read_file(AT_FDCWD, path, SECRET_VALUE_MAX_BYTES + 1, &ret->data, &ret->size);
    /* An editor ends the last line. */
    if (r == 0 && ret->size > 0 && ret->data[ret->size - 1] == '\n')
        ret->data[--ret->size] = '\0';
    return r;
}

static int take_given(struct secrets *secrets, const struct given_secret *given,
                      const struct secret_value *value)
{
    static const uint8_t no_owner[SECRET_OWNER_BYTES];
    const struct secret_place place = { no_owner, given->tenant, given->name };
    const struct sealed_facts facts = { 0 };
    struct secret_owner *owner = secrets_get(secrets, given->tenant);
    uint8_t *sealed = NULL;
    size_t size = 0;

    if (!owner)
        return -ENOMEM;
    int r = secret_seal(secrets->own, &place, &facts, value->data, value->size, &sealed, &size);
    if (r == 0)
        r = secrets_put(secrets, owner, given->name, true, sealed, size);
    if (r < 0)
        free(sealed);
    return r;
}

/* Logs why a given secret is missing, if it is. wrong: why its value cannot be one; NULL: it can. */
static void report_given(const struct given_secret *given, int error, const char *wrong)
{
    const struct log_context *context = LOG_ABOUT(.tenant = given->tenant);

    if (wrong)
        log_event(LOG_LEVEL_ERROR, context, "the secret %s, given by %s, cannot be used: %s",
                  given->name, given->place, wrong);
    else if (error == -ENOENT && given->source == SECRET_VARIABLE)
        log_event(LOG_LEVEL_ERROR, context,
                  "the secret %s is missing: skepd's environment has no variable %s", given->name,
                  given->place);
    else if (error == -ENOENT && given->source == SECRET_CREDENTIAL)
        log_event(LOG_LEVEL_ERROR, context,
                  "the secret %s is missing: there is no credential \"%s\": the unit needs "
                  "LoadCredential=%s:/PATH/OF/THE/VALUE",
                  given->name, given->place, given->place);
    else if (error < 0)
        (void) log_event_errno(LOG_LEVEL_ERROR, context, error,
                               "the secret %s, given by %s, cannot be read", given->name,
                               given->place);
}

/* One that cannot be read is missing: only the tenants that use it are not served. */
int secrets_read_given(struct secrets *secrets, const struct config *config)
{
    for (unsigned i = 0; i < config->secrets.n_given; i++) {
        const struct given_secret *given = &config->secrets.given[i];
        struct secret_value value = { 0 };
        int r = read_source(given, &value);
        const char *wrong = r == 0 ? secrets_check_value(value.data, value.size) : NULL;
        if (r == 0 && !wrong)
            r = take_given(secrets, given, &value);
        secret_value_done(&value);
        if (r == -ENOMEM)
            return r;
        report_given(given, r, wrong);
    }
    return 0;
}

/* ---- kept ones */

static int read_owner(int fd, struct secret_owner *owner)
{
    _cleanup_free_ char *id = NULL;
    size_t size = 0;

    int r = io_read_file(fd, STORE_OWNER_FILE, sizeof owner->id, &id, &size);
    if (r == 0 && size != sizeof owner->id)
        r = -EBADMSG;
    if (r < 0)
        return r;
    memcpy(owner->id, id, sizeof owner->id);
    owner->has_id = true;
    return 0;
}

static int read_one(struct secrets *secrets, int fd, struct secret_owner *owner, const char *name)
{
    char *sealed = NULL;
    size_t size = 0;

    int r = io_read_file(fd, name, SEALED_MAX_BYTES, &sealed, &size);
    if (r == 0)
        r = secrets_put(secrets, owner, name, false, (uint8_t *) sealed, size);
    if (r < 0)
        free(sealed);
    return r;
}

static int read_tenant(struct secrets *secrets, int top_fd, const char *tenant)
{
    int fd = openat(top_fd, tenant, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_dir_ DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct secret_owner *owner = folder ? secrets_get(secrets, tenant) : NULL;
    const struct dirent *entry;
    int r = 0;

    if (!folder)
        return -errno;
    if (!owner)
        return -ENOMEM;
    r = read_owner(fd, owner);
    while (r == 0 && owner->n < SECRETS_OF_TENANT_MAX && (entry = readdir(folder)))
        if (secret_name_is_valid(entry->d_name))
            r = read_one(secrets, fd, owner, entry->d_name);
    return r;
}

static int count_unopened(void *owner, const struct secret_row *row)
{
    unsigned *n = owner;

    if (row->error == 0)
        return 0;
    if (row->error == -ENOKEY)
        (*n)++;
    else
        log_event(LOG_LEVEL_ERROR, LOG_ABOUT(.tenant = row->tenant),
                  "the secret %s cannot be opened: %s. `skep secrets set %s %s` sets it anew",
                  row->name,
                  row->error == -EOWNERDEAD ? "it is of a tenant of this name that was removed"
                                            : "its file was changed, or is another secret's",
                  row->tenant, row->name);
    return 0;
}

int secrets_read_kept(struct secrets *secrets)
{
    _cleanup_free_ char *path = NULL;
    const struct dirent *entry;
    unsigned n = 0;

    if (!secrets->state)
        return 0;
    if (asprintf(&path, "%s/" STORE_SECRETS_FOLDER, secrets->state) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    _cleanup_dir_ DIR *top = opendir(path);
    if (!top)
        return errno == ENOENT ? 0 : log_error_errno(-errno, "%s cannot be read", path);
    while ((entry = readdir(top))) {
        if (!name_is_valid(entry->d_name))
            continue;
        int r = read_tenant(secrets, dirfd(top), entry->d_name);
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            (void) log_event_errno(LOG_LEVEL_ERROR, LOG_ABOUT(.tenant = entry->d_name), r,
                                   "its secrets in %s cannot be read", path);
    }
    (void) secrets_each(secrets, NULL, count_unopened, &n);
    if (n > 0 && secrets->key)
        log_error("%u secrets in %s were sealed with another key than %s, and cannot be opened: "
                  "put the key back, or set them again",
                  n, path, secrets->key_place);
    else if (n > 0)
        log_error("%u secrets in %s cannot be opened without their key: expected secrets.key or "
                  "secrets.credential in the configuration",
                  n, path);
    return 0;
}
