/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep check`: what skepd would say about config files and tenants, by the same code, without
 * starting anything. Fields of --json: ok, configs, tenants (how many are good), errors (file,
 * line or null, text), notes (likewise).
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/check_unit.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "common/cleanup.h"
#include "config/tenant_files.h"

struct tally {
    struct config_errors errors, notes;
    const char *unit;          /* --unit; NULL: the one that is installed */
    unsigned configs, tenants; /* good ones */
};

static void tally_cleanup(struct tally *tally)
{
    config_errors_done(&tally->errors);
    config_errors_done(&tally->notes);
}

DEFINE_CLEANUP(struct config *, config_free, config_cleanup)
DEFINE_CLEANUP(struct manifest *, manifest_free, manifest_cleanup)

static int check_folder_of_tenants(struct tally *tally, const char *dir,
                                   const struct config *config)
{
    _cleanup_(manifest_set_done) struct manifest_set set = { 0 };
    unsigned before = tally->errors.count;

    int r = manifest_read_all(dir, config, &set, &tally->errors);
    tally->tenants += set.count;
    for (unsigned i = 0; i < set.count; i++)
        tenant_files_note_left_out(set.items[i], &tally->notes);
    if (r == 0 && set.count == 0 && tally->errors.count == before)
        config_errors_add(&tally->errors, dir, 0,
                          "no tenants: expected folders with a skep.yaml in it");
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
    return config->tenants ? check_folder_of_tenants(tally, config->tenants, config) : 0;
}

static int check_tenant(struct tally *tally, const char *dir)
{
    _cleanup_(manifest_cleanup) struct manifest *manifest = NULL;

    int r = manifest_read(dir, &manifest, &tally->errors);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    tally->tenants++;
    tenant_files_note_left_out(manifest, &tally->notes);
    return 0;
}

static bool has_file(const char *dir, const char *name)
{
    _cleanup_free_ char *path = NULL;
    struct stat st;

    return asprintf(&path, "%s/%s", dir, name) >= 0 && lstat(path, &st) == 0;
}

/* The folder of a file, malloc'ed. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));
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
        (void) json_array_append_new(list, json_pack("{s:s+, s:o, s:s+}", "file", error->file, "",
                                                     "line", line, "text", error->text, ""));
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
    if (tally->notes.text)
        (void) fputs(tally->notes.text, stdout);
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
    if (first >= argc)
        return (int) cli_usage_error(cli, "expected a PATH");
    for (int i = first; i < argc && r == 0; i++)
        r = check_path(&tally, argv[i]);
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
    .summary = "check config files and tenants without starting anything",
    .help =
        "PATH is a skepd.yaml (its tenants are checked with it), a skep.yaml, the folder\n"
        "of a tenant, or a folder of such folders. Each error is one line,\n"
        "FILE:LINE: what is wrong: what was expected. Notes say which files of a tenant are left\n"
        "out. A skepd.yaml is also compared with the unit that starts skepd with it: the one\n"
        "that is installed, or --unit.\n\n"
        "Fields of --json: ok, configs, tenants (good ones), errors and notes (lists of objects\n"
        "with file, line (null: the whole file), text).\n",
    .options = check_options,
    .run = run,
};
