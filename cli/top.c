/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep top`: watches tenants and workers.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/top.h"

/* skepd closes a client that asks for nothing for a minute. */
#define INTERVAL_MIN_MS 100
#define INTERVAL_MAX_MS 30000

static bool parse_interval(const char *text, uint32_t *ret_ms)
{
    char *end = NULL;
    double seconds = strtod(text, &end);

    if (*text < '0' || *text > '9' || *end != '\0' || !(seconds * 1000 >= INTERVAL_MIN_MS) ||
        !(seconds * 1000 <= INTERVAL_MAX_MS))
        return false;
    *ret_ms = (uint32_t) (seconds * 1000);
    return true;
}

/* ---- one interval, without a screen */

struct look {
    struct top_sample before, now;
    struct top_row *rows;
};

static void look_done(struct look *look)
{
    free(look->rows);
    top_sample_done(&look->before);
    top_sample_done(&look->now);
}

static int finish_look(struct client *client, const struct top_options *options, bool of_workers,
                       struct look *look)
{
    int r = top_sample_take(client, of_workers, &look->now);

    if (r < 0)
        return r;
    look->rows = top_compare(&look->before, &look->now);
    if (!look->rows)
        return -ENOMEM;
    top_sort(look->rows, look->now.n_rows, options->sort, false);
    return 0;
}

static json_t *list_json(const struct look *look)
{
    json_t *list = json_array();

    for (size_t i = 0; i < look->now.n_rows; i++)
        if (json_array_append_new(list, top_row_json(&look->rows[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static int print_json(const struct look *tenants, const struct look *workers)
{
    double seconds = (double) (tenants->now.time_us - tenants->before.time_us) / 1e6;

    return json_print(json_pack("{s:f,s:o,s:o}", "interval_s", seconds, "tenants",
                                list_json(tenants), "workers", list_json(workers)));
}

static void print_text(const struct look *look)
{
    char line[TOP_LINE_BYTES];

    top_write_headings(line, look->now.of_workers);
    (void) puts(line);
    for (size_t i = 0; i < look->now.n_rows; i++) {
        top_write_line(&look->rows[i], line);
        (void) puts(line);
    }
}

static int show_once(const struct cli *cli, struct client *client,
                     const struct top_options *options)
{
    struct look looks[2] = { 0 }; /* tenants, workers */
    int r = 0;

    for (unsigned i = 0; i < ARRAY_LEN(looks) && r == 0; i++)
        r = top_sample_take(client, i == 1, &looks[i].before);
    if (r == 0)
        (void) poll(NULL, 0, (int) options->interval_ms);
    for (unsigned i = 0; i < ARRAY_LEN(looks) && r == 0; i++)
        r = finish_look(client, options, i == 1, &looks[i]);
    if (r < 0)
        client_explain(cli, r);
    else if (cli->json)
        r = print_json(&looks[0], &looks[1]);
    else
        print_text(&looks[options->of_workers]);
    for (unsigned i = 0; i < ARRAY_LEN(looks); i++)
        look_done(&looks[i]);
    return r < 0 ? CLI_FAILED : CLI_DONE;
}

/* ---- the verb */

static struct {
    const char *interval, *sort;
    bool workers, once;
} given;

static const struct cli_option options[] = {
    { "interval", "S", "seconds between two looks, 0.1 to 30 (default: 1)", 'i', &given.interval,
      NULL, NULL },
    { "sort", "KEY", "name, rps, errors, p50, p99, cpu (default), heap, memory, queue, …", 's',
      &given.sort, NULL, NULL },
    { "workers", NULL, "begin with workers, not with tenants", 'w', NULL, &given.workers, NULL },
    { "once", NULL, "one interval, as text; the default where the output is no terminal", '1', NULL,
      &given.once, NULL },
    { 0 },
};

static int run(struct cli *cli, int argc, char **argv)
{
    struct top_options top = { .interval_ms = 1000, .sort = top_find_sort("cpu") };
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, options, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (given.interval && !parse_interval(given.interval, &top.interval_ms))
        return (int) cli_usage_error(cli, "\"%s\" is not a number of seconds from 0.1 to 30",
                                     given.interval);
    if (given.sort && (top.sort = top_find_sort(given.sort)) < 0)
        return (int) cli_usage_error(cli, "\"%s\" is not a key to sort by", given.sort);
    top.of_workers = given.workers;
    _cleanup_(client_cleanup) struct client *client = client_connect(cli);
    if (!client)
        return CLI_FAILED;
    if (cli->json || given.once || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
        return show_once(cli, client, &top);
    return (int) top_screen(cli, client, &top);
}

const struct verb verb_top = {
    .name = "top",
    .arguments = "",
    .summary = "watch tenants and workers right now",
    .help =
        "Keys: q quits; Tab changes between tenants and workers; arrows and PgUp, PgDn scroll;\n"
        "a letter sorts by a column, and once more the other way round: n name, r requests/s,\n"
        "e errors/s, 5 p50, 9 p99, c CPU, h heap, m memory, w waiting, i in flight, k kills.\n"
        "--sort has their names: name, rps, errors, p50, p99, cpu, heap, memory, queue,\n"
        "in_flight, kills.\n\n"
        "REQ/S, ERR/S, P50, P99 and CPU are of the last interval; a worker's requests are\n"
        "those sent to it, its times from then on. MEMORY of a tenant is what it accounts for,\n"
        "of a worker what its process holds. WAIT: requests in the tenant's queue, or in the\n"
        "worker and not begun. KILLS are since skepd started.\n\n"
        "--json waits for one interval. Its fields: interval_s, tenants and workers, lists of\n"
        "objects with state, rps, p50_us and p99_us (null: nothing was answered),\n"
        "cpu_ms_per_s, heap_kib, external_kib, memory_kib, queued, in_flight, kills (object:\n"
        "cause to count), requests (in all); tenants also name, cordon, failed, errors_per_s,\n"
        "queue_p99_us; workers number, cordon, slot, kind, owner, pid (null: no process),\n"
        "tenants (how many), rss_kib.\n",
    .options = options,
    .run = run,
};
