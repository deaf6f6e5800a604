/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One version of a tenant in the worker: its files as they arrive, its isolate, the load of
 * its main module, its end. Worker, main thread, jailed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "worker/host_internal.h"
#include "worker/wake.h"

/* Factor from cpu_startup_ms to the wall time of a load that waits (top-level await). */
#define BOOT_WALL_FACTOR 10
/* Most problems of one LoadCheck; further ones are not sent. */
#define PROBLEMS_MAX 100
#define PROBLEM_TEXT_MAX_BYTES 1024

static struct isolate_bytes view(ProtobufCBinaryData data)
{
    return (struct isolate_bytes){ .data = data.data, .size = data.len };
}

static ProtobufCBinaryData cut(struct isolate_bytes text, size_t most)
{
    return (ProtobufCBinaryData){ .len = text.size < most ? text.size : most,
                                  .data = (uint8_t *) (uintptr_t) text.data };
}

static char *copy_text(ProtobufCBinaryData data)
{
    return strndup((const char *) data.data, data.len);
}

struct app *app_find(struct host *host, uint32_t id)
{
    for (size_t i = 0; i < APPS_MAX; i++)
        if (host->apps[i] && host->apps[i]->id == id)
            return host->apps[i];
    return NULL;
}

static void on_boot_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct app *app = arg;

    (void) fd;
    (void) what;
    if (exceeded_note(&app->boot, SKEP__WORKER__LIMIT__LIMIT_CPU_STARTUP_MS,
                      app->boot.cpu_ns / 1000))
        app_fail_load(app, SKEP__WORKER__LOAD_RESULT__LOAD_CPU_STARTUP,
                      "top-level await took too long: 10 times cpu_startup_ms have passed");
}

static int set_env(struct app *app, const Skep__Worker__LoadBegin *load)
{
    _cleanup_free_ struct isolate_env *env = calloc(load->n_env + 1, sizeof *env);

    if (!env)
        return -ENOMEM;
    for (size_t i = 0; i < load->n_env; i++) {
        env[i].name = view(load->env[i]->name);
        env[i].value = view(load->env[i]->value);
    }
    return isolate_set_env(app->isolate, env, load->n_env);
}

static int set_bindings(struct app *app, const Skep__Worker__LoadBegin *load)
{
    _cleanup_free_ struct isolate_binding *bindings =
        calloc(load->n_bindings + 1, sizeof *bindings);

    if (!bindings)
        return -ENOMEM;
    for (size_t i = 0; i < load->n_bindings; i++) {
        bindings[i].name = view(load->bindings[i]->name);
        bindings[i].kind = (uint32_t) load->bindings[i]->kind;
    }
    app->n_bindings = (unsigned) load->n_bindings;
    isolate_set_bindings(app->isolate, bindings, load->n_bindings);
    return 0;
}

static uint32_t *word(_Atomic uint32_t *value)
{
    return (uint32_t *) (uintptr_t) value;
}

static int make_isolate(struct app *app, const Skep__Worker__LoadBegin *load)
{
    const Skep__Worker__Limits *limits = load->limits;
    struct isolate_options options = {
        .ops = &job_ops,
        .host = app,
        .heap_mib = limits->heap_mib,
        .external_mib = limits->external_mib,
        .observe_heap = limits->observed >> SKEP__WORKER__LIMIT__LIMIT_HEAP_MIB & 1,
        .observe_external = limits->observed >> SKEP__WORKER__LIMIT__LIMIT_EXTERNAL_MIB & 1,
        .eval = (enum eval_mode) load->eval,
        .tenant = app->name,
    };

    app->cpu_ms = limits->cpu_ms;
    app->cpu_startup_ms = limits->cpu_startup_ms;
    app->first_credit_ns = load->first_credit_us * NSEC_PER_USEC;
    app->timers_max = limits->timers;
    app->log_kib = limits->log_kib;
    app->observed = limits->observed;
    app->reuse_after_stop = load->reuse_after_stop;
    app->hung_ms = limits->hung_ms;
    app->linger_ms = limits->linger_ms;
    app->lingering_max = limits->lingering;
    int r = host_take_isolate(app->host, &options, &app->isolate);
    if (r < 0)
        return r;
    struct scoreboard_placement *row = &app->host->board->placements[app->row];
    struct isolate_meter meter = {
        .heap_held_kib = word(&row->heap_held_kib),
        .external_kib = word(&row->external_kib),
        .native_kib = word(&row->native_kib),
        .waiting_kib = word(&row->waiting_kib),
    };
    isolate_publish(app->isolate, &meter);
    r = set_env(app, load);
    return r < 0 ? r : set_bindings(app, load);
}

int app_new(struct host *host, const Skep__Worker__LoadBegin *load, struct app **ret_app)
{
    uint32_t row = load->row;

    if (load->placement == 0 || !load->limits || (unsigned) load->eval >= EVAL_MODES ||
        app_find(host, load->placement) || row >= APPS_MAX || host->apps[row])
        return -EPROTO;

    struct app *app = calloc(1, sizeof *app);
    if (!app)
        return -ENOMEM;
    app->host = host;
    app->id = load->placement;
    app->row = row;
    app->name = copy_text(load->name);
    app->main = copy_text(load->main);
    app->boot_deadline = event_new(host->options.base, -1, 0, on_boot_deadline, app);
    app->hung = event_new(host->options.base, -1, 0, wake_on_hung, app);
    job_init(&app->boot, app, 0);
    app->boot.is_body_ended = true;
    TAILQ_INIT(&app->jobs);
    int r = app->name && app->main && app->boot_deadline && app->hung ? make_isolate(app, load)
                                                                      : -ENOMEM;
    host->apps[row] = app;
    atomic_store(&host->board->placements[row].cpu_ns, 0);
    atomic_store(&host->board->placements[row].placement, app->id);
    if (r < 0) {
        app_free(app);
        return r;
    }
    *ret_app = app;
    return 0;
}

int app_finish_files(struct app *app)
{
    if (!app->file_path)
        return 0;
    size_t size = evbuffer_get_length(app->file);
    struct isolate_bytes path = { (const uint8_t *) app->file_path, strlen(app->file_path) };
    struct isolate_bytes source = { size ? evbuffer_pullup(app->file, -1) : NULL, size };
    int r = isolate_add_file(app->isolate, path, source);

    if (r < 0)
        return r;
    free(app->file_path);
    app->file_path = NULL;
    evbuffer_free(app->file);
    app->file = NULL;
    return 0;
}

int app_add_file(struct app *app, const Skep__Worker__LoadFile *file)
{
    size_t length = app->file_path ? strlen(app->file_path) : 0;

    if (app->is_running_load || app->is_ready)
        return -EPROTO;
    if (!app->file_path || length != file->path.len ||
        memcmp(app->file_path, file->path.data, length) != 0) {
        int r = app_finish_files(app);
        if (r < 0)
            return r;
        app->file_path = copy_text(file->path);
        app->file = evbuffer_new();
        if (!app->file_path || !app->file)
            return -ENOMEM;
    }
    if (file->data.len > LOAD_FILES_MAX_BYTES - app->files_bytes)
        return -EFBIG;
    app->files_bytes += (uint32_t) file->data.len;
    return evbuffer_add(app->file, file->data.data, file->data.len) < 0 ? -ENOMEM : 0;
}

void app_charge(struct app *app, uint64_t from_ns)
{
    uint64_t used_ns = io_clock_ns(CLOCK_THREAD_CPUTIME_ID) - from_ns;

    atomic_fetch_add_explicit(&app->host->board->placements[app->row].cpu_ns, used_ns,
                              memory_order_relaxed);
}

static void send_loaded(struct app *app, Skep__Worker__LoadResult result, const char *message)
{
    Skep__Worker__Loaded loaded = SKEP__WORKER__LOADED__INIT;
    size_t size = strlen(message);

    loaded.placement = app->id;
    loaded.result = result;
    loaded.message.data = (uint8_t *) (uintptr_t) message;
    loaded.message.len = size < LOG_LINE_MAX_BYTES ? size : LOG_LINE_MAX_BYTES;
    loaded.cpu_us = app->boot.cpu_ns / 1000;
    host_send(app->host, SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED, &loaded);
}

void app_fail_load(struct app *app, Skep__Worker__LoadResult result, const char *message)
{
    send_loaded(app, result, message);
    app_free(app);
}

static void fail_hung_load(struct app *app)
{
    char where[768], text[1024];

    isolate_where(app->isolate, where, sizeof where);
    (void) snprintf(text, sizeof text,
                    "top-level await never ends: nothing is left that could end it%s%s",
                    where[0] ? "; it waits at " : "", where);
    app_fail_load(app, SKEP__WORKER__LOAD_RESULT__LOAD_BOOT_FAILED, text);
}

/* ---- files that are only looked at */

static void on_problem(void *owner, const struct isolate_problem *problem)
{
    Skep__Worker__Problem message = SKEP__WORKER__PROBLEM__INIT;
    struct app *app = owner;

    if (!problem->is_unused)
        app->has_faults = true;
    if (app->n_problems++ >= PROBLEMS_MAX)
        return;
    message.placement = app->id;
    message.file = cut(problem->file, PROBLEM_TEXT_MAX_BYTES);
    message.text = cut(problem->text, PROBLEM_TEXT_MAX_BYTES);
    message.line = problem->line;
    message.column = problem->column;
    message.unused = problem->is_unused;
    host_send(app->host, SKEP__WORKER__FROM_WORKER__MESSAGE_PROBLEM, &message);
}

static void end_check(struct app *app)
{
    send_loaded(app,
                app->has_faults ? SKEP__WORKER__LOAD_RESULT__LOAD_BOOT_FAILED
                                : SKEP__WORKER__LOAD_RESULT__LOAD_OK,
                "");
    app_free(app);
}

void app_check_load(struct app *app)
{
    struct timeval wall = { .tv_sec = (time_t) app->cpu_startup_ms * BOOT_WALL_FACTOR / 1000 };

    if (app->is_ready) /* an interval that module code has started */
        return;
    if (app->is_checked) {
        end_check(app);
        return;
    }
    wall.tv_usec = (suseconds_t) ((uint64_t) app->cpu_startup_ms * BOOT_WALL_FACTOR % 1000 * 1000);
    switch (isolate_load_state(app->isolate)) {
    case ISOLATE_LOADED:
        app->is_ready = true;
        app->first_credit_ns -=
            app->boot.cpu_ns < app->first_credit_ns ? app->boot.cpu_ns : app->first_credit_ns;
        (void) event_del(app->boot_deadline);
        send_loaded(app, SKEP__WORKER__LOAD_RESULT__LOAD_OK, "");
        return;
    case ISOLATE_LOAD_FAILED:
        app_fail_load(app, SKEP__WORKER__LOAD_RESULT__LOAD_BOOT_FAILED,
                      isolate_error(app->isolate));
        return;
    case ISOLATE_LOADING:
        if (!wake_is_open(&app->boot))
            fail_hung_load(app);
        else if (app->cpu_startup_ms != UINT32_MAX &&
                 !(app->boot.exceeded >> SKEP__WORKER__LIMIT__LIMIT_CPU_STARTUP_MS & 1) &&
                 !event_pending(app->boot_deadline, EV_TIMEOUT, NULL))
            (void) event_add(app->boot_deadline, &wall);
        return;
    }
}

void app_load(struct app *app)
{
    struct isolate_bytes main_path = { (const uint8_t *) app->main, strlen(app->main) };

    app->is_running_load = true;
    if (entry_begin(app, &app->boot))
        entry_end(app, &app->boot, isolate_load(app->isolate, main_path));
}

void app_check_files(struct app *app)
{
    struct isolate_bytes main_path = { (const uint8_t *) app->main, strlen(app->main) };

    app->is_running_load = true;
    app->is_checked = true;
    if (entry_begin(app, &app->boot))
        entry_end(app, &app->boot, isolate_check(app->isolate, main_path, on_problem, app));
}

void app_dispose(struct app *app, Skep__Worker__Outcome outcome)
{
    struct host *host = app->host;
    Skep__Worker__Unloaded unloaded = SKEP__WORKER__UNLOADED__INIT;
    struct job *job;

    while ((job = TAILQ_FIRST(&app->jobs)))
        job_finish(job, outcome, NULL, 0);
    unloaded.placement = app->id;
    host_send(host, SKEP__WORKER__FROM_WORKER__MESSAGE_UNLOADED, &unloaded);
    app_free(app);
}

void app_on_stop(struct app *app)
{
    Skep__Worker__Stopped message = SKEP__WORKER__STOPPED__INIT;

    if (app->is_stopped || app->reuse_after_stop || !app->is_ready)
        return;
    app->is_stopped = true;
    message.placement = app->id;
    host_send(app->host, SKEP__WORKER__FROM_WORKER__MESSAGE_STOPPED, &message);
}

void app_free(struct app *app)
{
    struct scoreboard_placement *row = &app->host->board->placements[app->row];

    job_release(&app->boot);
    if (app->isolate) {
        app->isolate = isolate_free(app->isolate);
        app->host->is_trim_due = true;
        entry_measure_soon(app->host);
    }
    if (app->boot_deadline)
        event_free(app->boot_deadline);
    if (app->hung)
        event_free(app->hung);
    if (app->file)
        evbuffer_free(app->file);
    free(app->file_path);
    app->host->apps[app->row] = NULL;
    atomic_store(&row->placement, 0);
    atomic_store(&row->heap_kib, 0);
    atomic_store(&row->heap_held_kib, 0);
    atomic_store(&row->external_kib, 0);
    atomic_store(&row->native_kib, 0);
    atomic_store(&row->waiting_kib, 0);
    atomic_store(&row->cpu_ns, 0);
    free(app->name);
    free(app->main);
    free(app);
}
