/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setTimeout and setInterval: each timer belongs to the request that started it, counts
 * against its budgets and goes with it. Those of module code run only while a request of the
 * app is in the worker: what an idle tenant did to the worker, a neighbour would be blamed for.
 * Worker, main thread, jailed.
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
    struct timeval period;
    bool repeat;
    bool is_passed;  /* from a request that is over; not in n_timers of its job */
    bool is_last;    /* set by one of these: goes with its job */
    bool is_waiting; /* due, and not pending: until a request comes */
};

static void timer_free(struct timer *timer)
{
    TAILQ_REMOVE(&timer->job->timers, timer, entry);
    if (timer->is_passed)
        timer->job->app->n_passed--;
    else
        timer->job->n_timers--;
    event_free(timer->event);
    free(timer);
}

static bool must_wait(const struct timer *timer)
{
    const struct app *app = timer->job->app;

    return timer->job == &app->boot && app->is_ready && TAILQ_EMPTY(&app->jobs);
}

static void fire(struct timer *timer)
{
    struct job *job = timer->job;
    struct app *app = job->app;
    int64_t id = timer->id;
    bool is_passed = timer->is_passed || timer->is_last;

    if (!timer->repeat)
        timer_free(timer);
    if (!entry_begin(app, job))
        return;
    app->is_in_passed = is_passed;
    enum isolate_result result = isolate_on_timer(app->isolate, job->id, id);
    app->is_in_passed = false;
    entry_end(app, job, result);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
    struct timer *timer = arg;

    (void) fd;
    (void) what;
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
    uint32_t tenant = app->id;
    struct timer *timer;

    /* Each entry may end any timer, and the app. */
    while ((app = app_find(host, tenant)) && !TAILQ_EMPTY(&app->jobs) &&
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
    timer->is_last = job->app->is_in_passed;
    timer->period = due;
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

/* Each fires once at the time that was said: they end, however many requests pass them on. One that
 * sets itself again would not. */
struct job *timer_pass(struct job *job, int64_t id)
{
    struct app *app = job->app;
    struct timer *timer = find(job, id);
    struct job *heir = TAILQ_LAST(&app->jobs, job_list);

    if (!timer || timer->repeat || timer->is_last || job->is_stopped)
        return NULL;
    while (heir && (heir == job || heir->is_done || heir->is_stopped))
        heir = TAILQ_PREV(heir, job_list, entry);
    if (!heir || (!timer->is_passed && app->n_passed >= app->timers_max))
        return NULL;
    TAILQ_REMOVE(&job->timers, timer, entry);
    if (!timer->is_passed) {
        job->n_timers--;
        app->n_passed++;
    }
    timer->is_passed = true;
    timer->job = heir;
    TAILQ_INSERT_TAIL(&heir->timers, timer, entry);
    return heir;
}

void timer_stop_all(struct job *job)
{
    struct timer *timer;

    while ((timer = TAILQ_FIRST(&job->timers)))
        timer_free(timer);
}
