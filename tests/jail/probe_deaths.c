/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends of a worker that broke no rule: each must look like what it is. Runs in the probe, under
 * either filter, on either thread.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/jail/probe.h"

/* Volatile, so that the compiler does not see the value. */
static volatile uintptr_t zero;

static int die_of_abort(void)
{
    abort();
}

/* Calls the C library's part of assert, as assert itself may be compiled out. */
static int die_of_assert(void)
{
    __assert_fail("false", __FILE__, __LINE__, __func__);
}

/* Frees a block twice: the C library notices, prints an error and aborts. */
static int die_of_double_free(void)
{
    char *volatile block = malloc(5000);
    char *volatile wall = malloc(16); /* the block would become part of the top otherwise */

    free(block);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuse-after-free"
    free(block); /* NOLINT(clang-analyzer-unix.Malloc) */
#pragma GCC diagnostic pop
    free(wall);
    return -EIO;
}

extern _Noreturn void __stack_chk_fail(void);

static int die_of_smashed_stack(void)
{
    __stack_chk_fail();
}

static uintptr_t recurse(volatile char *above);

static uintptr_t (*volatile recurse_again)(volatile char *above) = recurse;

__attribute__((noinline)) static uintptr_t recurse(volatile char *above)
{
    volatile char frame[4096];

    frame[zero] = above[zero];
    return recurse_again(frame) + (uintptr_t) frame[zero];
}

static int die_of_stack_overflow(void)
{
    volatile char start = 1;

    return (int) recurse(&start);
}

static int die_of_trap(void)
{
    __builtin_trap();
}

static int die_of_null(void)
{
    *(volatile char *) zero = 1;
    return -EIO;
}

static int die_of_division(void)
{
#if defined(__x86_64__)
    static volatile int one = 1; /* unknown to the compiler */
    return one / (int) zero;
#else
    __builtin_trap(); /* division by zero is 0 on aarch64 */
#endif
}

static int die_of_jump_to_data(void)
{
    static char data[16];
    void (*volatile run)(void) = (void (*)(void))(uintptr_t) data;

    run();
    return -EIO;
}

/* ---- survivals */

static int live_through_huge_malloc(void)
{
    void *volatile p = malloc((size_t) PTRDIFF_MAX - 4096);
    int error = errno;

    if (!p)
        return error == ENOMEM ? 0 : -EIO;
    free(p);
    return -EIO;
}

/* Takes all that RLIMIT_AS leaves, in blocks of the size, and gives it back. */
static int exhaust(size_t size)
{
    void **last = NULL;
    size_t n = 0;

    errno = 0;
    for (;; n++) {
        void **block = malloc(size);
        if (!block)
            break;
        *block = (void *) last;
        last = block;
    }
    int error = errno;
    while (last) {
        void **before = *last;
        free((void *) last);
        last = before;
    }
    return n > 0 && error == ENOMEM ? 0 : -EIO;
}

/* Exhausts memory by brk or in an arena; then by mmap. */
static int live_through_out_of_memory(void)
{
    int r = exhaust(64000);

    if (r == 0)
        r = exhaust(1 << 20);
    void *volatile p = calloc(1, 4096);
    if (!p)
        r = -ENOMEM;
    free(p);
    return r;
}

static void *return_at_once(void *arg)
{
    return arg;
}

/* Starts a thread, which only a sealed worker cannot. */
static int live_through_failed_thread(void)
{
    pthread_t thread;
    int r = pthread_create(&thread, NULL, return_at_once, NULL);

    return r == 0 ? -pthread_join(thread, NULL) : r == EAGAIN ? 0 : -r;
}

const struct probe_death probe_deaths[] = {
    { "abort", die_of_abort },
    { "assert", die_of_assert },
    { "double free", die_of_double_free },
    { "smashed stack", die_of_smashed_stack },
    { "stack overflow", die_of_stack_overflow },
    { "trap instruction", die_of_trap },
    { "write to NULL", die_of_null },
    { "division by zero", die_of_division },
    { "jump to data", die_of_jump_to_data },
    { "huge malloc", live_through_huge_malloc },
    { "out of memory", live_through_out_of_memory },
    { "failed thread", live_through_failed_thread },
};

const size_t probe_n_deaths = ARRAY_LEN(probe_deaths);
