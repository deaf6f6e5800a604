/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep versions`: the stored versions of a tenant. Fields of --json: those of Versions in
 * admin.proto.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/client.h"
#include "cli/deployed.h"
#include "cli/message.h"
#include "cli/output.h"

static const char *const headings[] = { "VERSION", "STATE", "DEPLOYED", ">UID",
                                        ">FILES",  ">SIZE", "" };

static void format_time(uint64_t ms, char *text, size_t size)
{
    time_t seconds = (time_t) (ms / 1000);
    struct tm local;

    if (ms == 0 || !localtime_r(&seconds, &local) ||
        strftime(text, size, "%Y-%m-%d %H:%M:%S", &local) == 0)
        (void) snprintf(text, size, "-");
}

static int add_row(struct table *table, const Skep__Admin__StoredVersion *row)
{
    char time[64], bytes[OUTPUT_NUMBER_BYTES];
    bool is_bad = row->reason.len > 0;
    size_t shown =
        row->version.len < DEPLOY_VERSION_SHOWN ? row->version.len : DEPLOY_VERSION_SHOWN;

    format_time(row->time_ms, time, sizeof time);
    if (table_add_text(table, row->version.data, shown) < 0 ||
        table_add_text(table, row->state.data, row->state.len) < 0 ||
        table_add(table, "%s", time) < 0 || table_add(table, "%" PRIu32, row->uid) < 0 ||
        table_add(table, "%" PRIu32, row->files) < 0 ||
        table_add(table, "%s", output_kib((row->bytes + 1023) / 1024, bytes)) < 0)
        return -1;
    return is_bad ? table_add_text(table, row->reason.data, row->reason.len)
                  : table_add(table, "%s", "");
}

static int print(const struct cli *cli, const Skep__Admin__Versions *versions)
{
    if (cli->json)
        return json_print(message_json(&versions->base)) < 0 ? CLI_FAILED : CLI_DONE;
    _cleanup_(table_cleanup) struct table *table = table_new(headings, ARRAY_LEN(headings));
    for (size_t i = 0; table && i < versions->n_versions; i++)
        if (add_row(table, versions->versions[i]) < 0)
            return CLI_FAILED;
    if (!table)
        return CLI_FAILED;
    table_print(table, stdout);
    return CLI_DONE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__VersionsRequest request = SKEP__ADMIN__VERSIONS_REQUEST__INIT;
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    _cleanup_(client_cleanup) struct client *client = client_connect(cli);
    if (!client)
        return CLI_FAILED;
    request.name = client_text(argv[first]);
    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_VERSIONS;
    command.versions = &request;
    const Skep__Admin__Answer *answer = client_ask_for(
        cli, client, &command, SKEP__ADMIN__ANSWER__MESSAGE_VERSIONS, DEPLOY_TIMEOUT_MS);
    return answer ? print(cli, answer->versions) : CLI_FAILED;
}

const struct verb verb_versions = {
    .name = "versions",
    .arguments = "TENANT",
    .summary = "list the stored versions of a tenant",
    .help =
        "The version that served last comes first. STATE: serving; previous, which `skep rollback` "
        "goes\n"
        "to; rolled_back, with the reason; stored; unserved: should serve and cannot, with the\n"
        "reason and what to do.\n\n"
        "Fields of --json: tenant, versions: a list with time_ms (when it was deployed),\n"
        "version, state, uid (who deployed it), files, bytes, reason (of rolled_back\n"
        "and unserved),\n"
        "served_ms (when it was last switched to; 0: not known).\n",
    .run = run,
};
