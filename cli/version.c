/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep version`, and `skep --version`. Fields of --json: name, version.
 */
#include <stdio.h>

#include "cli/cli.h"

#ifndef SKEP_VERSION
#define SKEP_VERSION "unknown"
#endif

static int run(struct cli *cli, int argc, char **argv)
{
    enum cli_exit status = CLI_DONE;

    if (argc > 0) { /* 0: from --version */
        int first = cli_options(cli, NULL, argc, argv, &status);
        if (first < 0)
            return (int) status;
        if (first < argc)
            return (int) cli_usage_error(cli, "unexpected argument \"%s\"", argv[first]);
    }
    (void) printf(cli->json ? "{\"name\": \"skep\", \"version\": \"%s\"}\n" : "skep %s\n",
                  SKEP_VERSION);
    return CLI_DONE;
}

const struct verb verb_version = {
    .name = "version",
    .arguments = "",
    .summary = "show the version",
    .run = run,
};
