/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of skepd.yaml: makes a struct config of it, by the rows of config_keys.c. skepd at
 * start and at a reload, as the user who starts it; `skep check`.
 */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "config/config_keys.h"
#include "config/names.h"

DEFINE_CLEANUP(struct config *, config_free, config_cleanup)
DEFINE_CLEANUP(struct yaml_document *, yaml_document_free, document_cleanup)

int config_parse(const char *file, const char *text, size_t size, struct config **ret_config,
                 struct config_errors *errors)
{
    _cleanup_(document_cleanup) struct yaml_document *document = NULL;
    _cleanup_(config_cleanup) struct config *config = calloc(1, sizeof *config);
    _cleanup_free_ char *folder = NULL;
    unsigned before = errors->count;

    if (!config || !(config->path = strdup(file)))
        return -ENOMEM;
    int r = path_folder_of(file, &folder);
    if (r < 0) {
        config_errors_add(errors, file, 0, "cannot find its folder: %s", strerrordesc_np(-r));
        return r;
    }
    if (size > CONFIG_FILE_MAX_BYTES) {
        config_errors_add(errors, file, 0, "too large: expected at most 256 KiB");
        return -EINVAL;
    }
    r = yaml_document_parse(file, text, size, &document, errors);
    if (r == 0)
        r = keys_check(document, &config_keys, errors);
    if (r < 0)
        return r;
    const struct key_reading reading = { document, folder, config, errors };
    r = keys_read(&reading, &config_keys, document->root, config);
    if (r == 0 && errors->count > before)
        r = -EINVAL;
    if (r < 0)
        return r;
    *ret_config = TAKE_PTR(config);
    return 0;
}

int config_read(const char *path, struct config **ret_config, struct config_errors *errors)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    int r = io_read_file(AT_FDCWD, path, CONFIG_FILE_MAX_BYTES, &text, &size);
    if (r == -EFBIG)
        config_errors_add(errors, path, 0, "too large: expected at most 256 KiB");
    else if (r < 0)
        config_errors_add(errors, path, 0, "cannot be read: %s", strerrordesc_np(-r));
    if (r < 0)
        return r;
    return config_parse(path, text, size, ret_config, errors);
}

struct cordon_config *cordon_config_free(struct cordon_config *cordon)
{
    if (!cordon)
        return NULL;
    keys_done(&cordon_keys, cordon);
    free(cordon->addresses.prefixes);
    free(cordon);
    return NULL;
}

struct config *config_free(struct config *config)
{
    if (!config)
        return NULL;
    for (unsigned i = 0; i < config->n_cordons; i++)
        (void) cordon_config_free(config->cordons[i]);
    free(config->cordons);
    config_secrets_done(&config->secrets);
    keys_done(&config_keys, config);
    free(config->proxy_prefixes);
    free(config->egress.addresses.prefixes);
    free(config->egress.denied.prefixes);
    free(config->path);
    free(config);
    return NULL;
}

const struct cordon_config *config_find_cordon(const struct config *config, const char *name)
{
    for (unsigned i = 0; i < config->n_cordons; i++)
        if (strcmp(config->cordons[i]->name, name) == 0)
            return config->cordons[i];
    return NULL;
}

uint32_t config_files_bytes(const struct config *config)
{
    uint32_t mib = config ? 0 : FILES_MIB_PRESET;

    for (unsigned i = 0; config && i < config->n_cordons; i++)
        if (config->cordons[i]->files_mib > mib)
            mib = config->cordons[i]->files_mib;
    return mib << 20;
}

limit_set limits_observed(const struct config *config, const struct cordon_config *cordon)
{
    return config->observed | cordon->observed;
}
