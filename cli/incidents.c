/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep incidents`: the last times that a limit was met, a tenant was stopped, or a worker died.
 * Fields of --json: incidents, a list of objects with the fields of Incident in admin.proto, but
 * limit, used and over in the limit's unit. null: there is none, or it is not known.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "cli/list.h"

static const struct cli_option incidents_options[] = {
    { .name = "last", .letter = 'n', .argument = "N", .help = "the last N (all that are kept)" },
    { .name = NULL },
};

struct wish {
    const char *tenant; /* NULL: all */
    uint32_t last;      /* 0: all */
};

static uint64_t over_milli(const Skep__Admin__Incident *i)
{
    return i->used_milli > i->limit_milli ? i->used_milli - i->limit_milli : 0;
}

/* Makes a number with one decimal, as in the table; null if it is not known. */
static json_t *amount_json(uint64_t milli, bool is_known)
{
    return is_known ? json_real((double) (milli / 100) / 10) : json_null();
}

static int finish_json(const void *row, json_t *object)
{
    const Skep__Admin__Incident *i = row;
    bool has_limit = i->limit_milli > 0, has_used = has_limit && i->used_milli > 0;

    int r = json_object_del(object, "limit_milli");
    r |= json_object_del(object, "used_milli");
    r |= json_object_set_new(object, "limit", amount_json(i->limit_milli, has_limit));
    r |= json_object_set_new(object, "used", amount_json(i->used_milli, has_used));
    r |= json_object_set_new(object, "over", amount_json(over_milli(i), has_used));
    if (i->pid == 0)
        r |= json_object_set_new(object, "worker", json_null());
    r |= message_null_if_zero(object, "pid");
    r |= message_null_if_zero(object, "request");
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

static int add_amount(struct table *table, const Skep__Admin__Incident *i, uint64_t milli,
                      bool is_known)
{
    _cleanup_free_ char *unit = output_line(i->unit.data, i->unit.len);

    if (!unit)
        return -1;
    if (!is_known)
        return table_add(table, "-");
    return table_add(table, "%" PRIu64 ".%" PRIu64 "%s%s", milli / 1000, milli % 1000 / 100,
                     i->unit.len > 0 ? " " : "", unit);
}

static int add_row(struct table *table, const void *row)
{
    const Skep__Admin__Incident *i = row;
    bool has_limit = i->limit_milli > 0, has_used = has_limit && i->used_milli > 0;

    int r = add_time(table, i->time_ms);
    r |= list_add_text(table, i->tenant);
    r |= list_add_text(table, i->stage);
    r |= list_add_text(table, i->cause);
    r |= add_amount(table, i, i->limit_milli, has_limit);
    r |= add_amount(table, i, i->used_milli, has_used);
    r |= add_amount(table, i, over_milli(i), has_used);
    r |= list_add_text(table, i->code);
    r |= list_add_text(table, i->evidence);
    r |= i->pid > 0 ? table_add(table, "%" PRIu32, i->worker) : table_add(table, "-");
    r |= i->request > 0 ? table_add(table, "%" PRIu64, i->request) : table_add(table, "-");
    r |= list_add_text(table, i->text);
    return r < 0 ? -1 : 0;
}

static void ask(const void *context, uint32_t n_rows, const void *last, union list_request *request,
                Skep__Admin__Command *command)
{
    const struct wish *wish = context;
    Skep__Admin__IncidentsRequest *incidents = &request->incidents;

    (void) n_rows;
    skep__admin__incidents_request__init(incidents);
    incidents->after = last ? ((const Skep__Admin__Incident *) last)->number : 0;
    incidents->last = wish->last;
    if (wish->tenant) {
        incidents->tenant.data = (uint8_t *) (uintptr_t) wish->tenant;
        incidents->tenant.len = strlen(wish->tenant);
    }
    command->message_case = SKEP__ADMIN__COMMAND__MESSAGE_INCIDENTS;
    command->incidents = incidents;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = {
        "TIME",  "TENANT", "STAGE",    "CAUSE",   ">LIMIT",   ">USED",
        ">OVER", "CODE",   "EVIDENCE", ">WORKER", ">REQUEST", "TEXT",
    };
    struct cli_option options[] = { incidents_options[0], incidents_options[1] };
    struct wish wish = { 0 };
    struct list_kind kind = {
        .key = "incidents",
        .headings = headings,
        .n_headings = ARRAY_LEN(headings),
        .answer = SKEP__ADMIN__ANSWER__MESSAGE_INCIDENTS,
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

const struct verb verb_incidents = {
    .name = "incidents",
    .arguments = "[TENANT]",
    .summary = "show the last limits met, tenants stopped, workers lost",
    .help = "The last 256 of all tenants, newest last. STAGE is the action: observed (noted\n"
            "only), refused (an error to the tenant), stopped (the request was ended), killed\n"
            "(the worker is gone). CAUSE is the limit, or rss_mib, crash, jail, protocol, silent,\n"
            "outside. EVIDENCE against the tenant, where a worker died: claim (by the worker's\n"
            "account) or proof (nobody else can have been it).\n\n"
            "Fields of --json: incidents, a list of objects with number, time_ms (since 1970),\n"
            "tenant (null: nobody is to blame), stage, cause, unit, limit, used, over (in the\n"
            "unit; null: none, or not known), code (what the client was told), evidence, worker\n"
            "(number), pid, request, text.\n",
    .options = incidents_options,
    .run = run,
};
