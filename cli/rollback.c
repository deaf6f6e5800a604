/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep rollback`: a stored version serves again. Fields of --json: those of Deployed in
 * admin.proto.
 */
#include <string.h>

#include "cli/client.h"
#include "cli/deployed.h"

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__RollbackRequest request = SKEP__ADMIN__ROLLBACK_REQUEST__INIT;
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (argc - first < 1 || argc - first > 2)
        return (int) cli_usage_error(cli, "expected a TENANT, and perhaps a VERSION");
    _cleanup_(client_cleanup) struct client *client = client_connect(cli);
    if (!client)
        return CLI_FAILED;
    request.name.data = (uint8_t *) argv[first];
    request.name.len = strlen(argv[first]);
    if (argc - first == 2) {
        request.version.data = (uint8_t *) argv[first + 1];
        request.version.len = strlen(argv[first + 1]);
    }
    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_ROLLBACK;
    command.rollback = &request;
    const Skep__Admin__Answer *answer = client_ask_for(
        cli, client, &command, SKEP__ADMIN__ANSWER__MESSAGE_DEPLOYED, DEPLOY_TIMEOUT_MS);
    return answer ? deployed_print(cli, answer->deployed) : CLI_FAILED;
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
        "routes, files, bytes, boot_us.\n",
    .run = run,
};
