/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handling of a system call that a filter refuses.
 */
#pragma once

#include "proto/scoreboard.h"

/* Installs the handler of SIGSYS for the whole process: it writes the call's number and architecture
 * to the board, and the process ends by SIGSYS. The call was not made. board: borrowed for the rest
 * of the process's life; NULL: nothing is written. Before the first filter; the running filter lets
 * nobody change the handler. 0 or -errno. */
int jail_set_trap(struct scoreboard *board);

/* Installs a handler with which a refused call returns -ENOSYS and counts; for a process that never
 * runs a tenant (jail_report.h). 0 or -errno. */
int jail_set_counting_trap(void);
/* Returns the number of refused calls so far. */
unsigned jail_trap_count(void);
