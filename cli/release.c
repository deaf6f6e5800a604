/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep release`: ends a tenant's quarantine and its time in a worker of its own. Fields of --json:
 * those of Released in admin.proto.
 */
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/output.h"

static void print_text(const void *message)
{
    const Skep__Admin__Released *released = message;

    output_text(stdout, released->tenant.data, released->tenant.len);
    _cleanup_free_ char *why = output_line(released->apart.data, released->apart.len);
    bool was_apart = why && why[0] && strcmp(why, "solitary") != 0;
    if (released->was_quarantined)
        (void) printf(" is released from quarantine\n");
    else if (was_apart)
        (void) printf(" shares a worker again (it had one of its own: %s)\n", why);
    else
        (void) printf(" was not in quarantine; its strikes are forgotten\n");
}

static const struct client_question question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_RELEASE,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_RELEASED,
    .print = print_text,
};

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__ReleaseRequest request = SKEP__ADMIN__RELEASE_REQUEST__INIT;

    return client_run(cli, argc, argv, &question, &request, &request.name);
}

const struct verb verb_release = {
    .name = "release",
    .arguments = "TENANT",
    .summary = "end a tenant's quarantine, and its time in a worker of its own",
    .help = "Its strikes are forgotten.\n\n"
            "Fields of --json: tenant, was_quarantined, apart (why it was: suspect, strikes,\n"
            "busy, solitary; or null).\n",
    .run = run,
};
