/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/wake.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "worker/call.h"

/* Time that a request must have waited before its waiting for another request is looked at. */
#define WATCH_AFTER_NS (500 * NSEC_PER_MSEC)
/* Looking for the place of an await costs a collection of the isolate's garbage. */
#define WHERE_EVERY_NS (10 * NSEC_PER_SEC)
#define WHERE_HEAP_MAX_BYTES (UINT64_C(32) << 20)

static bool has_timer(const struct job *job)
{
    return job->n_timers > 0;
}

/* A request whose body JavaScript leaves unread, as much as may be sent, cannot be woken by it. */
static bool has_body_to_come(const struct job *job)
{
    return !job->is_body_ended && job->unread + job->consumed < BODY_WINDOW_BYTES;
}

static bool waits_for_credit(const struct job *job)
{
    return job->wants_credit;
}

const struct wake_row wake_table[WAKE_SOURCES] = {
    [WAKE_TIMER] = { "timer", has_timer },
    [WAKE_BODY] = { "body to come", has_body_to_come },
    [WAKE_CREDIT] = { "body to go", waits_for_credit },
    [WAKE_CALL] = { "call", call_is_awaited },
};

/* Row of a source; 0: not named. */
#define ROW(source) (1 + (source))
#define NONE ROW(WAKE_SOURCES)

int wake_of_frame(unsigned message_case)
{
    static const uint8_t rows[] = {
        [SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_BEGIN] = NONE,
        [SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_FILE] = NONE,
        [SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_END] = NONE,
        [SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_CHECK] = NONE,
        [SKEP__WORKER__TO_WORKER__MESSAGE_UNLOAD] = NONE,
        [SKEP__WORKER__TO_WORKER__MESSAGE_REQUEST] = NONE, /* hung_ms is for these */
        [SKEP__WORKER__TO_WORKER__MESSAGE_BODY] = ROW(WAKE_BODY),
        [SKEP__WORKER__TO_WORKER__MESSAGE_CREDIT] = ROW(WAKE_CREDIT),
        [SKEP__WORKER__TO_WORKER__MESSAGE_CANCEL] = NONE, /* ends the request */
        [SKEP__WORKER__TO_WORKER__MESSAGE_PING] = NONE,
        [SKEP__WORKER__TO_WORKER__MESSAGE_RETIRE] = NONE,
        [SKEP__WORKER__TO_WORKER__MESSAGE_CALL_HEAD] = ROW(WAKE_CALL),
        [SKEP__WORKER__TO_WORKER__MESSAGE_CALL_BODY] = ROW(WAKE_CALL),
        [SKEP__WORKER__TO_WORKER__MESSAGE_CALL_CREDIT] = ROW(WAKE_CALL),
        [SKEP__WORKER__TO_WORKER__MESSAGE_CALL_DONE] = ROW(WAKE_CALL),
    };

    return message_case < ARRAY_LEN(rows) ? rows[message_case] - 1 : -1;
}

int wake_of_native(size_t offset)
{
    static const struct {
        size_t offset;
        enum wake_source source;
    } rows[] = {
        { offsetof(struct isolate_host, log), WAKE_SOURCES },
        { offsetof(struct isolate_host, respond), WAKE_SOURCES },
        { offsetof(struct isolate_host, send_body), WAKE_CREDIT },
        { offsetof(struct isolate_host, consume_body), WAKE_BODY },
        { offsetof(struct isolate_host, done), WAKE_SOURCES },
        { offsetof(struct isolate_host, set_timer), WAKE_TIMER },
        { offsetof(struct isolate_host, keep_timer), WAKE_TIMER },
        { offsetof(struct isolate_host, clear_timer), WAKE_SOURCES },
        { offsetof(struct isolate_host, call), WAKE_CALL },
        { offsetof(struct isolate_host, send_call), WAKE_CALL },
        { offsetof(struct isolate_host, consume_call), WAKE_CALL },
        { offsetof(struct isolate_host, cancel_call), WAKE_SOURCES },
        { offsetof(struct isolate_host, cpu_left_ns), WAKE_SOURCES },
        { offsetof(struct isolate_host, woken), WAKE_SOURCES },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].offset == offset)
            return (int) rows[i].source;
    return -1;
}

bool wake_is_open(const struct job *job)
{
    for (size_t i = 0; i < WAKE_SOURCES; i++)
        if (wake_table[i].is_open(job))
            return true;
    return false;
}

/* Returns whether requests wait, and none of them has anything that could wake it. */
static bool is_asleep(const struct app *app)
{
    const struct job *job;

    if (TAILQ_EMPTY(&app->jobs) || wake_is_open(&app->boot))
        return false;
    TAILQ_FOREACH (job, &app->jobs, entry)
        if (wake_is_open(job))
            return false;
    return true;
}

void wake_before_entry(struct app *app)
{
    const struct job *oldest = TAILQ_FIRST(&app->jobs);
    bool is_watched = app->asleep_ns != 0 && oldest && app->hung_ms != UINT32_MAX &&
                      io_now_ns() - oldest->began_ns >= WATCH_AFTER_NS;

    if (is_watched != app->is_watched)
        isolate_watch(app->isolate, is_watched);
    app->is_watched = is_watched;
}

void wake_note(struct job *job)
{
    job->awake_ns = io_now_ns();
}

/* Returns the time from which the job's waiting counts: it is not known what an entry that was not
 * watched has done for it. */
static uint64_t since_ns(const struct app *app, const struct job *job)
{
    return job->awake_ns > app->asleep_ns ? job->awake_ns : app->asleep_ns;
}

/* Returns whether no later request can come that could wake the app's requests. */
static bool is_closed(const struct app *app)
{
    return app->is_stopped || app->is_retired;
}

static uint64_t due_ns(const struct app *app, const struct job *job)
{
    return is_closed(app) ? 0 : since_ns(app, job) + app->hung_ms * NSEC_PER_MSEC;
}

static void schedule(struct app *app, uint64_t now)
{
    uint64_t first = UINT64_MAX;
    const struct job *job;

    TAILQ_FOREACH (job, &app->jobs, entry)
        if (due_ns(app, job) < first)
            first = due_ns(app, job);
    uint64_t wait_us = first > now ? (first - now) / NSEC_PER_USEC + 1 : 0;
    struct timeval wait = { .tv_sec = (time_t) (wait_us / 1000000),
                            .tv_usec = (suseconds_t) (wait_us % 1000000) };
    (void) event_add(app->hung, &wait);
}

void wake_look(struct app *app)
{
    uint64_t now;

    if (!app->is_ready || !is_asleep(app)) {
        app->asleep_ns = 0;
        return;
    }
    if (app->hung_ms == UINT32_MAX && !is_closed(app))
        return;
    now = io_now_ns();
    if (app->asleep_ns == 0 || !app->is_watched)
        app->asleep_ns = now;
    if (is_closed(app) || !event_pending(app->hung, EV_TIMEOUT, NULL))
        schedule(app, now);
}

/* ---- the end */

static void find_where(struct app *app, char *text, size_t size)
{
    struct host *host = app->host;
    uint64_t now = io_now_ns(), from_ns = io_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    struct isolate_memory memory;

    text[0] = '\0';
    isolate_get_memory(app->isolate, &memory);
    if (memory.heap_used > WHERE_HEAP_MAX_BYTES ||
        (host->where_ns != 0 && now - host->where_ns < WHERE_EVERY_NS))
        return;
    host->where_ns = now;
    isolate_where(app->isolate, text, size);
    app_charge(app, from_ns);
}

/* Returns whether the request may be sent again: where that is safe, another isolate may serve it,
 * or it waited for the stop. */
static bool may_be_sent_again(const struct app *app, const struct job *job)
{
    return is_closed(app) && job->is_idempotent && !job->is_head_sent && !job->has_read;
}

static void end_hung(struct app *app, struct job *job, const char *where)
{
    struct host *host = app->host;
    uint64_t id = job->id;
    bool is_again = may_be_sent_again(app, job);
    char text[1024];
    int n = is_closed(app)
                ? snprintf(text, sizeof text,
                           "hung: nothing is left that could wake the request, and its isolate "
                           "takes no other%s%s",
                           where[0] ? "; it waits at " : "", where)
                : snprintf(text, sizeof text,
                           "hung: for %u ms (hung_ms) nothing could have woken the request but "
                           "another one%s%s",
                           app->hung_ms, where[0] ? "; it waits at " : "", where);

    job->linger_ms = 0;
    if (entry_begin(app, job))
        entry_end(app, job, isolate_on_cancel(app->isolate, id, "hung"));
    job = job_find(host, id);
    if (!job) /* handlers of the abort have ended it */
        return;
    isolate_forget(job->app->isolate, id);
    if (is_again)
        job_finish(job, SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED, NULL, 0);
    else
        job_finish(job, SKEP__WORKER__OUTCOME__OUTCOME_HUNG, text,
                   (size_t) n < sizeof text ? (size_t) n : sizeof text - 1);
}

static struct job *find_due(struct app *app, uint64_t now)
{
    struct job *job;

    TAILQ_FOREACH (job, &app->jobs, entry)
        if (!job->is_done && due_ns(app, job) <= now)
            return job;
    return NULL;
}

void wake_on_hung(evutil_socket_t fd, short what, void *arg)
{
    struct app *app = arg;
    struct host *host = app->host;
    uint32_t placement = app->id;
    uint64_t now = io_now_ns();
    struct job *job;
    char where[768];

    (void) fd;
    (void) what;
    if (!is_asleep(app))
        return;
    if (find_due(app, now))
        find_where(app, where, sizeof where);
    /* Each end is an entry, which may wake others, and end the app. */
    while ((app = app_find(host, placement)) && is_asleep(app) && (job = find_due(app, now)))
        end_hung(app, job, where);
    if (app)
        wake_look(app);
}
