/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/compile.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "config/config.h"
#include "supervisor/check/check.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/jail/level.h"

struct compile {
    struct check_options check;
    struct check_faults faults;
    struct jail_state jail;
    struct config *config;
    struct manifest **tenants;
    unsigned n_tenants;
};

static int read_config(const char *path, struct config **ret_config)
{
    static const char defaults[] = "{}";
    struct config_errors errors = { 0 };

    int r = path ? config_read(path, ret_config, &errors)
                 : config_parse("defaults", defaults, sizeof defaults - 1, ret_config, &errors);
    if (r < 0)
        (void) log_error_errno(r, "%s", errors.text ? errors.text : "cannot read the config");
    config_errors_done(&errors);
    return r;
}

/* Adds the tenant of a folder or a script. An unreadable file is among the faults. */
static void read_tenant(struct compile *compile, const char *path)
{
    struct config_errors *errors = &compile->faults.errors;
    struct manifest **place = &compile->tenants[compile->n_tenants];
    uint32_t max_bytes = config_files_bytes(compile->config);
    struct stat st;

    int r = stat(path, &st) == 0 && S_ISDIR(st.st_mode)
                ? manifest_read(path, max_bytes, place, errors)
                : manifest_from_script(path, max_bytes, place, errors);
    if (r == 0)
        compile->n_tenants++;
}

static int read_tenants(struct compile *compile, char *const *paths)
{
    size_t n = 0;

    while (paths[n])
        n++;
    compile->tenants = calloc(n + 1, sizeof *compile->tenants);
    if (!compile->tenants)
        return -ENOMEM;
    for (; *paths; paths++)
        read_tenant(compile, *paths);
    return 0;
}

/* Checks all tenants. Without a config no consent to a weaker jail is needed, as with `skep dev`: the code is the
 * user's own. */
static int check_all(struct compile *compile, const struct compile_options *options)
{
    struct check_options *check = &compile->check;
    int r = jail_find_level(check->spawner, compile->config, &compile->jail);

    if (r == 0)
        r = jail_check_consent(&compile->jail, &compile->config->jail, !options->config);
    if (r < 0)
        return r;
    check->base = event_base_new();
    check->jail = &compile->jail;
    check->config = compile->config;
    r = check->base ? check_modules(check, compile->tenants, compile->n_tenants, &compile->faults)
                    : -ENOMEM;
    return r < 0 ? r : check_print(&compile->faults, stdout);
}

static int run(struct compile *compile, const struct compile_options *options)
{
    const struct spawner_options spawner = { .worker_path = options->worker };
    int r = read_config(options->config, &compile->config);

    if (r == 0)
        r = spawner_start(&spawner, &compile->check.spawner);
    if (r == 0)
        r = read_tenants(compile, options->paths);
    return r < 0 ? r : check_all(compile, options);
}

int compile_run(const struct compile_options *options)
{
    struct compile compile = { 0 };

    log_set_level(LOG_LEVEL_ERROR);
    log_set_format(LOG_FORMAT_HUMAN);
    (void) signal(SIGPIPE, SIG_IGN);
    int r = run(&compile, options);
    (void) spawner_free(compile.check.spawner);
    if (compile.check.base)
        event_base_free(compile.check.base);
    for (unsigned i = 0; i < compile.n_tenants; i++)
        (void) manifest_free(compile.tenants[i]);
    free(compile.tenants);
    check_faults_done(&compile.faults);
    (void) config_free(compile.config);
    return r;
}
