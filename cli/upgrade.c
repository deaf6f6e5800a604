/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep upgrade`: replaces skepd by the program that is on disk now. Fields of --json: those of
 * Upgraded in admin.proto.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/client.h"
#include "cli/output.h"

#define TIMEOUT_MS 60000 /* longer than skepd waits for each of its steps */

static void print_text(const void *message)
{
    const Skep__Admin__Upgraded *upgraded = message;

    (void) printf("skepd ");
    output_text(stdout, upgraded->new_version.data, upgraded->new_version.len);
    (void) printf(" (pid %" PRIu32 ") serves; ", upgraded->new_pid);
    output_text(stdout, upgraded->old_version.data, upgraded->old_version.len);
    (void) printf(" (pid %" PRIu32 ") ends with its last requests\n", upgraded->old_pid);
}

static const struct client_question question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_UPGRADE,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_UPGRADED,
    .print = print_text,
    .timeout_ms = TIMEOUT_MS,
};

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__UpgradeRequest request = SKEP__ADMIN__UPGRADE_REQUEST__INIT;

    return client_run(cli, argc, argv, &question, &request, NULL);
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
