/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"

#include <stdio.h>

#include "cli/cli.h"
#include "cli/output.h"

static const struct cli_option common_options[] = {
    { .name = "socket", .argument = "PATH", .help = "admin socket of skepd" },
    { .name = "timeout", .argument = "S", .help = "seconds that skepd has for each answer" },
    { .name = "json", .help = "one JSON document on standard output" },
    { .name = "help", .help = "this" },
    { .name = NULL },
};

/* ---- for people */

static void print_overview(void)
{
    size_t n;
    const struct verb *const *verbs = cli_verbs(&n);

    (void) printf("usage: skep [--socket PATH] [--timeout S] [--json] VERB [ARGUMENT…]\n\n"
                  "Runs and looks after untrusted request handlers.\n\n");
    for (size_t i = 0; i < n; i++)
        (void) printf("  %-12s %s\n", verbs[i]->name, verbs[i]->summary);
    (void) printf(
        "\n  --socket PATH  admin socket of skepd ($SKEP_SOCKET, or %s)\n"
        "  --timeout S    seconds that skepd has for each answer (10; 60 and more where it\n"
        "                 has much to do); logs -f and the like wait on between two lines\n"
        "  --json         one JSON document on standard output\n"
        "  --help         this, or the help of a verb after its name\n"
        "  --version      the same as version\n\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage.\n",
        CLI_DEFAULT_SOCKET);
}

static void print_options(const struct cli_option *options)
{
    for (const struct cli_option *o = options; o && o->name; o++) {
        char left[64], letter[] = { '-', o->letter, ',', ' ', '\0' };
        (void) snprintf(left, sizeof left, "%s--%s%s%s", o->letter ? letter : "", o->name,
                        o->argument ? " " : "", o->argument ? o->argument : "");
        (void) printf("  %-14s %s\n", left, o->help);
    }
}

void help_print(const struct verb *verb)
{
    if (!verb) {
        print_overview();
        return;
    }
    (void) printf("usage: skep %s [OPTION…]%s%s\n\n%c%s.\n", verb->name,
                  verb->arguments[0] ? " " : "", verb->arguments, verb->summary[0] - 'a' + 'A',
                  verb->summary + 1);
    if (verb->help)
        (void) printf("\n%s", verb->help);
    (void) printf("\n");
    print_options(verb->options);
    print_options(common_options);
}

/* ---- for programs: completions and tests are made from this */

static json_t *options_json(const struct cli_option *options)
{
    json_t *list = json_array();

    for (const struct cli_option *o = options; o && o->name; o++) {
        char letter[] = { o->letter, '\0' };
        (void) json_array_append_new(list, json_pack("{s:s, s:s?, s:s?, s:s}", "name", o->name,
                                                     "letter", o->letter ? letter : NULL,
                                                     "argument", o->argument, "help", o->help));
    }
    return list;
}

static int print_json(const struct verb *only)
{
    json_t *list = json_array();
    size_t n;
    const struct verb *const *verbs = cli_verbs(&n);

    for (size_t i = 0; i < n; i++)
        if (!only || only == verbs[i])
            (void) json_array_append_new(
                list, json_pack("{s:s, s:s, s:s, s:s?, s:o}", "name", verbs[i]->name, "arguments",
                                verbs[i]->arguments, "summary", verbs[i]->summary, "help",
                                verbs[i]->help, "options", options_json(verbs[i]->options)));
    return json_print(
               json_pack("{s:o, s:o}", "verbs", list, "options", options_json(common_options))) < 0
               ? CLI_FAILED
               : CLI_DONE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    const struct verb *verb = first < argc ? cli_find_verb(argv[first]) : NULL;
    if (first < argc && !verb)
        return (int) cli_unknown_verb(cli, argv[first]);
    if (cli->json)
        return print_json(verb);
    help_print(verb);
    return CLI_DONE;
}

const struct verb verb_help = {
    .name = "help",
    .arguments = "[VERB]",
    .summary = "show this, or the help of a verb",
    .help = "Fields of --json: verbs, a list of objects with name, arguments, summary, help,\n"
            "options (that are the verb's own); options (of every verb): lists of objects with\n"
            "name, letter (null: none), argument (null: none), help.\n",
    .run = run,
};
