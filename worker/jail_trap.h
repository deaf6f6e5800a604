/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last words of a worker that made a system call which the filter refuses.
 */
#pragma once

#include "proto/scoreboard.h"

/* Installs the handler of SIGSYS for the whole process: it writes the call's number and architecture
 * to the board, and the process ends by SIGSYS. The call was not made. board: borrowed for the rest
 * of the process's life; NULL: nothing is written. Before the filter, which lets nobody change the
 * handler. 0 or -errno. */
int jail_set_trap(struct scoreboard *board);
