/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setTimeout and setInterval: each timer belongs to the request that started it, counts
 * against its budgets and goes with it. Worker, main thread, jailed.
 */
#include <errno.h>
#include <stdlib.h>

#include "worker/host_internal.h"

#define DELAY_MAX_MS UINT64_C(0x7fffffff)
#define REPEAT_LEAST_MS UINT64_C(1) /* an interval of 0 would keep the loop to itself */

struct timer {
    TAILQ_ENTRY(timer) entry;
    struct job *job; /* borrowed: goes before its job */
    struct event *event;
    int64_t id;
    bool repeat;
};

static void timer_free(struct timer *timer)
{
    TAILQ_REMOVE(&timer->job->timers, timer, entry);
    timer->job->n_timers--;
    event_free(timer->event);
    free(timer);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
    struct timer *timer = arg;
    struct job *job = timer->job;
    struct app *app = job->app;
    int64_t id = timer->id;

    (void) fd;
    (void) what;
    if (!timer->repeat)
        timer_free(timer);
    if (entry_begin(app, job))
        entry_end(app, job, isolate_on_timer(app->isolate, job->id, id));
}

int64_t timer_start(struct job *job, uint64_t delay_ms, bool repeat)
{
    struct host *host = job->app->host;
    uint64_t delay = delay_ms > DELAY_MAX_MS ? DELAY_MAX_MS : delay_ms;

    if (job->n_timers >= job->app->timers_max)
        return -EDQUOT;
    if (repeat && delay < REPEAT_LEAST_MS)
        delay = REPEAT_LEAST_MS;
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
    timer->repeat = repeat;
    timer->id = ++job->app->last_timer;
    TAILQ_INSERT_TAIL(&job->timers, timer, entry);
    job->n_timers++;
    return timer->id;
}

void timer_stop(struct job *job, int64_t id)
{
    struct timer *timer;

    TAILQ_FOREACH (timer, &job->timers, entry)
        if (timer->id == id) {
            timer_free(timer);
            return;
        }
}

void timer_stop_all(struct job *job)
{
    struct timer *timer;

    while ((timer = TAILQ_FIRST(&job->timers)))
        timer_free(timer);
}
