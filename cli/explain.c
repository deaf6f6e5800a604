/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep explain NAME`: a tenant's limits, their origin, and what is left of them; or the meaning of
 * an error code, of a key of skepd.yaml or skep.yaml, or of a limit. skepd is asked only about a
 * tenant.
 */
#include <inttypes.h>
#include <string.h>

#include "cli/client.h"
#include "cli/keys_text.h"
#include "cli/message.h"
#include "cli/output.h"
#include "common/error_codes.h"
#include "config/limits.h"
#include "config/names.h"

static bool is_tenant;

static const struct cli_option explain_options[] = {
    { .name = "tenant",
      .help = "NAME is that of a tenant, even if there is such a code or key",
      .given = &is_tenant },
    { 0 },
};

/* ---- JSON */

static json_t *milli_json(uint64_t milli)
{
    return json_real((double) milli / 1000);
}

static json_t *number_or_null(uint32_t value)
{
    return value == 0 ? json_null() : json_integer(value);
}

/* Makes a number, which is below zero over the limit; or null. */
static json_t *headroom_json(const Skep__Admin__ExplainedLimit *limit)
{
    return limit->value == 0 || limit->measure.len == 0
               ? json_null()
               : json_real((double) limit->value - (double) limit->used_milli / 1000);
}

static int finish_limit(const Skep__Admin__ExplainedLimit *limit, json_t *object)
{
    bool is_measured = limit->measure.len > 0;

    int r = json_object_del(object, "number");
    r |= json_object_del(object, "used_milli");
    r |= json_object_del(object, "has_peak");
    r |= json_object_del(object, "peak_milli");
    r |= json_object_set_new(object, "value", number_or_null(limit->value));
    r |= json_object_set_new(object, "wanted", number_or_null(limit->wanted));
    r |= json_object_set_new(object, "used",
                             is_measured ? milli_json(limit->used_milli) : json_null());
    r |= json_object_set_new(object, "peak",
                             limit->has_peak ? milli_json(limit->peak_milli) : json_null());
    return r | json_object_set_new(object, "headroom", headroom_json(limit));
}

static json_t *explained_json(const Skep__Admin__Explained *e)
{
    json_t *object = message_json(&e->base);
    json_t *limits = json_object_get(object, "limits");

    int r = json_object_del(object, "has_own_worker");
    if (!e->has_own_worker)
        r |= json_object_set_new(object, "own_worker", json_null());
    r |= message_null_if_zero(object, "quarantine_s");
    if (e->deployed.len == 0)
        r |= json_object_set_new(object, "deployed", json_null());
    for (size_t i = 0; i < e->n_limits; i++)
        r |= finish_limit(e->limits[i], json_array_get(limits, i));
    if (r == 0)
        return object;
    json_decref(object);
    return NULL;
}

/* ---- text */

static void print_line(const char *heading, ProtobufCBinaryData text)
{
    (void) printf("%-10s ", heading);
    output_text(stdout, text.data, text.len);
    (void) printf("\n");
}

static void print_head(const Skep__Admin__Explained *e)
{
    char left[OUTPUT_NUMBER_BYTES];

    print_line("tenant", e->tenant);
    print_line("from", e->file);
    print_line("cordon", e->cordon);
    (void) printf("%-10s ", "version");
    if (e->deployed.len > 0)
        output_text(stdout, e->deployed.data, e->deployed.len > 12 ? 12 : e->deployed.len);
    else
        (void) printf("%" PRIu32, e->version);
    (void) printf(", ");
    output_text(stdout, e->state.data, e->state.len);
    (void) printf("\n%-10s ", "worker");
    if (e->has_own_worker)
        (void) printf("%" PRIu32 ", apart: ", e->own_worker);
    else
        (void) printf(e->apart.len > 0 ? "none yet, apart: " : "shared");
    output_text(stdout, e->apart.data, e->apart.len);
    (void) printf("\n");
    if (e->quarantined)
        (void) printf("%-10s %s\n", "quarantine",
                      e->quarantine_s > 0 ? output_duration(e->quarantine_s * 1000, left)
                                          : "until it is released");
    for (size_t i = 0; i < e->n_routes; i++)
        print_line(i == 0 ? "routes" : "", e->routes[i]);
    for (size_t i = 0; i < e->n_bindings; i++)
        print_line(i == 0 ? "bindings" : "", e->bindings[i]);
    for (size_t i = 0; i < e->n_callers; i++)
        print_line(i == 0 ? "callers" : "", e->callers[i]);
    for (size_t i = 0; i < e->n_allowed_hosts; i++)
        print_line(i == 0 ? "may fetch" : "", e->allowed_hosts[i]);
    (void) printf("\n");
}

/* Returns the word for a limit that does not hold: "off" for hung_ms, "unlimited" for most. */
static const char *word_of(ProtobufCBinaryData name)
{
    for (unsigned i = 0; i < LIMITS_COUNT; i++)
        if (limit_table[i].word && strlen(limit_table[i].name) == name.len &&
            memcmp(limit_table[i].name, name.data, name.len) == 0)
            return limit_table[i].word;
    return "unlimited";
}

static int add_value(struct table *table, const Skep__Admin__ExplainedLimit *limit,
                     const char *unit)
{
    return limit->value == 0
               ? table_add(table, "%s", word_of(limit->name))
               : table_add(table, "%" PRIu32 "%s%s", limit->value, unit[0] ? " " : "", unit);
}

/* Adds "3", "12.4": with tenths, but for a count. */
static int add_milli(struct table *table, uint64_t milli, const char *unit, bool is_negative)
{
    const char *sign = is_negative ? "-" : "";

    return unit[0] ? table_add(table, "%s%" PRIu64 ".%" PRIu64 " %s", sign, milli / 1000,
                               milli % 1000 / 100, unit)
                   : table_add(table, "%s%" PRIu64, sign, milli / 1000);
}

static int add_from(struct table *table, const Skep__Admin__ExplainedLimit *limit)
{
    _cleanup_free_ char *source = output_line(limit->source.data, limit->source.len);
    _cleanup_free_ char *cut = output_line(limit->cut_by.data, limit->cut_by.len);

    if (!source || !cut)
        return -1;
    if (limit->cut_by.len == 0)
        return table_add(table, "%s", source);
    if (limit->wanted == 0)
        return table_add(table, "%s: unlimited, cut by %s", source, cut);
    return table_add(table, "%s: %" PRIu32 ", cut by %s", source, limit->wanted, cut);
}

static int add_row(struct table *table, const Skep__Admin__ExplainedLimit *limit)
{
    _cleanup_free_ char *unit = output_line(limit->unit.data, limit->unit.len);
    uint64_t value_milli = UINT64_C(1000) * limit->value, used = limit->used_milli;
    bool is_measured = limit->measure.len > 0, is_over = used > value_milli;

    if (!unit)
        return -1;
    int r = table_add_text(table, limit->name.data, limit->name.len);
    r |= add_value(table, limit, unit);
    r |= is_measured ? add_milli(table, used, unit, false) : table_add(table, "-");
    r |= is_measured && limit->value > 0
             ? add_milli(table, is_over ? used - value_milli : value_milli - used, unit, is_over)
             : table_add(table, "-");
    r |= limit->has_peak ? add_milli(table, limit->peak_milli, unit, false) : table_add(table, "-");
    r |= table_add(table, limit->observed ? "only observed" : "enforced");
    r |= add_from(table, limit);
    r |= is_measured ? table_add_text(table, limit->measure.data, limit->measure.len)
                     : table_add(table, "-");
    return r;
}

static int print_text(const Skep__Admin__Explained *e)
{
    static const char *const headings[] = {
        "LIMIT", ">VALUE", ">USED", ">LEFT", ">PEAK", "IS", "FROM", "USED IS",
    };
    _cleanup_(table_cleanup) struct table *table = table_new(headings, ARRAY_LEN(headings));

    if (!table)
        return -1;
    for (size_t i = 0; i < e->n_limits; i++)
        if (add_row(table, e->limits[i]) < 0)
            return -1;
    print_head(e);
    table_print(table, stdout);
    return 0;
}

/* ---- codes and keys */

static const struct {
    unsigned bit;
    const char *name;
} parties[] = {
    { BY_CLIENT, "client" },     { BY_TENANT, "tenant" }, { BY_NEIGHBOUR, "neighbour" },
    { BY_OPERATOR, "operator" }, { BY_HOST, "host" },
};

static int print_code(const struct cli *cli, const struct error_info *info)
{
    json_t *causes = json_array();
    char text[128] = "";

    for (size_t i = 0; i < ARRAY_LEN(parties); i++) {
        size_t have = strlen(text);
        if ((info->causes & parties[i].bit) == 0)
            continue;
        (void) json_array_append_new(causes, json_string(parties[i].name));
        (void) snprintf(text + have, sizeof text - have, "%s%s", have > 0 ? ", " : "",
                        parties[i].name);
    }
    if (cli->json)
        return json_print(json_pack("{s:s, s:i, s:s, s:s, s:s, s:o}", "code", info->code, "status",
                                    (int) info->status, "title", info->title, "when", info->when,
                                    "advice", info->advice, "causes", causes));
    json_decref(causes);
    (void) printf("%s: %u, \"%s\"\n  when       %s\n  what to do %s\n  caused by  %s\n", info->code,
                  info->status, info->title, info->when, info->advice, text);
    return 0;
}

/* A key or a limit may have the name of a tenant. */
static bool explain_key(const char *name)
{
    if (!keys_text_explain(name))
        return false;
    if (name_is_valid(name))
        (void) printf("\nFor a tenant of this name: skep explain --tenant %s\n", name);
    return true;
}

/* Explains a name that needs no skepd. Returns whether it was such a name. */
static bool explain_word(const struct cli *cli, const char *name)
{
    enum error_code code;

    if (!error_code_parse(name, &code))
        return !cli->json && explain_key(name);
    (void) print_code(cli, error_info(code));
    return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__ExplainRequest request = SKEP__ADMIN__EXPLAIN_REQUEST__INIT;
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, explain_options, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (!is_tenant && explain_word(cli, argv[first]))
        return CLI_DONE;
    request.name.data = (uint8_t *) argv[first];
    request.name.len = strlen(argv[first]);
    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_EXPLAIN;
    command.explain = &request;
    _cleanup_(client_cleanup) struct client *client = client_connect(cli);
    const Skep__Admin__Answer *answer =
        client ? client_ask(cli, client, &command, SKEP__ADMIN__ANSWER__MESSAGE_EXPLAINED) : NULL;
    if (!answer)
        return CLI_FAILED;
    int r =
        cli->json ? json_print(explained_json(answer->explained)) : print_text(answer->explained);
    return r < 0 ? CLI_FAILED : CLI_DONE;
}

const struct verb verb_explain = {
    .name = "explain",
    .arguments = "TENANT|CODE|KEY",
    .summary = "explain a tenant's limits, an error code, or a key of the configuration",
    .options = explain_options,
    .help =
        "CODE is an error code, as in Skep-Error: when it appears, the remedy, and who can cause\n"
        "it. KEY is a key of skepd.yaml or skep.yaml, a mapping of them, or a limit, such as\n"
        "http.connections, keepalive_ms, egress or limits.queue: allowed values and default. Both "
        "are explained without\n"
        "skepd. For a TENANT it shows the limits, why each has its value, and how much of it\n"
        "is left.\n\n"
        "FROM says who set the limit: built-in, the platform's or the cordon's default in\n"
        "skepd.yaml, or the tenant in its skep.yaml; and, where that was more than is allowed,\n"
        "which maximum has cut it. PEAK is since the tenant was installed.\n\n"
        "Fields of --json: tenant, cordon, state (idle, loading, ready, failed), version\n"
        "(number), deployed (name of the version,\n"
        "as in skep versions; null: it is in the folder), file (where its limits are written), "
        "routes, apart (why it is: suspect,\n"
        "strikes, busy, solitary; or null), own_worker (number, or null), quarantined, "
        "quarantine_s\n"
        "(left; null: until it is released), marks, limits (list of objects with name, unit,\n"
        "value (null: unlimited), source, wanted (by the source; null: unlimited), cut_by\n"
        "(null: nothing), observed (noted and not enforced), measure (what used is), used,\n"
        "headroom (below 0: over it) and peak, null where there is nothing to measure). Of a code: "
        "code,\n"
        "status, title, when, advice, causes.\n",
    .run = run,
};
