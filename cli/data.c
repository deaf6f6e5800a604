/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep data`: copies all that a tenant stores to a file and back, and runs statements in its databases. The copies are made here, of
 * operations that skepd passes to the data process one by one, so that skepd keeps a part of one only.
 */
#include <string.h>

#include "cli/storage.h"

static const struct cli_option data_options[] = {
    { .name = "output", .argument = "FILE", .help = "export: into FILE, complete or not at all" },
    { .name = "replace", .help = "import: also over databases that are not empty" },
    { .name = "script", .help = "sql: several statements, separated by ;" },
    { .name = NULL },
};

static int do_export(struct storage *storage, const char *output, int n)
{
    if (n > 0)
        return (int) cli_usage_error(storage->cli, "expected `export TENANT [--output FILE]`");
    return data_export(storage, output);
}

static int do_import(struct storage *storage, char **arguments, int n, bool is_replaced)
{
    if (n > 1)
        return (int) cli_usage_error(storage->cli, "expected `import TENANT [FILE]`");
    return data_import(storage, n > 0 ? arguments[0] : NULL, is_replaced);
}

static int do_sql(struct storage *storage, char **arguments, int n, bool is_script)
{
    if (n < 1 || (is_script && n > 2))
        return (int) cli_usage_error(storage->cli, is_script
                                                       ? "expected `sql TENANT DATABASE [SCRIPT]`"
                                                       : "expected `sql TENANT DATABASE "
                                                         "[STATEMENT…]`");
    return data_sql(storage, arguments[0], arguments + 1, (unsigned) n - 1, is_script);
}

static int run(struct cli *cli, int argc, char **argv)
{
    bool is_replaced = false, is_script = false;
    const char *output = NULL;
    struct cli_option options[] = { data_options[0], data_options[1], data_options[2],
                                    data_options[3] };
    enum cli_exit status = CLI_DONE;

    options[0].value = &output;
    options[1].given = &is_replaced;
    options[2].given = &is_script;
    int first = cli_options(cli, options, argc, argv, &status);
    if (first < 0)
        return (int) status;
    const char *action = argv[first];
    char **rest = argv + first + 2;
    const int n = argc - first - 2;
    const bool is_export = strcmp(action, "export") == 0, is_import = strcmp(action, "import") == 0;
    if ((!is_export && !is_import && strcmp(action, "sql") != 0) || (output && !is_export) ||
        (is_replaced && !is_import) || (is_script && (is_export || is_import)))
        return (int) cli_usage_error(cli, "expected `export TENANT [--output FILE]`, `import "
                                          "TENANT [FILE] [--replace]` or `sql TENANT DATABASE "
                                          "[STATEMENT…] [--script]`");
    struct storage storage = { .cli = cli,
                               .client = client_connect(cli),
                               .tenant = argv[first + 1] };
    int r = !storage.client ? CLI_FAILED
            : is_export     ? do_export(&storage, output, n)
            : is_import     ? do_import(&storage, rest, n, is_replaced)
                            : do_sql(&storage, rest, n, is_script);
    storage_done(&storage);
    return r;
}

const struct verb verb_data = {
    .name = "data",
    .arguments = "export|import|sql TENANT [ARGUMENT…]",
    .summary = "copy what a tenant stores to a file and back, or run SQL in it",
    .help =
        "  skep data export TENANT [--output FILE]\n"
        "  skep data import TENANT [FILE] [--replace]\n"
        "  skep data sql TENANT DATABASE [STATEMENT…] [--script]\n\n"
        "export writes all keys and all databases, while the tenant serves, to standard output:\n"
        "lines of JSON, of which the last says that the copy is complete. Each database is its\n"
        "state at one moment, and so are keys within pages of 16 MiB.\n\n"
        "import reads that from standard input or FILE, for the same tenant or another one that "
        "is\n"
        "there. Keys with the same name are overwritten, all others stay. A database that is not\n"
        "empty is refused before anything is changed; with --replace it is replaced as a whole.\n\n"
        "sql runs each STATEMENT, all in one transaction, as the operator: the same rules and\n"
        "limits as for the tenant, but storage_rate does not count. Without one, standard input "
        "is\n"
        "the statement. With --script it is several, separated by ;, and shows no rows.\n\n"
        "All of them need the right to write, because what a tenant stores is its customers\'.\n\n"
        "Fields of --json: import: tenant, keys, expired (those that were left out), databases; "
        "of\n"
        "sql: for each statement columns, rows, blobs (true: an array of one text in rows is\n"
        "base64), changes, last_row_id, duration (ms), rows_read, rows_written, changed_db,\n"
        "size_after; of a script: count, duration.\n",
    .options = data_options,
    .run = run,
};
