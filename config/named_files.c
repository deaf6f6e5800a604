/* SPDX-License-Identifier: Apache-2.0 */
#include "config/named_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "config/yaml_document.h"

#define CA_MAX_BYTES (16U << 20)

DEFINE_CLEANUP(struct yaml_document *, yaml_document_free, document_cleanup)

/* ---- the key of secrets */

/* Returns whether a copy of the folder would have the file in it. */
static bool is_below(const char *path, const char *folder)
{
    char whole[PATH_MAX], top[PATH_MAX];

    if (!folder || !realpath(path, whole) || !realpath(folder, top))
        return false;
    size_t size = strlen(top);
    return strncmp(whole, top, size) == 0 && whole[size] == '/';
}

int named_key_check(const char *path, const char *state, char *text, size_t size)
{
    const char *why = NULL;
    struct stat st;

    if (stat(path, &st) < 0) {
        int error = -errno;
        if (error == -ENOENT)
            (void) snprintf(text, size,
                            "there is no key %s: put it back; if there was none yet, `head -c 32 "
                            "/dev/urandom` makes one",
                            path);
        else
            (void) snprintf(text, size, "the key %s cannot be read: %s", path,
                            strerrordesc_np(-error));
        return error;
    }
    if (!S_ISREG(st.st_mode))
        why = "it is not a file";
    else if (is_below(path, state))
        why = "it is in the state folder, beside what it opens";
    else if ((st.st_mode & 077) != 0)
        why = "others may read it: `chmod 400` it";
    else if (st.st_size != SECRET_KEY_FILE_BYTES)
        why = "it has not exactly 32 bytes";
    if (why)
        (void) snprintf(text, size, "%s cannot be the key: %s", path, why);
    return why ? -EINVAL : 0;
}

/* ---- certificates */

static bool has_certificate(const char *text, size_t size)
{
    static const char *const heads[] = {
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN TRUSTED CERTIFICATE-----",
        "-----BEGIN X509 CERTIFICATE-----",
    };

    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        if (memmem(text, size, heads[i], strlen(heads[i])))
            return true;
    return false;
}

static int check_ca(const char *path, char *why, size_t why_size)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    int r = io_read_file(AT_FDCWD, path, CA_MAX_BYTES, &text, &size);
    if (r < 0)
        (void) snprintf(why, why_size, "%s cannot be read: %s", path, strerrordesc_np(-r));
    else if (!has_certificate(text, size))
        (void) snprintf(why, why_size, "%s has no certificates in PEM", path);
    else
        return 0;
    return r < 0 ? r : -EINVAL;
}

/* ---- all of them */

/* Parses the config once more, for lines. */
static int read_document(const char *path, struct yaml_document **ret, struct config_errors *errors)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    int r = io_read_file(AT_FDCWD, path, CONFIG_FILE_MAX_BYTES, &text, &size);
    return r < 0 ? r : yaml_document_parse(path, text, size, ret, errors);
}

int named_files_check(const struct config *config, struct config_errors *errors)
{
    _cleanup_(document_cleanup) struct yaml_document *document = NULL;
    char why[PATH_MAX + 256];
    int result = 0;

    int r = read_document(config->path, &document, errors);
    if (r < 0)
        return r == -ENOMEM ? r : -EINVAL;
    r = config->secrets.key ? named_key_check(config->secrets.key, config->state, why, sizeof why)
                            : 0;
    if (r < 0 && r != -EACCES) {
        config_errors_add(errors, config->path, yaml_line(document, "secrets.key"),
                          "secrets.key: %s", why);
        result = -EINVAL;
    }
    /* A unit of its own has the certificates by its own command line. */
    bool has_ca = config->egress.ca && config->egress.fetch && !config->egress.socket;
    r = has_ca ? check_ca(config->egress.ca, why, sizeof why) : 0;
    if (r < 0 && r != -EACCES) {
        config_errors_add(errors, config->path, yaml_line(document, "egress.ca"), "egress.ca: %s",
                          why);
        result = -EINVAL;
    }
    return result;
}
