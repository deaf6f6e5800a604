/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/played/worker.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "proto/channel.h"
#include "proto/frame.h"
#include "proto/scoreboard.h"
#include "proto/worker_tails.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/workers/slots.h"
#include "tests/events/clock.h"
#include "tests/pack_head.h"
#include "tests/played/hold.h"

struct played_worker {
    TAILQ_ENTRY(played_worker) entry;
    struct channel *channel;
    struct scoreboard *board;
    unsigned slot;
    int pid;
};

/* One isolate. */
struct app {
    TAILQ_ENTRY(app) entry;
    struct played_worker *worker; /* borrowed */
    uint32_t id;
    uint32_t place;
    char *name;    /* owned */
    bool is_whole; /* all of its files are there */
    bool is_loaded;
};

struct job {
    TAILQ_ENTRY(job) entry;
    struct app *app; /* borrowed */
    uint64_t id;
};

TAILQ_HEAD(worker_queue, played_worker);
TAILQ_HEAD(app_queue, app);
TAILQ_HEAD(job_queue, job);

static struct {
    struct event_base *base;
    struct slots *slots;
    struct worker_queue workers;
    struct app_queue apps;
    struct job_queue jobs;
    int next_pid;
} played;

/* ---- records */

static struct app *find_app(uint32_t id)
{
    struct app *app;

    TAILQ_FOREACH (app, &played.apps, entry)
        if (app->id == id)
            return app;
    played_fail("a worker is told of an isolate that it does not have", (int) id);
}

static void forget_job(struct job *job)
{
    TAILQ_REMOVE(&played.jobs, job, entry);
    free(job);
}

static void forget_app(struct app *app)
{
    struct job *job, *next;

    for (job = TAILQ_FIRST(&played.jobs); job; job = next) {
        next = TAILQ_NEXT(job, entry);
        if (job->app == app)
            forget_job(job);
    }
    TAILQ_REMOVE(&played.apps, app, entry);
    free(app->name);
    free(app);
}

static void forget_worker(struct played_worker *worker)
{
    struct app *app, *next;

    for (app = TAILQ_FIRST(&played.apps); app; app = next) {
        next = TAILQ_NEXT(app, entry);
        if (app->worker == worker)
            forget_app(app);
    }
    TAILQ_REMOVE(&played.workers, worker, entry);
    (void) channel_free(worker->channel);
    (void) munmap(worker->board, SCOREBOARD_BYTES);
    free(worker);
}

/* ---- out */

static void say(const struct played_worker *worker, Skep__Worker__FromWorker__MessageCase which,
                void *message)
{
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;

    envelope.message_case = which;
    envelope.hello = message; /* any member: all are pointers */
    PLAYED_HOLD(channel_send(worker->channel, &envelope.base) == 0);
}

static void say_hello(const struct played_worker *worker)
{
    Skep__Worker__Hello hello = SKEP__WORKER__HELLO__INIT;
    static char version[] = "13.0";

    hello.protocol = PROTOCOL_VERSION;
    hello.v8_version = (ProtobufCBinaryData){ .data = (uint8_t *) version, .len = strlen(version) };
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_HELLO, &hello);
}

static void say_done(const struct job *job, Skep__Worker__Outcome outcome)
{
    Skep__Worker__Done done = SKEP__WORKER__DONE__INIT;

    done.id = job->id;
    done.outcome = outcome;
    done.cpu_us = 1000;
    say(job->app->worker, SKEP__WORKER__FROM_WORKER__MESSAGE_DONE, &done);
}

/* ---- in: handlers of a channel; owner: struct played_worker */

static int on_load_begin(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__LoadBegin *begin = (const Skep__Worker__LoadBegin *) message;
    struct app *app = calloc(1, sizeof *app);

    PLAYED_HOLD(app);
    app->worker = owner;
    app->id = begin->placement;
    app->place = begin->row;
    app->name = strndup((const char *) begin->name.data, begin->name.len);
    PLAYED_HOLD(app->name);
    TAILQ_INSERT_TAIL(&played.apps, app, entry);
    return 0;
}

static int on_load_end(void *owner, const ProtobufCMessage *message)
{
    (void) owner;
    find_app(((const Skep__Worker__LoadEnd *) message)->placement)->is_whole = true;
    return 0;
}

static int on_unload(void *owner, const ProtobufCMessage *message)
{
    Skep__Worker__Unloaded unloaded = SKEP__WORKER__UNLOADED__INIT;
    struct app *app = find_app(((const Skep__Worker__Unload *) message)->placement);

    unloaded.placement = app->id;
    forget_app(app);
    say(owner, SKEP__WORKER__FROM_WORKER__MESSAGE_UNLOADED, &unloaded);
    return 0;
}

/* Takes a request, whose JavaScript begins at once. */
static int on_request(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Request *request = (const Skep__Worker__Request *) message;
    Skep__Worker__CaughtUp caught_up = SKEP__WORKER__CAUGHT_UP__INIT;
    struct played_worker *worker = owner;
    struct job *job = calloc(1, sizeof *job);

    PLAYED_HOLD(job);
    job->id = request->id;
    job->app = find_app(request->placement);
    TAILQ_INSERT_TAIL(&played.jobs, job, entry);
    PLAYED_HOLD(
        scoreboard_enter(worker->board, (unsigned) (job->id % SCOREBOARD_REQUESTS), job->id));
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_CAUGHT_UP, &caught_up);
    return 0;
}

static int on_cancel(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Cancel *cancel = (const Skep__Worker__Cancel *) message;
    struct job *job;

    (void) owner;
    TAILQ_FOREACH (job, &played.jobs, entry)
        if (job->id == cancel->id)
            break;
    if (job) {
        say_done(job, SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED);
        forget_job(job);
    }
    return 0;
}

static int on_ping(void *owner, const ProtobufCMessage *message)
{
    Skep__Worker__Pong pong = SKEP__WORKER__PONG__INIT;

    pong.token = ((const Skep__Worker__Ping *) message)->token;
    say(owner, SKEP__WORKER__FROM_WORKER__MESSAGE_PONG, &pong);
    return 0;
}

static int pass_over(void *owner, const ProtobufCMessage *message)
{
    (void) owner;
    (void) message;
    return 0;
}

static const struct channel_rule rules[] = {
    [SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_BEGIN] = { 1, on_load_begin },
    [SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_FILE] = { 1, pass_over },
    [SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_END] = { 1, on_load_end },
    [SKEP__WORKER__TO_WORKER__MESSAGE_UNLOAD] = { 1, on_unload },
    [SKEP__WORKER__TO_WORKER__MESSAGE_REQUEST] = { 1, on_request },
    [SKEP__WORKER__TO_WORKER__MESSAGE_BODY] = { 1, pass_over },
    [SKEP__WORKER__TO_WORKER__MESSAGE_CREDIT] = { 1, pass_over },
    [SKEP__WORKER__TO_WORKER__MESSAGE_CANCEL] = { 1, on_cancel },
    [SKEP__WORKER__TO_WORKER__MESSAGE_PING] = { 1, on_ping },
    [SKEP__WORKER__TO_WORKER__MESSAGE_RETIRE] = { 1, pass_over },
};

static const struct channel_table frames = {
    .envelope = &skep__worker__to_worker__descriptor,
    .case_offset = offsetof(Skep__Worker__ToWorker, message_case),
    .value_offset = offsetof(Skep__Worker__ToWorker, load_begin),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};

/* The supervisor has closed its end. */
static void on_closed(void *owner, int error)
{
    (void) owner;
    (void) error;
}

/* ---- the spawner */

static int make_file(const char *text)
{
    int fd = memfd_create("played", MFD_CLOEXEC);

    PLAYED_HOLD(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text));
    return fd;
}

static void tell_spawned(const struct played_worker *worker)
{
    const struct spawner_worker answer = {
        .pid = worker->pid,
        .pidfd = eventfd(0, EFD_CLOEXEC), /* no signal can be sent by it */
        .stat_fd = make_file("1 (w) S 1 1 1 0 -1 0"),
        .statm_fd = make_file("20000 10000 0 0 0 0 0"),
    };

    PLAYED_HOLD(answer.pidfd >= 0);
    slots_spawner_ops.on_result(played.slots, worker->slot, 0, "", &answer);
}

/* In a turn of the loop after the one that asked, as the spawner's answer comes. */
static void on_spawned(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    tell_spawned(arg);
    say_hello(arg);
}

int __wrap_spawner_spawn(struct spawner *spawner, const struct spawner_job *job);
int __wrap_spawner_spawn(struct spawner *spawner, const struct spawner_job *job)
{
    static const struct timeval at_once = { 0 };
    struct played_worker *worker = calloc(1, sizeof *worker);
    const struct channel_options options = {
        .base = played.base,
        .fd = fcntl(job->channel_fd, F_DUPFD_CLOEXEC, 0),
        .name = "test: worker",
        .receive = &frames,
        .tails = &worker_tails,
        .phase = 1,
        .owner = worker,
        .on_closed = on_closed,
    };

    (void) spawner;
    PLAYED_HOLD(worker && options.fd >= 0 && io_set_nonblocking(options.fd) == 0);
    PLAYED_HOLD(channel_new(&options, &worker->channel) == 0);
    worker->board =
        mmap(NULL, SCOREBOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, job->scoreboard_fd, 0);
    PLAYED_HOLD(worker->board != MAP_FAILED);
    worker->slot = job->slot;
    worker->pid = played.next_pid++;
    TAILQ_INSERT_TAIL(&played.workers, worker, entry);
    PLAYED_HOLD(event_base_once(played.base, -1, EV_TIMEOUT, on_spawned, worker, &at_once) == 0);
    return 0;
}

/* ---- what a test asks, and has them do */

void played_workers_start(struct event_base *base, struct slots *slots)
{
    played.base = base;
    played.slots = slots;
    played.next_pid = CLOCK_FIRST_PID;
    TAILQ_INIT(&played.workers);
    TAILQ_INIT(&played.apps);
    TAILQ_INIT(&played.jobs);
}

void played_workers_end(void)
{
    while (!TAILQ_EMPTY(&played.workers))
        forget_worker(TAILQ_FIRST(&played.workers));
}

static unsigned count_apps(const char *tenant, bool is_loaded)
{
    const struct app *app;
    unsigned n = 0;

    TAILQ_FOREACH (app, &played.apps, entry)
        n += app->is_whole && app->is_loaded == is_loaded && strcmp(app->name, tenant) == 0;
    return n;
}

unsigned played_loading(const char *tenant)
{
    return count_apps(tenant, false);
}

unsigned played_loaded(const char *tenant)
{
    return count_apps(tenant, true);
}

unsigned played_requests(const char *tenant)
{
    const struct job *job;
    unsigned n = 0;

    TAILQ_FOREACH (job, &played.jobs, entry)
        n += strcmp(job->app->name, tenant) == 0;
    return n;
}

void played_load_ends(const char *tenant, const char *text)
{
    Skep__Worker__Loaded loaded = SKEP__WORKER__LOADED__INIT;
    struct app *app;

    TAILQ_FOREACH (app, &played.apps, entry)
        if (app->is_whole && !app->is_loaded && strcmp(app->name, tenant) == 0)
            break;
    PLAYED_HOLD(app);
    loaded.placement = app->id;
    loaded.cpu_us = 1000;
    app->is_loaded = !text;
    if (text) {
        loaded.result = SKEP__WORKER__LOAD_RESULT__LOAD_BOOT_FAILED;
        loaded.message =
            (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
    }
    say(app->worker, SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED, &loaded);
    if (text)
        forget_app(app);
}

void played_request_ends(const char *tenant, unsigned status)
{
    Skep__Worker__ResponseHead head = SKEP__WORKER__RESPONSE_HEAD__INIT;
    uint8_t packed[16];
    struct job *job;

    TAILQ_FOREACH (job, &played.jobs, entry)
        if (strcmp(job->app->name, tenant) == 0)
            break;
    PLAYED_HOLD(job);
    head.id = job->id;
    head.status = status;
    head.head.data = packed;
    head.head.len = pack_head(packed, 0, NULL);
    head.end = true;
    if (status != 0)
        say(job->app->worker, SKEP__WORKER__FROM_WORKER__MESSAGE_RESPONSE_HEAD, &head);
    say_done(job, status != 0 ? SKEP__WORKER__OUTCOME__OUTCOME_OK
                              : SKEP__WORKER__OUTCOME__OUTCOME_EXCEPTION);
    forget_job(job);
}

void played_workers_die(int signal)
{
    struct played_worker *worker, *next;

    for (worker = TAILQ_FIRST(&played.workers); worker; worker = next) {
        next = TAILQ_NEXT(worker, entry);
        unsigned slot = worker->slot;
        int pid = worker->pid;
        forget_worker(worker);
        slots_spawner_ops.on_exited(played.slots, slot, pid, signal, clock_burnt(pid));
    }
}
