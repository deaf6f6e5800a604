/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/service/listen.h"

#include "supervisor/admin/admin.h"
#include "supervisor/host/sockets.h"
#include "supervisor/http/http.h"
#include "supervisor/server.h"

static int adopt(void *owner, int fd)
{
    return http_front_adopt(owner, fd);
}

static int listen_on(void *owner, const char *address, int *ret_fd)
{
    return http_front_listen(owner, address, ret_fd);
}

int listen_front(struct server *server)
{
    const struct sockets_user front = { .adopt = adopt,
                                        .listen = listen_on,
                                        .owner = server->front };

    return sockets_listen(server->sockets, server->config, &front);
}

static void set_file(void *owner, enum socket_kind kind, int fd, bool is_ours)
{
    const struct server *server = owner;

    if (kind == SOCKET_ADMIN && server->admin)
        admin_set_file(server->admin, is_ours);
    else if (server->front)
        http_front_set_file(server->front, fd, is_ours);
}

void listen_apply_files(struct server *server)
{
    sockets_tell_files(server->sockets, set_file, server);
}
