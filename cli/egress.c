/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep egress`: the last fetches of tenants. Fields of --json: fetches, a list of objects with the fields of EgressFetch in
 * admin.proto, but duration_ms for duration_us. null: there is none, or it is not known.
 */
#include <inttypes.h>
#include <time.h>

#include "cli/list.h"

static const struct cli_option egress_options[] = {
    { .name = "last", .letter = 'n', .argument = "N", .help = "the last N (all that are kept)" },
    { .name = NULL },
};

struct wish {
    const char *tenant; /* NULL: all */
    uint32_t last;      /* 0: all */
};

static int finish_json(const void *row, json_t *object)
{
    const Skep__Admin__EgressFetch *fetch = row;

    int r = json_object_del(object, "duration_us");
    r |= json_object_set_new(object, "duration_ms", json_real((double) fetch->duration_us / 1e3));
    r |= message_null_if_zero(object, "status");
    return r;
}

static int add_time(struct table *table, uint64_t time_ms)
{
    time_t seconds = (time_t) (time_ms / 1000);
    char text[32] = "";
    struct tm parts;

    if (localtime_r(&seconds, &parts))
        (void) strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    return table_add(table, "%s", text);
}

/* Adds scheme, host and port as they are in a URL. */
static int add_origin(struct table *table, const Skep__Admin__EgressFetch *fetch)
{
    _cleanup_free_ char *scheme = output_line(fetch->scheme.data, fetch->scheme.len);
    _cleanup_free_ char *host = output_line(fetch->host.data, fetch->host.len);

    if (!scheme || !host)
        return -1;
    if (fetch->host.len == 0)
        return table_add(table, "-");
    return table_add(table, "%s://%s:%" PRIu32, scheme, host, fetch->port);
}

static int add_row(struct table *table, const void *row)
{
    const Skep__Admin__EgressFetch *fetch = row;

    int r = add_time(table, fetch->time_ms);
    r |= list_add_text(table, fetch->tenant);
    r |= list_add_text(table, fetch->method);
    r |= add_origin(table, fetch);
    r |= fetch->status > 0 ? table_add(table, "%" PRIu32, fetch->status) : table_add(table, "-");
    r |= list_add_text(table, fetch->outcome);
    r |= list_add_text(table, fetch->reason);
    r |= table_add(table, "%" PRIu64, fetch->sent);
    r |= table_add(table, "%" PRIu64, fetch->received);
    r |= table_add(table, "%.1f", (double) fetch->duration_us / 1e3);
    r |= table_add(table, "%" PRIu32, fetch->connects);
    r |= table_add(table, "%" PRIu64, fetch->request);
    return r < 0 ? -1 : 0;
}

static void ask(const void *context, uint32_t n_rows, const void *last, union list_request *request,
                Skep__Admin__Command *command)
{
    const struct wish *wish = context;
    Skep__Admin__EgressRequest *egress = &request->egress;

    (void) n_rows;
    skep__admin__egress_request__init(egress);
    egress->after = last ? ((const Skep__Admin__EgressFetch *) last)->number : 0;
    egress->last = wish->last;
    if (wish->tenant)
        egress->tenant = client_text(wish->tenant);
    command->message_case = SKEP__ADMIN__COMMAND__MESSAGE_EGRESS;
    command->egress = egress;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = {
        "TIME",   "TENANT", "METHOD",    "HOST", ">STATUS",   "OUTCOME",
        "REASON", ">SENT",  ">RECEIVED", ">MS",  ">CONNECTS", ">REQUEST",
    };
    struct cli_option options[] = { egress_options[0], egress_options[1] };
    struct wish wish = { 0 };
    struct list_kind kind = {
        .key = "fetches",
        .headings = headings,
        .n_headings = ARRAY_LEN(headings),
        .answer = SKEP__ADMIN__ANSWER__MESSAGE_EGRESS,
        .context = &wish,
        .ask = ask,
        .finish_json = finish_json,
        .add_row = add_row,
    };
    enum cli_exit status = CLI_DONE;
    const char *last = NULL;

    options[0].value = &last;
    int first = cli_options(cli, options, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (last && (!cli_parse_number(last, UINT32_MAX, &wish.last) || wish.last == 0))
        return (int) cli_usage_error(cli, "-n is a number from 1 on, not \"%s\"", last);
    wish.tenant = argv[first];
    return list_show(cli, &kind);
}

const struct verb verb_egress = {
    .name = "egress",
    .arguments = "[TENANT]",
    .summary = "show the last fetches of tenants: host, result, bytes, time",
    .help =
        "The last 100 of each tenant, newest last, until skepd ends; fetches that are under way\n"
        "are not among them. Paths and queries are not kept, as they may hold secrets.\n"
        "OUTCOME: answered, given_up (by the tenant, or with its request), refused (by a rule,\n"
        "or for the address), malformed, limited, overloaded, failed. REASON, in a word: the\n"
        "rules that refused it (manifest, cordon, allow, deny, port, off), or the part that\n"
        "failed (name, resolver, address, connect, tls, closed, protocol, head_size, time,\n"
        "request, busy, internal, lost). SENT and RECEIVED are bytes of bodies, CONNECTS new\n"
        "connections.\n\n"
        "Fields of --json: fetches, a list of objects with number, time_ms (of the end, since\n"
        "1970), tenant, method, scheme, host, port, status (null: no answer), outcome, reason\n"
        "(null: none), sent, received, connects, duration_ms, request.\n",
    .options = egress_options,
    .run = run,
};
