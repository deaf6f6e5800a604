/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep secrets`: sets, removes and lists secrets of tenants. A value comes from standard input alone, since arguments and
 * variables are seen by others. Fields of --json: those of SecretDone and Secrets in admin.proto.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/deployed.h"
#include "cli/list.h"
#include "cli/output.h"

#define VALUE_MAX_BYTES 32768

/* ---- set */

/* Switches the terminal's echo, if standard input is one. */
static void set_echo(bool on)
{
    struct termios terminal;

    if (tcgetattr(STDIN_FILENO, &terminal) < 0)
        return;
    if (on)
        terminal.c_lflag |= (tcflag_t) ECHO;
    else
        terminal.c_lflag &= ~(tcflag_t) ECHO;
    (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal);
}

/* Reads up to the end, or at a terminal up to the end of the line. Returns the size, or -errno. */
static ssize_t read_input(char *value, size_t size, bool is_terminal)
{
    size_t have = 0;

    while (have < size) {
        ssize_t n = read(STDIN_FILENO, value + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        have += (size_t) n;
        if (n == 0 || (is_terminal && value[have - 1] == '\n'))
            break;
    }
    return (ssize_t) have;
}

/* Reads the value. One line end at its end goes: `echo` and editors add it. Returns false after an error that is printed. */
static bool read_value(const struct cli *cli, char value[static VALUE_MAX_BYTES + 2],
                       ProtobufCBinaryData *ret)
{
    bool is_terminal = isatty(STDIN_FILENO) == 1;

    if (is_terminal) {
        (void) fputs("value (not shown): ", stderr);
        set_echo(false);
    }
    ssize_t size = read_input(value, VALUE_MAX_BYTES + 2, is_terminal);
    if (is_terminal) {
        set_echo(true);
        (void) fputs("\n", stderr);
    }
    if (size < 0) {
        (void) cli_failure(cli, "standard input cannot be read: %s", strerrordesc_np((int) -size));
        return false;
    }
    if (size > 0 && value[size - 1] == '\n')
        size--;
    if (size == 0 || size > VALUE_MAX_BYTES) {
        (void) cli_failure(cli, "the value has %s: expected 1 to 32768 bytes on standard input",
                           size == 0 ? "no byte" : "more than 32 KiB");
        return false;
    }
    *ret = (ProtobufCBinaryData){ .data = (uint8_t *) value, .len = (size_t) size };
    return true;
}

static void print_name(const Skep__Admin__SecretDone *done)
{
    output_text(stdout, done->name.data, done->name.len);
    (void) printf(" of ");
    output_text(stdout, done->tenant.data, done->tenant.len);
}

static bool is_env(ProtobufCBinaryData used)
{
    return used.len == strlen("env") && memcmp(used.data, "env", used.len) == 0;
}

static void print_set(const void *message)
{
    const Skep__Admin__SecretDone *done = message;

    print_name(done);
    (void) printf(done->replaced ? " has another value" : " is set");
    if (done->note.len > 0) {
        (void) printf("; ");
        output_text(stdout, done->note.data, done->note.len);
        (void) printf("\n");
    } else if (done->used.len == 0) {
        (void) printf("; the version that serves does not use it\n");
    } else if (is_env(done->used)) {
        (void) printf("; new isolates with it take over\n");
    } else {
        (void) printf("; the next requests to ");
        output_text(stdout, done->used.data, done->used.len);
        (void) printf(" have it\n");
    }
}

static const struct client_question set_question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_SECRET_SET,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_SECRET_DONE,
    .print = print_set,
    .timeout_ms = DEPLOY_TIMEOUT_MS,
};

static int run_set(const struct cli *cli, const char *tenant, const char *name)
{
    Skep__Admin__SecretSetRequest request = SKEP__ADMIN__SECRET_SET_REQUEST__INIT;
    static char value[VALUE_MAX_BYTES + 2];

    request.tenant = client_text(tenant);
    request.name = client_text(name);
    int status = read_value(cli, value, &request.value) ? client_show(cli, &set_question, &request)
                                                        : CLI_FAILED;
    explicit_bzero(value, sizeof value);
    return status;
}

/* ---- remove */

static void print_removed(const void *message)
{
    print_name(message);
    (void) printf(" is removed\n");
}

static const struct client_question remove_question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_SECRET_REMOVE,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_SECRET_DONE,
    .print = print_removed,
    .timeout_ms = DEPLOY_TIMEOUT_MS,
};

static int run_remove(const struct cli *cli, const char *tenant, const char *name)
{
    Skep__Admin__SecretRemoveRequest request = SKEP__ADMIN__SECRET_REMOVE_REQUEST__INIT;

    request.tenant = client_text(tenant);
    request.name = client_text(name);
    return client_show(cli, &remove_question, &request);
}

/* ---- list */

static const char *const headings[] = {
    "TENANT", "NAME", "ORIGIN", "SET", "UID", "USED", "PROBLEM"
};

static int add_row(struct table *table, const void *message)
{
    const Skep__Admin__Secret *row = message;
    time_t seconds = (time_t) (row->time_ms / 1000);
    char time[64] = "-", uid[16] = "-";
    struct tm local;

    if (row->time_ms > 0 && localtime_r(&seconds, &local)) {
        (void) strftime(time, sizeof time, "%Y-%m-%d %H:%M:%S", &local);
        (void) snprintf(uid, sizeof uid, "%" PRIu32, row->uid);
    }
    if (list_add_text(table, row->tenant) < 0 || list_add_text(table, row->name) < 0 ||
        list_add_text(table, row->origin) < 0 || table_add(table, "%s", time) < 0 ||
        table_add(table, "%s", uid) < 0 || list_add_text(table, row->used) < 0)
        return -1;
    return list_add_text(table, row->problem);
}

static int finish_json(const void *row, json_t *object)
{
    (void) row;
    (void) object;
    return 0;
}

static void ask(const void *context, uint32_t n_rows, const void *last, union list_request *request,
                Skep__Admin__Command *command)
{
    Skep__Admin__SecretsRequest *secrets = &request->secrets;

    (void) last;
    skep__admin__secrets_request__init(secrets);
    secrets->skip = n_rows;
    if (context)
        secrets->tenant = client_text(context);
    command->message_case = SKEP__ADMIN__COMMAND__MESSAGE_SECRETS;
    command->secrets = secrets;
}

static int run_list(const struct cli *cli, const char *tenant)
{
    const struct list_kind kind = {
        .key = "secrets",
        .headings = headings,
        .n_headings = ARRAY_LEN(headings),
        .answer = SKEP__ADMIN__ANSWER__MESSAGE_SECRETS,
        .context = tenant,
        .ask = ask,
        .finish_json = finish_json,
        .add_row = add_row,
    };

    return list_show(cli, &kind);
}

/* ---- the verb */

static int run(struct cli *cli, int argc, char **argv)
{
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    const char *action = argv[first], *tenant = argv[first + 1];
    const char *name = tenant ? argv[first + 2] : NULL;
    if (strcmp(action, "list") == 0 && !name)
        return run_list(cli, tenant);
    if (strcmp(action, "set") == 0 && name)
        return run_set(cli, tenant, name);
    if (strcmp(action, "remove") == 0 && name)
        return run_remove(cli, tenant, name);
    return (int) cli_usage_error(
        cli, "expected `set TENANT NAME`, `remove TENANT NAME` or `list [TENANT]`");
}

const struct verb verb_secrets = {
    .name = "secrets",
    .arguments = "set|remove|list [TENANT] [NAME]",
    .summary = "set, remove or list secrets of tenants; values are never shown",
    .help =
        "  skep secrets set TENANT NAME     the value comes from standard input\n"
        "  skep secrets remove TENANT NAME\n"
        "  skep secrets list [TENANT]\n\n"
        "A value is UTF-8 text of 1 to 32768 bytes; one line end at its end does not count. skep "
        "seals\n"
        "it with the key that skepd.yaml names, and keeps it in the state folder. The tenant, "
        "which\n"
        "need not be there yet, has it if its skep.yaml names it under `secrets`. Another value "
        "counts\n"
        "without a deploy: new requests get isolates that have it, those under way end as they "
        "are.\n"
        "A secret that a version uses cannot be removed. `skep remove` removes a tenant's secrets, "
        "too.\n\n"
        "ORIGIN: kept (set by this command), given (by skepd.yaml). USED: what the version that "
        "serves\n"
        "does with it: env, or the host whose requests get it. PROBLEM: other_key (sealed with "
        "another\n"
        "key than skepd has), damaged, other_tenant (of a removed tenant of that name).\n\n"
        "Fields of --json: tenant, name, replaced, used, note (why it is not used yet, and what "
        "to\n"
        "do; null: it is used); of list: secrets, a list of objects with\n"
        "tenant, name, origin, time_ms (since 1970; 0: given), uid, used, problem.\n",
    .run = run,
};
