/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep workers`: each worker slot and what is in it. Fields of --json: workers, a list of objects
 * with cordon, slot, state (down, booting, ready, killed, spare), pid (null: no process), uptime_ms,
 * restarts, in_flight, requests, cpu_ms, rss_kib, tenants (names), last_death (cause, or null).
 */
#include <inttypes.h>

#include "cli/list.h"

static json_t *make_names(const Skep__Admin__Worker *w)
{
    json_t *names = json_array();

    for (size_t i = 0; i < w->n_tenants; i++)
        if (json_array_append_new(names, json_text(w->tenants[i].data, w->tenants[i].len)) < 0) {
            json_decref(names);
            return NULL;
        }
    return names;
}

static json_t *make_json(const void *row)
{
    const Skep__Admin__Worker *w = row;
    json_t *object = json_object();

    int r = json_object_set_new(object, "cordon", json_text(w->cordon.data, w->cordon.len));
    r |= json_object_set_new(object, "slot", json_count(w->slot));
    r |= json_object_set_new(object, "state", json_text(w->state.data, w->state.len));
    r |= json_object_set_new(object, "pid", w->pid > 0 ? json_count(w->pid) : json_null());
    r |= json_object_set_new(object, "uptime_ms", json_count(w->uptime_ms));
    r |= json_object_set_new(object, "restarts", json_count(w->restarts));
    r |= json_object_set_new(object, "in_flight", json_count(w->in_flight));
    r |= json_object_set_new(object, "requests", json_count(w->requests));
    r |= json_object_set_new(object, "cpu_ms", json_count(w->cpu_ms));
    r |= json_object_set_new(object, "rss_kib", json_count(w->rss_kib));
    r |= json_object_set_new(object, "tenants", make_names(w));
    r |= json_object_set_new(
        object, "last_death",
        w->last_death.len > 0 ? json_text(w->last_death.data, w->last_death.len) : json_null());
    if (r < 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static int add_row(struct table *table, const void *row)
{
    const Skep__Admin__Worker *w = row;
    char uptime[OUTPUT_NUMBER_BYTES], cpu[OUTPUT_NUMBER_BYTES], rss[OUTPUT_NUMBER_BYTES];
    bool is_up = w->pid > 0;

    int r = table_add_text(table, w->cordon.data, w->cordon.len);
    r |= table_add(table, "%" PRIu32, w->slot);
    r |= table_add_text(table, w->state.data, w->state.len);
    r |= is_up ? table_add(table, "%" PRIu32, w->pid) : table_add(table, "-");
    r |= table_add(table, "%s", is_up ? output_duration(w->uptime_ms, uptime) : "-");
    r |= table_add(table, "%s", output_duration(w->cpu_ms, cpu));
    r |= table_add(table, "%s", is_up ? output_kib(w->rss_kib, rss) : "-");
    r |= table_add(table, "%zu", w->n_tenants);
    r |= table_add(table, "%" PRIu64, w->in_flight);
    r |= table_add(table, "%" PRIu64, w->requests);
    r |= table_add(table, "%" PRIu64, w->restarts);
    r |= w->last_death.len > 0 ? table_add_text(table, w->last_death.data, w->last_death.len)
                               : table_add(table, "-");
    return r < 0 ? -1 : 0;
}

static int ask(const struct cli *cli, struct client *client, uint32_t skip,
               struct list_page *ret_page)
{
    Skep__Admin__WorkersRequest request = SKEP__ADMIN__WORKERS_REQUEST__INIT;
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;

    request.skip = skip;
    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_WORKERS;
    command.workers = &request;
    const Skep__Admin__Answer *answer =
        client_ask(cli, client, &command, SKEP__ADMIN__ANSWER__MESSAGE_WORKERS);
    if (!answer)
        return -1;
    ret_page->rows = (const void *const *) answer->workers->workers;
    ret_page->n_rows = answer->workers->n_workers;
    ret_page->total = answer->workers->total;
    return 0;
}

int verb_workers(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = {
        "CORDON", ">SLOT",    "STATE",      ">PID",      ">UP",       ">CPU",
        ">RSS",   ">TENANTS", ">IN FLIGHT", ">REQUESTS", ">RESTARTS", "LAST DEATH",
    };
    static const struct list_kind kind = {
        .key = "workers",
        .headings = headings,
        .n_headings = ARRAY_LEN(headings),
        .ask = ask,
        .make_json = make_json,
        .add_row = add_row,
    };

    return list_run(cli, argc, argv, &kind);
}
