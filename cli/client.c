/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/hint.h"
#include "cli/message.h"
#include "cli/output.h"
#include "common/io.h"
#include "proto/frame.h"

#define INPUT_BYTES (FRAME_HEADER_BYTES + FRAME_MAX_BYTES)
#define ARENA_BYTES (16U << 20)

struct client {
    int fd;
    int timeout_ms; /* the user's timeout; 0: that of the command */
    struct arena arena;
    uint8_t *input;
    size_t have;
    size_t used; /* bytes of input that are the frame of the last answer */
};

/* Connects. A listening socket with a full backlog answers -EAGAIN at once: then tries again. */
static int connect_socket(int fd, const struct sockaddr_un *address, int timeout_ms)
{
    uint64_t end_ns = io_now_ns() + (uint64_t) timeout_ms * NSEC_PER_MSEC;

    while (connect(fd, (const struct sockaddr *) address, sizeof *address) < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        if (io_now_ns() > end_ns)
            return -ETIMEDOUT;
        (void) poll(NULL, 0, 20);
    }
    return 0;
}

static int find_timeout(const struct client *client, int timeout_ms)
{
    return client->timeout_ms > 0 ? client->timeout_ms : timeout_ms;
}

int client_new(const char *socket_path, int timeout_ms, struct client **ret_client)
{
    _cleanup_(client_cleanup) struct client *client = calloc(1, sizeof *client);
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (!client)
        return -ENOMEM;
    client->fd = -1;
    client->timeout_ms = timeout_ms;
    if (strlen(socket_path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
    client->input = malloc(INPUT_BYTES);
    if (!client->input || arena_init(&client->arena, ARENA_BYTES) < 0)
        return -ENOMEM;
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (client->fd < 0)
        return -errno;
    int r = connect_socket(client->fd, &address, find_timeout(client, CLIENT_TIMEOUT_MS));
    if (r < 0)
        return r;
    *ret_client = TAKE_PTR(client);
    return 0;
}

struct client *client_free(struct client *client)
{
    if (!client)
        return NULL;
    if (client->fd >= 0)
        (void) close(client->fd);
    arena_done(&client->arena);
    free(client->input);
    free(client);
    return NULL;
}

int client_fd(const struct client *client)
{
    return client->fd;
}

/* Waits for events: 0, else -ETIMEDOUT or -errno. */
static int wait_for(const struct client *client, short events, uint64_t end_ns)
{
    for (;;) {
        struct pollfd fd = { .fd = client->fd, .events = events };
        uint64_t now = io_now_ns();
        if (now >= end_ns)
            return -ETIMEDOUT;
        int n = poll(&fd, 1, (int) ((end_ns - now) / NSEC_PER_MSEC + 1));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            return 0;
    }
}

int client_send(struct client *client, const Skep__Admin__Command *command)
{
    uint64_t end_ns =
        io_now_ns() + (uint64_t) find_timeout(client, CLIENT_TIMEOUT_MS) * NSEC_PER_MSEC;
    size_t size = frame_packed_size(&command->base);

    if (size == 0)
        return -EMSGSIZE;
    _cleanup_free_ uint8_t *frame = malloc(size);
    if (!frame)
        return -ENOMEM;
    frame_pack(&command->base, frame, size);
    for (size_t at = 0; at < size;) {
        ssize_t n = send(client->fd, frame + at, size - at, MSG_NOSIGNAL);
        if (n >= 0) {
            at += (size_t) n;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return errno == ECONNRESET ? -EPIPE : -errno;
        int r = wait_for(client, POLLOUT, end_ns);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Drops the frame of the last answer, and looks for the next. 1, 0 if it is not whole, -EPROTO. */
static int take_frame(struct client *client, const Skep__Admin__Answer **ret_answer)
{
    client->have -= client->used;
    memmove(client->input, client->input + client->used, client->have);
    client->used = 0;
    int64_t size = frame_measure(client->input, client->have);
    if (size <= 0)
        return size == 0 ? 0 : -EPROTO;
    ProtobufCMessage *message = frame_unpack(&skep__admin__answer__descriptor, client->input,
                                             (size_t) size, &client->arena);
    if (!message)
        return -EPROTO;
    client->used = (size_t) size;
    *ret_answer = (const Skep__Admin__Answer *) message;
    return 1;
}

static int receive_until(struct client *client, uint64_t end_ns,
                         const Skep__Admin__Answer **ret_answer)
{
    for (;;) {
        int r = take_frame(client, ret_answer);
        if (r != 0)
            return r < 0 ? r : 0;
        ssize_t n = read(client->fd, client->input + client->have, INPUT_BYTES - client->have);
        if (n > 0) {
            client->have += (size_t) n;
            continue;
        }
        if (n == 0 || errno == ECONNRESET)
            return -EPIPE;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        if (end_ns == 0)
            return -EAGAIN;
        r = wait_for(client, POLLIN, end_ns);
        if (r < 0)
            return r;
    }
}

int client_receive(struct client *client, int timeout_ms, const Skep__Admin__Answer **ret_answer)
{
    uint64_t end_ns = io_now_ns() + (uint64_t) timeout_ms * NSEC_PER_MSEC;

    return receive_until(client, timeout_ms == 0 ? 0 : end_ns, ret_answer);
}

/* ---- for verbs that ask and print */

struct client *client_connect(const struct cli *cli)
{
    struct client *client = NULL;

    int r = client_new(cli->socket, cli->timeout_ms, &client);
    if (r < 0)
        hint_connect(cli, r);
    return client;
}

void client_explain(const struct cli *cli, int error)
{
    const char *text = error == -EPIPE       ? "skepd closed the connection: its log says why"
                       : error == -ETIMEDOUT ? "skepd does not answer in time: its log may say "
                                               "why; --timeout waits longer"
                       : error == -EPROTO
                           ? "the message is not an answer: skep and skepd must be of "
                             "the same version"
                           : strerrordesc_np(-error);

    output_error(cli->verb->name, "%s: %s", cli->socket, text);
}

int client_try_for(struct client *client, const Skep__Admin__Command *command,
                   Skep__Admin__Answer__MessageCase kind, int timeout_ms,
                   const Skep__Admin__Answer **ret_answer)
{
    const Skep__Admin__Answer *answer = NULL;

    uint64_t end_ns = io_now_ns() + (uint64_t) find_timeout(client, timeout_ms) * NSEC_PER_MSEC;

    int r = client_send(client, command);
    if (r == 0 || r == -EPIPE) { /* a refusal came before the command was sent */
        do
            r = receive_until(client, end_ns, &answer);
        while (r == 0 && answer->message_case == SKEP__ADMIN__ANSWER__MESSAGE_LOG);
    }
    if (r < 0)
        return r;
    *ret_answer = answer;
    return answer->message_case == kind                                   ? 0
           : answer->message_case == SKEP__ADMIN__ANSWER__MESSAGE_FAILURE ? -EREMOTEIO
                                                                          : -EPROTO;
}

int client_try(struct client *client, const Skep__Admin__Command *command,
               Skep__Admin__Answer__MessageCase kind, const Skep__Admin__Answer **ret_answer)
{
    return client_try_for(client, command, kind, CLIENT_TIMEOUT_MS, ret_answer);
}

void client_explain_answer(const struct cli *cli, int error, const Skep__Admin__Answer *answer)
{
    if (error != -EREMOTEIO) {
        client_explain(cli, error);
        return;
    }
    (void) fprintf(stderr, "skep %s: ", cli->verb->name);
    output_text(stderr, answer->failure->message.data, answer->failure->message.len);
    (void) fputc('\n', stderr);
}

const Skep__Admin__Answer *client_ask(const struct cli *cli, struct client *client,
                                      const Skep__Admin__Command *command,
                                      Skep__Admin__Answer__MessageCase kind)
{
    return client_ask_for(cli, client, command, kind, CLIENT_TIMEOUT_MS);
}

const Skep__Admin__Answer *client_ask_for(const struct cli *cli, struct client *client,
                                          const Skep__Admin__Command *command,
                                          Skep__Admin__Answer__MessageCase kind, int timeout_ms)
{
    const Skep__Admin__Answer *answer = NULL;

    int r = client_try_for(client, command, kind, timeout_ms, &answer);
    if (r == 0)
        return answer;
    client_explain_answer(cli, r, answer);
    return NULL;
}

ProtobufCBinaryData client_text(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

static int print_json(const ProtobufCMessage *message, const char *null_if_zero)
{
    json_t *object = message_json(message);

    if (object && null_if_zero && message_null_if_zero(object, null_if_zero) < 0) {
        json_decref(object);
        object = NULL;
    }
    return json_print(object);
}

static int print(const struct cli *cli, const struct client_question *question,
                 const Skep__Admin__Answer *answer)
{
    /* any member will do: all begin with their base */
    const ProtobufCMessage *message = &answer->stats->base;

    if (!cli->json)
        question->print(message);
    else if (print_json(message, question->null_if_zero) < 0)
        return CLI_FAILED;
    return !question->has_succeeded || question->has_succeeded(message) ? CLI_DONE : CLI_FAILED;
}

int client_show(const struct cli *cli, const struct client_question *question, void *request)
{
    _cleanup_(client_cleanup) struct client *client = client_connect(cli);
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;

    if (!client)
        return CLI_FAILED;
    command.message_case = question->command;
    command.stats = request; /* any member will do: all are pointers */
    const Skep__Admin__Answer *answer =
        client_ask_for(cli, client, &command, question->answer,
                       question->timeout_ms > 0 ? question->timeout_ms : CLIENT_TIMEOUT_MS);
    return answer ? print(cli, question, answer) : CLI_FAILED;
}

int client_run(struct cli *cli, int argc, char **argv, const struct client_question *question,
               void *request, ProtobufCBinaryData *name)
{
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, NULL, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (name)
        *name = client_text(argv[first]);
    return client_show(cli, question, request);
}
