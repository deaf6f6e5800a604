/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way into JavaScript: scoreboard, clock and sentry before, CPU account and
 * consequences after. Worker, main thread, jailed.
 */
#include <stdio.h>
#include <string.h>

#include "common/io.h"
#include "worker/host_internal.h"
#include "worker/rest.h"
#include "worker/wake.h"

/* Length of a slice from which on queued output is written before anything else runs, so that a
 * worker that gets stuck later has not kept its neighbours' answers. */
#define LONG_SLICE_NS NSEC_PER_MSEC
#define MEASURE_EVERY_NS (100 * NSEC_PER_MSEC)
#define RELEASE_EVERY_NS NSEC_PER_SEC /* an idle isolate gives all of it back when it rests */
#define TRIM_EVERY_NS NSEC_PER_SEC

/* Returns the app's first credit, as far as an entry that begins now may use it. */
static uint64_t usable_credit_ns(const struct app *app, uint64_t now)
{
    return now < atomic_load_explicit(&app->host->board->no_credit_until_ns, memory_order_relaxed)
               ? 0
               : app->first_credit_ns;
}

static uint64_t budget_ns(const struct app *app, const struct job *job, uint64_t credit_ns)
{
    bool is_boot = job == &app->boot;
    uint64_t limit = is_boot ? app->cpu_startup_ms : app->cpu_ms;

    if (limit == UINT32_MAX || /* unlimited */
        exceeded_is_observed(app, is_boot ? SKEP__WORKER__LIMIT__LIMIT_CPU_STARTUP_MS
                                          : SKEP__WORKER__LIMIT__LIMIT_CPU_MS))
        return UINT64_MAX;
    limit *= NSEC_PER_MSEC;
    uint64_t most = limit + job->spared_ns + job->first_ns;
    uint64_t left = most > job->cpu_ns ? most - job->cpu_ns : 0;
    if (left > limit) /* budget of one entry: the supervisor counts no longer one */
        left = limit;
    return is_boot ? left : left + credit_ns;
}

/* Takes the CPU time of a request beyond cpu_ms out of the app's first credit. */
static void use_first_credit(struct app *app, struct job *job)
{
    uint64_t most = app->cpu_ms * NSEC_PER_MSEC + job->spared_ns + job->first_ns;

    if (job == &app->boot || !app->host->may_use_credit || job->cpu_ns <= most)
        return;
    uint64_t used = job->cpu_ns - most;
    used = used < app->first_credit_ns ? used : app->first_credit_ns;
    app->first_credit_ns -= used;
    job->first_ns += used;
}

static uint32_t to_kib(uint64_t size)
{
    return size >> 10 < UINT32_MAX ? (uint32_t) (size >> 10) : UINT32_MAX;
}

static void measure(struct app *app, uint64_t now)
{
    struct scoreboard_placement *row = &app->host->board->placements[app->row];
    struct isolate_memory memory;

    app->measured_ns = now;
    app->is_unmeasured = false;
    isolate_get_memory(app->isolate, &memory);
    atomic_store_explicit(&row->heap_kib, to_kib(memory.heap_used), memory_order_relaxed);
}

/* Publishes the memory of the isolate that was made ahead, so that the supervisor knows it as no
 * tenant's. */
static void measure_blank(struct host *host)
{
    struct isolate_memory memory = { 0 };

    if (host->blank)
        isolate_get_memory(host->blank, &memory);
    atomic_store_explicit(&host->board->own_kib, to_kib(memory.heap_held + memory.native),
                          memory_order_relaxed);
}

void entry_measure_soon(struct host *host)
{
    static const struct timeval later = { .tv_usec = MEASURE_EVERY_NS / NSEC_PER_USEC };

    if (!host->is_measure_due)
        host->is_measure_due = event_add(host->measure, &later) == 0;
}

/* Gives kept blocks of buffers back to the kernel that were not needed for a while. */
static void release_spare(struct host *host, uint64_t now)
{
    bool is_left = true;

    if (now - host->released_ns >= RELEASE_EVERY_NS) {
        is_left = isolate_release_spare();
        host->released_ns = now;
    }
    if (is_left)
        entry_measure_soon(host);
}

/* Gives memory that disposed isolates have left free in the process back to the kernel. */
static void trim(struct host *host, uint64_t now)
{
    if (!host->is_trim_due)
        return;
    if (now - host->trimmed_ns < TRIM_EVERY_NS) {
        entry_measure_soon(host);
        return;
    }
    host->is_trim_due = false;
    host->trimmed_ns = now;
    isolate_trim();
}

/* Measures now and then only, but also soon after the last entry before a pause. */
static void measure_sometimes(struct app *app, uint64_t now)
{
    if (now - app->measured_ns >= MEASURE_EVERY_NS)
        measure(app, now);
    else
        app->is_unmeasured = true;
    entry_measure_soon(app->host);
}

void entry_on_measure(evutil_socket_t fd, short what, void *arg)
{
    struct host *host = arg;
    uint64_t now = io_now_ns();

    (void) fd;
    (void) what;
    host->is_measure_due = false;
    measure_blank(host);
    release_spare(host, now);
    trim(host, now);
    for (size_t i = 0; i < APPS_MAX; i++) {
        struct app *app = host->apps[i];
        if (!app || !app->isolate)
            continue;
        if (now - app->released_ns >= RELEASE_EVERY_NS) {
            (void) isolate_release_regions(app->isolate);
            app->released_ns = now;
        }
        if (app->is_unmeasured)
            measure(app, now);
    }
}

/* Stops the timers that module code left running, as they have used up the budget of the load; the
 * tenant goes on. */
static void stop_boot_timers(struct app *app)
{
    static const char text[] =
        "the timers of module code were stopped: they have used cpu_startup_ms";

    timer_stop_all(&app->boot);
    job_log(app, &app->boot, SKEP__WORKER__LOG_LEVEL__LOG_ERROR, text, sizeof text - 1);
}

/* Ends the request whose budget is used up; other requests go on. V8's state of the isolate is
 * clean (see Entry::finish), but its tenant's may not be: see app_on_stop. */
static void stop_for_cpu(struct app *app, struct job *job)
{
    char text[192];
    bool is_boot = job == &app->boot;

    if (is_boot && app->is_ready) {
        stop_boot_timers(app);
        return;
    }

    int n = snprintf(text, sizeof text, "stopped after %.1f ms of CPU time; %s is %u",
                     (double) job->cpu_ns / 1e6, is_boot ? "cpu_startup_ms" : "cpu_ms",
                     is_boot ? app->cpu_startup_ms : app->cpu_ms);
    if (job->first_ns > 0)
        n += snprintf(text + n, sizeof text - (size_t) n,
                      ", and %.1f ms for first requests were left of cpu_startup_ms",
                      (double) job->first_ns / 1e6);
    if (is_boot) {
        app_fail_load(app, SKEP__WORKER__LOAD_RESULT__LOAD_CPU_STARTUP, text);
        return;
    }
    job->is_stopped = true;
    isolate_forget(app->isolate, job->id);
    job_finish(job, SKEP__WORKER__OUTCOME__OUTCOME_CPU_REQUEST, text, (size_t) n);
}

static void stop_for_memory(struct app *app, struct job *job, enum isolate_result result)
{
    const char *text =
        result == ISOLATE_HEAP_LIMIT
            ? "stopped: the isolate's heap is over heap_mib"
            : "stopped: the isolate's buffers and native memory are over external_mib";

    if (job == &app->boot && !app->is_ready) {
        app_fail_load(app, SKEP__WORKER__LOAD_RESULT__LOAD_MEM_ISOLATE, text);
        return;
    }
    job_log(app, job, SKEP__WORKER__LOG_LEVEL__LOG_ERROR, text, strlen(text));
    app_dispose(app, SKEP__WORKER__OUTCOME__OUTCOME_MEM_ISOLATE);
}

/* Stops a request whose JS layer has failed, because of something that the tenant did to it:
 * nothing else would end the request. */
static void stop_for_exception(struct app *app, struct job *job)
{
    const char *text = isolate_error(app->isolate);
    uint64_t id = job->id;

    job_finish(job, SKEP__WORKER__OUTCOME__OUTCOME_EXCEPTION, text, strlen(text));
    isolate_forget(app->isolate, id);
}

bool entry_begin(struct app *app, struct job *job)
{
    struct host *host = app->host;
    struct scoreboard_thread *row = host->thread;
    uint64_t now = io_now_ns();
    uint64_t credit = usable_credit_ns(app, now);
    uint64_t budget = budget_ns(app, job, credit);

    if (budget == 0) {
        bool is_boot = job == &app->boot;
        app_on_stop(app);
        stop_for_cpu(app, job);
        if (!is_boot) /* otherwise the job may be gone */
            wake_look(app);
        return false;
    }
    if (host->unflushed_tenant != app->id) {
        channel_flush(host->channel);
        host->unflushed_tenant = app->id;
    }
    host->running_app = app;
    host->running_job = job;
    host->may_use_credit = credit > 0;
    atomic_store_explicit(&row->running_since_ns, now, memory_order_relaxed);
    atomic_store_explicit(&row->running_placement, app->id, memory_order_relaxed);
    atomic_store_explicit(&row->running_request, job->id, memory_order_release);
    isolate_freeze_clock(now);
    wake_before_entry(app);
    sentry_enter(host->sentry, app->isolate, budget, now);
    return true;
}

/* Adds to a number that no other thread writes. */
static void add(_Atomic uint64_t *sum, uint64_t n)
{
    atomic_store_explicit(sum, atomic_load_explicit(sum, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void entry_end(struct app *app, struct job *job, enum isolate_result result)
{
    struct host *host = app->host;
    struct scoreboard_thread *thread = host->thread;
    struct scoreboard_placement *account = &host->board->placements[app->row];
    uint32_t placement = app->id, row = app->row;
    uint64_t now = io_now_ns(), cpu_ns;

    if (sentry_leave(host->sentry, now, &cpu_ns))
        isolate_cancel_terminate(app->isolate);
    job->cpu_ns += cpu_ns;
    add(&account->cpu_ns, cpu_ns);
    host->running_app = NULL;
    host->running_job = NULL;
    atomic_store_explicit(&thread->running_request, 0, memory_order_relaxed);
    atomic_store_explicit(&thread->running_placement, 0, memory_order_relaxed);
    add(&thread->heartbeat, 1);

    use_first_credit(app, job);
    exceeded_check(job);
    switch (result) {
    case ISOLATE_HEAP_LIMIT:
    case ISOLATE_EXTERNAL_LIMIT:
        stop_for_memory(app, job, result);
        break;
    case ISOLATE_TERMINATED:
        app_on_stop(app);
        stop_for_cpu(app, job);
        break;
    case ISOLATE_EXCEPTION:
        if (job != &app->boot && !job->is_done) {
            stop_for_exception(app, job);
            break;
        }
        __attribute__((fallthrough));
    case ISOLATE_OK:
        measure_sometimes(app, now);
        rest_note(app, now);
        if (job == &app->boot)
            app_check_load(app);
        else
            job_settle(job);
        break;
    }
    if (host->apps[row] && host->apps[row]->id == placement) /* the app is still there */
        wake_look(host->apps[row]);
    if (cpu_ns > LONG_SLICE_NS)
        channel_flush(host->channel);
}
