/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep workers`: each worker and its tenants. Fields of --json: workers, a list of objects with
 * the fields of Worker in admin.proto. null: pid of a worker that is down; rss_limit_kib if it is
 * unlimited; owner, running_tenant, running_request, last_death, retire_reason, last_retired where
 * there is none.
 */
#include <inttypes.h>

#include "cli/list.h"

static int finish_json(const void *row, json_t *object)
{
    (void) row;
    int r = message_null_if_zero(object, "pid");
    r |= message_null_if_zero(object, "rss_limit_kib");
    return r | message_null_if_zero(object, "running_request");
}

static int add_kind(struct table *table, const Skep__Admin__Worker *w)
{
    _cleanup_free_ char *kind = output_line(w->kind.data, w->kind.len);
    _cleanup_free_ char *owner = output_line(w->owner.data, w->owner.len);

    if (!kind || !owner)
        return -1;
    return table_add(table, w->owner.len > 0 ? "%s: %s" : "%s", kind, owner);
}

/* Adds "72 MiB/1.0 GiB". */
static int add_rss(struct table *table, const Skep__Admin__Worker *w)
{
    char rss[OUTPUT_NUMBER_BYTES], limit[OUTPUT_NUMBER_BYTES];

    if (w->pid == 0)
        return table_add(table, "-");
    (void) output_kib(w->rss_kib, rss);
    return w->rss_limit_kib == 0
               ? table_add(table, "%s", rss)
               : table_add(table, "%s/%s", rss, output_kib(w->rss_limit_kib, limit));
}

/* Adds what runs, why the worker goes, or, if there is none, how the last one died. */
static int add_now(struct table *table, const Skep__Admin__Worker *w)
{
    char time[OUTPUT_NUMBER_BYTES];
    ProtobufCBinaryData text = w->running_tenant.len > 0  ? w->running_tenant
                               : w->retire_reason.len > 0 ? w->retire_reason
                               : w->pid == 0              ? w->last_death
                                                          : (ProtobufCBinaryData){ 0 };
    _cleanup_free_ char *line = output_line(text.data, text.len);

    if (!line)
        return -1;
    if (text.len == 0)
        return table_add(table, "-");
    if (w->running_tenant.len > 0)
        return table_add(table, "runs %s, %s", line, output_duration(w->running_ms, time));
    return table_add(table, w->retire_reason.len > 0 ? "goes: %s" : "died: %s", line);
}

static int add_row(struct table *table, const void *row)
{
    const Skep__Admin__Worker *w = row;
    char uptime[OUTPUT_NUMBER_BYTES], memory[OUTPUT_NUMBER_BYTES];
    bool is_up = w->pid > 0;

    int r = table_add(table, "%" PRIu32, w->number);
    r |= table_add_text(table, w->cordon.data, w->cordon.len);
    r |= table_add(table, "%" PRIu32, w->slot);
    r |= add_kind(table, w);
    r |= table_add_text(table, w->state.data, w->state.len);
    r |= is_up ? table_add(table, "%" PRIu32, w->pid) : table_add(table, "-");
    r |= table_add(table, "%s", is_up ? output_duration(w->uptime_ms, uptime) : "-");
    r |= add_rss(table, w);
    r |= table_add(table, "%s", output_kib(w->memory_kib, memory));
    r |= table_add(table, "%zu", w->n_tenants);
    r |= table_add(table, "%" PRIu64, w->in_flight);
    r |= table_add(table, "%" PRIu64, w->served);
    r |= add_now(table, w);
    return r < 0 ? -1 : 0;
}

static void ask(const void *context, uint32_t n_rows, const void *last, union list_request *request,
                Skep__Admin__Command *command)
{
    (void) context;
    (void) last;
    skep__admin__workers_request__init(&request->workers);
    request->workers.skip = n_rows;
    command->message_case = SKEP__ADMIN__COMMAND__MESSAGE_WORKERS;
    command->workers = &request->workers;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = {
        ">NO",  "CORDON",  ">SLOT",  "KIND",  "STATE",   ">PID", ">UP",
        ">RSS", ">MEMORY", ">IN IT", ">BUSY", ">SERVED", "NOW",
    };
    static const struct list_kind kind = {
        .key = "workers",
        .headings = headings,
        .n_headings = ARRAY_LEN(headings),
        .answer = SKEP__ADMIN__ANSWER__MESSAGE_WORKERS,
        .ask = ask,
        .finish_json = finish_json,
        .add_row = add_row,
    };

    return list_run(cli, argc, argv, &kind);
}

const struct verb verb_workers = {
    .name = "workers",
    .arguments = "",
    .summary = "show each worker: its process, memory, and activity",
    .help = "RSS is the memory of the process, and its limit; MEMORY is the part that its tenants\n"
            "account for. IN IT: tenants; BUSY: requests; SERVED: requests, by this process.\n\n"
            "Fields of --json: workers, a list of objects with number, cordon, slot, kind\n"
            "(shared, spare, own, leaving), owner (tenant, of an own worker), state (down,\n"
            "booting, ready, draining, killed, spare, failed: waits for its next start), pid\n"
            "(null: no process), uptime_ms, restarts, in_flight, requests (of the slot), served\n"
            "(requests, by this process), cpu_ms, rss_kib, rss_limit_kib (null: unlimited),\n"
            "rss_observed, memory_kib (the sum of heap_kib, external_kib and bodies_kib),\n"
            "tenants (names), running_tenant, running_request, running_ms and heartbeat (by the\n"
            "worker's account), retire_reason, last_retired (why the process before this one was\n"
            "replaced, or null), last_retired_ms (how long ago), last_death (cause, or null).\n",
    .run = run,
};
