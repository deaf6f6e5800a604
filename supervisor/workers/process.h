/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says of another process, by /proc. Any process, any thread; no state.
 */
#pragma once

#include <sys/types.h>

enum process_state {
    PROCESS_RUNS,
    PROCESS_STOPPED, /* by a signal, or a debugger */
    PROCESS_EXITING, /* on its way out, a zombie, or gone */
};

/* proc_pid_stat(5): state and flags. */
enum process_state process_state(pid_t pid);
