/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep retire`: replaces workers, without a failed request. Fields of --json: those of Retired in
 * admin.proto.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/client.h"
#include "cli/output.h"

static void print_text(const void *message)
{
    const Skep__Admin__Retired *retired = message;

    (void) printf("%" PRIu32 " %s replaced, each as soon as another is ready", retired->workers,
                  retired->workers == 1 ? "worker is" : "workers are");
    if (retired->leaving > 0)
        (void) printf("; %" PRIu32 " on the way out already", retired->leaving);
    if (retired->down > 0)
        (void) printf("; %" PRIu32 " not up; their next start is fresh anyway", retired->down);
    (void) printf("\n");
}

static const struct client_question question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_RETIRE,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_RETIRED,
    .print = print_text,
};

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__RetireRequest request = SKEP__ADMIN__RETIRE_REQUEST__INIT;
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    request.one_slot = argc - first == 2;
    if (request.one_slot && !cli_parse_number(argv[first + 1], UINT32_MAX, &request.slot))
        return (int) cli_usage_error(cli, "\"%s\" is no slot: expected a number", argv[first + 1]);
    if (first < argc) {
        if (argv[first][0] == '\0')
            return (int) cli_usage_error(cli, "expected a CORDON");
        request.cordon = client_text(argv[first]);
    }
    return client_show(cli, &question, &request);
}

const struct verb verb_retire = {
    .name = "retire",
    .arguments = "[CORDON [SLOT]]",
    .summary = "replace workers by fresh ones, without a failed request",
    .help = "All of a cordon, its spare too, or the one in a slot; without arguments the shared\n"
            "ones of all cordons. Each serves until another is ready, ends what it has, and\n"
            "goes; one at a time in each cordon. Does not wait for that: see skep workers.\n\n"
            "Fields of --json: workers (that are replaced), leaving (on their way out already),\n"
            "down (not up).\n",
    .run = run,
};
