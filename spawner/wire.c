/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages with descriptors on the spawner's socket. Supervisor and spawner process.
 */
#include "spawner/wire.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int[SPAWNER_REQUEST_FDS]))];
};

int spawner_wire_send(int socket_fd, const struct iovec parts[static 2], const int *fds,
                      size_t n_fds)
{
    union control control = { 0 };
    struct msghdr message = {
        .msg_iov = (struct iovec *) (uintptr_t) parts,
        .msg_iovlen = parts[1].iov_len > 0 ? 2 : 1,
    };
    ssize_t n;

    assert(n_fds <= SPAWNER_REQUEST_FDS);
    if (n_fds > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(n_fds * sizeof *fds);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(n_fds * sizeof *fds);
        memcpy(CMSG_DATA(header), fds, n_fds * sizeof *fds);
    }
    do
        n = sendmsg(socket_fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

ssize_t spawner_wire_receive(int socket_fd, const struct iovec parts[static 2], int *ret_fds,
                             size_t n_fds)
{
    union control control = { 0 };
    struct msghdr message = {
        .msg_iov = (struct iovec *) (uintptr_t) parts,
        .msg_iovlen = parts[1].iov_len > 0 ? 2 : 1,
        .msg_control = &control,
        .msg_controllen = CMSG_LEN(n_fds * sizeof *ret_fds), /* room for n_fds, and no more */
    };
    ssize_t n;

    assert(n_fds <= SPAWNER_REQUEST_FDS);
    for (size_t i = 0; i < n_fds; i++)
        ret_fds[i] = -1;
    do
        n = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 ? -errno : -EPIPE;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    return n;
}
