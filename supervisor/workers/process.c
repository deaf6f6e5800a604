/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

#define FLAG_EXITING 0x4U /* PF_EXITING of include/linux/sched.h */

enum process_state process_state(pid_t pid)
{
    char path[32], data[512], state = 'X';
    unsigned flags = 0;

    (void) snprintf(path, sizeof path, "/proc/%d/stat", (int) pid);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, data, sizeof data - 1);
    if (n <= 0)
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
