/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives listening sockets to their users: host/sockets.h keeps them, the front and the admin socket
 * use them. Supervisor, loop thread.
 */
#pragma once

struct admin;
struct config;
struct http_front;
struct sockets;

/* Gives the front its sockets: see sockets_listen. Before confinement. Returns 0 or -errno, logged. */
int listen_front(struct http_front *front, struct sockets *sockets, const struct config *config);
/* Tells the front and the admin socket which files they have to remove at the end, after a change
 * of that. */
void listen_apply_files(const struct sockets *sockets, struct http_front *front,
                        struct admin *admin);
