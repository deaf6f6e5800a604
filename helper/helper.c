/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/helper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/layers.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "helper.pb-c.h"
#include "sandbox-policy/policy.h"

#define OUTPUT_HIGH_BYTES (1U << 20) /* queued for one skepd: helper_client_is_congested */
#define LAYERS_OPTION "--layers="

struct helper_client {
    TAILQ_ENTRY(helper_client) entry;
    struct helper_life *life; /* borrowed */
    struct channel *channel;
    uint64_t last_id; /* the last one that helper_take_id has taken */
};

struct helper_life {
    const struct helper_program *program; /* borrowed */
    struct event_base *base;
    struct event *accept; /* NULL: a program */
    int listen_fd;        /* -1: a program */
    uid_t owner;          /* owner of the unit's socket */
    struct helper_words words;
    TAILQ_HEAD(, helper_client) clients;
    int error;
};

/* ---- clients */

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

void *helper_owner(const struct helper_client *client)
{
    return client->life->program->owner;
}

/* Writes the answer at once: the next request may take long. */
int helper_answer(struct helper_client *client, const ProtobufCMessage *answer)
{
    int r = channel_send(client->channel, answer);

    if (r == 0)
        channel_flush(client->channel);
    return r == -EPIPE ? 0 : r;
}

int helper_send(struct helper_client *client, const ProtobufCMessage *frame)
{
    int r = channel_send(client->channel, frame);

    return r == -EPIPE ? 0 : r;
}

bool helper_client_is_congested(const struct helper_client *client)
{
    return channel_is_congested(client->channel);
}

size_t helper_client_queued_bytes(const struct helper_client *client)
{
    return channel_queued_bytes(client->channel);
}

bool helper_take_id(struct helper_client *client, uint64_t id)
{
    if (id <= client->last_id)
        return false;
    client->last_id = id;
    return true;
}

bool helper_had_id(const struct helper_client *client, uint64_t id)
{
    return id <= client->last_id;
}

static int say_hello(struct helper_client *client)
{
    const struct helper_life *life = client->life;
    Skep__Helper__Hello hello = SKEP__HELPER__HELLO__INIT;
    Skep__Helper__Greeting greeting = SKEP__HELPER__GREETING__INIT;

    hello.name = bytes_of(life->program->name);
    hello.version = life->program->version;
    hello.release = bytes_of(SKEP_VERSION);
    hello.error = bytes_of(life->words.error);
    hello.warning = bytes_of(life->words.warning);
    hello.info = bytes_of(life->words.info);
    greeting.message_case = SKEP__HELPER__GREETING__MESSAGE_HELLO;
    greeting.hello = &hello;
    return helper_answer(client, &greeting.base);
}

static void client_free(struct helper_client *client)
{
    const struct helper_program *program = client->life->program;

    TAILQ_REMOVE(&client->life->clients, client, entry);
    if (program->on_left)
        program->on_left(program->owner, client);
    client->channel = channel_free(client->channel);
    free(client);
}

static void on_drained(void *owner)
{
    struct helper_client *client = owner;
    const struct helper_program *program = client->life->program;

    if (program->on_drained)
        program->on_drained(program->owner, client);
}

/* Ends a program, which has no other client; frees a unit's client. */
static void on_closed(void *owner, int error)
{
    struct helper_client *client = owner;
    struct helper_life *life = client->life;

    client_free(client);
    if (life->listen_fd >= 0)
        return;
    life->error = error == -EPIPE || error == -ECONNRESET ? 0 : error;
    (void) event_base_loopbreak(life->base);
}

/* Adds a client. fd: owned. */
static int add_client(struct helper_life *life, int fd)
{
    struct helper_client *client = calloc(1, sizeof *client);
    const struct channel_options options = {
        .base = life->base,
        .fd = fd,
        .name = "helper: requests",
        .receive = life->program->requests,
        .tails = life->program->tails,
        .phase = 1,
        .owner = client,
        .on_closed = on_closed,
        .on_drained = on_drained,
        .output_high_bytes = OUTPUT_HIGH_BYTES,
    };

    const int socket_bytes = life->program->socket_bytes;

    if (socket_bytes > 0)
        (void) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &socket_bytes, sizeof socket_bytes);
    int r = client ? channel_new(&options, &client->channel) : -ENOMEM;
    if (r < 0) {
        (void) close(fd);
        free(client);
        return r;
    }
    client->life = life;
    TAILQ_INSERT_TAIL(&life->clients, client, entry);
    return say_hello(client);
}

/* ---- units */

static void on_connection(evutil_socket_t listen_fd, short what, void *arg)
{
    LOOP_CALLBACK("helper: connection");
    struct helper_life *life = arg;
    struct ucred peer;
    socklen_t size = sizeof peer;

    (void) what;
    _cleanup_fd_ int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return;
    if (peer.uid != 0 && peer.uid != life->owner)
        log_warning("a process of uid %u has connected, and is refused: only root and uid %u, "
                    "which owns the socket's file, may connect",
                    peer.uid, life->owner);
    else
        (void) add_client(life, TAKE_FD(fd));
}

static int listen_as_unit(struct helper_life *life, int fd)
{
    struct sockaddr_un address = { 0 };
    socklen_t size = sizeof address;
    struct stat st;

    if (getsockname(fd, (struct sockaddr *) &address, &size) < 0 || address.sun_family != AF_UNIX ||
        address.sun_path[0] == '\0' || stat(address.sun_path, &st) < 0)
        return log_error_errno(-ENOTSOCK, "the unit's socket has no file");
    life->listen_fd = fd;
    life->owner = st.st_uid;
    life->accept = event_new(life->base, fd, EV_READ | EV_PERSIST, on_connection, life);
    int r = life->accept ? io_set_nonblocking(fd) : -ENOMEM;
    return r == 0 && event_add(life->accept, NULL) < 0 ? -ENOMEM : r;
}

/* ---- start */

/* Ignores signals of the terminal, which go to the whole group: skepd decides what they mean. */
static void ignore_signals(void)
{
    static const int ignored[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };

    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        (void) signal(ignored[i], SIG_IGN);
}

static int fail(struct helper_life *life, int error, const char *what)
{
    if (life->words.error[0] == '\0')
        (void) snprintf(life->words.error, sizeof life->words.error, "%s: %s", what,
                        strerrordesc_np(-error));
    return error;
}

#ifndef SKEP_UNJAILED

/* Returns whether Landlock may be missing: only where the workers' jail was tried without it, which
 * the operator agreed to. */
static bool may_lack_landlock(int argc, char **argv)
{
    unsigned long layers = 0;

    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], LAYERS_OPTION, strlen(LAYERS_OPTION)) == 0)
            layers = strtoul(argv[i] + strlen(LAYERS_OPTION), NULL, 16);
    return (layers & LAYER_BIT(LAYER_LANDLOCK)) == 0;
}

static int confine(struct helper_life *life, int argc, char **argv)
{
    const struct helper_program *program = life->program;
    const struct confine_folder folder = { ".", program->folder_use };
    const struct confine_options options = {
        .folders = &folder,
        .n_folders = program->has_folder ? 1 : 0,
        .cgroup_fd = -1,
        .table = program->calls,
        .no_signals = true,
        .may_connect = program->may_connect,
        .start_threads = program->start_threads,
        .owner = program->owner,
        .landlock_may_be_missing = may_lack_landlock(argc, argv),
    };
    const char *step = "";
    char what[64];

    int r = confine_process(&options, &step);
    if (r >= 0)
        return 0;
    (void) snprintf(what, sizeof what, "cannot confine itself (%s)", step);
    return fail(life, r, what);
}

#else

static int confine(struct helper_life *life, int argc, char **argv)
{
    const struct helper_program *program = life->program;

    (void) argc;
    (void) argv;
    return program->start_threads ? program->start_threads(program->owner) : 0;
}

#endif

static int enter_folder(const struct helper_program *program)
{
    if (!program->has_folder)
        return 0;
    int r = fchdir(HELPER_FOLDER_FD) < 0 ? -errno : 0;
    (void) close(HELPER_FOLDER_FD);
    return r;
}

static int get_ready(struct helper_life *life, int argc, char **argv)
{
    const struct helper_program *program = life->program;

    int r = enter_folder(program);
    if (r == 0 && program->open)
        r = program->open(program->owner, &life->words);
    if (r == 0)
        r = confine(life, argc, argv);
    if (r == 0 && program->start)
        r = program->start(program->owner, life->base, &life->words);
    return r < 0 ? fail(life, r, "cannot start") : 0;
}

static int make_loop(struct helper_life *life)
{
    struct event_config *config = event_config_new();

    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
        life->base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    return life->base ? 0 : -ENOMEM;
}

/* A program that cannot start says so to skepd, a unit to its log. */
static int live(struct helper_life *life, int argc, char **argv)
{
    int n_sockets = sd_listen_fds(1);

    int r = make_loop(life);
    if (r == 0 && n_sockets > 0)
        r = listen_as_unit(life, SD_LISTEN_FDS_START);
    else if (r == 0)
        r = io_set_nonblocking(HELPER_CHANNEL_FD);
    if (r < 0)
        return r;
    if (n_sockets <= 0)
        ignore_signals();
    int ready = get_ready(life, argc, argv);
    if (n_sockets <= 0)
        r = add_client(life, HELPER_CHANNEL_FD);
    else if (ready < 0)
        log_error("%s", life->words.error);
    if (r == 0 && ready == 0 && event_base_dispatch(life->base) < 0)
        r = -EIO;
    return ready < 0 ? ready : r < 0 ? r : life->error;
}

/* ---- people */

/* Prints help or the version, or refuses an unknown argument. Returns false if there is none of these; else *ret_status is the
 * exit status. */
static bool is_for_people(int argc, char **argv, const struct helper_program *program,
                          int *ret_status)
{
    for (int i = 1; i < argc && program->options; i++) {
        bool is_known = strncmp(argv[i], LAYERS_OPTION, strlen(LAYERS_OPTION)) == 0;
        for (size_t n = 0; program->options[n]; n++)
            is_known |= strncmp(argv[i], program->options[n], strlen(program->options[n])) == 0;
        if (is_known)
            continue;
        bool is_version = strcmp(argv[i], "--version") == 0;
        bool is_help = strcmp(argv[i], "--help") == 0;
        if (is_version)
            (void) printf("skep-%s %s\n", program->name, SKEP_VERSION);
        else if (is_help)
            (void) fputs(program->usage, stdout);
        else
            (void) fprintf(stderr, "skep-%s: unknown argument \"%s\"\n%s", program->name, argv[i],
                           program->usage);
        *ret_status = is_version || is_help ? 0 : 2;
        return true;
    }
    return false;
}

/* Returns whether there is a socket of the service manager's or of skepd's. */
static bool has_socket(void)
{
    struct stat st;

    return sd_listen_fds(0) > 0 || (fstat(HELPER_CHANNEL_FD, &st) == 0 && S_ISSOCK(st.st_mode));
}

int helper_main(int argc, char **argv, const struct helper_program *program)
{
    struct helper_life life = { .program = program, .listen_fd = -1 };
    struct helper_client *client;
    static char name[16]; /* the log keeps it */
    int status = 0;

    if (is_for_people(argc, argv, program, &status))
        return status;
    if (!has_socket()) {
        (void) fprintf(stderr, "skep-%s is started by systemd or skepd, and not by hand\n",
                       program->name);
        return 2;
    }
    TAILQ_INIT(&life.clients);
    (void) snprintf(name, sizeof name, "skep-%.10s", program->name);
    (void) prctl(PR_SET_NAME, name, 0, 0, 0);
    (void) signal(SIGPIPE, SIG_IGN);
    log_init(name, LOG_LEVEL_INFO);
    int r = live(&life, argc, argv);
    while ((client = TAILQ_FIRST(&life.clients)))
        client_free(client);
    if (program->stop)
        program->stop(program->owner);
    if (life.accept)
        event_free(life.accept);
    if (life.base)
        event_base_free(life.base);
    libevent_global_shutdown();
    return r < 0 ? 1 : 0;
}
