/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A false clock under the whole program: replaces clock_gettime of the C library, also for
 * libevent, so that the code under test is as it is in skepd and timers run when a test says so.
 * False processes have CPU clocks.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Processes with a number from here on are false ones; each has the CPU clock that clock_burn moves. */
#define CLOCK_FIRST_PID 0x1000000

/* Sets the clock back, as after a boot of the host. */
void clock_reset(void);
void clock_pass(uint64_t ns);
uint64_t clock_now(void);
void clock_burn(pid_t pid, uint64_t ns);
uint64_t clock_burnt(pid_t pid);
/* From now on each look at the CPU clock of the thread finds it so much further; 0: it is the real one. */
void clock_set_thread_step(uint64_t ns);
