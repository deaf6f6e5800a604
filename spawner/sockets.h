/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of listening sockets that a skepd hands to the one that replaces it, by name in the
 * successor's environment (successor.c). supervisor/host/sockets.h says for what purpose. Spawner
 * and supervisor.
 */
#pragma once

enum socket_kind { SOCKET_HTTP, SOCKET_LISTEN, SOCKET_ADMIN, SOCKET_METRICS, SOCKET_KINDS };
#define SOCKETS_MAX 63 /* inherited and own; with one more they still fit into a message */

/* "http", "listen", "admin", "metrics". */
const char *socket_kind_name(enum socket_kind kind);
