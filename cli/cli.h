/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts that the verbs of `skep` share. A verb is a file VERB.c with a struct verb, listed
 * below; it parses its own options with cli_options, so that every verb has
 * --help, --json, --socket and --timeout.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLI_DEFAULT_SOCKET "/run/skep/admin.sock"

/* Result of a verb, and exit status of skep. */
enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
};

struct cli {
    const char *socket; /* --socket; never NULL */
    bool json;          /* --json */
    int timeout_ms;     /* --timeout; 0: the preset of the command */
    const struct verb *verb;
};

/* Arguments of an option that may be given several times. */
#define CLI_VALUES_MAX 128
struct cli_values {
    const char *items[CLI_VALUES_MAX];
    unsigned count; /* above CLI_VALUES_MAX if there were more */
};

struct cli_option {       /* ends with a row without name */
    const char *name;     /* "port", for --port N */
    const char *argument; /* "N"; NULL for a switch */
    const char *help;
    char letter;               /* 'n', for -n too; 0: none */
    const char **value;        /* set to the argument; may be NULL */
    bool *given;               /* set to true; may be NULL */
    struct cli_values *values; /* each argument is added; may be NULL */
};

struct verb {
    const char *name;
    /* For usage and the number of arguments, which cli_options checks: "TENANT [VERSION]"; "PATH…": any number. */
    const char *arguments;
    const char *summary; /* one line, no dot */
    const char *help;    /* paragraphs for `skep VERB --help`, with newlines; may be NULL */
    const struct cli_option *options;                   /* for --help; may be NULL */
    int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the verb */
};

/* Parses options, given to the verb or before it, and checks that the verb has as many other arguments as it takes. options
 * may be NULL. Returns the index in argv (reordered) of the first argument that is no option, or -1: the error is printed,
 * exit with *ret_exit. */
int cli_options(struct cli *cli, const struct cli_option *options, int argc, char **argv,
                enum cli_exit *ret_exit);

/* Prints "skep VERB: text; try …" on standard error. Returns CLI_USAGE. */
enum cli_exit cli_usage_error(const struct cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints "skep VERB: text" on standard error. Returns CLI_FAILED. */
enum cli_exit cli_failure(const struct cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints that there is no such verb, and names the nearest one. Returns CLI_USAGE. */
enum cli_exit cli_unknown_verb(const struct cli *cli, const char *name);

/* Parses decimal digits and nothing else, 0 to most. */
bool cli_parse_number(const char *text, uint32_t most, uint32_t *ret_number);

/* Returns all verbs, in the order of `skep --help`; static. */
const struct verb *const *cli_verbs(size_t *ret_n);
const struct verb *cli_find_verb(const char *name); /* returns NULL if there is none */

/* The verbs, in the order of `skep --help`. A new one: its name here, and a file with its struct verb. */
/* clang-format off */
#define CLI_VERBS(X) \
    X(check) \
    X(schema) \
    X(dev) \
    X(deploy) \
    X(rollback) \
    X(versions) \
    X(remove) \
    X(secrets) \
    X(data) \
    X(status) \
    X(stats) \
    X(tenants) \
    X(workers) \
    X(top) \
    X(explain) \
    X(incidents) \
    X(egress) \
    X(logs) \
    X(quarantine) \
    X(release) \
    X(retire) \
    X(reload) \
    X(kill_worker) \
    X(jail_report) \
    X(drain) \
    X(upgrade) \
    X(help) \
    X(version)
/* clang-format on */

#define CLI_DECLARE_VERB(name) extern const struct verb verb_##name;
CLI_VERBS(CLI_DECLARE_VERB)
#undef CLI_DECLARE_VERB
