/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep deploy`: a tenant's folder goes to skepd, loads there, and serves. The folder is checked
 * here first, by the code of `skep check`, so that a slip is found at once. Fields of --json: those
 * of Deployed in admin.proto.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/deployed.h"
#include "cli/message.h"
#include "cli/output.h"
#include "config/manifest.h"
#include "config/tenant_files.h"

#define PART_BYTES (UINT32_C(256) << 10)
/* While the service is busy with the same tenant, the deploy is asked for again. */
#define BUSY_MS 20000
#define BUSY_PAUSE_MS 100
#define ENV_FILE_MAX_BYTES (TENANT_ENV_BYTES_MAX + (UINT32_C(64) << 10))

DEFINE_CLEANUP(struct manifest *, manifest_free, manifest_cleanup)

/* The version that is sent, and how much of it is. */
struct sending {
    const struct cli *cli;
    struct client *client;
    const struct manifest *manifest;
    const struct cli_values *env;
    struct tenant_file yaml; /* skep.yaml, unchanged */
    uint64_t sent, total;
    bool shows_progress;
};

static const struct cli_option deploy_options[] = {
    { .name = "env", .argument = "N=V", .help = "set env.N to V, over skep.yaml; may be repeated" },
    { .name = "env-file", .argument = "FILE", .help = "the same, a line each; -: standard input" },
    { .name = NULL },
};

/* ---- reading and checking */

/* Joins "NAME=VALUE" texts, each followed by a NUL; malloc'ed, NULL: out of memory. */
static char *join(const struct cli_values *env, size_t *ret_size)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, ret_size);

    if (!file)
        return NULL;
    for (unsigned i = 0; i < env->count; i++)
        (void) fprintf(file, "%s%c", env->items[i], '\0');
    if (fclose(file) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static int check_env(const struct cli *cli, const struct cli_values *env)
{
    if (env->count > CLI_VALUES_MAX)
        return (int) cli_usage_error(cli, "--env: at most %d of them", CLI_VALUES_MAX);
    for (unsigned i = 0; i < env->count; i++) {
        size_t size = strcspn(env->items[i], "=");
        if (size == 0 || env->items[i][size] == '\0')
            return (int) cli_usage_error(cli, "--env: number %u: expected NAME=VALUE", i + 1);
        for (unsigned j = 0; j < i; j++)
            if (strncmp(env->items[j], env->items[i], size + 1) == 0)
                return (int) cli_usage_error(cli, "%.*s is given twice, by --env or --env-file",
                                             (int) size, env->items[i]);
    }
    return CLI_DONE;
}

/* Reads lines NAME=VALUE of the file, as values of --env; empty lines and those that begin with '#'
 * are left out. *ret_text is the text that the values point into. */
static int read_env_file(const struct cli *cli, const char *path, char **ret_text,
                         struct cli_values *env)
{
    bool is_input = strcmp(path, "-") == 0;
    _cleanup_file_ FILE *opened = is_input ? NULL : fopen(path, "re");
    FILE *file = is_input ? stdin : opened;
    _cleanup_free_ char *text = calloc(1, ENV_FILE_MAX_BYTES + 2);
    unsigned number = 0;

    if (!file || !text)
        return (int) cli_failure(cli, "--env-file %s: %s", path, strerror(errno));
    size_t size = fread(text, 1, ENV_FILE_MAX_BYTES + 1, file);
    if (ferror(file))
        return (int) cli_failure(cli, "--env-file %s: %s", path, strerror(errno));
    if (size > ENV_FILE_MAX_BYTES || memchr(text, '\0', size))
        return (int) cli_failure(cli, "--env-file %s: expected text of at most %u KiB", path,
                                 ENV_FILE_MAX_BYTES >> 10);
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        line[strcspn(line, "\r")] = '\0';
        number++;
        if (line[0] == '\0' || line[0] == '#')
            continue;
        if (line[0] == '=' || !strchr(line, '=')) /* no text in the message: it may be a secret */
            return (int) cli_failure(cli, "--env-file %s:%u: expected NAME=VALUE", path, number);
        if (env->count++ < CLI_VALUES_MAX)
            env->items[env->count - 1] = line;
    }
    *ret_text = TAKE_PTR(text);
    return CLI_DONE;
}

static int read_folder(const char *dir, const struct cli_values *env,
                       struct manifest **ret_manifest, struct tenant_file *ret_yaml,
                       struct config_errors *errors)
{
    _cleanup_(manifest_cleanup) struct manifest *manifest = NULL;
    _cleanup_fd_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t size = 0;
    _cleanup_free_ char *text = join(env, &size);

    if (!text)
        return -ENOMEM;
    int r = manifest_read(dir, FILES_MIB_MOST << 20, &manifest, errors);
    if (r == 0)
        r = manifest_override_env(manifest, text, size, errors);
    if (r == 0)
        r = tenant_file_read(fd, "skep.yaml", CONFIG_FILE_MAX_BYTES, &ret_yaml->data,
                             &ret_yaml->size);
    if (r < 0)
        return r;
    *ret_manifest = TAKE_PTR(manifest);
    return 0;
}

/* ---- sending */

static void show_progress(const struct sending *sending, const char *what)
{
    char total[OUTPUT_NUMBER_BYTES];

    if (!sending->shows_progress)
        return;
    if (what)
        (void) fprintf(stderr, "\r\033[K%s", what);
    else
        (void) fprintf(
            stderr, "\r\033[Ksends %s: %u %%", output_kib((sending->total + 1023) / 1024, total),
            (unsigned) (sending->total > 0 ? sending->sent * 100 / sending->total : 100));
}

static void clear_progress(const struct sending *sending)
{
    if (sending->shows_progress)
        (void) fputs("\r\033[K", stderr);
}

static const Skep__Admin__Answer *send_part(const struct sending *sending,
                                            Skep__Admin__DeployPart *part,
                                            Skep__Admin__Answer__MessageCase kind)
{
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;

    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_DEPLOY_PART;
    command.deploy_part = part;
    return client_ask_for(sending->cli, sending->client, &command, kind, DEPLOY_TIMEOUT_MS);
}

static bool send_file(struct sending *sending, const char *path, const struct tenant_file *file)
{
    size_t at = 0;

    do {
        Skep__Admin__DeployPart part = SKEP__ADMIN__DEPLOY_PART__INIT;
        size_t left = file->size - at;
        part.path.data = (uint8_t *) (uintptr_t) path;
        part.path.len = strlen(path);
        part.data.data = (uint8_t *) file->data + at;
        part.data.len = left < PART_BYTES ? left : PART_BYTES;
        part.more = left > PART_BYTES;
        if (!send_part(sending, &part, SKEP__ADMIN__ANSWER__MESSAGE_DEPLOY_READY))
            return false;
        at += part.data.len;
        sending->sent += part.data.len;
        show_progress(sending, NULL);
    } while (at < file->size);
    return true;
}

static bool send_env(const struct sending *sending, const char *pair)
{
    Skep__Admin__DeployPart part = SKEP__ADMIN__DEPLOY_PART__INIT;
    size_t size = strcspn(pair, "=");

    part.env.data = (uint8_t *) (uintptr_t) pair;
    part.env.len = size;
    part.data.data = (uint8_t *) (uintptr_t) pair + size + 1;
    part.data.len = strlen(pair + size + 1);
    return send_part(sending, &part, SKEP__ADMIN__ANSWER__MESSAGE_DEPLOY_READY);
}

/* One after the other, as they come, is what people who deploy the same tenant at the same time expect. */
static bool begin(const struct sending *sending)
{
    static const struct timespec pause = { .tv_nsec = BUSY_PAUSE_MS * 1000000L };
    Skep__Admin__DeployRequest request = SKEP__ADMIN__DEPLOY_REQUEST__INIT;
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;
    const Skep__Admin__Answer *answer = NULL;
    int waited_ms = 0;

    request.name.data = (uint8_t *) sending->manifest->name;
    request.name.len = strlen(sending->manifest->name);
    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_DEPLOY;
    command.deploy = &request;
    for (;;) {
        int r = client_try_for(sending->client, &command, SKEP__ADMIN__ANSWER__MESSAGE_DEPLOY_READY,
                               DEPLOY_TIMEOUT_MS, &answer);
        if (r == 0)
            return true;
        if (r != -EREMOTEIO || !answer->failure->busy || waited_ms >= BUSY_MS) {
            clear_progress(sending);
            client_explain_answer(sending->cli, r, answer);
            return false;
        }
        show_progress(sending, "waits for another deploy");
        (void) nanosleep(&pause, NULL);
        waited_ms += BUSY_PAUSE_MS;
    }
}

static const Skep__Admin__Deployed *send_all(struct sending *sending)
{
    Skep__Admin__DeployPart last = SKEP__ADMIN__DEPLOY_PART__INIT;
    const struct manifest *manifest = sending->manifest;

    if (!begin(sending) || !send_file(sending, "skep.yaml", &sending->yaml))
        return NULL;
    for (unsigned i = 0; i < manifest->n_files; i++)
        if (!send_file(sending, manifest->files[i].path, &manifest->files[i]))
            return NULL;
    for (unsigned i = 0; i < sending->env->count; i++)
        if (!send_env(sending, sending->env->items[i]))
            return NULL;
    last.end = true;
    show_progress(sending, "loads");
    const Skep__Admin__Answer *answer =
        send_part(sending, &last, SKEP__ADMIN__ANSWER__MESSAGE_DEPLOYED);
    clear_progress(sending);
    return answer ? answer->deployed : NULL;
}

static int deploy(const struct cli *cli, const struct manifest *manifest,
                  const struct tenant_file *yaml, const struct cli_values *env)
{
    _cleanup_(client_cleanup) struct client *client = client_connect(cli);
    struct sending sending = {
        .cli = cli,
        .client = client,
        .manifest = manifest,
        .env = env,
        .yaml = *yaml,
        .total = yaml->size,
        .shows_progress = !cli->json && isatty(STDERR_FILENO),
    };

    if (!client)
        return CLI_FAILED;
    for (unsigned i = 0; i < manifest->n_files; i++)
        sending.total += manifest->files[i].size;
    const Skep__Admin__Deployed *deployed = send_all(&sending);
    if (!deployed)
        return CLI_FAILED;
    if (cli->json)
        return json_print(message_json(&deployed->base)) < 0 ? CLI_FAILED : CLI_DONE;
    deployed_print(deployed);
    return CLI_DONE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    _cleanup_(config_errors_done) struct config_errors errors = { 0 };
    _cleanup_(manifest_cleanup) struct manifest *manifest = NULL;
    struct cli_option options[] = { deploy_options[0], deploy_options[1], deploy_options[2] };
    _cleanup_free_ char *env_text = NULL;
    const char *env_file = NULL;
    struct tenant_file yaml = { 0 };
    struct cli_values env = { 0 };
    enum cli_exit status = CLI_DONE;

    options[0].values = &env;
    options[1].value = &env_file;
    int first = cli_options(cli, options, argc, argv, &status);
    if (first < 0)
        return (int) status;
    int wrong = env_file ? read_env_file(cli, env_file, &env_text, &env) : CLI_DONE;
    if (wrong == CLI_DONE)
        wrong = check_env(cli, &env);
    if (wrong != CLI_DONE)
        return wrong;
    int r = read_folder(argv[first], &env, &manifest, &yaml, &errors);
    _cleanup_free_ char *owned = yaml.data;
    if (r < 0) {
        if (errors.text)
            (void) fputs(errors.text, stderr);
        else
            output_error("deploy", "%s: %s", argv[first], strerrordesc_np(-r));
        return CLI_FAILED;
    }
    _cleanup_(config_errors_done) struct config_errors notes = { 0 };
    tenant_files_note_left_out(manifest, &notes);
    output_notes(stderr, &notes);
    return deploy(cli, manifest, &yaml, &env);
}

const struct verb verb_deploy = {
    .name = "deploy",
    .arguments = "DIR",
    .summary = "send a tenant's folder, and serve it once it has loaded",
    .help =
        "DIR holds skep.yaml, which names the tenant. The new version is stored, loads in a\n"
        "worker, and only then takes over, without a failed request. If it does not load,\n"
        "the version before serves on, and the error is shown. The same content again is no\n"
        "new version. If it fails far more often than the one before in its first time, that\n"
        "one comes back by itself (deploy: in skepd.yaml). While another deploy of the tenant\n"
        "is under way, this one waits for it, 20 s at most.\n\n"
        "Migrations of its databases (migrations: in skep.yaml) are applied once it has loaded,\n"
        "and are listed. If one fails, it is undone, and the version before serves on.\n\n"
        "Values of --env belong to this version only: give them with each deploy. Other users\n"
        "of this machine can see the command line while it runs, but not the file of\n"
        "--env-file: lines NAME=VALUE; empty ones and those that begin with # are left out.\n\n"
        "Fields of --json: tenant, version (SHA-256), previous (null: none), unchanged (it\n"
        "served already), routes, files, bytes, boot_us (that loading took), notes (rules of\n"
        "allowed_hosts that allow nothing by skepd.yaml as it is now), migrations (that were\n"
        "applied: DATABASE/FILE).\n",
    .options = deploy_options,
    .run = run,
};
