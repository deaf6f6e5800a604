/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for skep-worker: started by the real spawner, it locks itself in with the real
 * jail code and then does what it is asked over its channel. The plan for all before that is in the
 * scoreboard page.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/jail/scratch.h"

/* Where the scoreboard begins in the file that starts with the plan. */
#define PROBE_BOARD_OFFSET 4096

enum probe_lock {
    PROBE_SEALED,
    PROBE_ENTERED, /* all but the filters; for calls that the other layers should refuse */
    PROBE_STARTED, /* the start-up filter only */
    PROBE_FREE,
};

struct probe_plan {
    enum probe_lock lock; /* how far to lock itself in */
    bool keep_scoreboard; /* leaves fd 4 open */
    bool second_thread;   /* starts a second thread before jail_enter */
    bool counts;          /* a refused call is counted and fails; the probe lives */
    uint64_t memory;      /* RLIMIT_AS in bytes, set before the jail; 0: none */
};

/* How a system call reaches the kernel. The last two are of x86-64 only. */
enum probe_abi {
    PROBE_NATIVE,
    PROBE_ABI_X32,
    PROBE_ABI_INT80,
    PROBE_ABIS,
};

enum probe_ask_kind {
    PROBE_SYSTEM_CALL, /* number, args */
    PROBE_CHILD_CALL, /* abi, number, args: by a sealed child of an entered probe; its wait status */
    PROBE_TRY,        /* number: index into probe_tries */
    PROBE_THREAD_CALL,  /* number: made by the second thread */
    PROBE_BLOCKED_CALL, /* number: with every signal blocked */
    PROBE_LOST_STACK,   /* number: with a stack pointer that points nowhere */
    PROBE_INT80,        /* getpid of i386 */
    PROBE_EXIT,         /* number: status */
    PROBE_SCRATCH,      /* the address of its struct scratch */
    PROBE_DIE,          /* number: index into probe_deaths */
    PROBE_THREAD_DIE,   /* the same, in the second thread */
    PROBE_FUZZ,         /* number: seed; args[0]: calls; args[1]: 1 with jit. See fuzz/fuzz.h */
};

struct probe_ask {
    uint64_t kind;
    uint64_t abi; /* enum probe_abi, of PROBE_CHILD_CALL */
    int64_t number;
    int64_t args[6];
};

struct probe_reply {
    int64_t result;
    int64_t error;    /* errno, if the result is -1 */
    uint64_t refused; /* refused calls so far, if the plan counts them */
    char text[128];   /* the first failure, for a person */
};

/* A function that tries an allowed call: one entry for each name that has rows with
 * POLICY_ALLOW. `rows`: how many of these rows the try covers. */
struct probe_try {
    const char *name;
    unsigned rows;
    int (*run)(void); /* 0 if every form worked */
};

extern const struct probe_try probe_tries[];
extern const size_t probe_n_tries;

/* Ways to end that are not by a system call. */
struct probe_death {
    const char *name;
    int (*run)(void); /* returns only if it does not kill: 0, or -errno */
};

extern const struct probe_death probe_deaths[];
extern const size_t probe_n_deaths;

/* Exit status of the child of a PROBE_CHILD_CALL, unless its call ended it. */
#define PROBE_CHILD_UNLOCKED 100 /* the child could not lock itself in */
#define PROBE_CHILD_RETURNED 101 /* the call returned */

/* Makes a call, by any way into the kernel. */
long probe_call(enum probe_abi abi, int64_t number, const int64_t args[static 6]);

/* Calls getpid of i386. */
long probe_int80_getpid(void);

/* Makes a call with a stack pointer that points nowhere. */
long probe_call_without_stack(long number);

/* Returns a descriptor that the probe holds, as libevent's loop would. */
int probe_epoll_fd(void);

/* Lets the probe's second thread return, and joins it. */
int probe_join_thread(void);

/* Is main() of the worker. Never returns to its caller's cmocka. */
int probe_main(int argc, char **argv);
