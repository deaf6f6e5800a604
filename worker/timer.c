/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setTimeout and setInterval: each timer belongs to the request that started it and counts against
 * its budgets. Those of one request run in the order of their time, then of their making. Timers that are due soon after the end of their request keep it, others are dropped
 * with it. Timers of module code run only while a request of the app is in the worker: otherwise a
 * neighbour would be blamed for what an idle tenant did to the worker. Worker, main thread, jailed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/io.h"
#include "worker/host_internal.h"

#define DELAY_MAX_MS UINT64_C(0x7fffffff)
#define REPEAT_LEAST_MS UINT64_C(1) /* an interval of 0 would keep the loop to itself */

struct timer {
    TAILQ_ENTRY(timer) entry;
    struct job *job; /* borrowed: the timer goes before its job */
    int64_t id;
    uint64_t due_ns;
    uint64_t period_ns; /* 0: the timer runs once */
};

static void on_due(evutil_socket_t fd, short what, void *arg);

/* Makes the event of the job's timers wait for the first of them. 0 or -ENOMEM. */
static int arm(struct job *job, uint64_t now)
{
    const struct timer *first = TAILQ_FIRST(&job->timers);

    if (!first)
        return job->timer_event ? event_del(job->timer_event) : 0;
    if (!job->timer_event)
        job->timer_event = event_new(job->app->host->options.base, -1, 0, on_due, job);
    uint64_t wait_us = first->due_ns > now ? (first->due_ns - now) / NSEC_PER_USEC + 1 : 0;
    const struct timeval wait = { .tv_sec = (time_t) (wait_us / 1000000),
                                  .tv_usec = (suseconds_t) (wait_us % 1000000) };
    return job->timer_event && event_add(job->timer_event, &wait) == 0 ? 0 : -ENOMEM;
}

/* Puts the timer among those of its job: by the time when they are due, of one time by their age. A
 * new one is mostly the last. */
static void insert(struct timer *timer)
{
    struct timer_list *list = &timer->job->timers;
    struct timer *before = TAILQ_LAST(list, timer_list);

    while (before && before->due_ns > timer->due_ns)
        before = TAILQ_PREV(before, timer_list, entry);
    if (before)
        TAILQ_INSERT_AFTER(list, before, timer, entry);
    else
        TAILQ_INSERT_HEAD(list, timer, entry);
}

static void timer_free(struct timer *timer)
{
    TAILQ_REMOVE(&timer->job->timers, timer, entry);
    timer->job->n_timers--;
    free(timer);
}

static bool must_wait(const struct job *job)
{
    const struct app *app = job->app;

    return job == &app->boot && app->is_ready && TAILQ_EMPTY(&app->jobs);
}

/* Returns whether a timer of a request that has ended is due too late to keep it. */
static bool is_too_late(const struct job *job, uint64_t due_ns)
{
    return job->linger_until_ns != 0 && due_ns > job->linger_until_ns;
}

/* Runs the timer. Afterwards the job, or the app, may be gone. */
static void fire(struct timer *timer, uint64_t now)
{
    struct job *job = timer->job;
    struct app *app = job->app;
    int64_t id = timer->id;

    timer->due_ns = now + timer->period_ns;
    if (timer->period_ns == 0) {
        timer_free(timer);
    } else if (is_too_late(job, timer->due_ns)) {
        job->n_dropped++;
        timer_free(timer);
    } else {
        TAILQ_REMOVE(&job->timers, timer, entry);
        insert(timer);
    }
    (void) arm(job, now); /* the event is there, and libevent has room for one that was pending */
    if (!entry_begin(app, job))
        return;
    entry_end(app, job, isolate_on_timer(app->isolate, job->id, id));
}

/* Runs one timer, so that those of others, and frames, have their turn before the next. libevent's
 * clock is a coarse one (CLOCK_MONOTONIC_COARSE), by which a timer can be due some ms early: only one that is due waits
 * for a request, as nothing else would make it due then. */
static void on_due(evutil_socket_t fd, short what, void *arg)
{
    struct job *job = arg;
    struct timer *first = TAILQ_FIRST(&job->timers);
    uint64_t now = io_now_ns();

    (void) fd;
    (void) what;
    if (!first)
        return;
    if (now < first->due_ns)
        (void) arm(job, now);
    else if (!must_wait(job))
        fire(first, now);
}

bool timer_is_waiting(const struct job *boot)
{
    return !TAILQ_EMPTY(&boot->timers) && !event_pending(boot->timer_event, EV_TIMEOUT, NULL);
}

void timer_run_waiting(struct app *app)
{
    struct host *host = app->host;
    uint32_t placement = app->id;
    uint64_t now = io_now_ns();
    struct timer *timer;

    /* Each entry may end any timer, and the app. */
    while ((app = app_find(host, placement)) && !TAILQ_EMPTY(&app->jobs) &&
           (timer = TAILQ_FIRST(&app->boot.timers)) && timer->due_ns <= now)
        fire(timer, now);
}

int64_t timer_start(struct job *job, uint64_t delay_ms, bool repeat)
{
    uint64_t now = io_now_ns();
    uint64_t delay = delay_ms > DELAY_MAX_MS ? DELAY_MAX_MS : delay_ms;

    if (job->n_timers >= job->app->timers_max &&
        exceeded_note(job, SKEP__WORKER__LIMIT__LIMIT_TIMERS, (uint64_t) job->n_timers + 1))
        return -EDQUOT;
    if (repeat && delay < REPEAT_LEAST_MS)
        delay = REPEAT_LEAST_MS;
    uint64_t due_ns = now + delay * NSEC_PER_MSEC;
    if (is_too_late(job, due_ns)) {
        job->n_dropped++;
        return ++job->app->last_timer;
    }
    struct timer *timer = calloc(1, sizeof *timer);
    if (!timer)
        return -ENOMEM;
    timer->job = job;
    timer->due_ns = due_ns;
    timer->period_ns = repeat ? delay * NSEC_PER_MSEC : 0;
    timer->id = ++job->app->last_timer;
    insert(timer);
    job->n_timers++;
    if (TAILQ_FIRST(&job->timers) == timer && arm(job, now) < 0) {
        timer_free(timer);
        return -ENOMEM;
    }
    return timer->id;
}

static struct timer *find(const struct job *job, int64_t id)
{
    struct timer *timer;

    TAILQ_FOREACH (timer, &job->timers, entry)
        if (timer->id == id)
            return timer;
    return NULL;
}

void timer_stop(struct job *job, int64_t id)
{
    struct timer *timer = find(job, id);

    if (!timer)
        return;
    timer_free(timer);
    (void) arm(job, io_now_ns());
}

bool timer_keep(struct job *job, int64_t id)
{
    struct timer *timer = find(job, id);
    uint64_t now = io_now_ns();

    if (!timer)
        return false;
    uint64_t until_ns =
        job->linger_until_ns ? job->linger_until_ns : now + job->linger_ms * NSEC_PER_MSEC;
    if (timer->due_ns > until_ns || job->linger_ms == 0 || job->is_stopped) {
        job->n_dropped++;
        timer_stop(job, id);
        return false;
    }
    job->linger_until_ns = until_ns;
    return true;
}

void timer_note_dropped(struct job *job)
{
    struct app *app = job->app;
    uint64_t now;
    char text[160];

    if (job->n_dropped == 0 || job->is_stopped)
        return;
    now = io_now_ns();
    if (app->dropped_said_ns != 0 && now - app->dropped_said_ns < NSEC_PER_SEC)
        return;
    app->dropped_said_ns = now;
    int n = snprintf(
        text, sizeof text,
        "timers were dropped with their request: %u; only those that are due within %u ms of its "
        "end still run",
        job->n_dropped, job->linger_ms);
    job_log(app, job, SKEP__WORKER__LOG_LEVEL__LOG_WARN, text, (size_t) n);
}

void timer_stop_all(struct job *job)
{
    struct timer *timer;

    while ((timer = TAILQ_FIRST(&job->timers)))
        timer_free(timer);
    if (job->timer_event)
        event_free(job->timer_event);
    job->timer_event = NULL;
}
