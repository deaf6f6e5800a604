/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep stats`: the counters of skepd as a whole. Fields of --json: those of Stats in admin.proto;
 * v8_version is null until a worker was up.
 */
#include <inttypes.h>

#include "cli/client.h"
#include "cli/output.h"

static void print_counts(const char *heading, Skep__Admin__CodeCount *const *counts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void) printf("%-17s", i == 0 ? heading : "");
        output_text(stdout, counts[i]->code.data, counts[i]->code.len);
        (void) printf(" %" PRIu64 "\n", counts[i]->count);
    }
}

static void print_times(const char *heading, Skep__Admin__QuantileTime *const *times, size_t n)
{
    char time[OUTPUT_NUMBER_BYTES];

    for (size_t i = 0; i < n; i++) {
        (void) printf("%-*s", i == 0 ? 17 : 0, i == 0 ? heading : ", ");
        output_text(stdout, times[i]->quantile.data, times[i]->quantile.len);
        (void) printf(" %s%s", output_us(times[i]->us, time), i + 1 == n ? "\n" : "");
    }
}

static void print_incidents(const Skep__Admin__Stats *s)
{
    for (size_t i = 0; i < s->n_incidents; i++) {
        const Skep__Admin__IncidentCount *incident = s->incidents[i];
        (void) printf("%-17s", i == 0 ? "incidents" : "");
        output_text(stdout, incident->stage.data, incident->stage.len);
        (void) printf(" ");
        output_text(stdout, incident->cause.data, incident->cause.len);
        (void) printf(" %" PRIu64 "\n", incident->count);
    }
}

static void print_text(const void *message)
{
    const Skep__Admin__Stats *s = message;
    char uptime[OUTPUT_NUMBER_BYTES], memory[OUTPUT_NUMBER_BYTES];
    char in[OUTPUT_NUMBER_BYTES], out[OUTPUT_NUMBER_BYTES];

    (void) printf("skepd            ");
    output_text(stdout, s->version.data, s->version.len);
    (void) printf(" (V8 ");
    output_text(stdout, s->v8_version.data, s->v8_version.len);
    (void) printf("), pid %" PRIu32 ", up %s%s\n", s->pid, output_duration(s->uptime_ms, uptime),
                  s->draining ? ", draining" : "");
    (void) printf("tenants          %" PRIu32 ", %" PRIu32 " in quarantine\n", s->tenants,
                  s->quarantined);
    (void) printf("workers          %" PRIu32 " ready of %" PRIu32 ", %" PRIu32
                  " of single tenants, %" PRIu32 " failed\n",
                  s->workers_ready, s->workers, s->own_workers, s->workers_failed);
    (void) printf("worker restarts  %" PRIu64 "\n", s->worker_restarts);
    (void) printf("memory           %s of tenants\n", output_kib(s->memory_kib, memory));
    (void) printf("connections      %" PRIu64 "\n", s->connections);
    (void) printf("in flight        %" PRIu64 ", %" PRIu64 " queued\n", s->in_flight, s->queued);
    (void) printf("requests         %" PRIu64 ", %" PRIu64 " sent again after a worker's death\n",
                  s->requests, s->replayed);
    (void) printf("abandoned        %" PRIu64 " by their clients\n", s->abandoned);
    (void) printf("bodies           %s in, %s out\n", output_kib(s->body_bytes_in / 1024, in),
                  output_kib(s->body_bytes_out / 1024, out));
    print_times("latency", s->latency_us, s->n_latency_us);
    print_times("time in queue", s->queue_us, s->n_queue_us);
    print_counts("errors", s->errors, s->n_errors);
    print_counts("kills", s->kills, s->n_kills);
    print_incidents(s);
}

static const struct client_question question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_STATS,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_STATS,
    .print = print_text,
};

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__StatsRequest request = SKEP__ADMIN__STATS_REQUEST__INIT;

    return client_run(cli, argc, argv, &question, &request, NULL);
}

const struct verb verb_stats = {
    .name = "stats",
    .arguments = "",
    .summary = "show the counters of skepd as a whole",
    .help = "Fields of --json: version, v8_version (null until a worker was up), pid, uptime_ms,\n"
            "draining, tenants, quarantined (tenants), workers (shared and own), workers_ready,\n"
            "workers_failed (spares too; they wait for their next start), own_workers (of single\n"
            "tenants),\n"
            "memory_kib (of all tenants; the sum of heap_kib, external_kib and bodies_kib),\n"
            "connections, in_flight (requests in workers), queued, requests (answered, with\n"
            "whatever code), replayed (sent again after a worker's death), worker_restarts,\n"
            "errors (object: code to count), incidents (object: stage to an object: cause to\n"
            "count; see skep incidents), kills (object: cause to how many workers died of it),\n"
            "abandoned (clients that left before their answer was complete), body_bytes_in,\n"
            "body_bytes_out, latency_us (from a request's head to the end of its answer) and\n"
            "queue_us (until it was in a worker): objects with p50, p90, p99, p999 and max in\n"
            "microseconds, at most 1/16 too high, empty before the first request.\n",
    .run = run,
};
