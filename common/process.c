/* SPDX-License-Identifier: Apache-2.0 */
#include "common/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

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

/* Returns the text behind the process's name, which may hold anything and ends with the last
 * parenthesis. NULL for a process that is reaped: nothing of it can be read. */
static const char *read_stat(int stat_fd, char *data, size_t size)
{
    ssize_t n = pread(stat_fd, data, size - 1, 0);

    if (n <= 0)
        return NULL;
    data[n] = '\0';
    return strrchr(data, ')');
}

int process_parent(pid_t pid, pid_t *ret_parent)
{
    _cleanup_fd_ int fd = -1;
    char data[512];
    int parent = -1;

    int r = process_open(pid, &fd);
    if (r < 0)
        return r;
    const char *rest = read_stat(fd, data, sizeof data);
    if (!rest || sscanf(rest, ") %*c %d", &parent) != 1)
        return -ESRCH;
    *ret_parent = parent;
    return 0;
}

enum process_state process_state(int stat_fd)
{
    char data[512], state = 'X';
    unsigned flags = 0;
    const char *rest = read_stat(stat_fd, data, sizeof data);

    if (!rest || sscanf(rest, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
        return PROCESS_EXITING;
    if (state == 'Z' || state == 'X' || (flags & FLAG_EXITING))
        return PROCESS_EXITING;
    return state == 'T' || state == 't' ? PROCESS_STOPPED : PROCESS_RUNS;
}

bool process_is_runnable(int stat_fd)
{
    char data[512], state = 'X';
    const char *rest = read_stat(stat_fd, data, sizeof data);

    return rest && sscanf(rest, ") %c", &state) == 1 && (state == 'R' || state == 'D');
}

uint64_t process_cpu_ns(int stat_fd)
{
    char data[512];
    unsigned long user = 0, system = 0;
    const char *rest = read_stat(stat_fd, data, sizeof data);

    /* utime and stime are the 14th and the 15th field, state the third: proc_pid_stat(5). */
    if (!rest ||
        sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return 0;
    return (uint64_t) (user + system) * NSEC_PER_SEC / (uint64_t) sysconf(_SC_CLK_TCK);
}
