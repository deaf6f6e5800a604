/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for skep-worker: started by the real spawner, it locks itself in with the real
 * jail code and then does what it is asked over its channel. What it shall do before that,
 * it reads from its scoreboard page.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the scoreboard begins in the file that starts with the plan. */
#define PROBE_BOARD_OFFSET 4096

enum probe_lock {
    PROBE_SEALED,
    PROBE_ENTERED, /* all but the filters; tries what the other layers should refuse */
    PROBE_STARTED, /* the start-up filter only */
    PROBE_FREE,
};

struct probe_plan {
    enum probe_lock lock; /* how far to lock itself in */
    bool keep_scoreboard; /* leaves fd 4 open */
    bool second_thread;   /* has one before jail_enter */
    bool counts;          /* a refused call is counted and fails; the probe lives */
};

enum probe_ask_kind {
    PROBE_SYSTEM_CALL,  /* number, args */
    PROBE_TRY,          /* number: index into probe_tries */
    PROBE_THREAD_CALL,  /* number: made by the second thread */
    PROBE_BLOCKED_CALL, /* number: with every signal blocked */
    PROBE_LOST_STACK,   /* number: with a stack pointer that points nowhere */
    PROBE_INT80,        /* getpid of i386 */
    PROBE_EXIT,         /* number: status */
};

struct probe_ask {
    uint64_t kind;
    int64_t number;
    int64_t args[6];
};

struct probe_reply {
    int64_t result;
    int64_t error;    /* errno, if the result is -1 */
    uint64_t refused; /* calls so far, if the plan counts them */
    char text[64];    /* what failed first, for a person */
};

/* What an allowed call is tried with: one entry for each name that has rows with
 * POLICY_ALLOW. `rows`: how many of these rows the try covers. */
struct probe_try {
    const char *name;
    unsigned rows;
    int (*run)(void); /* 0 if every form worked */
};

extern const struct probe_try probe_tries[];
extern const size_t probe_n_tries;

/* The descriptors that the probe's loop holds, as libevent's would. */
int probe_epoll_fd(void);

/* Lets the probe's second thread return, and joins it. */
int probe_join_thread(void);

/* main() of the worker. Never returns to its caller's cmocka. */
int probe_main(int argc, char **argv);
