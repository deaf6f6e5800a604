/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tenant out of one script, for `skep dev`: the person at the keyboard names the file, so links
 * are followed. skep, as that person.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "config/manifest.h"
#include "config/names.h"
#include "config/tenant_files.h"

DEFINE_CLEANUP(struct manifest *, manifest_free, manifest_cleanup)

/* "My Worker.v2.js" to "my-worker-v2"; "worker" if nothing is left. */
static char *name_from_file(const char *file)
{
    char name[NAME_MAX_BYTES + 1] = "";
    const char *dot = strrchr(file, '.');
    size_t size = dot ? (size_t) (dot - file) : strlen(file);
    size_t n = 0;

    for (size_t i = 0; i < size && n < NAME_MAX_BYTES; i++) {
        unsigned char c = (unsigned char) file[i];
        bool is_plain = c < 0x80 && isalnum(c);
        if (is_plain)
            name[n++] = (char) tolower(c);
        else if (n > 0 && name[n - 1] != '-')
            name[n++] = '-';
    }
    while (n > 0 && name[n - 1] == '-')
        n--;
    name[n] = '\0';
    return strdup(n > 0 ? name : "worker");
}

static int fill(struct manifest *manifest, const char *base)
{
    const char *reason = NULL;

    manifest->name = name_from_file(base);
    manifest->main = strdup(base);
    manifest->cordon = strdup("default");
    manifest->routes = calloc(1, sizeof *manifest->routes);
    if (!manifest->name || !manifest->main || !manifest->cordon || !manifest->routes)
        return -ENOMEM;
    int r = route_pattern_parse("*", &manifest->routes[0], &reason);
    if (r < 0)
        return r;
    manifest->n_routes = 1;
    manifest->routes[0].line = 1;
    manifest->lines = (struct manifest_lines){ .name = 1, .main = 1, .cordon = 1 };
    for (size_t i = 0; i < LIMITS_COUNT; i++)
        manifest->lines.limits[i] = 1;
    return 0;
}

static int read_script(struct manifest *manifest, const char *path, uint32_t max_bytes,
                       struct config_errors *errors)
{
    manifest->files = calloc(1, sizeof *manifest->files);
    if (!manifest->files || !(manifest->files[0].path = strdup(manifest->main)))
        return -ENOMEM;
    manifest->n_files = 1;
    int r =
        io_read_file(AT_FDCWD, path, max_bytes, &manifest->files[0].data, &manifest->files[0].size);
    if (r == -EFBIG)
        config_errors_add(errors, path, 0,
                          "too large: expected at most %u MiB; " TENANT_FILES_ADVICE,
                          max_bytes >> 20);
    else if (r < 0 && r != -ENOMEM)
        config_errors_add(errors, path, 0, "cannot be read: %s", strerrordesc_np(-r));
    return r;
}

int manifest_from_script(const char *path, uint32_t max_bytes, struct manifest **ret_manifest,
                         struct config_errors *errors)
{
    _cleanup_(manifest_cleanup) struct manifest *manifest = calloc(1, sizeof *manifest);
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    const char *wrong = main_kind_check(base);

    if (!manifest || !(manifest->file = strdup(path)))
        return -ENOMEM;
    if (wrong) {
        config_errors_add(errors, path, 0, "%s", wrong);
        return -EINVAL;
    }
    int r = fill(manifest, base);
    if (r == 0)
        r = read_script(manifest, path, max_bytes, errors);
    if (r < 0)
        return r;
    *ret_manifest = TAKE_PTR(manifest);
    return 0;
}
