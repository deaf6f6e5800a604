/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU time of short slices. The CPU clock of a thread costs a system call, CLOCK_MONOTONIC does
 * not. So the CPU clock is read once for all slices that begin within SLICE_NEAR_NS, and again only
 * at the end of a slice that was longer. Pure functions but for the reading; worker, main thread.
 */
#pragma once

#include <stdint.h>

#define SLICE_NEAR_NS UINT64_C(50000)

struct slice_clock {
    uint64_t (*read_cpu_ns)(void);
    uint64_t wall_ns, cpu_ns;             /* both clocks at the last reading; 0: none */
    uint64_t begun_wall_ns, begun_cpu_ns; /* both clocks at the start of the running slice */
};

/* Begins a slice. Returns the thread's CPU time at its start, at most SLICE_NEAR_NS too high: by as
 * much as the thread has waited for a processor since the last reading. */
uint64_t slice_begin(struct slice_clock *clock, uint64_t now_ns);

/* Ends the slice. Returns the CPU time that it took. For a slice within SLICE_NEAR_NS that is its
 * wall time, which is never less; for a longer one the time of the CPU clock, at most SLICE_NEAR_NS
 * too low. */
uint64_t slice_end(struct slice_clock *clock, uint64_t now_ns);
