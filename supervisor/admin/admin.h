/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket: answers skep's commands and forwards tenants' log lines to it. Peers are
 * checked by their uid; what they send is hostile all the same. Supervisor, loop thread.
 * proto/PROTOCOL.md has the frames.
 */
#pragma once

#include <stddef.h>

#include "supervisor/server.h"
#include "supervisor/tenants/tenant.h"

struct admin;
struct upgrade_result;

/* Listens on socket_path (copied; mode 0660, of the group that
 * server->config names; its folder must exist; a socket that nobody answers
 * on is replaced; one that server->sockets has inherited is taken as it is). Call when all else
 * is up: that the socket answers is the sign that skepd serves. server->config says who may do what; the rest of server is read with each command.
 * 0, or -errno, which is logged with what to do about it (-EADDRINUSE: another skepd answers). */
int admin_new(struct server *server, const char *socket_path, struct admin **ret_admin);

/* Whether the socket's file is removed at the end. */
void admin_set_file(struct admin *admin, bool is_ours);
/* Accepts nobody from now on until it is let go: another skepd does on the same socket. */
void admin_hold(struct admin *admin, bool hold);
/* Closes the socket, and keeps the clients that are there. */
void admin_stop_listening(struct admin *admin);

/* Answers the clients that wait for it. */
void admin_tell_upgrade(struct admin *admin, const struct upgrade_result *result);

/* Sends what is queued as far as the sockets take it, closes all, removes the socket file. NULL
 * is allowed. Returns NULL. */
struct admin *admin_free(struct admin *admin);
