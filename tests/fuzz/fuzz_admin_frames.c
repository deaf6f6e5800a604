/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds bytes to the real admin socket as a client's, with tenants, a worker that one of them is in
 * and a spare behind it. With any bytes: each command before the first bad frame has exactly one
 * answer of its kind or a failure, in its order; nothing is answered after it; and another client
 * is served as before.
 *
 * Input: how it is sent (HOW_*), frames.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin.pb-c.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "proto/frame.h"
#include "supervisor/admin/admin.h"
#include "supervisor/placement/placement.h"
#include "tests/fuzz/rig.h"

#define OPTIONS_BYTES 1
#define INPUT_MAX_BYTES 2048 /* a reload takes a while, and six bytes ask for one */
#define COMMANDS_MAX (INPUT_MAX_BYTES / FRAME_HEADER_BYTES)
#define PIECES_MAX 64
#define QUIET_TURNS 3
#define TURNS_MAX 1000
#define ANSWER_ARENA_BYTES (16U << 20)
#define LOG_LINE "a line of alpha's"

enum { HOW_PIECES = 7, HOW_DEAF = 8, HOW_CLOSES = 16 };

const size_t fuzz_options_bytes = OPTIONS_BYTES;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] =
    "listen: [\"127.0.0.1:0\"]\n"
    "cordons:\n"
    "  - { name: shared, workers: 2, rss_mib: unlimited, spare: off, solitary: 2 }\n";
static const char manifest[] = "name: alpha\nmain: a.js\ncordon: shared\n";
/* Long routes, so that 165 lists of tenants are more than skepd queues for a client. */
#define LONG "/a-path-that-makes-the-list-of-tenants-long-enough-to-have-a-client-wait-for-it"
static const char long_manifest[] =
    "name: beta\nmain: a.js\ncordon: shared\n"
    "routes: [a" LONG ", b" LONG ", c" LONG ", d" LONG ", e" LONG ", f" LONG ", g" LONG ", h" LONG
    ", i" LONG ", j" LONG ", k" LONG ", l" LONG ", m" LONG ", n" LONG ", o" LONG ", p" LONG "]\n";

/* The answer to each command, if it is not Failure. */
static const Skep__Admin__Answer__MessageCase answers[] = {
    [SKEP__ADMIN__COMMAND__MESSAGE_STATS] = SKEP__ADMIN__ANSWER__MESSAGE_STATS,
    [SKEP__ADMIN__COMMAND__MESSAGE_WORKERS] = SKEP__ADMIN__ANSWER__MESSAGE_WORKERS,
    [SKEP__ADMIN__COMMAND__MESSAGE_TENANTS] = SKEP__ADMIN__ANSWER__MESSAGE_TENANTS,
    [SKEP__ADMIN__COMMAND__MESSAGE_RELOAD] = SKEP__ADMIN__ANSWER__MESSAGE_RELOADED,
    [SKEP__ADMIN__COMMAND__MESSAGE_LOGS] = SKEP__ADMIN__ANSWER__MESSAGE_SUBSCRIBED,
    [SKEP__ADMIN__COMMAND__MESSAGE_LOAD] = SKEP__ADMIN__ANSWER__MESSAGE_RELOADED,
    [SKEP__ADMIN__COMMAND__MESSAGE_INCIDENTS] = SKEP__ADMIN__ANSWER__MESSAGE_INCIDENTS,
    [SKEP__ADMIN__COMMAND__MESSAGE_QUARANTINE] = SKEP__ADMIN__ANSWER__MESSAGE_QUARANTINED,
    [SKEP__ADMIN__COMMAND__MESSAGE_RELEASE] = SKEP__ADMIN__ANSWER__MESSAGE_RELEASED,
    [SKEP__ADMIN__COMMAND__MESSAGE_RETIRE] = SKEP__ADMIN__ANSWER__MESSAGE_RETIRED,
    [SKEP__ADMIN__COMMAND__MESSAGE_STATUS] = SKEP__ADMIN__ANSWER__MESSAGE_STATUS,
    [SKEP__ADMIN__COMMAND__MESSAGE_JAIL_REPORT] = SKEP__ADMIN__ANSWER__MESSAGE_JAIL_REPORT,
    [SKEP__ADMIN__COMMAND__MESSAGE_DEPLOY] = SKEP__ADMIN__ANSWER__MESSAGE_DEPLOY_READY,
    [SKEP__ADMIN__COMMAND__MESSAGE_DEPLOY_PART] = SKEP__ADMIN__ANSWER__MESSAGE_DEPLOY_READY,
    [SKEP__ADMIN__COMMAND__MESSAGE_ROLLBACK] = SKEP__ADMIN__ANSWER__MESSAGE_DEPLOYED,
    [SKEP__ADMIN__COMMAND__MESSAGE_VERSIONS] = SKEP__ADMIN__ANSWER__MESSAGE_VERSIONS,
    [SKEP__ADMIN__COMMAND__MESSAGE_REMOVE] = SKEP__ADMIN__ANSWER__MESSAGE_REMOVED,
    [SKEP__ADMIN__COMMAND__MESSAGE_CONFIG_RELOAD] = SKEP__ADMIN__ANSWER__MESSAGE_CONFIG_RELOADED,
    [SKEP__ADMIN__COMMAND__MESSAGE_DRAIN] = SKEP__ADMIN__ANSWER__MESSAGE_DRAINING,
    [SKEP__ADMIN__COMMAND__MESSAGE_UPGRADE] = SKEP__ADMIN__ANSWER__MESSAGE_UPGRADED,
    [SKEP__ADMIN__COMMAND__MESSAGE_EXPLAIN] = SKEP__ADMIN__ANSWER__MESSAGE_EXPLAINED,
    [SKEP__ADMIN__COMMAND__MESSAGE_TOP] = SKEP__ADMIN__ANSWER__MESSAGE_TOP,
    [SKEP__ADMIN__COMMAND__MESSAGE_KILL_WORKER] = SKEP__ADMIN__ANSWER__MESSAGE_WORKER_KILLED,
    [SKEP__ADMIN__COMMAND__MESSAGE_LOG_TAIL] = SKEP__ADMIN__ANSWER__MESSAGE_LOG_TAIL,
    [SKEP__ADMIN__COMMAND__MESSAGE_SECRET_SET] = SKEP__ADMIN__ANSWER__MESSAGE_SECRET_DONE,
    [SKEP__ADMIN__COMMAND__MESSAGE_SECRET_REMOVE] = SKEP__ADMIN__ANSWER__MESSAGE_SECRET_DONE,
    [SKEP__ADMIN__COMMAND__MESSAGE_SECRETS] = SKEP__ADMIN__ANSWER__MESSAGE_SECRETS,
};

/* The commands of the input, as skepd should understand them. */
struct script {
    unsigned commands[COMMANDS_MAX];
    unsigned n_commands;
    bool is_bad; /* then comes a bad frame */
};

struct client {
    int fd;
    uint8_t *input; /* borrowed: see set_up */
    size_t have;
    unsigned n_answers;
    bool is_subscribed;
    bool is_closed; /* closed by the supervisor */
};

struct scene {
    struct rig *rig;
    struct admin *admin;
    struct rig_worker workers[2];
    struct client hostile, witness;
};

/* ---- files: a tenant's folder, and the socket beside it */

static char folder[64], socket_path[96];

static void remove_folder(void)
{
    char path[96];

    (void) snprintf(path, sizeof path, "%s/skep.yaml", folder);
    (void) unlink(path);
    (void) snprintf(path, sizeof path, "%s/a.js", folder);
    (void) unlink(path);
    (void) unlink(socket_path);
    (void) rmdir(folder);
}

static void write_file(const char *name, const char *text)
{
    char path[96];

    (void) snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && io_write_all(fd, text, strlen(text)) == 0);
    (void) close(fd);
}

static void make_folder(void)
{
    if (folder[0])
        return;
    /* In memory, because the socket is made and removed for each input. */
    (void) snprintf(folder, sizeof folder, "/dev/shm/skep-fuzz-XXXXXX");
    CHECK(mkdtemp(folder));
    (void) snprintf(socket_path, sizeof socket_path, "%s/admin.sock", folder);
    (void) atexit(remove_folder);
    write_file("skep.yaml", manifest);
    write_file("a.js", "export default { fetch() {} }\n");
}

/* ---- a client */

static void client_start(struct client *client, uint8_t *input)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    (void) snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    *client = (struct client){ .fd = socket(AF_UNIX, SOCK_STREAM, 0), .input = input };
    CHECK(client->fd >= 0);
    CHECK(connect(client->fd, (const struct sockaddr *) &address, sizeof address) == 0);
    CHECK(io_set_nonblocking(client->fd) == 0);
}

static void client_done(struct client *client)
{
    (void) close(client->fd);
}

/* script: NULL for a client that asks for stats only. */
static void on_answer(struct client *client, const Skep__Admin__Answer *answer,
                      const struct script *script)
{
    if (answer->message_case == SKEP__ADMIN__ANSWER__MESSAGE_LOG) {
        CHECK(client->is_subscribed);
        return;
    }
    CHECK(!script || client->n_answers < script->n_commands);
    unsigned command =
        script ? script->commands[client->n_answers] : SKEP__ADMIN__COMMAND__MESSAGE_STATS;
    CHECK(answer->message_case == answers[command] ||
          answer->message_case == SKEP__ADMIN__ANSWER__MESSAGE_FAILURE);
    client->is_subscribed |= answer->message_case == SKEP__ADMIN__ANSWER__MESSAGE_SUBSCRIBED;
    client->n_answers++;
}

/* Returns whether anything has come. */
static bool client_read(struct client *client, const struct script *script)
{
    static struct arena arena;
    size_t used = 0;
    int64_t size;

    CHECK(arena.memory || arena_init(&arena, ANSWER_ARENA_BYTES) == 0);
    ssize_t n = read(client->fd, client->input + client->have,
                     FRAME_HEADER_BYTES + FRAME_MAX_BYTES - client->have);
    client->is_closed = n == 0 || (n < 0 && errno != EAGAIN);
    if (n <= 0)
        return false;
    client->have += (size_t) n;
    while ((size = frame_measure(client->input + used, client->have - used)) > 0) {
        const void *answer = frame_unpack(&skep__admin__answer__descriptor, client->input + used,
                                          (size_t) size, &arena);
        CHECK(answer);
        on_answer(client, answer, script);
        used += (size_t) size;
    }
    CHECK(size == 0);
    client->have -= used;
    memmove(client->input, client->input + used, client->have);
    return true;
}

/* ---- the supervisor */

static void set_up(struct scene *scene)
{
    static uint8_t inputs[2][FRAME_HEADER_BYTES + FRAME_MAX_BYTES];
    static const struct incident incident = { .stage = STAGE_REFUSED, .cause = LIMIT_INDEX(queue) };

    make_folder();
    scene->rig = rig_start(config);
    struct heart *heart = &scene->rig->heart;
    rig_install(scene->rig, manifest, folder);
    rig_install(scene->rig, long_manifest, "/nowhere/beta");
    rig_worker_start(scene->rig, "shared", SLOT_SHARED, &scene->workers[0]);
    rig_worker_start(scene->rig, "shared", SLOT_SPARE, &scene->workers[1]);
    for (unsigned i = 0; i < ARRAY_LEN(scene->workers); i++)
        rig_worker_become_ready(scene->rig, &scene->workers[i]);
    CHECK(placement_preload(TAILQ_FIRST(&heart->tenants->list)) == 0);
    incident_note(&heart->record, &TAILQ_FIRST(&heart->tenants->list)->counted, &incident);
    incident_note(&heart->record, NULL, &incident);
    CHECK(heart_open_admin(heart, socket_path, &scene->admin) == 0);
    client_start(&scene->witness, inputs[0]);
    client_start(&scene->hostile, inputs[1]);
    rig_turn(scene->rig);
}

static void tear_down(struct scene *scene)
{
    client_done(&scene->hostile);
    rig_turn(scene->rig);
    scene->admin = admin_free(scene->admin);
    client_done(&scene->witness);
    for (unsigned i = 0; i < ARRAY_LEN(scene->workers); i++)
        rig_worker_done(&scene->workers[i]);
    rig_stop(scene->rig);
}

static void turn(struct scene *scene)
{
    tenant_log(TAILQ_FIRST(&scene->rig->heart.tenants->list), TENANT_INFO, LOG_LINE,
               sizeof LOG_LINE - 1);
    rig_turn(scene->rig);
    for (unsigned i = 0; i < ARRAY_LEN(scene->workers); i++)
        rig_drop_input(scene->workers[i].fd);
}

/* ---- the input */

static void read_script(const uint8_t *data, size_t size, struct script *ret_script)
{
    static struct arena arena;
    int64_t frame;

    CHECK(arena.memory || arena_init(&arena, 4U << 20) == 0);
    ret_script->n_commands = 0;
    for (; (frame = frame_measure(data, size)) > 0; data += frame, size -= (size_t) frame) {
        const Skep__Admin__Command *command = (const Skep__Admin__Command *) frame_unpack(
            &skep__admin__command__descriptor, data, (size_t) frame, &arena);
        if (!command || command->message_case == 0)
            break;
        CHECK(command->message_case < ARRAY_LEN(answers));
        ret_script->commands[ret_script->n_commands++] = command->message_case;
    }
    ret_script->is_bad = frame != 0;
}

static void feed(struct scene *scene, const uint8_t *data, size_t size, unsigned how,
                 const struct script *script)
{
    static const size_t pieces[] = { INPUT_MAX_BYTES, 1, 3, 4, 7, 16, 64, 256 };
    size_t piece = pieces[how & HOW_PIECES];

    if (piece < size / PIECES_MAX)
        piece = size / PIECES_MAX;
    while (size > 0) {
        ssize_t n = send(scene->hostile.fd, data, size < piece ? size : piece, MSG_NOSIGNAL);
        if (n < 0)
            break; /* skepd has closed the connection */
        data += n;
        size -= (size_t) n;
        turn(scene);
        if (!(how & HOW_DEAF))
            (void) client_read(&scene->hostile, script);
    }
    if (how & HOW_CLOSES)
        (void) shutdown(scene->hostile.fd, SHUT_WR);
    for (unsigned i = 0; i < QUIET_TURNS; i++)
        turn(scene);
}

/* Reads until all answers have come that should. */
static void check_answers(struct scene *scene, unsigned how, const struct script *script)
{
    struct client *client = &scene->hostile;
    /* Answers that are queued on a connection go with it. */
    bool is_cut = script->is_bad || (how & HOW_CLOSES);

    if (how & HOW_DEAF)
        return;
    for (unsigned i = 0; i < TURNS_MAX && client->n_answers < script->n_commands; i++) {
        if (!client_read(client, script) && (client->is_closed || is_cut))
            break;
        turn(scene);
    }
    (void) client_read(client, script);
    CHECK(is_cut ? client->n_answers <= script->n_commands
                 : client->n_answers == script->n_commands);
    while (client_read(client, script)) /* log lines */
        ;
    CHECK(client->is_closed == is_cut);
}

static void check_witness(struct scene *scene)
{
    static const uint8_t stats[] = { 2, 0, 0, 0, SKEP__ADMIN__COMMAND__MESSAGE_STATS << 3 | 2, 0 };
    struct client *client = &scene->witness;

    CHECK(!client_read(client, NULL) && !client->is_closed);
    CHECK(send(client->fd, stats, sizeof stats, MSG_NOSIGNAL) == sizeof stats);
    for (unsigned i = 0; i < TURNS_MAX && client->n_answers == 0; i++) {
        turn(scene);
        (void) client_read(client, NULL);
    }
    CHECK(client->n_answers == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct script script;
    struct scene scene;

    if (size < OPTIONS_BYTES)
        return 0;
    if (size > INPUT_MAX_BYTES)
        size = INPUT_MAX_BYTES;
    read_script(data + OPTIONS_BYTES, size - OPTIONS_BYTES, &script);
    set_up(&scene);
    feed(&scene, data + OPTIONS_BYTES, size - OPTIONS_BYTES, data[0], &script);
    check_answers(&scene, data[0], &script);
    rig_tick(scene.rig);
    check_witness(&scene);
    tear_down(&scene);
    return 0;
}
