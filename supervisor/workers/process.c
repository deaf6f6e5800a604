/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FLAG_EXITING 0x4U /* PF_EXITING of include/linux/sched.h */

int process_open(pid_t pid, int *ret_fd)
{
    char path[32];

    (void) snprintf(path, sizeof path, "/proc/%d/stat", (int) pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

enum process_state process_state(int stat_fd)
{
    char data[512], state = 'X';
    unsigned flags = 0;

    ssize_t n = pread(stat_fd, data, sizeof data - 1, 0);
    if (n <= 0) /* of one that is reaped nothing can be read */
        return PROCESS_EXITING;
    data[n] = '\0';
    /* The name, which may hold anything, ends with the last parenthesis. */
    const char *rest = strrchr(data, ')');
    if (!rest || sscanf(rest, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
        return PROCESS_EXITING;
    if (state == 'Z' || state == 'X' || (flags & FLAG_EXITING))
        return PROCESS_EXITING;
    return state == 'T' || state == 't' ? PROCESS_STOPPED : PROCESS_RUNS;
}
