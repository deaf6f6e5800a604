/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep tenants`: each tenant, what it has done and what it holds. Fields of --json: tenants, a
 * list of objects with name, cordon, state (idle, loading, ready, failed), requests, in_flight,
 * queued, cpu_ms, heap_kib, external_kib, kills (workers that died of it), errors (object: code
 * to count), routes, last_error (of the last failed load, or null).
 */
#include <inttypes.h>

#include "cli/list.h"

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

static json_t *make_json(const void *row)
{
    const Skep__Admin__Tenant *t = row;
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

static int add_row(struct table *table, const void *row)
{
    const Skep__Admin__Tenant *t = row;
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

static int ask(const struct cli *cli, struct client *client, uint32_t skip,
               struct list_page *ret_page)
{
    Skep__Admin__TenantsRequest request = SKEP__ADMIN__TENANTS_REQUEST__INIT;
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;

    request.skip = skip;
    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_TENANTS;
    command.tenants = &request;
    const Skep__Admin__Answer *answer =
        client_ask(cli, client, &command, SKEP__ADMIN__ANSWER__MESSAGE_TENANTS);
    if (!answer)
        return -1;
    ret_page->rows = (const void *const *) answer->tenants->tenants;
    ret_page->n_rows = answer->tenants->n_tenants;
    ret_page->total = answer->tenants->total;
    return 0;
}

int verb_tenants(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = {
        "TENANT",  "STATE", "CORDON", ">REQUESTS", ">ERRORS", ">IN FLIGHT",
        ">QUEUED", ">CPU",  ">HEAP",  ">EXTERNAL", ">KILLS",  "ROUTES",
    };
    static const struct list_kind kind = {
        .key = "tenants",
        .headings = headings,
        .n_headings = ARRAY_LEN(headings),
        .ask = ask,
        .make_json = make_json,
        .add_row = add_row,
    };

    return list_run(cli, argc, argv, &kind);
}
