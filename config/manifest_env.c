/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of env that were given with a deploy, laid over those of skep.yaml. skepd, and skep before
 * it sends them.
 */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/manifest.h"
#include "config/names.h"

static int set_value(struct env_entry *entry, const char *value)
{
    char *copy = strdup(value);

    if (!copy)
        return -ENOMEM;
    free(entry->value);
    entry->value = copy;
    return 0;
}

static int add_entry(struct manifest *manifest, const char *name, const char *value)
{
    struct env_entry *env = reallocarray(manifest->env, manifest->n_env + 1, sizeof *env);

    if (!env)
        return -ENOMEM;
    manifest->env = env;
    env[manifest->n_env] = (struct env_entry){ .name = strdup(name), .value = strdup(value) };
    manifest->n_env++; /* manifest_free takes a half-filled entry */
    return env[manifest->n_env - 1].name && env[manifest->n_env - 1].value ? 0 : -ENOMEM;
}

static int override_one(struct manifest *manifest, const char *name, const char *value,
                        struct config_errors *errors)
{
    if (!env_name_is_valid(name)) {
        config_errors_add(errors, manifest->file, 0,
                          "env: \"%s\" is not a name: expected A-Z, a-z, 0-9 and _, and no digit "
                          "first",
                          name);
        return -EINVAL;
    }
    if (manifest_find_binding(manifest, name)) {
        config_errors_add(errors, manifest->file, 0,
                          "env: %s is the name of a binding: expected another one", name);
        return -EINVAL;
    }
    if (manifest_find_secret(manifest, name)) {
        config_errors_add(errors, manifest->file, 0,
                          "env: %s is the name of a secret: expected another one", name);
        return -EINVAL;
    }
    if (strlen(value) > TENANT_ENV_VALUE_MAX) {
        config_errors_add(errors, manifest->file, 0, "env: %s: too long: expected at most 32 KiB",
                          name);
        return -EINVAL;
    }
    for (unsigned i = 0; i < manifest->n_env; i++)
        if (strcmp(manifest->env[i].name, name) == 0)
            return set_value(&manifest->env[i], value);
    if (manifest->n_env >= TENANT_ENV_MAX) {
        config_errors_add(errors, manifest->file, 0,
                          "env: too many entries with those that were given: expected at most %u",
                          TENANT_ENV_MAX);
        return -EINVAL;
    }
    return add_entry(manifest, name, value);
}

static int check_env_size(const struct manifest *manifest, struct config_errors *errors)
{
    size_t size = 0;

    for (unsigned i = 0; i < manifest->n_env; i++)
        size += strlen(manifest->env[i].name) + strlen(manifest->env[i].value);
    if (size <= TENANT_ENV_BYTES_MAX)
        return 0;
    config_errors_add(
        errors, manifest->file, 0,
        "env: %zu KiB are too many: expected at most %u KiB of names and values together",
        size >> 10, TENANT_ENV_BYTES_MAX >> 10);
    return -EINVAL;
}

int manifest_override_env(struct manifest *manifest, const char *data, size_t size,
                          struct config_errors *errors)
{
    for (size_t at = 0; at < size;) {
        size_t length = strnlen(data + at, size - at);
        _cleanup_free_ char *name = strndup(data + at, length);
        if (!name)
            return -ENOMEM;
        char *equals = strchr(name, '=');
        if (at + length == size || !equals) {
            config_errors_add(errors, manifest->file, 0, "env: expected NAME=VALUE");
            return -EINVAL;
        }
        *equals = '\0';
        int r = override_one(manifest, name, equals + 1, errors);
        if (r < 0)
            return r;
        at += length + 1;
    }
    return check_env_size(manifest, errors);
}
