/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's side of the channel: one handler for each frame of the supervisor. The supervisor is
 * trusted, but a frame that makes no sense ends the worker: no guess is made. Worker, main thread,
 * jailed.
 */
#include "worker/host.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "proto/head.h"
#include "proto/worker_tails.h"
#include "worker/call.h"
#include "worker/host_internal.h"
#include "worker/rest.h"
#include "worker/wake.h"
#include "worker/warm_up.h"

enum { PHASE_SERVING = 1 };

/* Time until a worker is quiet. A worker that is needed at once gets its first frame before
 * that. */
#define FIRST_QUIET_MS 10
/* The row of a request whose client has left is soon free. */
#define LINGER_CANCELLED_MS 2000

static const char *const cancel_reasons[] = {
    [SKEP__WORKER__CANCEL_REASON__CANCEL_CLIENT_GONE] = "client_gone",
    [SKEP__WORKER__CANCEL_REASON__CANCEL_WALL_REQUEST] = "wall_request",
    [SKEP__WORKER__CANCEL_REASON__CANCEL_FAILED] = "failed",
};

void host_send(struct host *host, Skep__Worker__FromWorker__MessageCase which, void *message)
{
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;

    envelope.message_case = which;
    envelope.hello = message; /* any member: all are pointers */
    int r = channel_send(host->channel, &envelope.base);
    if (r < 0 && r != -EPIPE) {
        /* A frame that is lost would leave a client waiting: end the worker, for a new one. */
        log_error_errno(r, "cannot send to the supervisor");
        (void) event_base_loopbreak(host->options.base);
    }
}

/* A use that a later release knows. */
static void refuse_use(struct host *host, const Skep__Worker__LoadBegin *load)
{
    Skep__Worker__Loaded loaded = SKEP__WORKER__LOADED__INIT;
    const ProtobufCEnumValue *use =
        protobuf_c_enum_descriptor_get_value(&skep__worker__load_use__descriptor, (int) load->use);
    char text[128];
    int n =
        snprintf(text, sizeof text, "skep-worker %s loads versions to serve them, and not for %s",
                 SKEP_VERSION, use ? use->name : "a use that it does not know");

    loaded.placement = load->placement;
    loaded.result = SKEP__WORKER__LOAD_RESULT__LOAD_BOOT_FAILED;
    loaded.message = (ProtobufCBinaryData){ .data = (uint8_t *) text, .len = (size_t) n };
    host_send(host, SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED, &loaded);
}

static int on_load_begin(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__LoadBegin *load = (const Skep__Worker__LoadBegin *) message;
    uint64_t from_ns = io_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    struct app *app;

    if (load->use != SKEP__WORKER__LOAD_USE__LOAD_SERVE) {
        refuse_use(owner, load);
        return 0;
    }
    int r = app_new(owner, load, &app);
    if (r == 0)
        app_charge(app, from_ns);
    return r;
}

/* Fails the load if the isolate does not take a file, which is the tenant's fault and nobody
 * else's. */
static int check_file(struct app *app, int error)
{
    char text[512];

    if (error != -EINVAL && error != -EEXIST && error != -EFBIG)
        return error;
    (void) snprintf(text, sizeof text, "the file \"%.300s\" cannot be used: %s",
                    app->file_path ? app->file_path : "", strerrordesc_np(-error));
    app_fail_load(app, SKEP__WORKER__LOAD_RESULT__LOAD_BOOT_FAILED, text);
    return 0;
}

static int on_load_file(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__LoadFile *file = (const Skep__Worker__LoadFile *) message;
    struct app *app = app_find(owner, file->placement);

    if (!app) /* the load has failed while this was on its way */
        return 0;
    uint64_t from_ns = io_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int r = app_add_file(app, file);
    if (r < 0)
        return check_file(app, r);
    app_charge(app, from_ns);
    return 0;
}

/* All files are there: run is what is done with them. */
static int end_load(struct host *host, uint32_t placement, void (*run)(struct app *app))
{
    struct app *app = app_find(host, placement);

    if (!app)
        return 0;
    if (app->is_running_load)
        return -EPROTO;
    uint64_t from_ns = io_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int r = app_finish_files(app);
    if (r < 0)
        return check_file(app, r);
    app_charge(app, from_ns);
    run(app);
    return 0;
}

static int on_load_end(void *owner, const ProtobufCMessage *message)
{
    return end_load(owner, ((const Skep__Worker__LoadEnd *) message)->placement, app_load);
}

static int on_load_check(void *owner, const ProtobufCMessage *message)
{
    return end_load(owner, ((const Skep__Worker__LoadCheck *) message)->placement, app_check_files);
}

static int on_unload(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Unload *unload = (const Skep__Worker__Unload *) message;
    struct app *app = app_find(owner, unload->placement);

    if (app) /* the app may have gone by itself while this was on its way */
        app_dispose(app, SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED);
    return 0;
}

static int on_retire(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Retire *retire = (const Skep__Worker__Retire *) message;
    struct app *app = app_find(owner, retire->placement);

    if (!app) /* the app may have gone by itself while this was on its way */
        return 0;
    app->is_retired = true;
    wake_look(app);
    return 0;
}

static struct isolate_bytes view(ProtobufCBinaryData data)
{
    return (struct isolate_bytes){ .data = data.data, .size = data.len };
}

static struct isolate_bytes text(struct head_text part)
{
    return (struct isolate_bytes){ .data = (const uint8_t *) part.data, .size = part.size };
}

static void refuse(struct host *host, uint64_t id)
{
    Skep__Worker__Done done = SKEP__WORKER__DONE__INIT;

    done.id = id;
    done.outcome = SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED;
    host_send(host, SKEP__WORKER__FROM_WORKER__MESSAGE_DONE, &done);
}

/* Enters JavaScript with the request, and then with timers of module code that waited for one. They
 * run after the handler and before the request may end: the supervisor has a request of this tenant
 * to blame for them. */
static void enter(struct app *app, struct job *job, const struct isolate_request *call)
{
    struct host *host = app->host;
    uint32_t placement = app->id;

    if (!entry_begin(app, job))
        return;
    job->is_held = timer_is_waiting(&app->boot);
    bool is_held = job->is_held;
    job_begin_silence(job);
    entry_end(app, job, isolate_dispatch(app->isolate, call));
    if (!is_held)
        return;
    channel_flush(host->channel); /* the answer does not wait for the timers */
    app = app_find(host, placement);
    if (app)
        timer_run_waiting(app);
    job = job_find(host, call->id);
    if (job) {
        job->is_held = false;
        job_settle(job);
    }
}

static int on_request(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Request *request = (const Skep__Worker__Request *) message;
    struct host *host = owner;
    struct app *app = app_find(host, request->placement);
    struct job *job;
    struct head head;

    if (request->row >= JOBS_MAX ||
        head_open(request->head.data, request->head.len, HEAD_REQUEST_TEXTS,
                  HEAD_REQUEST_FIELDS_MAX, &head) < 0)
        return -EPROTO;
    if (!app || !app->is_ready || app->is_stopped ||
        !scoreboard_enter(host->board, request->row, request->id)) {
        refuse(host, request->id);
        return 0;
    }
    app->is_retired = false;
    struct head_text method = head_next(&head), url = head_next(&head);
    int r = job_new(app, request, method, &job);
    if (r < 0)
        return r;
    struct isolate_request call = {
        .id = request->id,
        .method = text(method),
        .url = text(url),
        .head = view(request->head),
        .body = view(request->body),
        .end = request->end,
        .has_body = !request->end || request->body.len > 0,
        .caller = view(request->caller),
    };
    enter(app, job, &call);
    return 0;
}

/* Size below which the CPU time of an entry is spared from cpu_ms. The client chooses how small the
 * parts of a body are, and each is an entry. Few can be small: see ledger_push_body. */
#define SMALL_PIECE_BYTES 16384
#define SMALL_PIECE_NS (300 * NSEC_PER_USEC)

static int on_body(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Body *body = (const Skep__Worker__Body *) message;
    struct job *job = job_find(owner, body->id);

    if (!job)
        return 0;
    struct app *app = job->app;
    job->unread += (uint32_t) body->data.len;
    job->is_body_ended = body->end;
    if (body->data.len < SMALL_PIECE_BYTES)
        job->spared_ns += SMALL_PIECE_NS;
    if (entry_begin(app, job))
        entry_end(app, job, isolate_on_body(app->isolate, job->id, view(body->data), body->end));
    return 0;
}

static int on_credit(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Credit *credit = (const Skep__Worker__Credit *) message;
    struct job *job = job_find(owner, credit->id);

    if (job)
        job_add_credit(job, credit->bytes);
    return 0;
}

/* Returns how long timers keep the request: the handler may have started them for other requests,
 * although the client has left. */
static uint32_t linger_ms(const struct app *app, Skep__Worker__CancelReason reason)
{
    if (reason == SKEP__WORKER__CANCEL_REASON__CANCEL_WALL_REQUEST)
        return 0;
    return app->linger_ms < LINGER_CANCELLED_MS ? app->linger_ms : LINGER_CANCELLED_MS;
}

static void end_cancelled(struct job *job)
{
    struct app *app = job->app;

    call_free_all(job); /* the supervisor has ended them already */
    job->is_done = true;
    job->outcome = SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED;
    job_settle(job);
    wake_look(app);
}

static int on_cancel(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Cancel *cancel = (const Skep__Worker__Cancel *) message;
    struct host *host = owner;
    uint64_t id = cancel->id;
    struct job *job = job_find(host, id);

    if (!job)
        return 0;
    struct app *app = job->app;
    job->linger_ms = linger_ms(app, cancel->reason);
    if (job->linger_until_ns == 0) /* also for timers that the handlers of abort start */
        job->linger_until_ns = io_now_ns() + job->linger_ms * NSEC_PER_MSEC;
    if ((unsigned) cancel->reason < ARRAY_LEN(cancel_reasons) && entry_begin(app, job))
        entry_end(app, job, isolate_on_cancel(app->isolate, id, cancel_reasons[cancel->reason]));
    job = job_find(host, id); /* the entry may have ended the job */
    if (job)
        end_cancelled(job);
    return 0;
}

static int on_call_head(void *owner, const ProtobufCMessage *message)
{
    return call_on_head(owner, (const Skep__Worker__CallHead *) message);
}

static int on_call_body(void *owner, const ProtobufCMessage *message)
{
    return call_on_body(owner, (const Skep__Worker__CallBody *) message);
}

static int on_call_credit(void *owner, const ProtobufCMessage *message)
{
    return call_on_credit(owner, (const Skep__Worker__CallCredit *) message);
}

static int on_call_done(void *owner, const ProtobufCMessage *message)
{
    return call_on_done(owner, (const Skep__Worker__CallDone *) message);
}

static int on_ping(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Ping *ping = (const Skep__Worker__Ping *) message;
    Skep__Worker__Pong pong = SKEP__WORKER__PONG__INIT;

    pong.token = ping->token;
    host_send(owner, SKEP__WORKER__FROM_WORKER__MESSAGE_PONG, &pong);
    return 0;
}

static const struct channel_rule rules[] = {
    [SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_BEGIN] = { PHASE_SERVING, on_load_begin },
    [SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_FILE] = { PHASE_SERVING, on_load_file },
    [SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_END] = { PHASE_SERVING, on_load_end },
    [SKEP__WORKER__TO_WORKER__MESSAGE_UNLOAD] = { PHASE_SERVING, on_unload },
    [SKEP__WORKER__TO_WORKER__MESSAGE_REQUEST] = { PHASE_SERVING, on_request },
    [SKEP__WORKER__TO_WORKER__MESSAGE_BODY] = { PHASE_SERVING, on_body },
    [SKEP__WORKER__TO_WORKER__MESSAGE_CREDIT] = { PHASE_SERVING, on_credit },
    [SKEP__WORKER__TO_WORKER__MESSAGE_CANCEL] = { PHASE_SERVING, on_cancel },
    [SKEP__WORKER__TO_WORKER__MESSAGE_PING] = { PHASE_SERVING, on_ping },
    [SKEP__WORKER__TO_WORKER__MESSAGE_RETIRE] = { PHASE_SERVING, on_retire },
    [SKEP__WORKER__TO_WORKER__MESSAGE_CALL_HEAD] = { PHASE_SERVING, on_call_head },
    [SKEP__WORKER__TO_WORKER__MESSAGE_CALL_BODY] = { PHASE_SERVING, on_call_body },
    [SKEP__WORKER__TO_WORKER__MESSAGE_CALL_CREDIT] = { PHASE_SERVING, on_call_credit },
    [SKEP__WORKER__TO_WORKER__MESSAGE_CALL_DONE] = { PHASE_SERVING, on_call_done },
    [SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_CHECK] = { PHASE_SERVING, on_load_check },
};

static const struct channel_table table = {
    .envelope = &skep__worker__to_worker__descriptor,
    .case_offset = offsetof(Skep__Worker__ToWorker, message_case),
    .value_offset = offsetof(Skep__Worker__ToWorker, ping),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};

/* Tells the supervisor that there is room for more: it keeps few requests here that have not begun,
 * and a request that only waits must not hold up those behind it. */
static void on_read_end(void *owner)
{
    struct host *host = owner;
    Skep__Worker__CaughtUp caught_up = SKEP__WORKER__CAUGHT_UP__INIT;

    if (host->n_silent > 0)
        host_send(host, SKEP__WORKER__FROM_WORKER__MESSAGE_CAUGHT_UP, &caught_up);
    host->n_silent = 0;
    host->reads++;
}

/* ---- while there is nothing to do */

static bool is_idle(struct host *host)
{
    uint64_t frames = channel_received_frames(host->channel);
    bool is_quiet = frames == host->frames_seen;
    int unread = 0;

    host->frames_seen = frames;
    for (size_t i = 0; is_quiet && i < JOBS_MAX; i++)
        is_quiet = !host->jobs[i];
    for (size_t i = 0; is_quiet && i < APPS_MAX; i++)
        is_quiet = !host->apps[i] || host->apps[i]->is_ready;
    return is_quiet && channel_queued_bytes(host->channel) == 0 &&
           ioctl(host->options.channel_fd, FIONREAD, &unread) == 0 && unread == 0;
}

static void make_blank(struct host *host)
{
    const struct isolate_options options = {
        .ops = &job_ops,
        .heap_mib = host->blank_heap_mib,
        .external_mib = 1, /* until a tenant has the isolate */
    };

    if (!host->blank)
        (void) isolate_new(&options, &host->blank);
}

int host_take_isolate(struct host *host, const struct isolate_options *options,
                      struct isolate **ret_isolate)
{
    static const struct timeval second = { .tv_sec = 1 };

    host->blank_heap_mib = options->heap_mib;
    (void) event_add(host->quiet, &second);
    if (!host->blank)
        return isolate_new(options, ret_isolate);
    if (isolate_adopt(host->blank, options) == 0) {
        *ret_isolate = TAKE_PTR(host->blank);
        return 0;
    }
    host->blank = isolate_free(host->blank);
    return isolate_new(options, ret_isolate);
}

/* Warms up by one step: a part of the cost of the first request, the first use of Intl, and the
 * next isolate, which a tenant would have to bear otherwise. */
static void on_quiet(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval second = { .tv_sec = 1 };
    struct host *host = arg;

    (void) fd;
    (void) what;
    if (!is_idle(host)) {
        (void) event_add(host->quiet, &second);
        return;
    }
    if (host->warm_up_step == 0)
        warm_up_request();
    else if (host->warm_up_step == 1)
        warm_up_rewriter();
    else if (!host->is_warm)
        host->is_warm = !isolate_warm_up(host->warm_up_step - 2);
    host->warm_up_step++;
    make_blank(host);
    if (!host->is_warm)
        (void) event_add(host->quiet, &second);
}

static void on_closed(void *owner, int error)
{
    struct host *host = owner;

    if (error < 0)
        log_error_errno(error, "the supervisor's channel has failed");
    (void) event_base_loopbreak(host->options.base);
}

int host_new(const struct host_options *options, struct host **ret_host)
{
    _cleanup_free_ struct host *host = calloc(1, sizeof *host);
    struct channel_options channel = {
        .base = options->base,
        .fd = options->channel_fd,
        .receive = &table,
        .tails = &worker_tails,
        .phase = PHASE_SERVING,
        .on_closed = on_closed,
        .on_read_end = on_read_end,
        .output_high_bytes = SIZE_MAX,
    };

    if (!host)
        return -ENOMEM;
    host->options = *options;
    host->board = options->scoreboard;
    host->thread = &host->board->threads[SCOREBOARD_MAIN_THREAD];
    host->blank = options->blank;
    host->blank_heap_mib = HOST_BLANK_HEAP_MIB;
    host->reads = 1; /* 0 means no read */
    channel.owner = host;
    int r = channel_new(&channel, &host->channel);
    if (r < 0)
        return r;
    *ret_host = TAKE_PTR(host);
    return 0;
}

int host_start(struct host *host, struct sentry *sentry)
{
    Skep__Worker__Hello hello = SKEP__WORKER__HELLO__INIT;
    const char *version = isolate_v8_version();

    static const struct timeval soon = { .tv_usec = FIRST_QUIET_MS * 1000 };

    host->sentry = sentry;
    host->quiet = event_new(host->options.base, -1, 0, on_quiet, host);
    host->linger = event_new(host->options.base, -1, 0, job_on_linger, host);
    host->measure = event_new(host->options.base, -1, 0, entry_on_measure, host);
    host->rest = event_new(host->options.base, -1, 0, rest_on_time, host);
    if (!host->quiet || !host->linger || !host->measure || !host->rest ||
        event_add(host->quiet, &soon) < 0)
        return -ENOMEM;
    hello.protocol = PROTOCOL_VERSION;
    hello.v8_version.data = (uint8_t *) (uintptr_t) version;
    hello.v8_version.len = strlen(version);
    host_send(host, SKEP__WORKER__FROM_WORKER__MESSAGE_HELLO, &hello);
    return 0;
}
