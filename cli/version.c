/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep version`, and `skep --version`. With --v8, the flags that workers set in V8, from the table of
 * sandbox-policy/v8_flags.h.
 */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "sandbox-policy/v8_flags.h"

#ifndef SKEP_VERSION
#define SKEP_VERSION "unknown"
#endif

static const struct cli_option version_options[] = {
    { .name = "v8", .help = "the flags that workers set in V8, why, and who may switch them" },
    { 0 },
};

static void write_modes(const struct v8_flag *flag, char *text, size_t size)
{
    size_t at = 0;

    for (unsigned mode = 0; mode < JIT_MODES; mode++)
        if ((flag->modes >> mode & 1U) != 0 && at < size)
            at += (size_t) snprintf(text + at, size - at, "%s%s", at > 0 ? ", " : "",
                                    jit_name((enum jit_mode) mode));
}

static int print_flags(void)
{
    for (size_t i = 0; i < n_v8_flags; i++) {
        char modes[64] = "";
        write_modes(&v8_flags[i], modes, sizeof modes);
        (void) printf("%s%s\n  where  jit: %s\n  why    %s\n  risk   %s\n  who    %s\n",
                      i > 0 ? "\n" : "", v8_flags[i].flag, modes, v8_flags[i].reason,
                      v8_flags[i].risk, v8_flags[i].who);
    }
    return CLI_DONE;
}

static int print_flags_json(void)
{
    _cleanup_(json_cleanup) json_t *flags = json_array();

    for (size_t i = 0; flags && i < n_v8_flags; i++) {
        const struct v8_flag *flag = &v8_flags[i];
        json_t *modes = json_array();
        for (unsigned mode = 0; mode < JIT_MODES; mode++)
            if ((flag->modes >> mode & 1U) != 0)
                (void) json_array_append_new(modes, json_string(jit_name((enum jit_mode) mode)));
        (void) json_array_append_new(flags, json_pack("{s:s, s:o, s:s, s:s, s:s}", "flag",
                                                      flag->flag, "jit", modes, "why", flag->reason,
                                                      "risk", flag->risk, "who", flag->who));
    }
    return json_print(json_pack("{s:O}", "v8_flags", flags)) < 0 ? CLI_FAILED : CLI_DONE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    enum cli_exit status = CLI_DONE;
    struct cli_option options[] = { version_options[0], { 0 } };
    bool is_v8 = false;

    options[0].given = &is_v8;
    if (argc > 0) { /* 0: called for --version */
        int first = cli_options(cli, options, argc, argv, &status);
        if (first < 0)
            return (int) status;
    }
    if (is_v8)
        return cli->json ? print_flags_json() : print_flags();
    (void) printf(cli->json ? "{\"name\": \"skep\", \"version\": \"%s\"}\n" : "skep %s\n",
                  SKEP_VERSION);
    return CLI_DONE;
}

const struct verb verb_version = {
    .name = "version",
    .arguments = "",
    .summary = "show the version, or the flags that workers set in V8",
    .help = "Fields of --json: name, version. With --v8: v8_flags, a list of objects with flag,\n"
            "jit (list: off, baseline, on: where it is set), why, risk, who (may switch it).\n",
    .options = version_options,
    .run = run,
};
