/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep rollback`: a stored version serves again. Fields of --json: those of Deployed in
 * admin.proto.
 */

#include "cli/client.h"
#include "cli/deployed.h"

static const struct client_question question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_ROLLBACK,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_DEPLOYED,
    .print = deployed_print,
    .timeout_ms = DEPLOY_TIMEOUT_MS,
};

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__RollbackRequest request = SKEP__ADMIN__ROLLBACK_REQUEST__INIT;
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    request.name = client_text(argv[first]);
    if (argc - first == 2)
        request.version = client_text(argv[first + 1]);
    return client_show(cli, &question, &request);
}

const struct verb verb_rollback = {
    .name = "rollback",
    .arguments = "TENANT [VERSION]",
    .summary = "serve a version that was deployed before",
    .help =
        "VERSION is the beginning of the version's name, as in `skep versions`; without it, the\n"
        "version that served before. The version loads first, and takes over without a failed\n"
        "request.\n\n"
        "Fields of --json: tenant, version, previous (that served until now), unchanged,\n"
        "routes, files, bytes, boot_us, notes, migrations (none).\n",
    .run = run,
};
