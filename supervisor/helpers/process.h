/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A helper that is a child of skepd, as a process: spawners, and helpers that are programs.
 * Supervisor, loop thread. spawner.c and helper.c are the only callers.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct helper_process {
    pid_t pid;          /* 0: none */
    int pidfd, stat_fd; /* -1: none; stat_fd is /proc/PID/stat */
    unsigned stopped;   /* looks in a row that have found it stopped */
};
#define HELPER_NO_PROCESS ((struct helper_process){ .pidfd = -1, .stat_fd = -1 })

/* Returns whether a signal or a debugger has stopped the process, and so for that many looks in a
 * row. A debugger that only attaches stops it for a moment. */
bool helper_process_is_stopped(struct helper_process *process, unsigned looks);

/* Kills the process, if it is there, and forgets it: ends_sweep reaps it. */
void helper_process_drop(struct helper_process *process);

/* Waits until a process that is ending by itself has ended; kills it if that takes too long. Reaps
 * it, and forgets it. */
void helper_process_end(struct helper_process *process, int timeout_ms);
