/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep remove`: removes a deployed tenant and all its versions. Fields of --json: those of Removed
 * in admin.proto.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/deployed.h"
#include "cli/message.h"
#include "cli/output.h"

static int print(const struct cli *cli, const Skep__Admin__Removed *removed)
{
    if (cli->json)
        return json_print(message_json(&removed->base)) < 0 ? CLI_FAILED : CLI_DONE;
    output_text(stdout, removed->tenant.data, removed->tenant.len);
    (void) printf(" is removed, with %" PRIu32 " version%s", removed->versions,
                  removed->versions == 1 ? "" : "s");
    if (removed->in_flight > 0)
        (void) printf("; %" PRIu32 " of its requests have not ended yet", removed->in_flight);
    (void) printf("\n");
    return CLI_DONE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__RemoveRequest request = SKEP__ADMIN__REMOVE_REQUEST__INIT;
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (argc - first != 1)
        return (int) cli_usage_error(cli, "expected one TENANT");
    _cleanup_(client_cleanup) struct client *client = client_connect(cli);
    if (!client)
        return CLI_FAILED;
    request.name.data = (uint8_t *) argv[first];
    request.name.len = strlen(argv[first]);
    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_REMOVE;
    command.remove = &request;
    const Skep__Admin__Answer *answer = client_ask_for(
        cli, client, &command, SKEP__ADMIN__ANSWER__MESSAGE_REMOVED, DEPLOY_TIMEOUT_MS);
    return answer ? print(cli, answer->removed) : CLI_FAILED;
}

const struct verb verb_remove = {
    .name = "remove",
    .arguments = "TENANT",
    .summary = "remove a deployed tenant, and all its versions",
    .help =
        "Its routes are gone at once; requests in flight end. skep does not ask whether you are\n"
        "sure: keep a copy of the folder, if it may be needed again.\n\n"
        "Fields of --json: tenant, versions (that are gone), in_flight (requests that have not\n"
        "ended after 10 s, and go on).\n",
    .run = run,
};
