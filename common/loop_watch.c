/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch reads only CLOCK_MONOTONIC for each callback, which costs no system call. The thread's
 * CPU time and reads from disks are asked for only where a callback took long, and compared with a
 * sample that is at most a millisecond older than the callback.
 */
#include "common/loop_watch.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "common/io.h"
#include "common/log.h"
#include "common/log_gate.h"

#define SAMPLE_MAX_AGE_NS NSEC_PER_MSEC
#define LOOK_NS NSEC_PER_MSEC  /* shorter callbacks are not looked at */
#define LOG_US UINT64_C(50000) /* by CPU or, with a disk, by the wall */
#define LOG_INTERVAL_NS NSEC_PER_SEC

struct sample {
    uint64_t wall_ns, cpu_us;
    long blocks; /* reads from disks that the thread has waited for */
};

static bool is_on;
static unsigned depth;
static bool is_blamed;      /* an inner scope of the callback that runs was slow */
static uint64_t current_ns; /* clock of loop_now_ns */
static struct sample last;
static struct loop_slow slow[LOOP_SLOW_MAX];
static size_t n_slow;
static uint64_t longest_us;
static struct log_gate gate;

static struct sample take_sample(uint64_t now_ns)
{
    struct rusage usage = { 0 };

    (void) getrusage(RUSAGE_THREAD, &usage);
    return (struct sample){
        .wall_ns = now_ns,
        .cpu_us = io_clock_ns(CLOCK_THREAD_CPUTIME_ID) / NSEC_PER_USEC,
        .blocks = usage.ru_inblock,
    };
}

void loop_watch_start(void)
{
    is_on = true;
    last = take_sample(io_now_ns());
}

struct loop_scope loop_watch_enter(const char *name)
{
    struct loop_scope scope = { .name = name };

    if (!is_on)
        return scope;
    scope.began_ns = current_ns = io_now_ns();
    if (depth++ == 0) {
        is_blamed = false;
        if (scope.began_ns - last.wall_ns > SAMPLE_MAX_AGE_NS)
            last = take_sample(scope.began_ns);
    }
    return scope;
}

static struct loop_slow *get_slow(const char *name)
{
    for (size_t i = 0; i < n_slow; i++)
        if (strcmp(slow[i].name, name) == 0)
            return &slow[i];
    if (n_slow == LOOP_SLOW_MAX)
        return &slow[LOOP_SLOW_MAX - 1];
    slow[n_slow] = (struct loop_slow){ .name = n_slow + 1 < LOOP_SLOW_MAX ? name : "others" };
    return &slow[n_slow++];
}

static void say(const char *name, uint64_t cpu_us, uint64_t wall_us, long blocks, uint64_t now_ns)
{
    uint64_t left_out;
    char text[LOG_GATE_TEXT_BYTES];

    if (!log_gate_pass(&gate, now_ns, LOG_INTERVAL_NS, &left_out))
        return;
    log_warning("the loop stood still for %" PRIu64 ".%" PRIu64 " ms in \"%s\": %" PRIu64
                ".%" PRIu64 " ms of CPU time, %ld reads from disks%s",
                wall_us / 1000, wall_us % 1000 / 100, name, cpu_us / 1000, cpu_us % 1000 / 100,
                blocks, log_gate_text(left_out, text));
}

static void look(const struct loop_scope *scope, uint64_t now_ns)
{
    const struct sample now = take_sample(now_ns);
    uint64_t wall_us = (now_ns - scope->began_ns) / NSEC_PER_USEC;
    uint64_t cpu_us = now.cpu_us - last.cpu_us;
    long blocks = now.blocks - last.blocks;

    if (cpu_us > wall_us) /* the rest was before */
        cpu_us = wall_us;
    if (cpu_us > longest_us)
        longest_us = cpu_us;
    if (cpu_us <= LOOP_CALLBACK_MAX_US && blocks == 0)
        return;
    is_blamed = true;
    struct loop_slow *entry = get_slow(scope->name);
    entry->cpu += cpu_us > LOOP_CALLBACK_MAX_US;
    entry->disk += blocks > 0;
    if (cpu_us > entry->longest_us)
        entry->longest_us = cpu_us;
    if (cpu_us > LOG_US || (blocks > 0 && wall_us > LOG_US))
        say(scope->name, cpu_us, wall_us, blocks, now_ns);
    last = now;
}

void loop_watch_leave(const struct loop_scope *scope)
{
    if (scope->began_ns == 0 || !is_on)
        return;
    uint64_t now_ns = io_now_ns();
    depth--;
    if (now_ns - scope->began_ns > LOOK_NS && !is_blamed)
        look(scope, now_ns);
}

uint64_t loop_now_ns(void)
{
    return depth > 0 ? current_ns : io_now_ns();
}

void loop_now_touch(void)
{
    if (depth > 0)
        current_ns = io_now_ns();
}

const struct loop_slow *loop_watch_slow(size_t *ret_n)
{
    *ret_n = n_slow;
    return slow;
}

uint64_t loop_watch_longest_us(void)
{
    return longest_us;
}
