/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep`, the command line: a table of verbs, each in a file of its own. Runs as whoever calls it,
 * and may do what that user may do on the admin socket.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "common/cleanup.h"

#define DEFAULT_SOCKET "/run/skep/admin.sock"

/* In the order of `skep --help`. A new verb: its row here, its function in cli.h. */
static const struct verb verbs[] = {
    {
        .name = "check",
        .arguments = "PATH…",
        .summary = "check config files and tenants without starting anything",
        .help = "PATH is a skepd.yaml (its tenants are checked with it), a skep.yaml, the folder\n"
                "of a tenant, or a folder of such folders. Each error is one line,\n"
                "FILE:LINE: what is wrong: what was expected.\n",
        .run = verb_check,
    },
    {
        .name = "dev",
        .arguments = "FILE|DIR",
        .summary = "serve one script or tenant folder, and reload it when it is saved",
        .help = "Prints http://127.0.0.1:PORT/ when it serves, then what the tenant logs and what\n"
                "is wrong with it. Every host name leads to it. Limits are the defaults, or what\n"
                "its skep.yaml says. --socket has no effect.\n",
        .options = dev_options,
        .run = verb_dev,
    },
    {
        .name = "stats",
        .arguments = "",
        .summary = "show what skepd as a whole has done",
        .help = "Fields of --json: version, v8_version, pid, uptime_ms, draining, tenants,\n"
                "workers, workers_ready, connections, in_flight (requests in workers), queued,\n"
                "requests (answered, with whatever code), replayed, worker_restarts, errors\n"
                "(object: code to count).\n",
        .run = verb_stats,
    },
    {
        .name = "tenants",
        .arguments = "",
        .summary = "show each tenant: its state, requests, errors, CPU time, memory",
        .help = "Fields of --json: tenants, a list of objects with name, cordon, state (idle,\n"
                "loading, ready, failed), requests, in_flight, queued, cpu_ms, heap_kib,\n"
                "external_kib, kills (workers that died of it), errors (object: code to count),\n"
                "routes, last_error (of the last failed load, or null).\n",
        .run = verb_tenants,
    },
    {
        .name = "workers",
        .arguments = "",
        .summary = "show each worker: its process, CPU time, memory, restarts",
        .help = "Fields of --json: workers, a list of objects with cordon, slot, state (down,\n"
                "booting, ready, killed), pid (null: no process), uptime_ms, restarts, in_flight,\n"
                "requests, cpu_ms, rss_kib, tenants (names), last_death (cause, or null).\n",
        .run = verb_workers,
    },
    {
        .name = "version",
        .arguments = "",
        .summary = "show the version",
        .run = verb_version,
    },
};

static void print_help(void)
{
    (void) printf("usage: skep [--socket PATH] [--json] VERB [ARGUMENT…]\n\n"
                  "Runs and looks after untrusted request handlers.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        (void) printf("  %-12s %s\n", verbs[i].name, verbs[i].summary);
    (void) printf("\n  --socket PATH  admin socket of skepd ($SKEP_SOCKET, or %s)\n"
                  "  --json         one JSON document on standard output\n"
                  "  --help         this, or the help of a verb after its name\n"
                  "  --version      the same as version\n\n"
                  "Exit status: 0 done, 1 failed, 2 wrong usage.\n",
                  DEFAULT_SOCKET);
}

static void print_verb_help(const struct verb *verb)
{
    (void) printf("usage: skep %s [OPTION…]%s%s\n\n%c%s.\n", verb->name,
                  verb->arguments[0] ? " " : "", verb->arguments, verb->summary[0] - 'a' + 'A',
                  verb->summary + 1);
    if (verb->help)
        (void) printf("\n%s", verb->help);
    (void) printf("\n");
    for (const struct cli_option *o = verb->options; o && o->name; o++) {
        char left[64];
        (void) snprintf(left, sizeof left, "--%s%s%s", o->name, o->argument ? " " : "",
                        o->argument ? o->argument : "");
        (void) printf("  %-14s %s\n", left, o->help);
    }
    (void) printf("  --socket PATH  admin socket of skepd\n"
                  "  --json         one JSON document on standard output\n"
                  "  --help         this\n");
}

enum cli_exit cli_usage_error(const struct cli *cli, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *verb = cli->verb ? cli->verb->name : "";
    const char *space = cli->verb ? " " : "";
    (void) fprintf(stderr, "skep%s%s: %s; try \"skep%s%s --help\"\n", space, verb, text, space,
                   verb);
    return CLI_USAGE;
}

#define OPTIONS_MAX 16
#define OPTION_FIRST 256 /* what getopt_long returns for options[0] of a verb */

enum common_option {
    OPTION_HELP = 1,
    OPTION_JSON,
    OPTION_SOCKET,
    OPTION_VERSION,
};

static const struct option common_options[] = {
    { "help", no_argument, NULL, OPTION_HELP },
    { "json", no_argument, NULL, OPTION_JSON },
    { "socket", required_argument, NULL, OPTION_SOCKET },
    { "version", no_argument, NULL, OPTION_VERSION },
};

/* Fills table, which has room for OPTIONS_MAX and an end. */
static void make_table(const struct cli_option *options, struct option *table)
{
    size_t n = ARRAY_LEN(common_options);

    memcpy(table, common_options, sizeof common_options);
    for (int i = 0; options && options[i].name && n < OPTIONS_MAX; i++)
        table[n++] = (struct option){
            options[i].name,
            options[i].argument ? required_argument : no_argument,
            NULL,
            OPTION_FIRST + i,
        };
    table[n] = (struct option){ 0 };
}

static void take_option(const struct cli_option *option)
{
    if (option->value)
        *option->value = optarg;
    if (option->given)
        *option->given = true;
}

int cli_options(struct cli *cli, const struct cli_option *options, int argc, char **argv,
                enum cli_exit *ret_exit)
{
    struct option table[OPTIONS_MAX + 1];
    int c;

    make_table(options, table);
    optind = 0; /* start again, with a fresh argv */
    opterr = 0;
    /* "+": before the verb, stop at the verb. ":": tell a missing value from an unknown option. */
    while ((c = getopt_long(argc, argv, cli->verb ? ":h" : "+:h", table, NULL)) != -1) {
        if (c >= OPTION_FIRST) {
            take_option(&options[c - OPTION_FIRST]);
            continue;
        }
        switch (c) {
        case OPTION_JSON:
            cli->json = true;
            break;
        case OPTION_SOCKET:
            cli->socket = optarg;
            break;
        case OPTION_VERSION:
            *ret_exit = (enum cli_exit) verb_version(cli, 0, NULL);
            return -1;
        case 'h':
        case OPTION_HELP:
            if (cli->verb)
                print_verb_help(cli->verb);
            else
                print_help();
            *ret_exit = CLI_DONE;
            return -1;
        default:
            *ret_exit = cli_usage_error(
                cli, c == ':' ? "\"%s\" needs a value" : "unknown option \"%s\"", argv[optind - 1]);
            return -1;
        }
    }
    return optind;
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

int main(int argc, char **argv)
{
    const char *socket = getenv("SKEP_SOCKET");
    struct cli cli = { .socket = socket && socket[0] ? socket : DEFAULT_SOCKET };
    enum cli_exit status = CLI_DONE;

    int first = cli_options(&cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (first >= argc) {
        print_help();
        return CLI_USAGE;
    }
    const struct verb *verb = find_verb(argv[first]);
    if (!verb)
        return (int) cli_usage_error(&cli, "unknown verb \"%s\"", argv[first]);
    cli.verb = verb;
    int r = verb->run(&cli, argc - first, argv + first);
    if (fflush(stdout) != 0) { /* a full disk or a closed pipe must not look like success */
        (void) fprintf(stderr, "skep: cannot write: %s\n", strerror(errno));
        return CLI_FAILED;
    }
    return r;
}
