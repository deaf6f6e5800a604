/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peers of the admin socket and their rights: root and skepd's own user may do everything,
 * others by uid or gid in admin.read and admin.write. If both lists are empty, members of
 * admin.group may read. Supervisor.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "config/config.h"

/* The zero value is the right that a command without a row needs. */
enum admin_right { ADMIN_MAY_WRITE, ADMIN_MAY_READ, ADMIN_MAY_NOTHING };

#define ADMIN_NO_GROUP ((gid_t) -1)

struct admin_peer {
    struct ucred who;
    gid_t *groups; /* owned; supplementary ones */
    unsigned n_groups;
};

/* Identifies the peer by its connection. 0 or -errno; in both cases call admin_peer_done afterwards, and `who` is set as
 * far as it is known. */
int admin_peer_init(struct admin_peer *peer, int fd);
void admin_peer_done(struct admin_peer *peer);
/* Returns whether the peer is root or skepd's own user. */
bool admin_peer_is_trusted(const struct admin_peer *peer);
/* Returns the peer's right. group: the socket's; ADMIN_NO_GROUP if the configuration names none. */
enum admin_right admin_peer_right(const struct admin_peer *peer, const struct admin_config *config,
                                  gid_t group);

/* Finds a group. name: its name or number; NULL: ADMIN_NO_GROUP. Returns 0, or -errno, which is
 * logged. */
int admin_group_find(const char *name, gid_t *ret_group);
