/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep logs`: the log of tenants, and, with --follow, its next lines. skepd keeps the last lines
 * of each tenant. Fields of --json: lines, a list of objects with the fields of LogLine in
 * admin.proto; with --follow such an object on each line.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/message.h"
#include "cli/output.h"

/* lines that are shown before those that come, if nothing else is asked for */
#define FOLLOW_LINES 10
#define WAIT_MS 60000

struct wish {
    const char *tenant, *level; /* NULL: all */
    uint32_t last;
    bool has_last, follow;
};

struct session {
    const struct cli *cli;
    const struct wish *wish;
    struct client *client;
    json_t *list;    /* NULL: each line is printed when it comes */
    uint64_t newest; /* number of the newest line when the first was asked for */
};

/* ---- one line */

static enum output_style style_of(ProtobufCBinaryData level)
{
    static const struct {
        const char *level;
        enum output_style style;
    } styles[] = {
        { "debug", OUTPUT_DIM },
        { "warn", OUTPUT_YELLOW },
        { "error", OUTPUT_RED },
    };

    for (size_t i = 0; i < ARRAY_LEN(styles); i++)
        if (strlen(styles[i].level) == level.len &&
            memcmp(styles[i].level, level.data, level.len) == 0)
            return styles[i].style;
    return OUTPUT_PLAIN;
}

static void print_start(const struct wish *wish, const Skep__Admin__LogLine *line)
{
    time_t seconds = (time_t) (line->time_ms / 1000);
    char text[32] = "";
    struct tm parts;

    if (localtime_r(&seconds, &parts))
        (void) strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    (void) printf("%s.%03u ", text, (unsigned) (line->time_ms % 1000));
    if (!wish->tenant) {
        (void) printf("[");
        output_text(stdout, line->tenant.data, line->tenant.len);
        (void) printf("] ");
    }
    output_text(stdout, line->level.data, line->level.len);
    (void) printf(": ");
}

/* Prints a line. Each line of the text has the same start, so that no tenant can make up a line. */
static void print_text(const struct wish *wish, const Skep__Admin__LogLine *line)
{
    enum output_style style = style_of(line->level);
    const uint8_t *text = line->text.data;
    size_t left = line->text.len;

    do {
        const uint8_t *newline = left > 0 ? memchr(text, '\n', left) : NULL;
        size_t size = newline ? (size_t) (newline - text) : left;
        (void) fputs(style == OUTPUT_PLAIN ? "" : output_style(stdout, style), stdout);
        print_start(wish, line);
        output_text(stdout, text, size);
        (void) printf("%s\n", style == OUTPUT_PLAIN ? "" : output_style(stdout, OUTPUT_PLAIN));
        text += newline ? size + 1 : size;
        left -= newline ? size + 1 : size;
    } while (left > 0);
}

static int show_line(const struct session *session, const Skep__Admin__LogLine *line)
{
    if (session->list)
        return json_array_append_new(session->list, message_json(&line->base)) < 0 ? -ENOMEM : 0;
    if (session->cli->json)
        return json_print_line(message_json(&line->base));
    if (line->lost > 0)
        (void) printf("%s(%" PRIu64 " lines were lost here: too many at once)%s\n",
                      output_style(stdout, OUTPUT_DIM), line->lost,
                      output_style(stdout, OUTPUT_PLAIN));
    if (line->tenant.len > 0) /* otherwise the line has nothing but that count */
        print_text(session->wish, line);
    return 0;
}

/* ---- lines that are kept */

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text,
                                  .len = text ? strlen(text) : 0 };
}

/* Shows one page. Returns how many lines it had, or -1 if that failed, with a message printed. */
static int show_page(struct session *session, Skep__Admin__LogTailRequest *request)
{
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;
    bool is_first = session->newest == 0;
    int n = 0;

    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_LOG_TAIL;
    command.log_tail = request;
    const Skep__Admin__Answer *answer =
        client_ask(session->cli, session->client, &command, SKEP__ADMIN__ANSWER__MESSAGE_LOG_TAIL);
    if (!answer)
        return -1;
    if (is_first)
        session->newest = answer->log_tail->newest;
    for (size_t i = 0; i < answer->log_tail->n_lines; i++) {
        const Skep__Admin__LogLine *line = answer->log_tail->lines[i];
        if (line->number > session->newest)
            break; /* the line has come since */
        if (show_line(session, line) < 0)
            return -1;
        request->after = line->number;
        n++;
    }
    return n;
}

static int show_kept(struct session *session)
{
    const struct wish *wish = session->wish;
    Skep__Admin__LogTailRequest request = SKEP__ADMIN__LOG_TAIL_REQUEST__INIT;
    int n;

    request.name = bytes_of(wish->tenant);
    request.level = bytes_of(wish->level);
    request.last = wish->last;
    if (wish->has_last && wish->last == 0)
        request.after = UINT64_MAX;
    do {
        n = show_page(session, &request);
        request.last = 0; /* the next pages follow the first */
    } while (n > 0);
    return n;
}

/* ---- lines that come */

static int follow(struct session *session)
{
    Skep__Admin__LogsRequest request = SKEP__ADMIN__LOGS_REQUEST__INIT;
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;
    const Skep__Admin__Answer *answer = NULL;
    int r;

    request.name = bytes_of(session->wish->tenant);
    request.level = bytes_of(session->wish->level);
    request.resume = true;
    request.after = session->newest;
    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_LOGS;
    command.logs = &request;
    if (!client_ask(session->cli, session->client, &command,
                    SKEP__ADMIN__ANSWER__MESSAGE_SUBSCRIBED))
        return CLI_FAILED;
    do {
        (void) fflush(stdout);
        r = client_receive(session->client, WAIT_MS, &answer);
        if (r == 0 && answer->message_case == SKEP__ADMIN__ANSWER__MESSAGE_LOG)
            r = show_line(session, answer->log);
    } while ((r == 0 || r == -ETIMEDOUT) && !ferror(stdout));
    (void) fprintf(stderr, "skep logs: %s\n",
                   r == -EPIPE ? "skepd has ended, or closed the connection: ask again when it "
                                 "serves"
                               : strerrordesc_np(-r));
    return CLI_FAILED;
}

/* ---- the verb */

static int show(const struct cli *cli, const struct wish *wish)
{
    _cleanup_(client_cleanup) struct client *client = client_connect(cli);
    _cleanup_(json_cleanup) json_t *list = cli->json && !wish->follow ? json_array() : NULL;
    struct session session = { .cli = cli, .wish = wish, .client = client, .list = list };

    if (!client || show_kept(&session) < 0)
        return CLI_FAILED;
    if (list)
        return json_print(json_pack("{s:O}", "lines", list)) < 0 ? CLI_FAILED : CLI_DONE;
    return wish->follow ? follow(&session) : CLI_DONE;
}

static const struct cli_option logs_options[] = {
    { .name = "follow", .letter = 'f', .help = "print lines as they come, until it is stopped" },
    { .name = "last", .letter = 'n', .argument = "N", .help = "the last N (all; with -f: 10)" },
    { .name = "level",
      .argument = "LEVEL",
      .help = "debug, info, warn or error: that level or worse" },
    { .name = NULL },
};

static int run(struct cli *cli, int argc, char **argv)
{
    struct cli_option options[ARRAY_LEN(logs_options)];
    struct wish wish = { 0 };
    enum cli_exit status = CLI_DONE;
    const char *last = NULL;

    memcpy(options, logs_options, sizeof options);
    options[0].given = &wish.follow;
    options[1].value = &last;
    options[2].value = &wish.level;
    int first = cli_options(cli, options, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (last && !cli_parse_number(last, UINT32_MAX, &wish.last))
        return (int) cli_usage_error(cli, "-n is a number, not \"%s\"", last);
    wish.has_last = last || wish.follow;
    if (wish.follow && !last)
        wish.last = FOLLOW_LINES;
    wish.tenant = argv[first];
    return show(cli, &wish);
}

const struct verb verb_logs = {
    .name = "logs",
    .arguments = "[TENANT]",
    .summary = "show the log of tenants, and follow it",
    .help =
        "Lines of one tenant or of all, oldest first. skepd keeps the last 64 KiB of each\n"
        "tenant, 8 MiB of all, until it ends; older lines are in the log of skepd itself\n"
        "(journalctl TENANT=…). Stack traces and errors that clients do not see are there, too.\n\n"
        "Fields of --json: lines, a list of objects with tenant, level, text, time_ms (since\n"
        "1970), number (grows), lost (lines before it that are missing), request (number of the\n"
        "request that has written it, 0: none). With --follow each line is such an object; one\n"
        "without tenant says only how many were lost.\n",
    .options = logs_options,
    .run = run,
};
