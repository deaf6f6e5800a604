/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket: answers skep's commands and forwards tenants' log lines to it. Peers are
 * checked by their uid, but all their frames count as hostile. Supervisor, loop thread.
 * proto/PROTOCOL.md has the frames.
 */
#pragma once

#include <stddef.h>

#include "proto/channel.h"
#include "supervisor/admin/roles.h"
#include "supervisor/tenants/tenant.h"

struct admin;
struct admin_client;
struct data;
struct deploys;
struct event_base;
struct health;
struct http_front;
struct jail_state;
struct ledger;
struct life;
struct reload;
struct slots;
struct sockets;

/* The commands: a handler and a right for each, by its number in the oneof of Skep__Admin__Command.
 * owner of the handlers: struct admin_client. A command without a row in rights needs the right to write. */
enum { ADMIN_PHASE_OPEN = 1 };
struct admin_commands {
    struct channel_table table;
    const enum admin_right *rights;
    unsigned n_rights;
};
enum admin_right admin_command_right(const struct admin_commands *commands, unsigned number);

/* All borrowed, until admin_free. */
struct admin_options {
    const struct admin_commands *commands;
    void *above; /* for handlers of the floors above, by admin_client_above; NULL in tests */
    const char *socket_path;
    struct event_base *base;
    struct sockets *sockets; /* inherited and own ones; NULL: none is inherited */
    const struct config *config;
    const struct life *life;
    const struct health *health;
    const struct jail_state *jail;
    struct record *record;
    struct tenants *tenants;
    struct slots *slots;
    const struct ledger *ledger;
    const struct http_front *front;
    struct reload *reload;
    struct deploys *deploys;
    struct data *data; /* NULL: there is no storage */
};

/* Listens on socket_path (mode 0660, with the group of the config; its folder must exist; a
 * socket on which no process answers is replaced; an inherited one is taken as it is). Call when
 * all else is up: an answer on this socket is the sign that skepd serves. Returns 0, or -errno,
 * which is logged with the remedy (-EADDRINUSE: another skepd answers). */
int admin_new(const struct admin_options *options, struct admin **ret_admin);

/* Sets whether the socket's file is removed at the end. */
void admin_set_file(struct admin *admin, bool is_ours);
/* Stops accepting while hold is set, because another skepd does on the same socket. */
void admin_hold(struct admin *admin, bool hold);
/* Closes the socket, and keeps the clients that are there. */
void admin_stop_listening(struct admin *admin);

/* Answers a client. what: that of admin_answer_waiting. */
typedef void (*admin_answer_fn)(struct admin_client *client, const void *what);
/* Answers the clients that wait for that function, see client.h. */
void admin_answer_waiting(struct admin *admin, admin_answer_fn answer, const void *what);

/* Sends queued answers as far as the sockets take them, closes all, removes the socket file. NULL
 * is allowed. Returns NULL. */
struct admin *admin_free(struct admin *admin);
