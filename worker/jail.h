/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks the worker process in. Runs once, in the worker, before hello: after everything
 * that needs files is loaded. The rows come from sandbox-policy/. Each failure is fatal
 * for the worker (the caller says which step and exits): a worker never runs half jailed.
 */
#pragma once

#include <stdbool.h>

struct scoreboard;

struct jail_options {
    bool jit;                      /* false: no executable mapping may be made */
    int channel_fd;                /* stays open; read, write and poll only */
    struct scoreboard *scoreboard; /* borrowed: for the last words; may be NULL */
};

/* Everything but the filter: empty root, rlimits, capabilities, securebits, no_new_privs,
 * dumpable, speculation controls, Landlock. The process is single-threaded. 0 or -errno;
 * *ret_step names the step that failed (static string). */
int jail_enter(const struct jail_options *options, const char **ret_step);

/* The running filter, for all threads (TSYNC). The sentry runs already. 0 or -errno. */
int jail_seal(const struct jail_options *options, const char **ret_step);
