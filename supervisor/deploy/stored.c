/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves stored versions again when skepd starts. Supervisor, before it is confined.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "store/check.h"
#include "supervisor/deploy/internal.h"
#include "supervisor/record/failure.h"
#include "supervisor/tenants/unserved.h"
#include "supervisor/versions/versions.h"

static const char prefix[] = "versions/";

DEFINE_CLEANUP(struct manifest *, manifest_free, manifest_cleanup)

static int find_current(const char *folder, const char *name,
                        char version[static VERSION_BYTES + 1])
{
    char target[sizeof prefix + VERSION_BYTES];
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/%s/current", folder, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    if (strncmp(target, prefix, sizeof prefix - 1) != 0 ||
        !version_is_valid(target + sizeof prefix - 1))
        return -EINVAL;
    memcpy(version, target + sizeof prefix - 1, VERSION_BYTES + 1);
    return 0;
}

static int install_version(struct deploys *deploys, const char *name, const char *version,
                           struct config_errors *errors)
{
    _cleanup_(manifest_cleanup) struct manifest *manifest = NULL;
    _cleanup_free_ char *dir = NULL;
    _cleanup_(failure_done) struct failure failure = { 0 };

    int r = deploy_read(deploys->with.config->state, name, version,
                        config_files_bytes(deploys->with.config), &manifest, &dir, errors);
    if (r == 0)
        r = manifest_check(manifest, deploys->with.config, errors);
    if (r < 0)
        return r;
    r = versions_install(deploys->with.versions, manifest, dir, &failure);
    if (r < 0) {
        failure_add_to(&failure, manifest->file, errors);
        return r;
    }
    (void) TAKE_PTR(manifest);
    struct tenant *tenant = tenant_find(deploys->with.tenants, name, strlen(name));
    tenant->origin = TENANT_DEPLOYED;
    memcpy(tenant->deployed.serving, version, VERSION_BYTES + 1);
    return 0;
}

/* Lists the tenant with the error; with its routes, if its skep.yaml is the deployed one. */
static void note_unserved(struct deploys *deploys, struct store_reader *reader, const char *name,
                          const char *version, const char *text)
{
    _cleanup_(config_errors_done) struct config_errors errors = { 0 };
    _cleanup_free_ char *yaml = NULL;
    struct manifest *manifest = NULL;
    size_t size = 0;

    log_event(LOG_LEVEL_ERROR, LOG_ABOUT(.tenant = name), "%s was deployed, and is not served: %s",
              name, text);
    if (version[0] && store_reader_read_manifest(reader, name, version, &yaml, &size) == 0 &&
        manifest_parse("skep.yaml", yaml, size, &manifest, &errors) == 0 &&
        strcmp(manifest->name, name) != 0)
        manifest = manifest_free(manifest);
    if (unserved_add(deploys->with.tenants, name, version, text, manifest) < 0)
        log_error("out of memory: %s is not listed", name);
}

/* Writes why an unchanged version cannot be served, and the remedy. */
static void describe(int error, const struct config_errors *errors, const char *version, char *text,
                     size_t size)
{
    if (errors->n_items > 0)
        (void) snprintf(text, size,
                        "version %.12s: skep.yaml:%u: %.700s; mend the configuration and restart "
                        "skepd, or deploy another version",
                        version, errors->items[0].line, errors->items[0].text);
    else
        (void) snprintf(text, size, "version %.12s cannot be read: %s; deploy it again", version,
                        strerrordesc_np(-error));
}

static void install_tenant(struct deploys *deploys, struct store_reader *reader, const char *folder,
                           const char *name)
{
    _cleanup_(config_errors_done) struct config_errors errors = { 0 };
    char version[VERSION_BYTES + 1] = "";
    const char *reason = "";
    char text[1024];

    const struct tenant *tenant = tenant_find(deploys->with.tenants, name, strlen(name));
    if (tenant) {
        log_warning("%s was deployed, and is not served so: it is served from %s", name,
                    tenant->dir);
        return;
    }
    int r = find_current(folder, name, version);
    if (r < 0) {
        (void) snprintf(text, sizeof text,
                        "which version served is not known, its link `current` cannot be read: %s; "
                        "deploy it again",
                        strerrordesc_np(-r));
        note_unserved(deploys, reader, name, "", text);
        return;
    }
    if (store_reader_check(reader, name, version, &reason) < 0) {
        (void) snprintf(text, sizeof text, "%s", reason);
        note_unserved(deploys, reader, name, version, text);
        return;
    }
    r = install_version(deploys, name, version, &errors);
    for (unsigned i = 0; i < errors.n_items; i++)
        log_warning("%s:%u: %s", errors.items[i].file, errors.items[i].line, errors.items[i].text);
    if (r < 0) {
        describe(r, &errors, version, text, sizeof text);
        note_unserved(deploys, reader, name, version, text);
    }
}

static int is_tenant(const struct dirent *entry)
{
    return name_is_valid(entry->d_name);
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int deploys_install_stored(struct deploys *deploys)
{
    _cleanup_free_ char *folder = NULL;
    struct dirent **entries = NULL;

    if (!deploys->with.store || deploys->with.is_dev)
        return 0;
    if (asprintf(&folder, "%s/tenants", deploys->with.config->state) < 0) {
        folder = NULL;
        return -ENOMEM;
    }
    struct store_reader *reader = NULL;
    int r = store_reader_new(deploys->with.config->state, &reader);
    if (r < 0)
        return log_error_errno(r, "cannot read %s", folder);
    int count = scandir(folder, &entries, is_tenant, compare_entries);
    if (count < 0) {
        r = log_error_errno(-errno, "cannot read %s", folder);
        (void) store_reader_free(reader);
        return r;
    }
    for (int i = 0; i < count; i++) {
        install_tenant(deploys, reader, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    (void) store_reader_free(reader);
    return 0;
}

/* Counts the secrets of the manifest that another key has sealed. */
static unsigned count_locked(const struct secrets *secrets, const struct manifest *manifest)
{
    unsigned n = 0;

    for (unsigned i = 0; i < manifest->n_secrets; i++) {
        struct secret_value value = { 0 };
        n += secrets_open(secrets, manifest->name, manifest->secrets[i].name, &value) == -ENOKEY;
        secret_value_done(&value);
    }
    return n;
}

int deploys_check_key(const struct deploys *deploys)
{
    const struct secrets *secrets = deploys->with.tenants->secrets;
    const struct secrets_config *config = &deploys->with.config->secrets;
    const char *key = config->key ? config->key : config->credential;
    const struct unserved *unserved = NULL;
    unsigned n = 0;

    while ((unserved = unserved_next(deploys->with.tenants, unserved)))
        n += unserved->manifest ? count_locked(secrets, unserved->manifest) : 0;
    if (n > 0 && key)
        log_error("%u secrets that tenants need were sealed with another key than %s: put the old "
                  "key back; the old skepd serves on. If that key is lost, restart skepd and set "
                  "them again",
                  n, key);
    else if (n > 0)
        log_error("%u secrets that tenants need cannot be opened without their key: name it as "
                  "secrets.key or secrets.credential; the old skepd serves on",
                  n);
    return n > 0 ? -ENOKEY : 0;
}
