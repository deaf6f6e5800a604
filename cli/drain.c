/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep drain`: ends skepd without a lost request. Fields of --json: those of Draining in
 * admin.proto.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/client.h"
#include "cli/output.h"

static void print_text(const void *message)
{
    const Skep__Admin__Draining *draining = message;

    (void) printf("skepd %s: %" PRIu32 " %s in flight, %" PRIu32
                  " %s; skepd ends when they have, after %" PRIu32 " s at the latest\n",
                  draining->was_draining ? "drains already" : "drains", draining->in_flight,
                  draining->in_flight == 1 ? "request is" : "requests are", draining->connections,
                  draining->connections == 1 ? "connection" : "connections", draining->limit_s);
}

static const struct client_question question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_DRAIN,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_DRAINING,
    .print = print_text,
};

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__DrainRequest request = SKEP__ADMIN__DRAIN_REQUEST__INIT;

    return client_run(cli, argc, argv, &question, &request, NULL);
}

const struct verb verb_drain = {
    .name = "drain",
    .arguments = "",
    .summary = "stop skepd when its requests in flight have ended",
    .help = "skepd accepts no new connections, ends the requests that it has, for drain_s of the\n"
            "configuration at the most, and exits with status 0. skep does not wait for that. The\n"
            "unit of skepd decides what happens next: an active skepd.socket starts it again.\n\n"
            "Fields of --json: in_flight (requests whose answer is not complete), connections,\n"
            "limit_s (drain_s), was_draining.\n",
    .run = run,
};
