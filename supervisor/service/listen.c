/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/service/listen.h"

#include "supervisor/admin/admin.h"
#include "supervisor/host/sockets.h"
#include "supervisor/http/http.h"

static int adopt(void *owner, int fd)
{
    return http_front_adopt(owner, fd);
}

static int listen_on(void *owner, const char *address, int *ret_fd)
{
    return http_front_listen(owner, address, ret_fd);
}

int listen_front(struct http_front *front, struct sockets *sockets, const struct config *config)
{
    const struct sockets_user user = { .adopt = adopt, .listen = listen_on, .owner = front };

    return sockets_listen(sockets, config, &user);
}

/* The owners of listening sockets. */
struct faces {
    struct http_front *front;
    struct admin *admin;
};

static void set_file(void *owner, enum socket_kind kind, int fd, bool is_ours)
{
    const struct faces *faces = owner;

    if (kind == SOCKET_ADMIN)
        admin_set_file(faces->admin, is_ours);
    else
        http_front_set_file(faces->front, fd, is_ours);
}

void listen_apply_files(const struct sockets *sockets, struct http_front *front,
                        struct admin *admin)
{
    struct faces faces = { front, admin };

    sockets_tell_files(sockets, set_file, &faces);
}
