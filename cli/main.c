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

static int verb_help(struct cli *cli, int argc, char **argv);

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
        .name = "status",
        .arguments = "",
        .summary = "show how the service is, and which layers of the jail hold",
        .help =
            "Fields of --json: state (serving, draining), version, pid, uptime_ms, tenants,\n"
            "quarantined, workers, workers_ready, workers_failed, jail (full; reduced: the host\n"
            "does not give every layer, and the configuration agrees; none: a build without\n"
            "jail), layers (object: layer of the workers' jail to \"active\" or \"missing: "
            "WHY\"),\n"
            "own_layers (the same of skepd itself).\n",
        .run = verb_status,
    },
    {
        .name = "stats",
        .arguments = "",
        .summary = "show what skepd as a whole has done",
        .help =
            "Fields of --json: version, v8_version (null until a worker was up), pid, uptime_ms,\n"
            "draining, tenants, quarantined (tenants), workers (shared and own), workers_ready,\n"
            "workers_failed (that wait for their next start), own_workers (of single tenants),\n"
            "memory_kib (of all tenants; the sum of heap_kib, external_kib and bodies_kib),\n"
            "connections, in_flight (requests in workers), queued, requests (answered, with\n"
            "whatever code), replayed (sent again after a worker's death), worker_restarts,\n"
            "errors (object: code to count), incidents (object: stage to an object: cause to\n"
            "count; see skep incidents).\n",
        .run = verb_stats,
    },
    {
        .name = "tenants",
        .arguments = "",
        .summary = "show each tenant: its state, where it is, requests, CPU time, memory",
        .help =
            "WHERE is \"shared\", \"own 3: WHY\" for one with worker 3 to itself, \"own: WHY\" if "
            "it\n"
            "should have one and has none yet, or \"quarantine\" and the time that is left.\n\n"
            "Fields of --json: tenants, a list of objects with name, cordon, state (idle,\n"
            "loading, ready, failed), requests, in_flight, queued, cpu_ms, memory_kib (the sum\n"
            "of heap_kib, external_kib and bodies_kib), strikes (deaths of workers that nobody\n"
            "else can have caused), marks (deaths that count towards the next step), kills\n"
            "(workers that died of it), seclusion (shared, suspect, strikes, busy, solitary),\n"
            "own_worker (number, or null), quarantined, quarantine_s (left; null: until it is\n"
            "released), errors (object: code to count), incidents (object: stage to an object:\n"
            "cause to count), limits (object: name to value, null: unlimited), observed\n"
            "(limits that are not enforced), routes, last_error (of the last failed load, or\n"
            "null).\n",
        .run = verb_tenants,
    },
    {
        .name = "workers",
        .arguments = "",
        .summary = "show each worker: its process, memory, and what it does",
        .help =
            "RSS is what the process holds, and the most that it may; MEMORY is what its tenants\n"
            "account for. IN IT: tenants; BUSY: requests; SERVED: requests, by this process.\n\n"
            "Fields of --json: workers, a list of objects with number, cordon, slot, kind\n"
            "(shared, spare, own, leaving), owner (tenant, of an own worker), state (down,\n"
            "booting, ready, draining, killed, spare, failed: waits for its next start), pid\n"
            "(null: no process), uptime_ms, restarts, in_flight, requests (of the slot), served\n"
            "(requests, by this process), cpu_ms, rss_kib, rss_limit_kib (null: unlimited),\n"
            "rss_observed, memory_kib (the sum of heap_kib, external_kib and bodies_kib),\n"
            "tenants (names), running_tenant, running_request, running_ms and heartbeat (by the\n"
            "worker's account), retire_reason, last_death (cause, or null).\n",
        .run = verb_workers,
    },
    {
        .name = "incidents",
        .arguments = "[TENANT]",
        .summary = "show the last limits met, tenants stopped, workers lost",
        .help =
            "The last 256 of all tenants, newest last. STAGE is what was done: observed (noted\n"
            "only), refused (an error to the tenant), stopped (the request was ended), killed\n"
            "(the worker is gone). CAUSE is the limit, or rss_mib, crash, jail, protocol, silent,\n"
            "outside. EVIDENCE against the tenant, where a worker died: claim (by the worker's\n"
            "account) or proof (nobody else can have been it).\n\n"
            "Fields of --json: incidents, a list of objects with number, time_ms (since 1970),\n"
            "tenant (null: nobody is to blame), stage, cause, unit, limit, used, over (in the\n"
            "unit; null: none, or not known), code (what the client was told), evidence, worker\n"
            "(number), pid, request, text.\n",
        .options = incidents_options,
        .run = verb_incidents,
    },
    {
        .name = "quarantine",
        .arguments = "TENANT",
        .summary = "stop sending requests to a tenant for a while",
        .help =
            "Its clients get 503 quarantined, also those that wait. What is in a worker ends. For\n"
            "one that is in quarantine, this is the new time.\n\n"
            "Fields of --json: tenant, was_quarantined (already), seconds (null: until it is\n"
            "released), refused (requests that waited).\n",
        .options = quarantine_options,
        .run = verb_quarantine,
    },
    {
        .name = "release",
        .arguments = "TENANT",
        .summary = "end a tenant's quarantine, and its time in a worker of its own",
        .help =
            "Its strikes are forgotten.\n\n"
            "Fields of --json: tenant, was_quarantined, seclusion (that it had: shared, suspect,\n"
            "strikes, busy, solitary).\n",
        .run = verb_release,
    },
    {
        .name = "retire",
        .arguments = "[CORDON [SLOT]]",
        .summary = "replace workers by fresh ones, without a failed request",
        .help =
            "All of a cordon, its spare too, or the one in a slot; without arguments the shared\n"
            "ones of all cordons. Each serves until another is ready, ends what it has, and\n"
            "goes; one at a time in each cordon. Does not wait for that: see skep workers.\n\n"
            "Fields of --json: workers (that are replaced), leaving (on their way out already),\n"
            "down (not up).\n",
        .run = verb_retire,
    },
    {
        .name = "jail-report",
        .arguments = "[CORDON]",
        .summary = "show the jail of a cordon's workers, from inside and from outside",
        .help =
            "From inside: at its start skepd has a worker without tenants locked in as all others\n"
            "are, which then tries every system call number. From outside: what the kernel said\n"
            "of each live worker when skepd last looked, which it does every few seconds.\n"
            "Without CORDON the first one.\n\n"
            "Fields of --json: cordon, jit, jail, architecture, layers (object, see skep status),\n"
            "start_us (from the clone of that worker to its report), calls (list: number,\n"
            "name, verdict: refused, fails, allowed, conditional, past_filters, passed; error:\n"
            "with which it fails, or null; rules: of a conditional one), workers (list: number,\n"
            "pid, attested_ms ago, finding: what it could not show, threads, seccomp, filters,\n"
            "no_new_privs, uid, gid, groups, capabilities, namespaces, mounts, empty_root,\n"
            "limits, may_look, descriptors, exec_anonymous and exec_writable: mappings, of\n"
            "workers without JIT).\n",
        .options = jail_report_options,
        .run = verb_jail_report,
    },
    {
        .name = "help",
        .arguments = "[VERB]",
        .summary = "show this, or the help of a verb",
        .run = verb_help,
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
        char left[64], letter[] = { '-', o->letter, ',', ' ', '\0' };
        (void) snprintf(left, sizeof left, "%s--%s%s%s", o->letter ? letter : "", o->name,
                        o->argument ? " " : "", o->argument ? o->argument : "");
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

bool cli_parse_number(const char *text, uint32_t most, uint32_t *ret_number)
{
    uint64_t number = 0;

    if (*text == '\0')
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        number = number * 10 + (uint64_t) (*text - '0');
        if (number > most)
            return false;
    }
    *ret_number = (uint32_t) number;
    return true;
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

/* Fills table, which has room for OPTIONS_MAX and an end, and letters with room for two of each. */
static void make_table(const struct cli_option *options, struct option *table, char *letters)
{
    size_t n = ARRAY_LEN(common_options);

    memcpy(table, common_options, sizeof common_options);
    for (int i = 0; options && options[i].name && n < OPTIONS_MAX; i++) {
        table[n++] = (struct option){
            options[i].name,
            options[i].argument ? required_argument : no_argument,
            NULL,
            OPTION_FIRST + i,
        };
        if (options[i].letter) {
            *letters++ = options[i].letter;
            if (options[i].argument)
                *letters++ = ':';
        }
    }
    *letters = '\0';
    table[n] = (struct option){ 0 };
}

/* NULL if it is none of the verb's. c: as getopt_long returned it. */
static const struct cli_option *find_option(const struct cli_option *options, int c)
{
    if (c >= OPTION_FIRST)
        return &options[c - OPTION_FIRST];
    for (; options && options->name; options++)
        if (options->letter && options->letter == c)
            return options;
    return NULL;
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
    /* "+": before the verb, stop at the verb. ":": tell a missing value from an unknown option. */
    char letters[2 * OPTIONS_MAX + 4] = "+:h";
    int c;

    if (cli->verb)
        (void) memmove(letters, letters + 1, strlen(letters));
    make_table(options, table, letters + strlen(letters));
    optind = 0; /* start again, with a fresh argv */
    opterr = 0;
    while ((c = getopt_long(argc, argv, letters, table, NULL)) != -1) {
        const struct cli_option *own = find_option(options, c);
        if (own) {
            take_option(own);
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

static int verb_help(struct cli *cli, int argc, char **argv)
{
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (argc - first > 1)
        return (int) cli_usage_error(cli, "unexpected argument \"%s\"", argv[first + 1]);
    const struct verb *verb = first < argc ? find_verb(argv[first]) : NULL;
    if (first < argc && !verb)
        return (int) cli_usage_error(cli, "unknown verb \"%s\"", argv[first]);
    if (verb)
        print_verb_help(verb);
    else
        print_help();
    return CLI_DONE;
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
