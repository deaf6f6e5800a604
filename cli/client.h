/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket, seen from `skep`: connect, send a command, wait for its answer. Blocking, with
 * a timeout for everything. Any verb.
 */
#pragma once

#include "admin.pb-c.h"
#include "cli/cli.h"
#include "common/cleanup.h"

#define CLIENT_TIMEOUT_MS 10000

struct client;

/* Connects to the socket. 0 or -errno: -ENOENT and -ECONNREFUSED if no skepd is there, -EACCES,
 * -ENAMETOOLONG, … */
int client_new(const char *socket_path, int timeout_ms, struct client **ret_client);
struct client *client_free(struct client *client); /* NULL is allowed; returns NULL */
DEFINE_CLEANUP(struct client *, client_free, client_cleanup)

int client_fd(const struct client *client); /* for poll; see client_receive */

/* Sends a command. 0 or -errno: -ETIMEDOUT, -EPIPE if skepd has closed (client_receive may still
 * give the reason). */
int client_send(struct client *client, const Skep__Admin__Command *command);

/* Waits for the next answer, log lines too. timeout_ms 0: only what is there already; call until
 * -EAGAIN. The answer lives until the next call. 0, -EAGAIN or (timeout_ms > 0) -ETIMEDOUT,
 * -EPIPE if skepd has closed, -EPROTO if the peer is no skepd of this version. */
int client_receive(struct client *client, int timeout_ms, const Skep__Admin__Answer **ret_answer);

/* Connects to cli->socket, or prints on standard error why it cannot and what to do, and returns
 * NULL. */
struct client *client_connect(const struct cli *cli);

/* Sends one command and returns its answer, which must be of that kind. Otherwise prints the reason
 * on standard error, and returns NULL. */
const Skep__Admin__Answer *client_ask(const struct cli *cli, struct client *client,
                                      const Skep__Admin__Command *command,
                                      Skep__Admin__Answer__MessageCase kind);

/* Asks as client_ask, for a command whose answer takes longer than CLIENT_TIMEOUT_MS. */
const Skep__Admin__Answer *client_ask_for(const struct cli *cli, struct client *client,
                                          const Skep__Admin__Command *command,
                                          Skep__Admin__Answer__MessageCase kind, int timeout_ms);

/* Asks as client_ask, without printing: 0; -EREMOTEIO if the answer is a Failure, which *ret_answer
 * then is; or another -errno, which client_explain prints. */
int client_try(struct client *client, const Skep__Admin__Command *command,
               Skep__Admin__Answer__MessageCase kind, const Skep__Admin__Answer **ret_answer);
int client_try_for(struct client *client, const Skep__Admin__Command *command,
                   Skep__Admin__Answer__MessageCase kind, int timeout_ms,
                   const Skep__Admin__Answer **ret_answer);
void client_explain(const struct cli *cli, int error);
/* Prints the error that client_try has returned, with its answer. */
void client_explain_answer(const struct cli *cli, int error, const Skep__Admin__Answer *answer);

/* A command of a verb, and the form of its answer. */
struct client_question {
    Skep__Admin__Command__MessageCase command;
    Skep__Admin__Answer__MessageCase answer;
    void (*print)(const void *message); /* for people; else the message is one JSON document */
    bool (*has_succeeded)(
        const void *message); /* decides the exit status; NULL: any such answer has */
    const char *null_if_zero; /* field that is null in JSON if it is 0; NULL: none */
    int timeout_ms;           /* 0: CLIENT_TIMEOUT_MS */
};

/* Connects, sends the request, of the question's kind, and prints the answer; errors on standard error. Returns the exit
 * status. */
int client_show(const struct cli *cli, const struct client_question *question, void *request);
/* Does all that a verb without options does: sets *name, a field of the request, to its argument (NULL: it has none), and
 * shows the answer. Returns the exit status. */
int client_run(struct cli *cli, int argc, char **argv, const struct client_question *question,
               void *request, ProtobufCBinaryData *name);
/* Returns the text for a field of a request; borrowed. */
ProtobufCBinaryData client_text(const char *text);
