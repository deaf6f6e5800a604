/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep kill-worker`: ends a worker at once. Fields of --json: those of WorkerKilled in admin.proto.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/client.h"
#include "cli/output.h"

static void print_text(const void *message)
{
    const Skep__Admin__WorkerKilled *killed = message;

    (void) printf("worker %" PRIu32 " (pid %" PRIu32 ") is killed", killed->number, killed->pid);
    if (killed->in_flight > 0)
        (void) printf("; of %" PRIu32
                      " %s in it; those that had not begun in JavaScript are sent again",
                      killed->in_flight, killed->in_flight == 1 ? "request" : "requests");
    (void) printf("\n");
}

static const struct client_question question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_KILL_WORKER,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_WORKER_KILLED,
    .print = print_text,
};

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__KillWorkerRequest request = SKEP__ADMIN__KILL_WORKER_REQUEST__INIT;
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (!cli_parse_number(argv[first], UINT32_MAX, &request.number))
        return (int) cli_usage_error(cli, "\"%s\" is no worker: expected a number of skep workers",
                                     argv[first]);
    return client_show(cli, &question, &request);
}

const struct verb verb_kill_worker = {
    .name = "kill-worker",
    .arguments = "NUMBER",
    .summary = "kill a worker at once; another takes its place",
    .help =
        "NUMBER is that of skep workers. For a worker that must go now; skep retire replaces a\n"
        "without a failed request. No tenant is blamed. Requests that were in JavaScript fail\n"
        "with worker_crashed, or are sent again once if that is safe.\n\n"
        "Fields of --json: number, pid, in_flight (requests that were in it).\n",
    .run = run,
};
