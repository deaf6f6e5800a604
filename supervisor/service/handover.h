/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words between a skepd (upgrade.c) and the one that replaces it (heir.c), which may be of different
 * versions: short texts, one in each message of a SOCK_SEQPACKET pair. PROTOCOL.md, "Hand-over".
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HANDOVER_READY "ready"   /* VERSION */
#define HANDOVER_FAILED "failed" /* TEXT */
#define HANDOVER_MAIN "main" /* cgroups=0|1 files=HEX; with the lock of the state folder, if any */
#define HANDOVER_SERVING "serving"
#define HANDOVER_KNOWN "known"
#define HANDOVER_MAX_BYTES 1024

/* Sends a word. Returns 0 or -errno. */
static inline int handover_send(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Does the same with a descriptor, of which the receiver gets a copy; -1: none. */
static inline int handover_send_with(int fd, const char *text, int passed)
{
    struct iovec iov = { .iov_base = (void *) (uintptr_t) text, .iov_len = strlen(text) };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (passed >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &passed, sizeof(int));
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Receives a message, cut to size - 1, and the descriptor that came with it, which is the caller's; -1: none. Returns 0,
 * -EAGAIN, -EPIPE at the end, or another -errno. */
static inline int handover_receive(int fd, char *text, size_t size, int *ret_passed)
{
    struct iovec iov = { .iov_base = text, .iov_len = size - 1 };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control.bytes,
    };

    ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    *ret_passed = -1;
    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(ret_passed, CMSG_DATA(header), sizeof(int));
    text[n] = '\0';
    return n == 0 ? -EPIPE : 0;
}

/* Returns whether the text is that word, alone or with more behind it. */
static inline bool handover_is(const char *text, const char *word)
{
    size_t length = strlen(word);

    return strncmp(text, word, length) == 0 && (text[length] == ' ' || text[length] == '\0');
}

static inline const char *handover_rest(const char *text)
{
    const char *space = strchr(text, ' ');

    return space ? space + 1 : "";
}
