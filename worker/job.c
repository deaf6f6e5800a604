/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request in the worker: the host's functions for its JavaScript (job_ops), the credit of its
 * bodies, its end. A body that has no credit waits in JavaScript, where its memory is counted.
 * Worker, main thread, jailed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "proto/head.h"
#include "worker/call.h"
#include "worker/host_internal.h"
#include "worker/sentry.h"
#include "worker/wake.h"

#define MESSAGE_MAX_BYTES LOG_LINE_MAX_BYTES

static ProtobufCBinaryData bytes(const void *data, size_t size)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
}

void job_init(struct job *job, struct app *app, uint64_t id)
{
    *job = (struct job){
        .id = id, .app = app, .credit = BODY_WINDOW_BYTES, .linger_ms = app->linger_ms
    };
    TAILQ_INIT(&job->timers);
    TAILQ_INIT(&job->calls);
}

/* Returns whether the method is idempotent: RFC 9110, 9.2.2. */
static bool is_idempotent(struct head_text method)
{
    static const char *const names[] = { "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (method.size == strlen(names[i]) && memcmp(method.data, names[i], method.size) == 0)
            return true;
    return false;
}

int job_new(struct app *app, const Skep__Worker__Request *request, struct head_text method,
            struct job **ret_job)
{
    struct host *host = app->host;

    if (request->row >= JOBS_MAX || host->jobs[request->row] || request->id == 0)
        return -EPROTO;
    struct job *job = malloc(sizeof *job);
    if (!job)
        return -ENOMEM;
    job_init(job, app, request->id);
    job->unread = (uint32_t) request->body.len;
    job->is_body_ended = request->end;
    job->began_ns = io_now_ns();
    job->row = request->row;
    job->is_idempotent = is_idempotent(method);
    host->jobs[job->row] = job;
    TAILQ_INSERT_TAIL(&app->jobs, job, entry);
    *ret_job = job;
    return 0;
}

struct job *job_find(struct host *host, uint64_t id)
{
    /* The supervisor packs the row into the low bits of the id; check all of the id. */
    struct job *job = host->jobs[id % JOBS_MAX];

    return job && job->id == id ? job : NULL;
}

void job_begin_silence(struct job *job)
{
    job->silent_since = job->app->host->reads;
    job->app->host->n_silent++;
}

static void end_silence(struct job *job)
{
    struct host *host = job->app->host;

    if (job->silent_since == host->reads)
        host->n_silent--;
    job->silent_since = 0;
}

void job_release(struct job *job)
{
    timer_stop_all(job);
    call_free_all(job);
    free(job->message);
    job->message = NULL;
}

void job_finish(struct job *job, Skep__Worker__Outcome outcome, const char *message, size_t size)
{
    struct host *host = job->app->host;
    Skep__Worker__Done done = SKEP__WORKER__DONE__INIT;

    done.id = job->id;
    done.outcome = outcome;
    done.message = bytes(message, size < MESSAGE_MAX_BYTES ? size : MESSAGE_MAX_BYTES);
    done.cpu_us = job->cpu_ns / 1000;
    done.first_us = job->first_ns / 1000;
    host_send(host, SKEP__WORKER__FROM_WORKER__MESSAGE_DONE, &done);
    end_silence(job);
    host->jobs[job->row] = NULL;
    TAILQ_REMOVE(&job->app->jobs, job, entry);
    job->app->n_lingering -= job->is_lingering;
    job->n_dropped += job->is_done ? job->n_timers : 0;
    timer_note_dropped(job);
    job_release(job);
    free(job);
}

/* Sends a part of the body, within the credit, in frames of the allowed size. */
static void send_body(struct job *job, const uint8_t *data, size_t size, bool end)
{
    size_t sent = 0;

    while (sent < size || (end && !job->is_end_sent)) {
        size_t part = size - sent < ANSWER_CHUNK_MAX_BYTES ? size - sent : ANSWER_CHUNK_MAX_BYTES;
        Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;
        body.id = job->id;
        body.data = bytes(part > 0 ? data + sent : NULL, part);
        sent += part;
        body.end = end && sent == size;
        host_send(job->app->host, SKEP__WORKER__FROM_WORKER__MESSAGE_BODY, &body);
        job->is_end_sent = body.end;
    }
    job->credit -= size;
}

/* Lets timers keep the job. The oldest of too many such jobs gives way: soon, as JavaScript may run
 * now. So does a job whose timers another request has cleared. */
static void begin_to_linger(struct job *job)
{
    struct app *app = job->app;

    if (job->is_lingering)
        return;
    job->is_lingering = true;
    if (++app->n_lingering > app->lingering_max)
        event_active(app->host->linger, EV_TIMEOUT, 0);
}

static void check_lingering(struct app *app)
{
    struct job *job, *next;

    for (job = TAILQ_FIRST(&app->jobs); job; job = next) {
        next = TAILQ_NEXT(job, entry);
        bool is_too_many = app->n_lingering > app->lingering_max;
        if (!job->is_lingering || (job->n_timers > 0 && !is_too_many))
            continue;
        job->n_dropped += job->n_timers;
        timer_stop_all(job);
        job_settle(job);
    }
    wake_look(app);
}

void job_on_linger(evutil_socket_t fd, short what, void *arg)
{
    struct host *host = arg;

    (void) fd;
    (void) what;
    for (size_t i = 0; i < APPS_MAX; i++)
        if (host->apps[i] && host->apps[i]->n_lingering > 0)
            check_lingering(host->apps[i]);
}

void job_settle(struct job *job)
{
    if (!job->is_done || job->is_held)
        return;
    if (job->n_timers > 0 && job->linger_until_ns != 0) {
        begin_to_linger(job);
        return;
    }
    if (job->linger_until_ns != 0)
        isolate_forget(job->app->isolate, job->id); /* the JS layer has kept it, too */
    _cleanup_free_ char *message = TAKE_PTR(job->message);
    job_finish(job, job->outcome, message, job->message_size);
}

/* CPU time that cpu_ms does not count, of an entry for small credit. A credit is smaller than a
 * step only while skepd's buffers for clients are short, and the number of such credits is then the
 * client's choice, by how it reads. Few can be small: see ledger_give_credit. */
#define SMALL_CREDIT_NS (100 * NSEC_PER_USEC)

void job_add_credit(struct job *job, uint32_t credit)
{
    struct app *app = job->app;

    job->credit += credit;
    if (!job->wants_credit || job->credit == 0)
        return;
    job->wants_credit = false;
    if (job->credit < BODY_GRANT_STEP_BYTES)
        job->spared_ns += SMALL_CREDIT_NS;
    if (entry_begin(app, job))
        entry_end(app, job, isolate_on_credit(app->isolate, job->id, job->credit));
}

void job_log(struct app *app, struct job *job, Skep__Worker__LogLevel level, const void *text,
             size_t size)
{
    job_log_for(app, job, job->id, level, text, size);
}

void job_log_for(struct app *app, struct job *job, uint64_t request, Skep__Worker__LogLevel level,
                 const void *text, size_t size)
{
    static const char cut[] = "log cut off: this request is over its log_kib";
    Skep__Worker__Log line = SKEP__WORKER__LOG__INIT;

    if (job->is_log_cut)
        return;
    size = size < LOG_LINE_MAX_BYTES ? size : LOG_LINE_MAX_BYTES;
    line.placement = app->id;
    line.request = request;
    line.level = level;
    line.text = bytes(text, size);
    job->log_bytes += size + 1;
    if (app->log_kib != UINT32_MAX && job->log_bytes > (uint64_t) app->log_kib << 10 &&
        exceeded_note(job, SKEP__WORKER__LIMIT__LIMIT_LOG_KIB, job->log_bytes)) {
        job->is_log_cut = true;
        line.request = job->id;
        line.level = SKEP__WORKER__LOG_LEVEL__LOG_WARN;
        line.text = bytes(cut, sizeof cut - 1);
    }
    host_send(app->host, SKEP__WORKER__FROM_WORKER__MESSAGE_LOG, &line);
}

/* ---- requests of JavaScript; host is the app */

static struct job *find_job(struct app *app, uint64_t id)
{
    struct job *job = id == 0 ? NULL : job_find(app->host, id);

    return job && job->app == app && !job->is_done ? job : NULL;
}

/* Returns the job whose code runs; for code of a request that is over, the job in whose entry it
 * runs. */
static struct job *find_owner(struct app *app, uint64_t id)
{
    struct job *job = id == 0 ? &app->boot : job_find(app->host, id);

    if (!job || job->app != app)
        job = app->host->running_job;
    return job ? job : &app->boot;
}

static void on_log(void *host, uint64_t request, enum isolate_log_level level,
                   struct isolate_bytes text)
{
    static const Skep__Worker__LogLevel levels[] = {
        [ISOLATE_LOG_DEBUG] = SKEP__WORKER__LOG_LEVEL__LOG_DEBUG,
        [ISOLATE_LOG_INFO] = SKEP__WORKER__LOG_LEVEL__LOG_INFO,
        [ISOLATE_LOG_WARN] = SKEP__WORKER__LOG_LEVEL__LOG_WARN,
        [ISOLATE_LOG_ERROR] = SKEP__WORKER__LOG_LEVEL__LOG_ERROR,
    };
    struct app *app = host;
    struct job *job = find_owner(app, request);

    /* The line of a request that is over counts for the one that runs, but is not told as its. */
    job_log_for(app, job, request, levels[level & 3], text.data, text.size);
}

static int on_respond(void *host, uint64_t id, uint32_t status, struct isolate_bytes head,
                      struct isolate_bytes body, bool end)
{
    struct job *job = find_job(host, id);

    if (!job)
        return -ENOENT;
    if (job->is_head_sent)
        return -EALREADY;
    if (head.size > HEAD_MAX_BYTES || body.size > job->credit)
        return -E2BIG;
    size_t part = body.size < ANSWER_CHUNK_MAX_BYTES ? body.size : ANSWER_CHUNK_MAX_BYTES;
    Skep__Worker__ResponseHead frame = SKEP__WORKER__RESPONSE_HEAD__INIT;
    frame.id = id;
    frame.status = status;
    frame.head = bytes(head.data, head.size);
    frame.body = bytes(body.data, part);
    frame.end = end && part == body.size;
    host_send(job->app->host, SKEP__WORKER__FROM_WORKER__MESSAGE_RESPONSE_HEAD, &frame);
    job->credit -= part;
    end_silence(job);
    job->is_head_sent = true;
    job->is_end_sent = frame.end;
    if (part < body.size)
        send_body(job, body.data + part, body.size - part, end);
    return 0;
}

static int64_t on_send_body(void *host, uint64_t id, struct isolate_bytes data, bool end)
{
    struct job *job = find_job(host, id);

    if (!job)
        return -ENOENT;
    if (!job->is_head_sent || job->is_end_sent)
        return -EINVAL;
    if (data.size > job->credit)
        return -E2BIG;
    send_body(job, data.data, data.size, end);
    job->wants_credit = !end && job->credit == 0;
    return (int64_t) job->credit;
}

static void on_consume_body(void *host, uint64_t id, size_t size)
{
    struct job *job = find_job(host, id);

    if (!job)
        return;
    /* More credit than the window would look to the supervisor as if the worker lied. */
    uint32_t read = size < job->unread ? (uint32_t) size : job->unread;
    job->unread -= read;
    job->has_read = true;
    job->consumed += read;
    if (job->consumed < BODY_GRANT_STEP_BYTES)
        return;
    Skep__Worker__Credit credit = SKEP__WORKER__CREDIT__INIT;
    credit.id = id;
    credit.bytes = job->consumed;
    job->consumed = 0;
    host_send(job->app->host, SKEP__WORKER__FROM_WORKER__MESSAGE_CREDIT, &credit);
}

static void on_done(void *host, uint64_t id, enum isolate_outcome outcome,
                    struct isolate_bytes message)
{
    static const Skep__Worker__Outcome outcomes[] = {
        [ISOLATE_REQUEST_OK] = SKEP__WORKER__OUTCOME__OUTCOME_OK,
        [ISOLATE_REQUEST_EXCEPTION] = SKEP__WORKER__OUTCOME__OUTCOME_EXCEPTION,
        [ISOLATE_REQUEST_BAD_RESPONSE] = SKEP__WORKER__OUTCOME__OUTCOME_BAD_RESPONSE,
    };
    struct job *job = find_job(host, id);

    if (!job)
        return;
    size_t size = message.size < MESSAGE_MAX_BYTES ? message.size : MESSAGE_MAX_BYTES;
    call_cancel_all(job);
    job->is_done = true;
    job->outcome = outcomes[outcome];
    if (size > 0 && (job->message = malloc(size))) {
        memcpy(job->message, message.data, size);
        job->message_size = size;
    }
    if (job->linger_until_ns == 0) /* no timer is kept: JavaScript has forgotten the request, too */
        timer_stop_all(job);
    /* A job of another entry (a promise shared between requests) has no entry_end of its own. */
    if (job != job->app->host->running_job && (job->linger_until_ns == 0 || job->n_timers > 0))
        job_settle(job);
}

static int64_t on_set_timer(void *host, uint64_t request, uint64_t delay_ms, bool repeat)
{
    return timer_start(find_owner(host, request), delay_ms, repeat);
}

static uint64_t on_keep_timer(void *host, int64_t id)
{
    struct app *app = host;
    struct job *job;

    TAILQ_FOREACH (job, &app->jobs, entry)
        if (timer_keep(job, id))
            return job->id;
    return 0;
}

static void on_woken(void *host, uint64_t id)
{
    struct app *app = host;
    struct job *job = find_job(app, id);

    if (job)
        wake_note(job);
}

static void on_clear_timer(void *host, int64_t timer)
{
    struct app *app = host;
    struct job *job;

    timer_stop(&app->boot, timer);
    TAILQ_FOREACH (job, &app->jobs, entry) {
        timer_stop(job, timer);
        if (job->is_lingering && job->n_timers == 0 && job != app->host->running_job)
            event_active(app->host->linger, EV_TIMEOUT, 0);
    }
}

static uint64_t on_cpu_left(void *data)
{
    const struct app *app = data;

    return sentry_left_ns(app->host->sentry);
}

const struct isolate_host job_ops = {
    .log = on_log,
    .respond = on_respond,
    .send_body = on_send_body,
    .consume_body = on_consume_body,
    .done = on_done,
    .set_timer = on_set_timer,
    .keep_timer = on_keep_timer,
    .clear_timer = on_clear_timer,
    .call = call_open,
    .send_call = call_send,
    .consume_call = call_consume,
    .cancel_call = call_cancel,
    .cpu_left_ns = on_cpu_left,
    .woken = on_woken,
};
