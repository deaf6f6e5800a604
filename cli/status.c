/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep status`: the state of the service, at a glance. Fields of --json: those of Status in
 * admin.proto.
 */
#include <inttypes.h>
#include <string.h>

#include "cli/client.h"
#include "cli/output.h"

static bool is_text(ProtobufCBinaryData data, const char *text)
{
    return data.len == strlen(text) && memcmp(data.data, text, data.len) == 0;
}

/* Prints the texts that have the good value in one line, then each other with its value in a line
 * of its own. */
static void print_named(Skep__Admin__NamedText *const *items, size_t n, const char *good)
{
    bool is_first = true;

    for (size_t i = 0; i < n; i++) {
        if (!is_text(items[i]->value, good))
            continue;
        (void) printf("%s", is_first ? "" : ", ");
        output_text(stdout, items[i]->name.data, items[i]->name.len);
        is_first = false;
    }
    (void) printf("%s\n", is_first ? "none" : "");
    for (size_t i = 0; i < n; i++) {
        if (is_text(items[i]->value, good))
            continue;
        (void) printf("            %s", output_style(stdout, OUTPUT_YELLOW));
        output_text(stdout, items[i]->name.data, items[i]->name.len);
        (void) printf(" ");
        output_text(stdout, items[i]->value.data, items[i]->value.len);
        (void) printf("%s\n", output_style(stdout, OUTPUT_PLAIN));
    }
}

static void print_totals(Skep__Admin__Total *const *totals, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool is_bytes = totals[i]->unit.len > 0;
        char used[OUTPUT_NUMBER_BYTES], limit[OUTPUT_NUMBER_BYTES];
        (void) printf("%s", i == 0 ? "bounds      " : "            ");
        output_text(stdout, totals[i]->name.data, totals[i]->name.len);
        if (is_bytes)
            (void) printf(" %s of %s", output_kib(totals[i]->used / 1024, used),
                          output_kib(totals[i]->limit / 1024, limit));
        else
            (void) printf(" %" PRIu64 " of %" PRIu64, totals[i]->used, totals[i]->limit);
        if (totals[i]->refused > 0)
            (void) printf(", %" PRIu64 " refused", totals[i]->refused);
        (void) printf("\n");
    }
}

/* Prints the end of the line on tenants, and a line for each that cannot be served. */
static void print_unserved(const Skep__Admin__Status *s)
{
    if (s->tenants_unserved > 0)
        (void) printf(", %" PRIu32 " that cannot be served", s->tenants_unserved);
    (void) printf("\n");
    for (size_t i = 0; i < s->n_unserved; i++) {
        (void) printf("            %s", output_style(stdout, OUTPUT_YELLOW));
        output_text(stdout, s->unserved[i]->name.data, s->unserved[i]->name.len);
        (void) printf(": ");
        output_text(stdout, s->unserved[i]->value.data, s->unserved[i]->value.len);
        (void) printf("%s\n", output_style(stdout, OUTPUT_PLAIN));
    }
}

static void print_text(const void *message)
{
    const Skep__Admin__Status *s = message;
    char uptime[OUTPUT_NUMBER_BYTES];

    (void) printf("skepd       ");
    output_text(stdout, s->version.data, s->version.len);
    (void) printf(", pid %" PRIu32 ", ", s->pid);
    output_text(stdout, s->state.data, s->state.len);
    (void) printf(" for %s\n", output_duration(s->uptime_ms, uptime));
    (void) printf("V8          ");
    if (s->v8_version.len == 0)
        (void) printf("not known until a worker was up");
    output_text(stdout, s->v8_version.data, s->v8_version.len);
    if (s->v8_date.len > 0) {
        (void) printf(", of ");
        output_text(stdout, s->v8_date.data, s->v8_date.len);
    }
    (void) printf("\n");
    (void) printf("tenants     %" PRIu32 ", %" PRIu32 " in quarantine", s->tenants, s->quarantined);
    print_unserved(s);
    (void) printf("workers     %" PRIu32 " ready of %" PRIu32 ", %" PRIu32 " failed\n",
                  s->workers_ready, s->workers, s->workers_failed);
    (void) printf("jail        ");
    output_text(stdout, s->jail.data, s->jail.len);
    (void) printf(": ");
    print_named(s->layers, s->n_layers, "active");
    (void) printf("skepd's own ");
    print_named(s->own_layers, s->n_own_layers, "active");
    (void) printf("helpers     ");
    print_named(s->helpers, s->n_helpers, "ok");
    print_totals(s->totals, s->n_totals);
}

static const struct client_question question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_STATUS,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_STATUS,
    .print = print_text,
};

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__StatusRequest request = SKEP__ADMIN__STATUS_REQUEST__INIT;

    return client_run(cli, argc, argv, &question, &request, NULL);
}

const struct verb verb_status = {
    .name = "status",
    .arguments = "",
    .summary = "show the state of the service, and which layers of the jail hold",
    .help =
        "Fields of --json: state (serving, draining), version, pid, uptime_ms, tenants,\n"
        "quarantined, workers, workers_ready, workers_failed, jail (full; reduced: the host\n"
        "does not give every layer, and the configuration agrees; none: a build without\n"
        "jail), layers (object: layer of the workers' jail to \"active\" or \"missing: "
        "WHY\"),\n"
        "own_layers (the same of skepd itself), totals (data of strangers that skepd keeps: a\n"
        "list of objects with name, unit, used, limit, refused), v8_version, v8_date (of\n"
        "its release; null: not known), helpers (object: spawner, store, to \"ok\" or to\n"
        "\"reserve: WHY: WHAT TO DO\", likewise with silent or gone), unserved (object: tenant\n"
        "that cannot be served, to why and what to do; 100 at the most),\n"
        "tenants_unserved (how many; tenants does not count them).\n",
    .run = run,
};
