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

static int run_help(struct cli *cli, int argc, char **argv);

static const struct verb verb_help = {
    .name = "help",
    .arguments = "[VERB]",
    .summary = "show this, or the help of a verb",
    .run = run_help,
};

/* In the order of `skep --help`. A new verb: its row here and in cli.h. */
/* clang-format off */
static const struct verb *const verbs[] = {
    &verb_check,
    &verb_dev,
    &verb_deploy,
    &verb_rollback,
    &verb_versions,
    &verb_remove,
    &verb_status,
    &verb_stats,
    &verb_tenants,
    &verb_workers,
    &verb_top,
    &verb_explain,
    &verb_incidents,
    &verb_logs,
    &verb_quarantine,
    &verb_release,
    &verb_retire,
    &verb_reload,
    &verb_kill_worker,
    &verb_jail_report,
    &verb_drain,
    &verb_upgrade,
    &verb_help,
    &verb_version,
};
/* clang-format on */

static void print_help(void)
{
    (void) printf("usage: skep [--socket PATH] [--json] VERB [ARGUMENT…]\n\n"
                  "Runs and looks after untrusted request handlers.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        (void) printf("  %-12s %s\n", verbs[i]->name, verbs[i]->summary);
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
    if (option->values && option->values->count++ < CLI_VALUES_MAX)
        option->values->items[option->values->count - 1] = optarg;
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
            *ret_exit = (enum cli_exit) verb_version.run(cli, 0, NULL);
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
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static int run_help(struct cli *cli, int argc, char **argv)
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
