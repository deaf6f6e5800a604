/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rss.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int rss_open(pid_t pid, int *ret_fd)
{
    char path[32];

    (void) snprintf(path, sizeof path, "/proc/%d/statm", (int) pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

uint64_t rss_read_bytes(int fd)
{
    char text[128], *rest = text;
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    (void) strtoull(rest, &rest, 10); /* all that is mapped */
    return strtoull(rest, NULL, 10) * (uint64_t) sysconf(_SC_PAGESIZE);
}
