/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page that one worker shares with the supervisor: a sealed memfd, written by the
 * worker without system calls, read by the supervisor for stats and for blame after a
 * death. Everything in it is a claim of the worker: the supervisor bounds each value and
 * never enforces a limit by it. Both write only one member: entered, see scoreboard_withdraw.
 * Only the supervisor writes no_credit_until_ns.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCOREBOARD_REQUESTS 1024
#define SCOREBOARD_PLACEMENTS 256
#define SCOREBOARD_THREADS 8
/* Row of the worker's main thread, the only one that runs JavaScript today. */
#define SCOREBOARD_MAIN_THREAD 0

/* Cause of the death that a worker announces, written by V8's fatal error handlers. */
enum last_words_cause {
    LAST_WORDS_NONE,
    LAST_WORDS_HEAP_OOM, /* V8 could not go on within the isolate's heap limit */
    LAST_WORDS_V8_FATAL, /* any other fatal error of V8 */
    LAST_WORDS_SYSCALL,  /* a system call that the policy forbids: see syscall_number */
    LAST_WORDS_CAUSES,
};

/* A thread that runs JavaScript. No other thread writes the row, which has a cache line of its own. */
struct scoreboard_thread {
    _Atomic uint64_t heartbeat;         /* entries into JavaScript that have ended */
    _Atomic uint64_t running_request;   /* request whose JavaScript runs now, or 0 */
    _Atomic uint64_t running_since_ns;  /* CLOCK_MONOTONIC */
    _Atomic uint32_t running_placement; /* placement whose JavaScript runs now, or 0 */
    _Atomic uint32_t last_words; /* enum last_words_cause, by the thread that ends the process */
    _Atomic uint32_t syscall_number; /* with LAST_WORDS_SYSCALL */
    _Atomic uint32_t syscall_arch;   /* AUDIT_ARCH_* of the call */
    uint32_t unused[6];
};

struct scoreboard_placement {
    _Atomic uint32_t placement;    /* number of the placement; 0: free */
    _Atomic uint32_t heap_kib;     /* objects in V8's heap, garbage included */
    _Atomic uint32_t external_kib; /* ArrayBuffers and WebAssembly memories */
    /* Allocated for the tenant by V8, ICU and natives; WebAssembly code. */
    _Atomic uint32_t native_kib;
    _Atomic uint32_t heap_held_kib; /* pages of the heap that are in memory */
    _Atomic uint32_t waiting_kib; /* answers that wait for their clients, a part of external_kib */
    _Atomic uint64_t cpu_ns;      /* CPU time of all entries since the load; only grows */
};

struct scoreboard {
    struct scoreboard_thread threads[SCOREBOARD_THREADS];
    _Atomic uint32_t own_kib; /* isolates that were made ahead, for no tenant */
    /* CLOCK_MONOTONIC: until then no entry uses a first credit. */
    _Atomic uint64_t no_credit_until_ns;
    struct scoreboard_placement placements[SCOREBOARD_PLACEMENTS];
    /* Id of the row's last request to enter JavaScript; ~id of one that was withdrawn before. */
    _Atomic uint64_t entered[SCOREBOARD_REQUESTS];
};

#define SCOREBOARD_BYTES sizeof(struct scoreboard)

_Static_assert(sizeof(struct scoreboard_thread) == 64, "a row is a cache line");

/* Returns the row of a thread that has left last words; NULL: none has. */
static inline const struct scoreboard_thread *
scoreboard_last_words(const struct scoreboard_thread threads[static SCOREBOARD_THREADS])
{
    for (unsigned i = 0; i < SCOREBOARD_THREADS; i++)
        if (atomic_load(&threads[i].last_words) != LAST_WORDS_NONE)
            return &threads[i];
    return NULL;
}

/*
 * Each request that was sent is either entered by the worker or withdrawn by the supervisor, never
 * both and for good: the first to change the row's entry has it. No other request has the row
 * meanwhile.
 */

/* Enters a request; called by the worker before JavaScript of the request runs. Returns false if
 * the request was withdrawn: it must not run. */
static inline bool scoreboard_enter(struct scoreboard *board, unsigned row, uint64_t id)
{
    uint64_t before = atomic_load(&board->entered[row]);

    while (before != ~id)
        if (atomic_compare_exchange_weak(&board->entered[row], &before, id))
            return true;
    return false;
}

/* Withdraws a request; called by the supervisor. Returns true if an honest worker will never run
 * the request. One try only: a worker that changes the entry meanwhile enters the request, or
 * lies. */
static inline bool scoreboard_withdraw(struct scoreboard *board, unsigned row, uint64_t id)
{
    uint64_t before = atomic_load(&board->entered[row]);

    return before != id && atomic_compare_exchange_strong(&board->entered[row], &before, ~id);
}
