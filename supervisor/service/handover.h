/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words between a skepd (upgrade.c) and the one that replaces it (heir.c), which may be of different
 * versions: short texts, one in each message of a SOCK_SEQPACKET pair. PROTOCOL.md, "Hand-over".
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HANDOVER_READY "ready"   /* VERSION */
#define HANDOVER_FAILED "failed" /* TEXT */
#define HANDOVER_MAIN "main"     /* cgroups=0|1 files=HEX */
#define HANDOVER_SERVING "serving"
#define HANDOVER_KNOWN "known"
#define HANDOVER_MAX_BYTES 1024

/* 0 or -errno. */
static inline int handover_send(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* One message, cut to size - 1. 0, -EAGAIN, -EPIPE at the end, or another -errno. */
static inline int handover_receive(int fd, char *text, size_t size)
{
    ssize_t n = read(fd, text, size - 1);

    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    text[n] = '\0';
    return n == 0 ? -EPIPE : 0;
}

/* Whether it is that word, alone or with more behind it. */
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
