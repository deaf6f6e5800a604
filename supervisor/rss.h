/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resident memory of a process, read from its statm. Supervisor, any thread.
 */
#pragma once
#include <stdint.h>
#include <sys/types.h>
int rss_open(pid_t pid, int *ret_fd);
uint64_t rss_read_bytes(int fd);
