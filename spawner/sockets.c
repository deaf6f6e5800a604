/* SPDX-License-Identifier: Apache-2.0 */
#include "spawner/sockets.h"

static const char *const kind_names[SOCKET_KINDS] = {
    [SOCKET_HTTP] = "http",
    [SOCKET_LISTEN] = "listen",
    [SOCKET_ADMIN] = "admin",
    [SOCKET_METRICS] = "metrics",
};

const char *socket_kind_name(enum socket_kind kind)
{
    return kind_names[kind];
}
