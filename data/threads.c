/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of threads: one queue of work to do, one of work that is done, and an eventfd by which the loop hears of it.
 */
#include "data/threads.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/io.h"

#define THREADS_MAX 64

STAILQ_HEAD(work_list, work);

struct threads {
    pthread_mutex_t lock;    /* for all below */
    pthread_cond_t has_work; /* or is_ending */
    pthread_cond_t is_quiet; /* a thread has started, or waits for work again */
    struct work_list to_do, done;
    unsigned n, n_waiting; /* threads; those without work */
    bool is_ending;
    int done_fd;
    pthread_t ids[THREADS_MAX];
};

/* ---- in the threads */

/* Waits for work. The lock is held. NULL: the thread ends. */
static struct work *next(struct threads *threads)
{
    struct work *work;

    threads->n_waiting++;
    (void) pthread_cond_signal(&threads->is_quiet);
    while (!(work = STAILQ_FIRST(&threads->to_do)) && !threads->is_ending)
        (void) pthread_cond_wait(&threads->has_work, &threads->lock);
    threads->n_waiting--;
    if (work)
        STAILQ_REMOVE_HEAD(&threads->to_do, entry);
    return work;
}

/* Gives work back. The loop is told if it has taken all before, and without the lock: woken earlier, it would wait for that. */
static void give_back(struct threads *threads, struct work *work)
{
    static const uint64_t one = 1;

    (void) pthread_mutex_lock(&threads->lock);
    const bool is_first = STAILQ_EMPTY(&threads->done);
    STAILQ_INSERT_TAIL(&threads->done, work, entry);
    (void) pthread_mutex_unlock(&threads->lock);
    if (is_first)
        (void) !write(threads->done_fd, &one, sizeof one);
}

static void *live(void *arg)
{
    struct threads *threads = arg;
    struct work *work;

    (void) pthread_mutex_lock(&threads->lock);
    while ((work = next(threads))) {
        (void) pthread_mutex_unlock(&threads->lock);
        work->run(work);
        give_back(threads, work);
        (void) pthread_mutex_lock(&threads->lock);
    }
    (void) pthread_mutex_unlock(&threads->lock);
    return NULL;
}

/* ---- start */

static int start_one(struct threads *threads)
{
    pthread_attr_t attributes;

    int r = pthread_attr_init(&attributes);
    if (r != 0)
        return -r;
    r = pthread_attr_setstacksize(&attributes, THREADS_STACK_BYTES);
    if (r == 0)
        r = pthread_create(&threads->ids[threads->n], &attributes, live, threads);
    (void) pthread_attr_destroy(&attributes);
    if (r == 0)
        threads->n++;
    return -r;
}

/* Starts threads, and waits until each of them waits: a thread that starts makes calls that the filter has no row for. */
static int start_all(struct threads *threads, unsigned n)
{
    sigset_t all, before;
    int r = 0;

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &before);
    while (threads->n < n && r == 0)
        r = start_one(threads);
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void) pthread_mutex_lock(&threads->lock);
    while (threads->n_waiting < threads->n)
        (void) pthread_cond_wait(&threads->is_quiet, &threads->lock);
    (void) pthread_mutex_unlock(&threads->lock);
    return r;
}

int threads_start(unsigned n, struct threads **ret_threads)
{
    struct threads *threads = calloc(1, sizeof *threads);

    if (!threads)
        return -ENOMEM;
    (void) pthread_mutex_init(&threads->lock, NULL);
    (void) pthread_cond_init(&threads->has_work, NULL);
    (void) pthread_cond_init(&threads->is_quiet, NULL);
    STAILQ_INIT(&threads->to_do);
    STAILQ_INIT(&threads->done);
    threads->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int r = threads->done_fd < 0 ? -errno : n > THREADS_MAX ? -EINVAL : start_all(threads, n);
    if (r < 0) {
        (void) threads_stop(threads, 0);
        (void) threads_free(threads);
        return r;
    }
    *ret_threads = threads;
    return 0;
}

/* ---- the loop thread */

int threads_fd(const struct threads *threads)
{
    return threads->done_fd;
}

void threads_give(struct threads *threads, struct work *work)
{
    (void) pthread_mutex_lock(&threads->lock);
    STAILQ_INSERT_TAIL(&threads->to_do, work, entry);
    (void) pthread_mutex_unlock(&threads->lock);
    /* A thread that is woken needs the lock. */
    (void) pthread_cond_signal(&threads->has_work);
}

struct work *threads_take(struct threads *threads)
{
    uint64_t count;

    (void) pthread_mutex_lock(&threads->lock);
    struct work *work = STAILQ_FIRST(&threads->done);
    if (work)
        STAILQ_REMOVE_HEAD(&threads->done, entry);
    else
        (void) !read(threads->done_fd, &count, sizeof count);
    (void) pthread_mutex_unlock(&threads->lock);
    return work;
}

/* ---- end */

/* Waits until all threads wait. The lock is held. */
static int await_quiet(struct threads *threads, unsigned ms)
{
    const uint64_t until = io_now_ns() + ms * NSEC_PER_MSEC;
    const struct timespec time = { (time_t) (until / NSEC_PER_SEC), (long) (until % NSEC_PER_SEC) };
    int r = 0;

    while ((threads->n_waiting < threads->n || !STAILQ_EMPTY(&threads->to_do)) && r == 0)
        r = pthread_cond_clockwait(&threads->is_quiet, &threads->lock, CLOCK_MONOTONIC, &time);
    return threads->n_waiting == threads->n && STAILQ_EMPTY(&threads->to_do) ? 0 : -ETIMEDOUT;
}

int threads_stop(struct threads *threads, unsigned ms)
{
    (void) pthread_mutex_lock(&threads->lock);
    int r = await_quiet(threads, ms);
    threads->is_ending = r == 0;
    (void) pthread_cond_broadcast(&threads->has_work);
    (void) pthread_mutex_unlock(&threads->lock);
    while (r == 0 && threads->n > 0)
        (void) pthread_join(threads->ids[--threads->n], NULL);
    return r;
}

struct threads *threads_free(struct threads *threads)
{
    if (!threads)
        return NULL;
    if (threads->done_fd >= 0)
        (void) close(threads->done_fd);
    (void) pthread_cond_destroy(&threads->is_quiet);
    (void) pthread_cond_destroy(&threads->has_work);
    (void) pthread_mutex_destroy(&threads->lock);
    free(threads);
    return NULL;
}
