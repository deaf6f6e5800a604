/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sentry's thread, which runs in the jailed worker and uses futex, clock_gettime and
 * clock_nanosleep only.
 */
#include "worker/sentry.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/io.h"
#include "worker/slice_clock.h"

/* Longest sleep of the sentry while entries come, which bounds how late it sees a new one. */
#define TICK_NS (2 * NSEC_PER_MSEC)
#define SHORTEST_SLEEP_NS (NSEC_PER_MSEC / 10)
#define IDLE_TICKS 50

struct sentry {
    _Atomic uint64_t generation;  /* odd: an entry is running */
    _Atomic uint64_t deadline_ns; /* on the watched thread's CPU clock */
    struct isolate *_Atomic isolate;
    _Atomic uint32_t is_asleep; /* futex */
    _Atomic uint32_t is_running;
    pthread_mutex_t lock; /* held to terminate, and to leave a terminated entry */
    uint64_t terminated;  /* generation last terminated; under lock */
    clockid_t clock;
    pthread_t thread;
    struct slice_clock slice; /* watched thread only, as budget_ns */
    uint64_t budget_ns;
};

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    (void) syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    (void) syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void sleep_ns(uint64_t ns)
{
    struct timespec t = { .tv_sec = 0, .tv_nsec = (long) ns };

    (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

/* Terminates the entry. Called with each tick until the entry is over: V8 may have forgotten an
 * earlier terminate, which ended no more than a getter that was called from its C++. */
static void terminate(struct sentry *sentry, uint64_t generation)
{
    (void) pthread_mutex_lock(&sentry->lock);
    if (atomic_load(&sentry->generation) == generation) {
        sentry->terminated = generation;
        isolate_terminate(atomic_load(&sentry->isolate));
    }
    (void) pthread_mutex_unlock(&sentry->lock);
}

/* Looks once at the entry that runs. Returns how long to sleep. */
static uint64_t watch(struct sentry *sentry, uint64_t generation)
{
    uint64_t deadline = atomic_load(&sentry->deadline_ns);
    uint64_t now = io_clock_ns(sentry->clock);

    /* A deadline of the next entry, read by mistake, is harmless: terminate checks again. */
    if (now >= deadline) {
        terminate(sentry, generation);
        return TICK_NS;
    }
    uint64_t left = deadline - now;
    return left > TICK_NS ? TICK_NS : left < SHORTEST_SLEEP_NS ? SHORTEST_SLEEP_NS : left;
}

/* Has the C library remember the scheduling of this thread. V8's mutexes ask for that before a thread
 * waits for another (Abseil's Mutex::Block), and the filter has no rows for the system calls. */
static void note_scheduling(void)
{
    struct sched_param param;
    int policy;

    (void) pthread_getschedparam(pthread_self(), &policy, &param);
}

static void *run(void *arg)
{
    struct sentry *sentry = arg;
    unsigned idle = 0;

    note_scheduling();
    atomic_store(&sentry->is_running, 1);
    futex_wake(&sentry->is_running);
    for (;;) {
        uint64_t generation = atomic_load(&sentry->generation);
        if (generation & 1) {
            idle = 0;
            sleep_ns(watch(sentry, generation));
        } else if (++idle < IDLE_TICKS) {
            sleep_ns(TICK_NS);
        } else {
            atomic_store(&sentry->is_asleep, 1);
            if (atomic_load(&sentry->generation) == generation)
                futex_wait(&sentry->is_asleep, 1);
            atomic_store(&sentry->is_asleep, 0);
            idle = 0;
        }
    }
    return NULL;
}

static uint64_t read_cpu_ns(void)
{
    return io_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

int sentry_start(struct sentry **ret_sentry)
{
    struct sentry *sentry = calloc(1, sizeof *sentry);

    if (!sentry)
        return -ENOMEM;
    note_scheduling();
    sentry->slice.read_cpu_ns = read_cpu_ns;
    (void) pthread_mutex_init(&sentry->lock, NULL);
    int r = pthread_getcpuclockid(pthread_self(), &sentry->clock);
    if (r == 0)
        r = pthread_create(&sentry->thread, NULL, run, sentry);
    if (r != 0) {
        free(sentry);
        return -r;
    }
    while (!atomic_load(&sentry->is_running))
        futex_wait(&sentry->is_running, 0);
    *ret_sentry = sentry;
    return 0;
}

void sentry_enter(struct sentry *sentry, struct isolate *isolate, uint64_t budget_ns,
                  uint64_t now_ns)
{
    uint64_t cpu_ns = slice_begin(&sentry->slice, now_ns);
    uint64_t deadline_ns = budget_ns > UINT64_MAX - cpu_ns ? UINT64_MAX : cpu_ns + budget_ns;

    sentry->budget_ns = budget_ns;
    atomic_store_explicit(&sentry->isolate, isolate, memory_order_relaxed);
    atomic_store_explicit(&sentry->deadline_ns, deadline_ns, memory_order_relaxed);
    atomic_fetch_add(&sentry->generation, 1);
    if (atomic_load(&sentry->is_asleep)) {
        atomic_store(&sentry->is_asleep, 0);
        futex_wake(&sentry->is_asleep);
    }
}

uint64_t sentry_left_ns(const struct sentry *sentry)
{
    uint64_t deadline = atomic_load_explicit(&sentry->deadline_ns, memory_order_relaxed);
    uint64_t now = deadline == UINT64_MAX ? 0 : read_cpu_ns();

    return deadline == UINT64_MAX ? UINT64_MAX : now < deadline ? deadline - now : 0;
}

bool sentry_leave(struct sentry *sentry, uint64_t now_ns, uint64_t *ret_cpu_ns)
{
    uint64_t generation = atomic_fetch_add(&sentry->generation, 1);

    /* The lock is taken always: a sentry that has passed its check of the generation may be
     * about to terminate, and must have done so before the next entry begins. */
    (void) pthread_mutex_lock(&sentry->lock);
    bool was_terminated = sentry->terminated == generation;
    (void) pthread_mutex_unlock(&sentry->lock);
    uint64_t used_ns = slice_end(&sentry->slice, now_ns);
    /* A slice that was stopped has used its budget, by the sentry's own reading. */
    *ret_cpu_ns = was_terminated && used_ns < sentry->budget_ns ? sentry->budget_ns : used_ns;
    return was_terminated;
}
