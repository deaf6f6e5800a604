/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader thread. Jobs go to it through one pipe, and come back through another, in order: there
 * is no lock, and the filter needs no system call for one but those of glibc's heap.
 */
#include "supervisor/host/reader.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"

#define END_WAIT_MS 1000
#define RELEASES_MAX 1000 /* jobs under way: far fewer than the pipes take */

struct reader {
    int jobs[2], results[2]; /* read end, write end */
    struct event *event;
    bool has_thread;
    unsigned n_under_way;
};

/* ---- the thread */

static bool take(int fd, struct reader_job **ret_job)
{
    ssize_t n;

    do
        n = read(fd, ret_job, sizeof *ret_job);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t) sizeof *ret_job;
}

static void put(int fd, struct reader_job *job)
{
    ssize_t n;

    do
        n = write(fd, &job, sizeof job);
    while (n < 0 && errno == EINTR);
}

static void *run_thread(void *arg)
{
    const struct reader *reader = arg;
    int jobs = reader->jobs[0], results = reader->results[1];
    struct reader_job *job = NULL;

    put(results, NULL); /* the thread runs: glibc's work for a new thread is done */
    while (take(jobs, &job)) {
        job->work(job);
        put(results, job);
    }
    return NULL;
}

/* ---- the loop */

static void on_results(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("reader: a result");
    struct reader *reader = arg;
    struct reader_job *job = NULL;

    if (!take(fd, &job))
        return;
    reader->n_under_way--;
    job->done(job, false);
}

void reader_run(struct reader *reader, struct reader_job *job)
{
    if (reader && reader->has_thread) {
        reader->n_under_way++;
        put(reader->jobs[1], job);
        return;
    }
    job->work(job);
    job->done(job, false);
}

struct releasing {
    struct reader_job job;
    void (*release)(void *what);
    void *what;
};

static void do_release(struct reader_job *job)
{
    const struct releasing *releasing = (const struct releasing *) job;

    releasing->release(releasing->what);
}

static void release_done(struct reader_job *job, bool is_end)
{
    (void) is_end;
    free(job);
}

void reader_release(struct reader *reader, void (*release)(void *what), void *what)
{
    bool is_free = reader && reader->has_thread && reader->n_under_way < RELEASES_MAX;
    struct releasing *releasing = is_free ? malloc(sizeof *releasing) : NULL;

    if (!releasing) {
        release(what);
        return;
    }
    *releasing = (struct releasing){
        .job = { .work = do_release, .done = release_done },
        .release = release,
        .what = what,
    };
    reader_run(reader, &releasing->job);
}

int reader_start(struct reader *reader)
{
    struct reader_job *none = NULL;
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;

    (void) sigfillset(&all);
    int r = pthread_attr_init(&attributes);
    if (r != 0)
        return -r;
    (void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void) pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
    r = pthread_create(&thread, &attributes, run_thread, reader);
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void) pthread_attr_destroy(&attributes);
    if (r != 0)
        return -r;
    if (!take(reader->results[0], &none) || event_add(reader->event, NULL) < 0)
        return -EIO;
    reader->has_thread = true;
    return 0;
}

int reader_new(struct event_base *base, struct reader **ret_reader)
{
    _cleanup_(reader_cleanup) struct reader *reader = calloc(1, sizeof *reader);

    if (!reader)
        return -ENOMEM;
    reader->jobs[0] = reader->jobs[1] = reader->results[0] = reader->results[1] = -1;
    if (pipe2(reader->jobs, O_CLOEXEC) < 0 || pipe2(reader->results, O_CLOEXEC) < 0)
        return -errno;
    reader->event = event_new(base, reader->results[0], EV_READ | EV_PERSIST, on_results, reader);
    if (!reader->event)
        return -ENOMEM;
    *ret_reader = TAKE_PTR(reader);
    return 0;
}

static void end_jobs(struct reader *reader)
{
    struct pollfd result = { .fd = reader->results[0], .events = POLLIN };
    struct reader_job *job = NULL;

    while (reader->n_under_way > 0 && poll(&result, 1, END_WAIT_MS) > 0 &&
           take(reader->results[0], &job)) {
        reader->n_under_way--;
        job->done(job, true);
    }
}

struct reader *reader_free(struct reader *reader)
{
    if (!reader)
        return NULL;
    end_jobs(reader);
    if (reader->event)
        event_free(reader->event);
    if (reader->has_thread)
        return NULL; /* the thread uses the rest of it until the process ends */
    for (unsigned i = 0; i < 2; i++) {
        if (reader->jobs[i] >= 0)
            (void) close(reader->jobs[i]);
        if (reader->results[i] >= 0)
            (void) close(reader->results[i]);
    }
    free(reader);
    return NULL;
}
