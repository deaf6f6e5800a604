/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep check`: the errors that skepd would find in config files and tenants, by the same code,
 * without serving or running any of them. Fields of --json: ok, configs, tenants (how many are
 * good), errors (file, line or null, column or null, text), notes (likewise).
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/check_modules.h"
#include "cli/check_unit.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "common/cleanup.h"
#include "config/host_faults.h"
#include "config/named_files.h"
#include "config/tenant_files.h"

struct tally {
    struct config_errors errors, notes;
    const char *unit;          /* --unit; NULL: the installed unit */
    unsigned configs, tenants; /* good ones */
    char **paths;              /* tenants whose modules are to be compiled; NULL-ended */
    size_t n_paths;
};

static void forget_paths(struct tally *tally)
{
    for (size_t i = 0; i < tally->n_paths; i++)
        free(tally->paths[i]);
    free(tally->paths);
    tally->paths = NULL;
    tally->n_paths = 0;
}

static void tally_cleanup(struct tally *tally)
{
    forget_paths(tally);
    config_errors_done(&tally->errors);
    config_errors_done(&tally->notes);
}

DEFINE_CLEANUP(struct config *, config_free, config_cleanup)
DEFINE_CLEANUP(struct manifest *, manifest_free, manifest_cleanup)

/* The folder of a file, malloc'ed. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));
}

/* A tenant that can be read: the modules are compiled later, all together. config: NULL without one. path: owned. */
static int add_good(struct tally *tally, const struct manifest *manifest,
                    const struct config *config, char *path)
{
    char **paths = path ? reallocarray(tally->paths, tally->n_paths + 2, sizeof *paths) : NULL;

    if (!paths) {
        free(path);
        return -ENOMEM;
    }
    paths[tally->n_paths++] = path;
    paths[tally->n_paths] = NULL;
    tally->paths = paths;
    tally->tenants++;
    tenant_files_note_left_out(manifest, &tally->notes);
    manifest_note_hosts(manifest, config, &tally->notes);
    return 0;
}

static int compile_good(struct tally *tally, const char *config)
{
    int r =
        tally->n_paths > 0 ? check_modules(config, tally->paths, &tally->errors, &tally->notes) : 0;

    forget_paths(tally);
    return r;
}

static int check_folder_of_tenants(struct tally *tally, const char *dir,
                                   const struct config *config)
{
    _cleanup_(manifest_set_done) struct manifest_set set = { 0 };
    unsigned before = tally->errors.count;

    int r = manifest_read_all(dir, config, &set, &tally->errors);
    for (unsigned i = 0; i < set.count && r != -ENOMEM; i++)
        if (add_good(tally, set.items[i], config, folder_of(set.items[i]->file)) < 0)
            r = -ENOMEM;
    if (r == 0 && set.count == 0 && tally->errors.count == before)
        config_errors_add(&tally->errors, dir, 0,
                          "no tenants: expected a skep.yaml in it, or folders that have one");
    return r == -ENOMEM ? r : 0;
}

static int check_config(struct tally *tally, const char *path)
{
    _cleanup_(config_cleanup) struct config *config = NULL;

    int r = config_read(path, &config, &tally->errors);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    tally->configs++;
    (void) check_unit(path, config, tally->unit, &tally->errors);
    if (named_files_check(config, &tally->errors) == -ENOMEM)
        return -ENOMEM;
    /* Those of other paths are not of this config. */
    r = compile_good(tally, NULL);
    if (r == 0 && config->tenants)
        r = check_folder_of_tenants(tally, config->tenants, config);
    return r < 0 ? r : compile_good(tally, path);
}

static int check_tenant(struct tally *tally, const char *dir)
{
    _cleanup_(manifest_cleanup) struct manifest *manifest = NULL;

    int r = manifest_read(dir, config_files_bytes(NULL), &manifest, &tally->errors);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    return add_good(tally, manifest, NULL, strdup(dir));
}

static int check_script(struct tally *tally, const char *path)
{
    _cleanup_(manifest_cleanup) struct manifest *manifest = NULL;

    int r = manifest_from_script(path, config_files_bytes(NULL), &manifest, &tally->errors);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    return add_good(tally, manifest, NULL, strdup(path));
}

static bool has_file(const char *dir, const char *name)
{
    _cleanup_free_ char *path = NULL;
    struct stat st;

    return asprintf(&path, "%s/%s", dir, name) >= 0 && lstat(path, &st) == 0;
}

static bool is_script(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot && (strcmp(dot, ".js") == 0 || strcmp(dot, ".mjs") == 0);
}

static int check_path(struct tally *tally, const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        config_errors_add(&tally->errors, path, 0, "cannot be read: %s", strerrordesc_np(errno));
        return 0;
    }
    if (S_ISDIR(st.st_mode))
        return has_file(path, "skep.yaml") ? check_tenant(tally, path)
                                           : check_folder_of_tenants(tally, path, NULL);
    if (is_script(path))
        return check_script(tally, path);
    const char *slash = strrchr(path, '/');
    if (strcmp(slash ? slash + 1 : path, "skep.yaml") != 0)
        return check_config(tally, path);
    _cleanup_free_ char *folder = folder_of(path);
    return folder ? check_tenant(tally, folder) : -ENOMEM;
}

static json_t *list_json(const struct config_errors *errors)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < errors->n_items; i++) {
        const struct config_error *error = &errors->items[i];
        json_t *line = error->line > 0 ? json_integer(error->line) : json_null();
        json_t *column = error->column > 0 ? json_integer(error->column) : json_null();
        (void) json_array_append_new(list, json_pack("{s:s+, s:o, s:o, s:s+}", "file", error->file,
                                                     "", "line", line, "column", column, "text",
                                                     error->text, ""));
    }
    return list;
}

static int print_json(const struct tally *tally)
{
    return json_print(json_pack("{s:b, s:i, s:i, s:o, s:o}", "ok", tally->errors.count == 0,
                                "configs", (int) tally->configs, "tenants", (int) tally->tenants,
                                "errors", list_json(&tally->errors), "notes",
                                list_json(&tally->notes)));
}

static void print_text(const struct tally *tally)
{
    const struct config_errors *errors = &tally->errors;

    if (errors->text)
        (void) fputs(errors->text, stdout);
    output_notes(stdout, &tally->notes);
    if (errors->count > errors->n_items)
        (void) printf("and %u more errors\n", errors->count - errors->n_items);
    if (errors->count > 0)
        return;
    (void) printf("ok:");
    if (tally->configs > 0)
        (void) printf(" %u config file%s%s", tally->configs, tally->configs == 1 ? "" : "s",
                      tally->tenants > 0 ? "," : "");
    if (tally->tenants > 0)
        (void) printf(" %u tenant%s", tally->tenants, tally->tenants == 1 ? "" : "s");
    (void) printf("\n");
}

static const struct cli_option check_options[] = {
    { .name = "unit",
      .argument = "FILE",
      .help = "the systemd unit that starts skepd with a skepd.yaml" },
    { 0 },
};

static int run(struct cli *cli, int argc, char **argv)
{
    _cleanup_(tally_cleanup) struct tally tally = { 0 };
    struct cli_option options[] = { check_options[0], { 0 } };
    enum cli_exit status = CLI_DONE;
    int r = 0;

    options[0].value = &tally.unit;
    int first = cli_options(cli, options, argc, argv, &status);
    if (first < 0)
        return (int) status;
    for (int i = first; i < argc && r == 0; i++)
        r = check_path(&tally, argv[i]);
    if (r == 0)
        r = compile_good(&tally, NULL);
    if (r == 0 && cli->json)
        r = print_json(&tally);
    else if (r == 0)
        print_text(&tally);
    if (r < 0) {
        output_error("check", "%s", strerrordesc_np(-r));
        return CLI_FAILED;
    }
    return tally.errors.count > 0 ? CLI_FAILED : CLI_DONE;
}

const struct verb verb_check = {
    .name = "check",
    .arguments = "PATH…",
    .summary = "check config files and tenants, and compile their modules without running them",
    .help =
        "PATH is a skepd.yaml (its tenants are checked with it), a skep.yaml, the folder\n"
        "of a tenant, a folder of such folders, or a script. Each error is one line,\n"
        "FILE:LINE:COLUMN: the error: what was expected. The modules of each tenant are\n"
        "compiled and linked in a jailed worker of its own, and not run: syntax errors, imports\n"
        "that lead nowhere, names that a module does not export, a missing default export.\n"
        "Notes, FILE:LINE behind \"note: \", say which files of a tenant are left out, faults of "
        "files that no import\n"
        "statement leads to, and rules of allowed_hosts that allow nothing. A skepd.yaml is also\n"
        "compared with the unit that starts skepd with it (the one that is installed, or --unit),\n"
        "and with the files of secrets.key and egress.ca, if you may read them.\n\n"
        "Fields of --json: ok, configs, tenants (good ones), errors and notes (lists of objects\n"
        "with file, line and column (null: unknown), text).\n",
    .options = check_options,
    .run = run,
};
