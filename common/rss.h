/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resident memory of a worker by /proc/PID/statm, for hosts where its cgroup does not bound it.
 * Any process, any thread; no state.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Opens /proc/PID/statm. *ret_fd is the caller's, and stays that process's even if the pid is
 * reused. 0 or -errno (-ENOENT: the process is gone). */
int rss_open(pid_t pid, int *ret_fd);

/* Returns the resident memory: pages of all kinds, the program's own and the scoreboard too. The
 * kernel may be behind by up to 64 pages for each CPU. One pread, about 1 us; 0 if the process is
 * gone. */
uint64_t rss_read_bytes(int fd);
