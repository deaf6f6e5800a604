/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep`, the command line: a table of verbs, each in a file of its own. Runs as the user who calls
 * it, with that user's rights on the admin socket.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/help.h"
#include "cli/hint.h"
#include "cli/output.h"
#include "common/cleanup.h"

#define ROW(name) &verb_##name,
static const struct verb *const verbs[] = { CLI_VERBS(ROW) };

const struct verb *const *cli_verbs(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(verbs);
    return verbs;
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
    output_error(cli->verb ? verb : NULL, "%s; try \"skep%s%s --help\"", text, space, verb);
    return CLI_USAGE;
}

enum cli_exit cli_failure(const struct cli *cli, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void) fprintf(stderr, "skep %s: %s\n", cli->verb->name, text);
    return CLI_FAILED;
}

enum cli_exit cli_unknown_verb(const struct cli *cli, const char *name)
{
    const struct cli none = { .socket = cli->socket };
    const char *nearest = hint_verb(name);

    if (nearest)
        return cli_usage_error(&none, "unknown verb \"%s\", did you mean \"%s\"?", name, nearest);
    return cli_usage_error(&none, "unknown verb \"%s\"", name);
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
#define OPTION_FIRST 256 /* result of getopt_long for options[0] of a verb */

enum common_option {
    OPTION_HELP = 1,
    OPTION_JSON,
    OPTION_SOCKET,
    OPTION_TIMEOUT,
    OPTION_VERSION,
};

static const struct option common_options[] = {
    { "help", no_argument, NULL, OPTION_HELP },
    { "json", no_argument, NULL, OPTION_JSON },
    { "socket", required_argument, NULL, OPTION_SOCKET },
    { "timeout", required_argument, NULL, OPTION_TIMEOUT },
    { "version", no_argument, NULL, OPTION_VERSION },
};

#define TIMEOUT_MAX_S 86400U

static bool take_timeout(struct cli *cli)
{
    uint32_t seconds;

    if (!cli_parse_number(optarg, TIMEOUT_MAX_S, &seconds) || seconds == 0)
        return false;
    cli->timeout_ms = (int) seconds * 1000;
    return true;
}

/* Fills table, which has room for OPTIONS_MAX and an end, and letters, which has room for two of
 * each. */
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

/* Checks the number of arguments that are no options, by the words of the verb's row. */
static bool check_count(const struct cli *cli, int count, char **arguments)
{
    int least = 0, most = 0;

    for (const char *word = cli->verb->arguments; *word; word += strcspn(word, " ")) {
        word += strspn(word, " ");
        least += *word != '[';
        most++;
    }
    if (count < least)
        (void) cli_usage_error(cli, "expected %s", cli->verb->arguments);
    else if (count > most && !strstr(cli->verb->arguments, "…"))
        (void) cli_usage_error(cli, "unexpected argument \"%s\"", arguments[most]);
    else
        return true;
    return false;
}

int cli_options(struct cli *cli, const struct cli_option *options, int argc, char **argv,
                enum cli_exit *ret_exit)
{
    struct option table[OPTIONS_MAX + 1];
    /* "+": stop at the first argument, the verb. ":": report a missing value as such. */
    char letters[2 * OPTIONS_MAX + 4] = "+:h";
    int c;

    if (cli->verb)
        (void) memmove(letters, letters + 1, strlen(letters));
    make_table(options, table, letters + strlen(letters));
    optind = 0; /* begin again, with a fresh argv */
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
        case OPTION_TIMEOUT:
            if (take_timeout(cli))
                break;
            *ret_exit = cli_usage_error(cli, "--timeout \"%s\": expected seconds, 1 to %u", optarg,
                                        TIMEOUT_MAX_S);
            return -1;
        case OPTION_VERSION:
            *ret_exit = (enum cli_exit) verb_version.run(cli, 0, NULL);
            return -1;
        case 'h':
        case OPTION_HELP:
            help_print(cli->verb);
            *ret_exit = CLI_DONE;
            return -1;
        default:
            *ret_exit = cli_usage_error(
                cli, c == ':' ? "\"%s\" needs a value" : "unknown option \"%s\"", argv[optind - 1]);
            return -1;
        }
    }
    if (cli->verb && !check_count(cli, argc - optind, argv + optind)) {
        *ret_exit = CLI_USAGE;
        return -1;
    }
    return optind;
}

const struct verb *cli_find_verb(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

int main(int argc, char **argv)
{
    const char *socket = getenv("SKEP_SOCKET");
    struct cli cli = { .socket = socket && socket[0] ? socket : CLI_DEFAULT_SOCKET };
    enum cli_exit status = CLI_DONE;

    int first = cli_options(&cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (first >= argc) {
        help_print(NULL);
        return CLI_USAGE;
    }
    const struct verb *verb = cli_find_verb(argv[first]);
    if (!verb)
        return (int) cli_unknown_verb(&cli, argv[first]);
    cli.verb = verb;
    int r = verb->run(&cli, argc - first, argv + first);
    if (fflush(stdout) != 0) { /* a full disk or a closed pipe must not look like success */
        (void) fprintf(stderr, "skep: cannot write: %s\n", strerror(errno));
        return CLI_FAILED;
    }
    return r;
}
