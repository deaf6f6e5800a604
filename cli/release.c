/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep release`: ends a tenant's quarantine and its time in a worker of its own. Fields of --json:
 * those of Released in admin.proto.
 */
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/message.h"
#include "cli/output.h"

static int print(const struct cli *cli, const Skep__Admin__Released *released)
{
    if (cli->json)
        return json_print(message_json(&released->base)) < 0 ? CLI_FAILED : CLI_DONE;
    output_text(stdout, released->tenant.data, released->tenant.len);
    _cleanup_free_ char *why = output_line(released->seclusion.data, released->seclusion.len);
    bool was_secluded = why && strcmp(why, "shared") != 0 && strcmp(why, "solitary") != 0;
    if (released->was_quarantined)
        (void) printf(" is released from quarantine\n");
    else if (was_secluded)
        (void) printf(" shares a worker again (it had one of its own: %s)\n", why);
    else
        (void) printf(" was not in quarantine; its strikes are forgotten\n");
    return CLI_DONE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__ReleaseRequest request = SKEP__ADMIN__RELEASE_REQUEST__INIT;
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
    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_RELEASE;
    command.release = &request;
    const Skep__Admin__Answer *answer =
        client_ask(cli, client, &command, SKEP__ADMIN__ANSWER__MESSAGE_RELEASED);
    return answer ? print(cli, answer->released) : CLI_FAILED;
}

const struct verb verb_release = {
    .name = "release",
    .arguments = "TENANT",
    .summary = "end a tenant's quarantine, and its time in a worker of its own",
    .help = "Its strikes are forgotten.\n\n"
            "Fields of --json: tenant, was_quarantined, seclusion (that it had: shared, suspect,\n"
            "strikes, busy, solitary).\n",
    .run = run,
};
