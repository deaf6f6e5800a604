/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep tenants`: each tenant, what it has done and what it holds. Fields of --json: tenants, a
 * list of objects with name, cordon, state (idle, loading, ready, failed), requests, in_flight,
 * queued, cpu_ms, heap_kib, external_kib, kills (workers that died of it), errors (object: code
 * to count), routes, last_error (of the last failed load, or null).
 */
#include <inttypes.h>

#include "cli/client.h"
#include "cli/output.h"

static json_t *make_routes(const Skep__Admin__Tenant *t)
{
    json_t *routes = json_array();

    for (size_t i = 0; i < t->n_routes; i++)
        if (json_array_append_new(routes, json_text(t->routes[i].data, t->routes[i].len)) < 0) {
            json_decref(routes);
            return NULL;
        }
    return routes;
}

static json_t *make_json(const Skep__Admin__Tenant *t)
{
    json_t *object = json_object();

    int r = json_object_set_new(object, "name", json_text(t->name.data, t->name.len));
    r |= json_object_set_new(object, "cordon", json_text(t->cordon.data, t->cordon.len));
    r |= json_object_set_new(object, "state", json_text(t->state.data, t->state.len));
    r |= json_object_set_new(object, "requests", json_count(t->requests));
    r |= json_object_set_new(object, "in_flight", json_count(t->in_flight));
    r |= json_object_set_new(object, "queued", json_count(t->queued));
    r |= json_object_set_new(object, "cpu_ms", json_count(t->cpu_ms));
    r |= json_object_set_new(object, "heap_kib", json_count(t->heap_kib));
    r |= json_object_set_new(object, "external_kib", json_count(t->external_kib));
    r |= json_object_set_new(object, "kills", json_count(t->kills));
    r |= json_object_set_new(object, "errors", client_json_errors(t->errors, t->n_errors));
    r |= json_object_set_new(object, "routes", make_routes(t));
    r |= json_object_set_new(
        object, "last_error",
        t->last_error.len > 0 ? json_text(t->last_error.data, t->last_error.len) : json_null());
    if (r < 0) {
        json_decref(object);
        return NULL;
    }
    return object;
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

static int add_row(struct table *table, const Skep__Admin__Tenant *t)
{
    char cpu[OUTPUT_NUMBER_BYTES], heap[OUTPUT_NUMBER_BYTES], external[OUTPUT_NUMBER_BYTES];
    uint64_t errors = 0;

    for (size_t i = 0; i < t->n_errors; i++)
        errors += t->errors[i]->count;
    int r = table_add_text(table, t->name.data, t->name.len);
    r |= table_add_text(table, t->state.data, t->state.len);
    r |= table_add_text(table, t->cordon.data, t->cordon.len);
    r |= table_add(table, "%" PRIu64, t->requests);
    r |= table_add(table, "%" PRIu64, errors);
    r |= table_add(table, "%" PRIu64, t->in_flight);
    r |= table_add(table, "%" PRIu64, t->queued);
    r |= table_add(table, "%s", output_duration(t->cpu_ms, cpu));
    r |= table_add(table, "%s", output_kib(t->heap_kib, heap));
    r |= table_add(table, "%s", output_kib(t->external_kib, external));
    r |= table_add(table, "%" PRIu64, t->kills);
    r |= add_routes(table, t);
    return r < 0 ? -1 : 0;
}

/* All pages, into a JSON list or a table. */
static int collect(const struct cli *cli, struct client *client, json_t *list, struct table *table)
{
    Skep__Admin__TenantsRequest request = SKEP__ADMIN__TENANTS_REQUEST__INIT;
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;
    const Skep__Admin__Answer *answer;

    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_TENANTS;
    command.tenants = &request;
    do {
        answer = client_ask(cli, client, &command, SKEP__ADMIN__ANSWER__MESSAGE_TENANTS);
        if (!answer)
            return -1;
        for (size_t i = 0; i < answer->tenants->n_tenants; i++) {
            const Skep__Admin__Tenant *tenant = answer->tenants->tenants[i];
            int r = list ? json_array_append_new(list, make_json(tenant)) : add_row(table, tenant);
            if (r < 0)
                return r;
        }
        request.skip += (uint32_t) answer->tenants->n_tenants;
    } while (answer->tenants->n_tenants > 0 && request.skip < answer->tenants->total);
    return 0;
}

int verb_tenants(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = {
        "TENANT",  "STATE", "CORDON", ">REQUESTS", ">ERRORS", ">IN FLIGHT",
        ">QUEUED", ">CPU",  ">HEAP",  ">EXTERNAL", ">KILLS",  "ROUTES",
    };
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (first < argc)
        return (int) cli_usage_error(cli, "unexpected argument \"%s\"", argv[first]);
    _cleanup_(client_cleanup) struct client *client = client_connect(cli);
    _cleanup_(table_cleanup) struct table *table = table_new(headings, ARRAY_LEN(headings));
    _cleanup_(json_cleanup) json_t *list = cli->json ? json_array() : NULL;
    if (!client || !table || collect(cli, client, list, table) < 0)
        return CLI_FAILED;
    if (cli->json)
        return json_print(json_pack("{s:O}", "tenants", list)) < 0 ? CLI_FAILED : CLI_DONE;
    table_print(table, stdout);
    return CLI_DONE;
}
