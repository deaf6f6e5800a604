/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep remove`: removes a deployed tenant and all its versions. Fields of --json: those of Removed
 * in admin.proto.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/client.h"
#include "cli/deployed.h"
#include "cli/output.h"

static void print_text(const void *message)
{
    const Skep__Admin__Removed *removed = message;

    output_text(stdout, removed->tenant.data, removed->tenant.len);
    (void) printf(" is removed, with %" PRIu32 " version%s", removed->versions,
                  removed->versions == 1 ? "" : "s");
    if (removed->in_flight > 0)
        (void) printf("; %" PRIu32 " of its requests have not ended yet", removed->in_flight);
    (void) printf("\n");
}

static const struct client_question question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_REMOVE,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_REMOVED,
    .print = print_text,
    .timeout_ms = DEPLOY_TIMEOUT_MS,
};

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__RemoveRequest request = SKEP__ADMIN__REMOVE_REQUEST__INIT;

    return client_run(cli, argc, argv, &question, &request, &request.name);
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
