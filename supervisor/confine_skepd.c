/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collects the folders that a serving skepd still needs, and tells the operator if it cannot be
 * confined to them. Supervisor, after set-up, before the loop.
 */
#include "supervisor/confine_skepd.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "helper/confine.h"
#include "supervisor/host/cgroup.h"
#include "supervisor/host/reader.h"
#include "supervisor/jail/level.h"
#include "supervisor/tenants/tenant.h"

#ifndef SKEP_UNJAILED

static size_t count_tenants(const struct tenants *tenants)
{
    const struct tenant *tenant;
    size_t n = 0;

    TAILQ_FOREACH (tenant, &tenants->list, entry)
        n++;
    return n;
}

/* Collects the folders, in an array with room for all; the paths are borrowed. */
static size_t collect(const struct confine_skepd_options *with, const char *folder_of_config,
                      struct confine_folder *folders)
{
    static const char unix_prefix[] = "unix:";
    const struct config *config = with->config;
    const struct tenant *tenant;
    size_t n = 0;

    folders[n++] = (struct confine_folder){ config->admin_socket, CONFINE_SOCKETS };
    for (unsigned i = 0; i < config->n_listen; i++)
        if (strncmp(config->listen[i], unix_prefix, strlen(unix_prefix)) == 0)
            folders[n++] =
                (struct confine_folder){ config->listen[i] + strlen(unix_prefix), CONFINE_SOCKETS };
    if (config->tenants && !with->is_dev)
        folders[n++] = (struct confine_folder){ config->tenants, CONFINE_READ };
    /* A reload reads the path again, which may then be another file, or a link to another one. */
    folders[n++] = (struct confine_folder){ config->path, CONFINE_READ };
    folders[n++] = (struct confine_folder){ folder_of_config, CONFINE_READ };
    if (with->has_state)
        folders[n++] = (struct confine_folder){ config->state, CONFINE_READ };
    /* Each may be a link to elsewhere. */
    TAILQ_FOREACH (tenant, &with->tenants->list, entry)
        folders[n++] = (struct confine_folder){ tenant->dir, CONFINE_READ };
    return n;
}

static int report_failure(int error, const char *step)
{
    const char *hint = confine_hint(error, step);

    return log_error_errno(error, "skepd cannot confine itself (%s)%s%s", step, hint ? ": " : "",
                           hint ? hint : "");
}

/* file: /proc/self/status, not read yet. The filter has no prctl. */
static bool is_bounding_set_empty(FILE *file)
{
    char line[256];

    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "CapBnd:", 7) == 0)
            return strtoull(line + 7, NULL, 16) == 0;
    return false;
}

static int start_reader(void *owner)
{
    return reader_start(owner);
}

int confine_skepd(const struct confine_skepd_options *with)
{
    const layer_set layers = with->jail->layers;
    size_t most = 6 + with->config->n_listen + count_tenants(with->tenants);
    _cleanup_free_ struct confine_folder *folders = calloc(most, sizeof *folders);
    _cleanup_file_ FILE *status = fopen("/proc/self/status", "re"); /* closed to skepd afterwards */
    const char *step = "memory";

    _cleanup_free_ char *folder_of_config = strdup(with->config->path);

    if (!folders || !folder_of_config)
        return report_failure(-ENOMEM, step);
    const struct confine_options options = {
        .folders = folders,
        .n_folders = collect(with, dirname(folder_of_config), folders),
        .cgroup_fd = with->cgroups ? cgroup_tree_fd(with->cgroups) : -1,
        /* Only this capability can kill a worker that is in no user namespace of ours, and has a uid of
         * its own. */
        .keep_capabilities = layers & LAYER_BIT(LAYER_USER) ? 0 : UINT64_C(1) << CAP_KILL,
        /* The operator agreed to a kernel without Landlock when the workers' jail was tried. */
        .start_threads = start_reader,
        .owner = with->reader,
        .landlock_may_be_missing = (layers & LAYER_BIT(LAYER_LANDLOCK)) == 0,
    };
    int r = confine_process(&options, &step);
    if (r < 0)
        return report_failure(r, step);
    if (r > 0)
        log_warning("skepd is not kept to its folders (%s): %s", step,
                    confine_hint(-EOPNOTSUPP, step));
    with->jail->own_layers = LAYER_BIT(LAYER_CAPABILITIES) | LAYER_BIT(LAYER_NO_NEW_PRIVS) |
                             LAYER_BIT(LAYER_SECCOMP) | (r == 0 ? LAYER_BIT(LAYER_LANDLOCK) : 0) |
                             (is_bounding_set_empty(status) ? LAYER_BIT(LAYER_BOUNDING) : 0);
    return 0;
}

#else

/* LeakSanitizer starts a process that traces this one. */
int confine_skepd(const struct confine_skepd_options *with)
{
    return reader_start(with->reader);
}

#endif
