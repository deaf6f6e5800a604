/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket as a file: made so that only its owner and group can connect, without
 * replacing that of another skepd. Supervisor, at start and at the end.
 */
#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "supervisor/admin/internal.h"

#define BACKLOG 64
#define OWNER_MODE 0600 /* mode until the socket has its group */
#define SOCKET_MODE 0660

static int check_folder(const char *path)
{
    _cleanup_free_ char *copy = strdup(path);
    struct stat st;

    if (!copy)
        return -ENOMEM;
    const char *folder = dirname(copy);
    if (stat(folder, &st) < 0)
        return log_error_errno(-errno,
                               "cannot make the admin socket %s: create its folder %s first, or "
                               "set admin_socket in the configuration",
                               path, folder);
    if (!S_ISDIR(st.st_mode))
        return log_error_errno(-ENOTDIR, "cannot make the admin socket %s: %s", path, folder);
    return 0;
}

/* Removes a socket on which no process answers any more. */
static int remove_stale(const char *path, const struct sockaddr_un *address)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : log_error_errno(-errno, "cannot look at %s", path);
    if (!S_ISSOCK(st.st_mode))
        return log_error_errno(-EEXIST,
                               "cannot make the admin socket %s: something that is no socket is "
                               "there; move it away",
                               path);
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return log_error_errno(-errno, "cannot make a socket");
    if (connect(fd, (const struct sockaddr *) address, sizeof *address) == 0 || errno == EAGAIN)
        return log_error_errno(
            -EADDRINUSE, "another skepd answers on %s: stop it, or set another admin_socket", path);
    if (errno != ECONNREFUSED)
        return log_error_errno(-errno, "cannot tell whether a skepd answers on %s", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return log_error_errno(-errno, "cannot remove the stale socket %s", path);
    return 0;
}

/* Gives the socket to the group. Before any other user may connect. */
static int give_to_group(const char *path, gid_t group)
{
    if (group != ADMIN_NO_GROUP && lchown(path, (uid_t) -1, group) < 0)
        return log_error_errno(
            -errno,
            "cannot give the admin socket to group %u (admin.group): start skepd "
            "as root or as a member of that group",
            (unsigned) group);
    return chmod(path, SOCKET_MODE) < 0
               ? log_error_errno(-errno, "cannot set the mode of the admin socket %s", path)
               : 0;
}

static int use_inherited(const char *path, int inherited, struct admin_socket *ret_socket)
{
    _cleanup_fd_ int fd = inherited;
    _cleanup_free_ char *copy = strdup(path);
    struct stat st;

    if (!copy || lstat(path, &st) < 0)
        return log_error_errno(copy ? -errno : -ENOMEM, "cannot use the inherited socket %s", path);
    *ret_socket = (struct admin_socket){
        .fd = TAKE_FD(fd), .path = TAKE_PTR(copy), .device = st.st_dev, .inode = st.st_ino
    };
    return 0;
}

int admin_socket_open(const char *path, gid_t group, int inherited, struct admin_socket *ret_socket)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat st;

    if (inherited >= 0)
        return use_inherited(path, inherited, ret_socket);
    if (strlen(path) >= sizeof address.sun_path)
        return log_error_errno(-ENAMETOOLONG, "cannot make the admin socket %s", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int r = check_folder(path);
    if (r == 0)
        r = remove_stale(path, &address);
    if (r < 0)
        return r;

    _cleanup_free_ char *copy = strdup(path);
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || !copy)
        return log_error_errno(fd < 0 ? -errno : -ENOMEM, "cannot make a socket");
    /* By umask, because a chmod afterwards would leave a moment in which others can connect. */
    mode_t umask_before = umask(0777 & ~OWNER_MODE);
    r = bind(fd, (const struct sockaddr *) &address, sizeof address) < 0 ? -errno : 0;
    (void) umask(umask_before);
    if (r == 0 && lstat(path, &st) < 0)
        r = -errno;
    if (r < 0)
        return log_error_errno(r, "cannot make the admin socket %s", path);
    r = give_to_group(path, group);
    if (r < 0) {
        (void) unlink(path);
        return r;
    }
    if (listen(fd, BACKLOG) < 0)
        return log_error_errno(-errno, "cannot listen on the admin socket %s", path);
    *ret_socket = (struct admin_socket){
        .fd = TAKE_FD(fd),
        .path = TAKE_PTR(copy),
        .device = st.st_dev,
        .inode = st.st_ino,
        .owns_file = true,
    };
    return 0;
}

void admin_socket_done(struct admin_socket *socket)
{
    struct stat st;

    if (!socket->path)
        return;
    if (socket->fd >= 0)
        (void) close(socket->fd);
    if (socket->owns_file && lstat(socket->path, &st) == 0 && st.st_dev == socket->device &&
        st.st_ino == socket->inode)
        (void) unlink(socket->path);
    free(socket->path);
    *socket = (struct admin_socket){ .fd = -1 };
}
