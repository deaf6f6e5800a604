/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches the callbacks of a process's one loop: a callback that computes for long, or waits for a disk, holds up
 * everybody else. Each adapter says its name first: LOOP_EVENT("front: connection"). Until
 * loop_watch_start nothing is measured. One thread; the state is the process's, as the log's is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define LOOP_CALLBACK_MAX_US 5000 /* CPU time of one callback; those above are counted */

struct loop_scope {
    const char *name;
    uint64_t began_ns; /* 0: nothing is measured */
};

struct loop_slow { /* slow callbacks of one name */
    const char *name;
    uint64_t cpu;        /* callbacks that used more than LOOP_CALLBACK_MAX_US */
    uint64_t disk;       /* callbacks that waited for a disk */
    uint64_t longest_us; /* longest CPU time of these */
};

/* Starts to measure this thread's callbacks. */
void loop_watch_start(void);

/* Begins a scope. name: static text. Scopes may be nested: the innermost slow one gets the
 * blame. */
struct loop_scope loop_watch_enter(const char *name);
void loop_watch_leave(const struct loop_scope *scope);
#define LOOP_CALLBACK(name)                                                                   \
    __attribute__((unused)) _cleanup_(loop_watch_leave) const struct loop_scope loop_scope_ = \
        loop_watch_enter(name)
/* Does the same in a callback of libevent with parameters named fd and what, which it need not use. */
#define LOOP_EVENT(name) \
    LOOP_CALLBACK(name); \
    (void) fd;           \
    (void) what

/* Returns CLOCK_MONOTONIC in nanoseconds as it was when the running callback began, or at the last
 * loop_now_touch in it: for times of which a fraction of a millisecond does not matter, and which
 * are compared with one another. Never less than before. Without loop_watch_start, or outside of
 * callbacks, the clock itself. */
uint64_t loop_now_ns(void);
/* Reads the clock anew. For callbacks that do many things, one after the other. */
void loop_now_touch(void);

/* Returns the callbacks that were slow at least once, at most LOOP_SLOW_MAX; borrowed until the
 * next callback. */
#define LOOP_SLOW_MAX 64
const struct loop_slow *loop_watch_slow(size_t *ret_n);
/* Returns the CPU time of the longest callback of all so far, if it was above about a
 * millisecond. */
uint64_t loop_watch_longest_us(void);
