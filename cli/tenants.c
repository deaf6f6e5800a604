/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep tenants`: each tenant, its counters, its memory, and its worker. Fields of --json: tenants,
 * a list of objects with the fields of Tenant in admin.proto. null: cordon, last_error that are not
 * there; own_worker if it shares; quarantine_s if it is not in quarantine or until it is released;
 * a limit that is unlimited.
 */
#include <inttypes.h>
#include <string.h>

#include "cli/list.h"

static int finish_json(const void *row, json_t *object)
{
    const Skep__Admin__Tenant *t = row;

    int r = json_object_del(object, "has_own_worker");
    if (!t->has_own_worker)
        r |= json_object_set_new(object, "own_worker", json_null());
    r |= message_null_if_zero(object, "quarantine_s");
    for (size_t i = 0; i < t->n_limits; i++) {
        _cleanup_free_ char *name = output_line(t->limits[i]->name.data, t->limits[i]->name.len);
        r |= name ? message_null_if_zero(json_object_get(object, "limits"), name) : -1;
    }
    return r;
}

static int add_routes(struct table *table, const Skep__Admin__Tenant *t)
{
    if (t->n_routes == 0)
        return table_add(table, "-");
    _cleanup_free_ char *route = output_line(t->routes[0].data, t->routes[0].len);
    if (!route)
        return -1;
    if (t->n_routes == 1)
        return table_add(table, "%s", route);
    return table_add(table, "%s and %zu more", route, t->n_routes - 1);
}

/* Adds "shared", "apart in 3: strikes", "apart: strikes" while it has no such worker yet, "quarantine 59.0 s". */
static int add_where(struct table *table, const Skep__Admin__Tenant *t)
{
    char left[OUTPUT_NUMBER_BYTES];
    _cleanup_free_ char *why = output_line(t->apart.data, t->apart.len);

    if (!why)
        return -1;
    if (t->quarantined && t->quarantine_s > 0)
        return table_add(table, "quarantine %s", output_duration(t->quarantine_s * 1000, left));
    if (t->quarantined)
        return table_add(table, "quarantine");
    if (t->has_own_worker)
        return table_add(table, "apart in %" PRIu32 ": %s", t->own_worker, why);
    return why[0] ? table_add(table, "apart: %s", why) : table_add(table, "shared");
}

static int add_row(struct table *table, const void *row)
{
    const Skep__Admin__Tenant *t = row;
    char cpu[OUTPUT_NUMBER_BYTES], memory[OUTPUT_NUMBER_BYTES];
    int r = table_add_text(table, t->name.data, t->name.len);
    r |= table_add_text(table, t->state.data, t->state.len);
    r |= list_add_text(table, t->cordon);
    r |= add_where(table, t);
    r |= table_add(table, "%" PRIu64, t->requests);
    r |= table_add(table, "%" PRIu64, t->failed);
    r |= table_add(table, "%" PRIu64, t->in_flight);
    r |= table_add(table, "%" PRIu64, t->queued);
    r |= table_add(table, "%s", output_duration(t->cpu_ms, cpu));
    r |= table_add(table, "%s", output_kib(t->memory_kib, memory));
    r |= table_add(table, "%" PRIu64, t->strikes);
    r |= table_add(table, "%" PRIu64, t->kills);
    r |= add_routes(table, t);
    return r < 0 ? -1 : 0;
}

static void ask(const void *context, uint32_t n_rows, const void *last, union list_request *request,
                Skep__Admin__Command *command)
{
    (void) context;
    (void) last;
    skep__admin__tenants_request__init(&request->tenants);
    request->tenants.skip = n_rows;
    command->message_case = SKEP__ADMIN__COMMAND__MESSAGE_TENANTS;
    command->tenants = &request->tenants;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = {
        "TENANT",  "STATE", "CORDON",  "WHERE",    ">REQUESTS", ">FAILED", ">IN FLIGHT",
        ">QUEUED", ">CPU",  ">MEMORY", ">STRIKES", ">KILLS",    "ROUTES",
    };
    static const struct list_kind kind = {
        .key = "tenants",
        .headings = headings,
        .n_headings = ARRAY_LEN(headings),
        .answer = SKEP__ADMIN__ANSWER__MESSAGE_TENANTS,
        .ask = ask,
        .finish_json = finish_json,
        .add_row = add_row,
    };

    return list_run(cli, argc, argv, &kind);
}

const struct verb verb_tenants = {
    .name = "tenants",
    .arguments = "",
    .summary = "show each tenant: its state, where it is, requests, CPU time, memory",
    .help =
        "WHERE is \"shared\", \"apart in 3: WHY\" for one with worker 3 to itself, \"apart: WHY\" "
        "if "
        "it\n"
        "should have one and has none yet, or \"quarantine\" and the time that is left.\n\n"
        "Fields of --json: tenants, a list of objects with name, cordon, state (idle,\n"
        "loading, ready, failed, unserved: cannot be served), requests, failed\n"
        "(by its own fault), in_flight, queued, cpu_ms, memory_kib (the sum of heap_kib,\n"
        "external_kib and bodies_kib), strikes (deaths of workers that nobody else can have\n"
        "caused), marks (deaths that count towards the next step), kills\n"
        "(workers that died of it), apart (why it is: suspect, strikes, busy, solitary; or null),\n"
        "own_worker (number, or null), quarantined, quarantine_s (left; null: until it is\n"
        "released), errors (object: code to count), incidents (object: stage to an object:\n"
        "cause to count), limits (object: name to value, null: unlimited), observed\n"
        "(limits that are not enforced), routes, last_error (of the last failed load, or\n"
        "why it is unserved, or null).\n",
    .run = run,
};
