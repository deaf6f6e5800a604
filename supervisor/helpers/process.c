/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/helpers/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/process.h"

bool helper_process_is_stopped(struct helper_process *process, unsigned looks)
{
    bool is_stopped = process->pid > 0 && process_state(process->stat_fd) == PROCESS_STOPPED;

    process->stopped = is_stopped ? process->stopped + 1 : 0;
    return is_stopped && process->stopped >= looks;
}

static void forget(struct helper_process *process)
{
    fd_cleanup(&process->pidfd);
    fd_cleanup(&process->stat_fd);
    *process = HELPER_NO_PROCESS;
}

void helper_process_drop(struct helper_process *process)
{
    if (process->pid > 0)
        (void) pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
    forget(process);
}

void helper_process_end(struct helper_process *process, int timeout_ms)
{
    struct pollfd end = { .fd = process->pidfd, .events = POLLIN };
    int r;

    if (process->pid <= 0)
        return;
    do
        r = poll(&end, 1, timeout_ms);
    while (r < 0 && errno == EINTR);
    if (r <= 0)
        (void) pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
    while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    forget(process);
}
