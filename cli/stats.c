/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep stats`: what skepd as a whole has done. Fields of --json: version, v8_version (empty until
 * a worker was up), pid, uptime_ms, draining, tenants, workers, workers_ready, connections,
 * in_flight (requests in workers), queued, requests (answered, with whatever code), replayed,
 * worker_restarts, errors (object: code to count).
 */
#include <inttypes.h>

#include "cli/client.h"
#include "cli/output.h"

static json_t *make_json(const Skep__Admin__Stats *s)
{
    json_t *object = json_object();

    int r = json_object_set_new(object, "version", json_text(s->version.data, s->version.len));
    r |=
        json_object_set_new(object, "v8_version", json_text(s->v8_version.data, s->v8_version.len));
    r |= json_object_set_new(object, "pid", json_count(s->pid));
    r |= json_object_set_new(object, "uptime_ms", json_count(s->uptime_ms));
    r |= json_object_set_new(object, "draining", json_boolean(s->draining));
    r |= json_object_set_new(object, "tenants", json_count(s->tenants));
    r |= json_object_set_new(object, "workers", json_count(s->workers));
    r |= json_object_set_new(object, "workers_ready", json_count(s->workers_ready));
    r |= json_object_set_new(object, "connections", json_count(s->connections));
    r |= json_object_set_new(object, "in_flight", json_count(s->in_flight));
    r |= json_object_set_new(object, "queued", json_count(s->queued));
    r |= json_object_set_new(object, "requests", json_count(s->requests));
    r |= json_object_set_new(object, "replayed", json_count(s->replayed));
    r |= json_object_set_new(object, "worker_restarts", json_count(s->worker_restarts));
    r |= json_object_set_new(object, "errors", client_json_errors(s->errors, s->n_errors));
    if (r < 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static void print_text(const Skep__Admin__Stats *s)
{
    char uptime[OUTPUT_NUMBER_BYTES];

    (void) printf("skepd            ");
    output_text(stdout, s->version.data, s->version.len);
    (void) printf(" (V8 ");
    output_text(stdout, s->v8_version.data, s->v8_version.len);
    (void) printf("), pid %" PRIu32 ", up %s%s\n", s->pid, output_duration(s->uptime_ms, uptime),
                  s->draining ? ", draining" : "");
    (void) printf("tenants          %" PRIu32 "\n", s->tenants);
    (void) printf("workers          %" PRIu32 " ready of %" PRIu32 "\n", s->workers_ready,
                  s->workers);
    (void) printf("worker restarts  %" PRIu64 "\n", s->worker_restarts);
    (void) printf("connections      %" PRIu64 "\n", s->connections);
    (void) printf("in flight        %" PRIu64 ", %" PRIu64 " queued\n", s->in_flight, s->queued);
    (void) printf("requests         %" PRIu64 ", %" PRIu64 " sent again after a worker's death\n",
                  s->requests, s->replayed);
    for (size_t i = 0; i < s->n_errors; i++) {
        (void) printf(i == 0 ? "errors           " : "                 ");
        output_text(stdout, s->errors[i]->code.data, s->errors[i]->code.len);
        (void) printf(" %" PRIu64 "\n", s->errors[i]->count);
    }
}

int verb_stats(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__StatsRequest request = SKEP__ADMIN__STATS_REQUEST__INIT;
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
    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_STATS;
    command.stats = &request;
    const Skep__Admin__Answer *answer =
        client_ask(cli, client, &command, SKEP__ADMIN__ANSWER__MESSAGE_STATS);
    if (!answer)
        return CLI_FAILED;
    if (cli->json)
        return json_print(make_json(answer->stats)) < 0 ? CLI_FAILED : CLI_DONE;
    print_text(answer->stats);
    return CLI_DONE;
}
