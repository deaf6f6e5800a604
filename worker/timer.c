/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setTimeout and setInterval: each timer belongs to the request that started it and counts against
 * its budgets. Timers that are due soon after the end of their request keep it, others are dropped
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
    struct event *event;
    int64_t id;
    struct timeval period;
    uint64_t due_ns;
    bool repeat;
    bool is_waiting; /* due, and not pending: waits for a request */
};

static void timer_free(struct timer *timer)
{
    TAILQ_REMOVE(&timer->job->timers, timer, entry);
    timer->job->n_timers--;
    event_free(timer->event);
    free(timer);
}

static bool must_wait(const struct timer *timer)
{
    const struct app *app = timer->job->app;

    return timer->job == &app->boot && app->is_ready && TAILQ_EMPTY(&app->jobs);
}

static uint64_t period_ns(const struct timer *timer)
{
    return (uint64_t) timer->period.tv_sec * NSEC_PER_SEC +
           (uint64_t) timer->period.tv_usec * NSEC_PER_USEC;
}

/* Returns whether a timer of a request that has ended is due too late to keep it. */
static bool is_too_late(const struct job *job, uint64_t due_ns)
{
    return job->linger_until_ns != 0 && due_ns > job->linger_until_ns;
}

static void fire(struct timer *timer)
{
    struct job *job = timer->job;
    struct app *app = job->app;
    int64_t id = timer->id;

    if (timer->repeat)
        timer->due_ns = io_now_ns() + period_ns(timer);
    if (!timer->repeat) {
        timer_free(timer);
    } else if (is_too_late(job, timer->due_ns)) {
        job->n_dropped++;
        timer_free(timer);
    }
    if (!entry_begin(app, job))
        return;
    entry_end(app, job, isolate_on_timer(app->isolate, job->id, id));
}

/* Returns whether the timer was called too early, and then makes it wait for the rest: libevent's
 * clock is a coarse one (CLOCK_MONOTONIC_COARSE), by which a timer can be due some ms early. */
static bool is_early(struct timer *timer)
{
    uint64_t now = io_now_ns();

    if (timer->repeat || now >= timer->due_ns)
        return false;
    uint64_t rest_us = (timer->due_ns - now) / NSEC_PER_USEC + 1;
    const struct timeval rest = { .tv_sec = (time_t) (rest_us / 1000000),
                                  .tv_usec = (suseconds_t) (rest_us % 1000000) };
    return event_add(timer->event, &rest) == 0;
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
    struct timer *timer = arg;

    (void) fd;
    (void) what;
    if (is_early(timer))
        return;
    if (must_wait(timer)) {
        timer->is_waiting = true;
        (void) event_del(timer->event);
        return;
    }
    fire(timer);
}

static struct timer *find_waiting(const struct job *boot)
{
    struct timer *timer;

    TAILQ_FOREACH (timer, &boot->timers, entry)
        if (timer->is_waiting)
            return timer;
    return NULL;
}

bool timer_is_waiting(const struct job *boot)
{
    return find_waiting(boot) != NULL;
}

void timer_run_waiting(struct app *app)
{
    struct host *host = app->host;
    uint32_t placement = app->id;
    struct timer *timer;

    /* Each entry may end any timer, and the app. */
    while ((app = app_find(host, placement)) && !TAILQ_EMPTY(&app->jobs) &&
           (timer = find_waiting(&app->boot))) {
        timer->is_waiting = false;
        if (timer->repeat)
            (void) event_add(timer->event, &timer->period);
        fire(timer);
    }
}

int64_t timer_start(struct job *job, uint64_t delay_ms, bool repeat)
{
    struct host *host = job->app->host;
    uint64_t delay = delay_ms > DELAY_MAX_MS ? DELAY_MAX_MS : delay_ms;

    if (job->n_timers >= job->app->timers_max &&
        exceeded_note(job, SKEP__WORKER__LIMIT__LIMIT_TIMERS, (uint64_t) job->n_timers + 1))
        return -EDQUOT;
    if (repeat && delay < REPEAT_LEAST_MS)
        delay = REPEAT_LEAST_MS;
    uint64_t due_ns = io_now_ns() + delay * NSEC_PER_MSEC;
    if (is_too_late(job, due_ns)) {
        job->n_dropped++;
        return ++job->app->last_timer;
    }
    struct timeval due = { .tv_sec = (time_t) (delay / 1000),
                           .tv_usec = (suseconds_t) (delay % 1000 * 1000) };
    struct timer *timer = calloc(1, sizeof *timer);
    if (!timer)
        return -ENOMEM;
    timer->event = event_new(host->options.base, -1, repeat ? EV_PERSIST : 0, on_due, timer);
    if (!timer->event || event_add(timer->event, &due) < 0) {
        if (timer->event)
            event_free(timer->event);
        free(timer);
        return -ENOMEM;
    }
    timer->job = job;
    timer->period = due;
    timer->due_ns = due_ns;
    timer->repeat = repeat;
    timer->id = ++job->app->last_timer;
    TAILQ_INSERT_TAIL(&job->timers, timer, entry);
    job->n_timers++;
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

    if (timer)
        timer_free(timer);
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
        timer_free(timer);
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
}
