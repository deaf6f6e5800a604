/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says of another process, by /proc. Any process, any thread; no state.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

enum process_state {
    PROCESS_RUNS,
    PROCESS_STOPPED, /* by a signal, or a debugger */
    PROCESS_EXITING, /* on its way out, a zombie, or gone */
};

/* Opens /proc/PID/stat. *ret_fd is the caller's; it stays that process's, whatever becomes of its pid.
 * 0 or -errno (-ENOENT: it is gone). */
int process_open(pid_t pid, int *ret_fd);

/* The pid of its parent, by /proc/PID/stat. 0 or -errno. */
int process_parent(pid_t pid, pid_t *ret_parent);

/* proc_pid_stat(5): state and flags, at this moment. */
enum process_state process_state(int stat_fd);

/* Returns whether its first thread would go on if the host let it: it runs, waits for a processor, or for a
 * disk. */
bool process_is_runnable(int stat_fd);
