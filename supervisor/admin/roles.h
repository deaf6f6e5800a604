/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who comes to the admin socket, and what it may do: root and skepd's own user everything, others by
 * uid or gid in admin.read and admin.write. If both lists are empty, members of admin.group may
 * read. Supervisor.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "config/config.h"

/* The zero is what a command needs for which nothing is said. */
enum admin_right { ADMIN_MAY_WRITE, ADMIN_MAY_READ, ADMIN_MAY_NOTHING };

#define ADMIN_NO_GROUP ((gid_t) -1)

struct admin_peer {
    struct ucred who;
    gid_t *groups; /* owned; supplementary ones */
    unsigned n_groups;
};

/* By the connection. 0 or -errno; in both cases admin_peer_done afterwards, and who is set as far as
 * it is known. */
int admin_peer_init(struct admin_peer *peer, int fd);
void admin_peer_done(struct admin_peer *peer);
/* root, or who skepd is. */
bool admin_peer_is_trusted(const struct admin_peer *peer);
/* group: of the socket, ADMIN_NO_GROUP if the configuration names none. */
enum admin_right admin_peer_right(const struct admin_peer *peer, const struct admin_config *config,
                                  gid_t group);

/* name: of a group, or its number; NULL: ADMIN_NO_GROUP. 0, or -errno, which is logged. */
int admin_group_find(const char *name, gid_t *ret_group);
