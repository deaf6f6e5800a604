/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep upgrade`: replaces skepd by the program that is on disk now. Fields of --json: those of
 * Upgraded in admin.proto.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/client.h"
#include "cli/message.h"
#include "cli/output.h"

#define TIMEOUT_MS 60000 /* longer than skepd waits for each of its steps */

static int print(const struct cli *cli, const Skep__Admin__Upgraded *upgraded)
{
    if (cli->json)
        return json_print(message_json(&upgraded->base)) < 0 ? CLI_FAILED : CLI_DONE;
    (void) printf("skepd ");
    output_text(stdout, upgraded->new_version.data, upgraded->new_version.len);
    (void) printf(" (pid %" PRIu32 ") serves; ", upgraded->new_pid);
    output_text(stdout, upgraded->old_version.data, upgraded->old_version.len);
    (void) printf(" (pid %" PRIu32 ") ends with its last requests\n", upgraded->old_pid);
    return CLI_DONE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__UpgradeRequest request = SKEP__ADMIN__UPGRADE_REQUEST__INIT;
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (first < argc)
        return (int) cli_usage_error(cli, "unexpected argument \"%s\"", argv[first]);
    _cleanup_(client_cleanup) struct client *client = client_connect(cli);
    if (!client)
        return CLI_FAILED;
    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_UPGRADE;
    command.upgrade = &request;
    const Skep__Admin__Answer *answer =
        client_ask_for(cli, client, &command, SKEP__ADMIN__ANSWER__MESSAGE_UPGRADED, TIMEOUT_MS);
    return answer ? print(cli, answer->upgraded) : CLI_FAILED;
}

const struct verb verb_upgrade = {
    .name = "upgrade",
    .arguments = "",
    .summary = "replace skepd by the program on disk, without a lost request",
    .help =
        "Starts the program again by the path, arguments and environment that skepd was started\n"
        "with, and the configuration as it is now. When the new one can serve, it takes over the\n"
        "listening sockets; the old one ends its requests, for drain_s at the most. If the new\n"
        "one fails, the old one serves on, and skep prints the reason. Waits for the result.\n"
        "The same as SIGUSR2 to skepd.\n\n"
        "Fields of --json: old_version, old_pid, new_version, new_pid.\n",
    .run = run,
};
