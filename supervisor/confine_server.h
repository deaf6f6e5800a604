/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The confinement of the supervisor (helper/confine.h) to the folders that it still needs. main.c is the
 * only caller.
 */
#pragma once

struct server;

/* Confines the server that is about to serve, fills in what it has by then (jail.own_layers), and logs what
 * failed. 0 or -errno. */
int confine_server(struct server *server);
