/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which listening socket is whose: host/sockets.h keeps them, the front and the admin socket use them.
 * Supervisor, loop thread.
 */
#pragma once

struct admin;
struct config;
struct http_front;
struct sockets;

/* The front gets its sockets: see sockets_listen. Before confinement. 0 or -errno, logged. */
int listen_front(struct http_front *front, struct sockets *sockets, const struct config *config);
/* The front and the admin socket are told which files are theirs to remove, after that has changed. */
void listen_apply_files(const struct sockets *sockets, struct http_front *front,
                        struct admin *admin);
