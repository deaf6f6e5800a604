/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identifies the peer of an admin connection, by the kernel, and finds its right by the
 * configuration. Supervisor; the group's name is looked up at start, before it confines itself.
 */
#include "supervisor/admin/roles.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"

#define GROUPS_FEW 32

/* ---- the peer */

/* SO_PEERGROUPS, Linux 4.13: as they were at connect(2), like SO_PEERCRED. */
static int read_groups(int fd, struct admin_peer *peer)
{
    socklen_t size = GROUPS_FEW * sizeof(gid_t);

    for (;;) {
        _cleanup_free_ gid_t *groups = malloc(size);
        socklen_t had = size;
        if (!groups)
            return -ENOMEM;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0) {
            peer->groups = TAKE_PTR(groups);
            peer->n_groups = size / sizeof(gid_t);
            return 0;
        }
        if (errno != ERANGE || size <= had || size > NGROUPS_MAX * sizeof(gid_t))
            return -errno;
    }
}

int admin_peer_init(struct admin_peer *peer, int fd)
{
    socklen_t size = sizeof peer->who;

    *peer = (struct admin_peer){ .who = { .uid = (uid_t) -1, .gid = (gid_t) -1 } };
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer->who, &size) < 0)
        return -errno;
    return read_groups(fd, peer);
}

void admin_peer_done(struct admin_peer *peer)
{
    free(peer->groups);
    peer->groups = NULL;
    peer->n_groups = 0;
}

bool admin_peer_is_trusted(const struct admin_peer *peer)
{
    return peer->who.uid == 0 || peer->who.uid == geteuid();
}

/* ---- the right */

static bool is_in_group(const struct admin_peer *peer, gid_t gid)
{
    if (peer->who.gid == gid)
        return true;
    for (unsigned i = 0; i < peer->n_groups; i++)
        if (peer->groups[i] == gid)
            return true;
    return false;
}

static bool has_role(const struct admin_peer *peer, const struct admin_role *role)
{
    for (unsigned i = 0; i < role->n_uids; i++)
        if (role->uids[i] == peer->who.uid)
            return true;
    for (unsigned i = 0; i < role->n_gids; i++)
        if (is_in_group(peer, role->gids[i]))
            return true;
    return false;
}

static bool is_empty(const struct admin_role *role)
{
    return role->n_uids == 0 && role->n_gids == 0;
}

enum admin_right admin_peer_right(const struct admin_peer *peer, const struct admin_config *config,
                                  gid_t group)
{
    if (admin_peer_is_trusted(peer) || has_role(peer, &config->write))
        return ADMIN_MAY_WRITE;
    if (has_role(peer, &config->read))
        return ADMIN_MAY_READ;
    if (group != ADMIN_NO_GROUP && is_empty(&config->read) && is_empty(&config->write) &&
        is_in_group(peer, group))
        return ADMIN_MAY_READ;
    return ADMIN_MAY_NOTHING;
}

/* ---- the socket's group */

int admin_group_find(const char *name, gid_t *ret_group)
{
    char *end = NULL;

    *ret_group = ADMIN_NO_GROUP;
    if (!name)
        return 0;
    errno = 0;
    unsigned long number = strtoul(name, &end, 10);
    if (name[strspn(name, "0123456789")] == '\0' && end != name) {
        if (errno != 0 || number >= ADMIN_NO_GROUP)
            return log_error_errno(-ERANGE, "admin.group \"%s\" is not a group's number", name);
        *ret_group = (gid_t) number;
        return 0;
    }
    errno = 0;
    const struct group *group = getgrnam(name);
    if (!group)
        return log_error_errno(errno ? -errno : -ENOENT,
                               "there is no group \"%s\" for the admin socket: create it (groupadd "
                               "--system %s), or set another admin.group",
                               name, name);
    *ret_group = group->gr_gid;
    return 0;
}
