/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about another process that the kernel tells in /proc. Any process, any thread; no state.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum process_state {
    PROCESS_RUNS,
    PROCESS_STOPPED, /* by a signal, or a debugger */
    PROCESS_EXITING, /* on its way out, a zombie, or gone */
};

/* Opens /proc/PID/stat. *ret_fd is the caller's, and stays that process's even if the pid is
 * reused. 0 or -errno (-ENOENT: the process is gone). */
int process_open(pid_t pid, int *ret_fd);

/* Reads the pid of the process's parent from /proc/PID/stat. 0 or -errno. */
int process_parent(pid_t pid, pid_t *ret_parent);

/* Returns the process's state at this moment, by state and flags of proc_pid_stat(5). */
enum process_state process_state(int stat_fd);

/* Returns whether its first thread would go on if the host let it: it runs, waits for a processor, or for a
 * disk. */
bool process_is_runnable(int stat_fd);

/* Returns the CPU time that the process has used so far, in steps of a clock tick; 0 if that cannot be read. */
uint64_t process_cpu_ns(int stat_fd);
