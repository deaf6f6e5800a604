/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep quarantine`: a tenant gets no requests for a time. Fields of --json: those of Quarantined in
 * admin.proto; seconds is null until it is released.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/output.h"

#define SECONDS_MAX UINT32_C(31536000) /* 365 days: the same as in skepd */

static const struct cli_option quarantine_options[] = {
    { .name = "for",
      .argument = "TIME",
      .help = "30s, 10m, 2h or 1d (without: until skep release)" },
    { .name = NULL },
};

/* Parses a number and its unit. */
static bool parse_time(const char *text, uint64_t *ret_seconds)
{
    static const struct {
        char unit;
        uint32_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    char digits[16];
    size_t size = strlen(text);
    uint32_t number;

    if (size < 2 || size > sizeof digits)
        return false;
    memcpy(digits, text, size - 1);
    digits[size - 1] = '\0';
    if (!cli_parse_number(digits, SECONDS_MAX, &number))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (text[size - 1] == units[i].unit) {
            uint64_t seconds = (uint64_t) number * units[i].seconds;
            if (seconds < 1 || seconds > SECONDS_MAX)
                return false;
            *ret_seconds = seconds;
            return true;
        }
    return false;
}

static void print_text(const void *message)
{
    const Skep__Admin__Quarantined *quarantined = message;
    char time[OUTPUT_NUMBER_BYTES];

    output_text(stdout, quarantined->tenant.data, quarantined->tenant.len);
    (void) printf(" is %sin quarantine ", quarantined->was_quarantined ? "still " : "");
    if (quarantined->seconds > 0)
        (void) printf("for %s", output_duration(quarantined->seconds * 1000, time));
    else
        (void) printf("until it is released");
    (void) printf("; %" PRIu32 " requests that waited are refused\n", quarantined->refused);
}

static const struct client_question question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_QUARANTINE,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_QUARANTINED,
    .print = print_text,
    .null_if_zero = "seconds",
};

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__QuarantineRequest request = SKEP__ADMIN__QUARANTINE_REQUEST__INIT;
    struct cli_option options[] = { quarantine_options[0], quarantine_options[1] };
    enum cli_exit status = CLI_DONE;
    const char *time = NULL;

    options[0].value = &time;
    int first = cli_options(cli, options, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (time && !parse_time(time, &request.seconds))
        return (int) cli_usage_error(
            cli, "\"%s\" is no time: expected 30s, 10m, 2h or 1d, at most 365d", time);
    request.name = client_text(argv[first]);
    return client_show(cli, &question, &request);
}

const struct verb verb_quarantine = {
    .name = "quarantine",
    .arguments = "TENANT",
    .summary = "stop sending requests to a tenant for a while",
    .help =
        "Its clients get 503 quarantined, also those that wait. Requests that are in a worker end\n"
        "as usual. The quarantine of a tenant that is in one already gets the new time.\n\n"
        "Fields of --json: tenant, was_quarantined (already), seconds (null: until it is\n"
        "released), refused (requests that waited).\n",
    .options = quarantine_options,
    .run = run,
};
