/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/events/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "config/manifest.h"
#include "proto/frame.h"
#include "proto/worker_tails.h"
#include "tests/events/asks.h"
#include "tests/events/world.h"
#include "tests/pack_head.h"
#include "worker.pb-c.h"

#define IN_MAX (4U << 20)
#define LIMITS 6 /* limits that a worker may report as exceeded */
#define STAT_STATE_AT 6
/* Ten times the shortest patience, less the time that may have passed at the first look. */
#define WAIT_LEAST_MS UINT64_C(28000)

/* Workers of different slots use different rows. */
static struct scoreboard_thread *row_of(const struct played_worker *worker)
{
    return &worker->board->threads[worker->slot % SCOREBOARD_THREADS];
}

void worker_init(struct played_worker *worker, unsigned slot, int channel_fd, int board_fd)
{
    *worker = (struct played_worker){ .is_there = true, .slot = slot, .stat_fd = -1 };
    worker->fd = fcntl(channel_fd, F_DUPFD_CLOEXEC, 0);
    worker->board = mmap(NULL, SCOREBOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, board_fd, 0);
    HOLD(worker->fd >= 0 && worker->board != MAP_FAILED);
}

void worker_done(struct played_worker *worker)
{
    if (!worker->is_there)
        return;
    if (worker->fd >= 0)
        (void) close(worker->fd);
    if (worker->stat_fd >= 0)
        (void) close(worker->stat_fd);
    (void) munmap(worker->board, SCOREBOARD_BYTES);
    free(worker->in);
    *worker = (struct played_worker){ .fd = -1, .stat_fd = -1 };
}

struct job *worker_pick_job(struct played_worker *worker, uint32_t n)
{
    struct job *found[WORKER_JOBS];
    unsigned n_found = 0;

    for (unsigned i = 0; i < WORKER_JOBS; i++)
        if (worker->jobs[i].id != 0)
            found[n_found++] = &worker->jobs[i];
    return n_found > 0 ? found[n % n_found] : NULL;
}

struct app *worker_pick_app(struct played_worker *worker, uint32_t n, enum app_state state)
{
    struct app *found[WORKER_APPS];
    unsigned n_found = 0;

    for (unsigned i = 0; i < WORKER_APPS; i++)
        if (worker->apps[i].state == state)
            found[n_found++] = &worker->apps[i];
    return n_found > 0 ? found[n % n_found] : NULL;
}

bool worker_is_candidate(const struct played_worker *worker, const char *tenant, bool is_memory)
{
    for (unsigned i = 0; i < WORKER_APPS; i++) {
        const struct app *app = &worker->apps[i];
        if (app->state != APP_NONE && strcmp(app->name, tenant) == 0 &&
            (is_memory || app->state != APP_READY))
            return true;
    }
    for (unsigned i = 0; i < WORKER_JOBS; i++)
        if (worker->jobs[i].id != 0 && strcmp(worker->jobs[i].tenant, tenant) == 0)
            return true;
    return false;
}

static struct app *find_app(struct played_worker *worker, uint32_t id)
{
    for (unsigned i = 0; i < WORKER_APPS; i++)
        if (worker->apps[i].state != APP_NONE && worker->apps[i].id == id)
            return &worker->apps[i];
    return NULL;
}

static struct job *find_job(struct played_worker *worker, uint64_t id)
{
    for (unsigned i = 0; i < WORKER_JOBS; i++)
        if (worker->jobs[i].id == id)
            return &worker->jobs[i];
    return NULL;
}

static bool was_withdrawn(const struct played_worker *worker, const struct job *job)
{
    return atomic_load(&worker->board->entered[job->id % SCOREBOARD_REQUESTS]) == ~job->id;
}

/* ---- in */

static void on_load_begin(struct played_worker *worker, const Skep__Worker__LoadBegin *begin)
{
    HOLD(begin->placement != 0 && !find_app(worker, begin->placement) &&
         begin->row < SCOREBOARD_PLACEMENTS && begin->name.len < sizeof worker->apps->name);
    for (unsigned i = 0; i < WORKER_APPS; i++)
        if (worker->apps[i].state != APP_NONE && worker->apps[i].row == begin->row)
            events_fail("two versions have the place %u of one worker", begin->row);
    for (unsigned i = 0; i < WORKER_APPS; i++) {
        struct app *app = &worker->apps[i];
        if (app->state != APP_NONE)
            continue;
        *app = (struct app){
            .id = begin->placement,
            .state = APP_COMING,
            .row = begin->row,
            .reuse_after_stop = begin->reuse_after_stop,
            .observed = begin->limits->observed,
            .n_bindings = (unsigned) begin->n_bindings,
        };
        memcpy(app->name, begin->name.data, begin->name.len);
        return;
    }
}

static void on_load_end(struct played_worker *worker, const Skep__Worker__LoadEnd *end)
{
    struct app *app = find_app(worker, end->placement);

    HOLD(app && app->state == APP_COMING);
    app->state = APP_LOADING;
}

static void on_unload(struct played_worker *worker, const Skep__Worker__Unload *unload)
{
    struct app *app = find_app(worker, unload->placement);

    /* The app may have gone by itself meanwhile. */
    if (app) {
        HOLD(app->state == APP_READY);
        app->state = APP_UNLOADING;
    }
}

static uint32_t parse_number(const Skep__Worker__Request *request)
{
    struct head head;
    uint32_t number = 0;

    HOLD(head_open(request->head.data, request->head.len, HEAD_REQUEST_TEXTS,
                   HEAD_REQUEST_FIELDS_MAX, &head) == 0);
    (void) head_next(&head); /* the method */
    struct head_text url = head_next(&head);
    const char *end = url.data + url.size, *at = end;
    while (at > url.data && at[-1] != '/')
        at--;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uint32_t) (*at - '0');
    return number;
}

/* Checks that a request is in one worker at a time, and that one that has run is sent again only if
 * it is safe. */
static void check_sending(const struct played_worker *worker, uint32_t number)
{
    const struct ask *ask = ask_find(number);

    if (!ask)
        events_fail("a worker got a request that nobody has made: %u", number);
    if (ask->is_answered && !worker->reads_late)
        events_fail("ask %u was sent after its answer", number);
    if (ask->has_run && !ask->is_safe)
        events_fail("ask %u was sent again after its JavaScript had run, and that is not safe",
                    number);
    for (unsigned i = 0; i < WORKERS; i++) {
        const struct played_worker *other = world_worker(i);
        for (unsigned j = 0; other->is_there && j < WORKER_JOBS; j++)
            if (other->jobs[j].id != 0 && other->jobs[j].number == number &&
                !was_withdrawn(other, &other->jobs[j]) && !other->is_hostile)
                events_fail("ask %u is in two workers%s", number,
                            other == worker ? ", which are the same" : "");
    }
}

static void on_request(struct played_worker *worker, const Skep__Worker__Request *request)
{
    uint32_t number = parse_number(request);
    struct app *app = find_app(worker, request->placement);

    if (find_job(worker, request->id))
        events_fail("a request has the id of another one");
    check_sending(worker, number);
    if (app && app->state != APP_READY)
        events_fail("ask %u was sent to a version that is not in the worker%s", number,
                    app->state == APP_UNLOADING ? " any more" : " yet");
    HOLD(request->row == request->id % SCOREBOARD_REQUESTS);
    struct job *job = find_job(worker, 0);
    HOLD(job);
    *job = (struct job){
        .id = request->id,
        .number = number,
        .app = app,
        .window = BODY_WINDOW_BYTES,
        .credit = BODY_WINDOW_BYTES,
        .is_all_there = request->end,
    };
    if (app)
        (void) snprintf(job->tenant, sizeof job->tenant, "%s", app->name);
    ask_find(number)->sendings++;
    ask_find(number)->is_ended = false;
    ask_find(number)->answered_bytes = 0;
}

static void on_body(struct played_worker *worker, const Skep__Worker__Body *body)
{
    struct job *job = find_job(worker, body->id);

    if (!job || job->is_cancelled)
        return; /* the frame was on its way when the job ended */
    if (job->is_all_there || body->data.len > job->window)
        events_fail("ask %u: its worker got more of the body than it allows", job->number);
    if (!ask_is_body(job->number, job->got, body->data.data, body->data.len))
        events_fail("ask %u: its worker got other bytes than the client sent", job->number);
    job->got += body->data.len;
    job->window -= (uint32_t) body->data.len;
    job->unread += (uint32_t) body->data.len;
    job->is_all_there = body->end;
}

static void on_credit(struct played_worker *worker, const Skep__Worker__Credit *credit)
{
    struct job *job = find_job(worker, credit->id);

    if (!job)
        return;
    if (credit->bytes > BODY_WINDOW_BYTES - job->credit)
        events_fail("ask %u: its worker got more credit than the window", job->number);
    job->credit += credit->bytes;
}

static void on_cancel(struct played_worker *worker, const Skep__Worker__Cancel *cancel)
{
    struct job *job = find_job(worker, cancel->id);

    if (!job)
        return;
    if (job->is_cancelled)
        events_fail("ask %u was cancelled twice", job->number);
    job->is_cancelled = true;
    ask_find(job->number)->may_be_cut = true;
}

/* ---- answers to calls */

static struct out_call *find_call(struct played_worker *worker, uint64_t request, uint32_t id)
{
    struct job *job = find_job(worker, request);

    if (!job || job->is_cancelled)
        return NULL; /* the frame was on its way when the job ended */
    HOLD(id > 0 && id <= job->last_call);
    for (unsigned i = 0; i < JOB_CALLS; i++)
        if (job->calls[i].id == id)
            return &job->calls[i];
    return NULL;
}

static void end_call(struct out_call *call)
{
    ask_find(call->number)->is_over = true;
    *call = (struct out_call){ 0 };
}

static void take_answer(struct out_call *call, ProtobufCBinaryData data, bool is_end)
{
    struct ask *ask = ask_find(call->number);

    if (data.len > call->window)
        events_fail("call %u got more of its answer than it allows", call->number);
    if (call->token != 0 && !ask_is_body(call->token, call->got, data.data, data.len))
        events_fail("call %u got other bytes than its worker sent", call->number);
    call->got += data.len;
    call->window -= (uint32_t) data.len;
    call->unread += (uint32_t) data.len;
    if (!is_end)
        return;
    if (call->token != 0 && (!ask->is_ended || ask->answered_bytes != call->got))
        events_fail("call %u got a whole answer that its worker has not ended so", call->number);
    ask->is_answered = true;
    end_call(call);
}

static void on_call_head(struct played_worker *worker, const Skep__Worker__CallHead *head)
{
    struct out_call *call = find_call(worker, head->request, head->id);
    struct head packed;

    if (!call)
        return;
    HOLD(!call->has_head && !ask_find(call->number)->is_answered);
    call->has_head = true;
    HOLD(head_open(head->head.data, head->head.len, 0, HEAD_REQUEST_FIELDS_MAX, &packed) == 0);
    while (packed.n_texts > 0) {
        struct head_text name = head_next(&packed), value = head_next(&packed);
        for (size_t k = 0; name.size == 7 && memcmp(name.data, "x-token", 7) == 0 && k < value.size;
             k++)
            call->token = call->token * 10 + (uint32_t) (value.data[k] - '0');
    }
    if (call->token != 0 && call->token != call->number)
        events_fail("the answer to ask %u reached call %u", call->token, call->number);
    take_answer(call, head->body, head->end);
}

static void on_call_body(struct played_worker *worker, const Skep__Worker__CallBody *body)
{
    struct out_call *call = find_call(worker, body->request, body->id);

    if (!call)
        return;
    HOLD(call->has_head);
    take_answer(call, body->data, body->end);
}

static void on_call_credit(struct played_worker *worker, const Skep__Worker__CallCredit *credit)
{
    struct out_call *call = find_call(worker, credit->request, credit->id);

    if (!call)
        return;
    HOLD(credit->bytes > 0 && credit->bytes <= BODY_WINDOW_BYTES - call->may_send);
    call->may_send += credit->bytes;
}

static void on_call_done(struct played_worker *worker, const Skep__Worker__CallDone *done)
{
    struct out_call *call = find_call(worker, done->request, done->id);

    if (call)
        end_call(call);
}

static void on_message(struct played_worker *worker, const Skep__Worker__ToWorker *message)
{
    switch (message->message_case) {
    case SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_BEGIN:
        on_load_begin(worker, message->load_begin);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_END:
        on_load_end(worker, message->load_end);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_UNLOAD:
        on_unload(worker, message->unload);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_REQUEST:
        on_request(worker, message->request);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_BODY:
        on_body(worker, message->body);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_CREDIT:
        on_credit(worker, message->credit);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_CANCEL:
        on_cancel(worker, message->cancel);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_CALL_HEAD:
        on_call_head(worker, message->call_head);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_CALL_BODY:
        on_call_body(worker, message->call_body);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_CALL_CREDIT:
        on_call_credit(worker, message->call_credit);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_CALL_DONE:
        on_call_done(worker, message->call_done);
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_PING:
        worker->pings++;
        break;
    case SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_FILE:
    case SKEP__WORKER__TO_WORKER__MESSAGE_RETIRE:
        break;
    default:
        events_fail("a worker got a frame that is none");
    }
}

static void take_frames(struct played_worker *worker)
{
    static struct arena arena;
    size_t at = 0;
    int64_t size;

    HOLD(arena.memory || arena_init(&arena, 4U << 20) == 0);
    while ((size = frame_measure(worker->in + at, worker->in_size - at)) > 0) {
        const ProtobufCMessage *message =
            frame_unpack_tail(&skep__worker__to_worker__descriptor, &worker_tails, worker->in + at,
                              (size_t) size, &arena);
        HOLD(message);
        on_message(worker, (const Skep__Worker__ToWorker *) message);
        worker->frames++;
        at += (size_t) size;
    }
    HOLD(size == 0);
    worker->in_size -= at;
    if (at > 0)
        memmove(worker->in, worker->in + at, worker->in_size);
}

bool worker_turn(struct played_worker *worker)
{
    bool has_moved = false;
    ssize_t n;

    if (!worker->is_there || worker->fd < 0)
        return false;
    if (worker->is_deaf || worker->waits_since_ns > 0) {
        worker->reads_late = true;
        return false;
    }
    if (!worker->in)
        worker->in = malloc(IN_MAX);
    HOLD(worker->in);
    while ((n = recv(worker->fd, worker->in + worker->in_size, IN_MAX - worker->in_size,
                     MSG_DONTWAIT)) > 0) {
        worker->in_size += (size_t) n;
        take_frames(worker);
        has_moved = true;
    }
    worker->is_closed = n == 0 || errno != EAGAIN;
    worker->reads_late = false;
    return has_moved;
}

/* ---- out */

static void say(struct played_worker *worker, Skep__Worker__FromWorker__MessageCase which,
                void *message)
{
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;
    static uint8_t frame[FRAME_HEADER_BYTES + FRAME_MAX_BYTES];
    struct frame_cut cut;

    envelope.message_case = which;
    envelope.hello = message; /* any member of the union: all are pointers */
    frame_cut(&cut, &envelope.base, &worker_tails);
    HOLD(cut.head_bytes > 0);
    frame_pack_cut(&cut, frame);
    world_send(worker->fd, frame, cut.head_bytes + cut.tail.len);
}

bool worker_may_say(const struct played_worker *worker)
{
    return worker->is_there && worker->has_said_hello && worker->fd >= 0 && !worker->is_hostile &&
           worker->waits_since_ns == 0 && world_has_attested(worker);
}

static void forget_job(struct job *job)
{
    for (unsigned i = 0; i < JOB_CALLS; i++)
        if (job->calls[i].id != 0)
            ask_find(job->calls[i].number)->is_over = true;
    *job = (struct job){ 0 };
}

void worker_say_hello(struct played_worker *worker)
{
    Skep__Worker__Hello hello = SKEP__WORKER__HELLO__INIT;
    static const char version[] = "13.0";

    if (worker->has_said_hello || worker->fd < 0 || worker->is_hostile)
        return;
    hello.protocol = PROTOCOL_VERSION;
    hello.v8_version =
        (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) version, .len = sizeof version - 1 };
    worker->has_said_hello = true;
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_HELLO, &hello);
}

void worker_say_loaded(struct played_worker *worker, struct app *app, unsigned result)
{
    Skep__Worker__Loaded loaded = SKEP__WORKER__LOADED__INIT;

    if (!app || app->state != APP_LOADING || !worker_may_say(worker))
        return;
    loaded.placement = app->id;
    loaded.result = (Skep__Worker__LoadResult) result;
    loaded.cpu_us = 1000;
    app->state = result == 0 ? APP_READY : APP_NONE;
    if (result == 0) {
        struct scoreboard_placement *claim = &worker->board->placements[app->row];
        atomic_store(&claim->placement, app->id);
        atomic_store(&claim->cpu_ns, 1000000);
    }
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED, &loaded);
}

void worker_say_unloaded(struct played_worker *worker, struct app *app)
{
    Skep__Worker__Unloaded unloaded = SKEP__WORKER__UNLOADED__INIT;

    if (!app || (app->state != APP_UNLOADING && app->state != APP_READY) || !worker_may_say(worker))
        return;
    unloaded.placement = app->id;
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_UNLOADED, &unloaded);
    for (unsigned i = 0; i < WORKER_JOBS; i++)
        if (worker->jobs[i].id != 0 && worker->jobs[i].app == app)
            worker->jobs[i].app = NULL; /* such a job ends as not loaded */
    atomic_store(&worker->board->placements[app->row].placement, 0);
    app->state = APP_NONE;
}

void worker_say_stopped(struct played_worker *worker, struct app *app)
{
    Skep__Worker__Stopped stopped = SKEP__WORKER__STOPPED__INIT;

    if (!app || app->state != APP_READY || app->is_stopped || app->reuse_after_stop ||
        !worker_may_say(worker))
        return;
    app->is_stopped = true;
    stopped.placement = app->id;
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_STOPPED, &stopped);
}

void worker_say_pong(struct played_worker *worker)
{
    Skep__Worker__Pong pong = SKEP__WORKER__PONG__INIT;

    if (!worker_may_say(worker))
        return;
    for (; worker->pings > 0; worker->pings--)
        say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_PONG, &pong);
}

void worker_begin(struct played_worker *worker, struct job *job)
{
    Skep__Worker__CaughtUp caught_up = SKEP__WORKER__CAUGHT_UP__INIT;
    bool has_other = false;

    if (!job || job->id == 0 || job->has_begun || !worker_may_say(worker))
        return;
    if (!job->app || job->app->is_stopped || job->is_cancelled ||
        !scoreboard_enter(worker->board, (unsigned) (job->id % SCOREBOARD_REQUESTS), job->id)) {
        worker_say_done(worker, job, SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED, 0);
        return;
    }
    job->has_begun = true;
    ask_find(job->number)->has_run = true;
    struct scoreboard_thread *row = row_of(worker);
    atomic_store(&row->running_request, job->id);
    atomic_store(&row->running_placement, job->app->id);
    atomic_store(&row->running_since_ns, world_now_ns());
    for (unsigned i = 0; i < WORKER_JOBS; i++)
        has_other |= worker->jobs[i].id != 0 && !worker->jobs[i].has_begun;
    if (has_other)
        return;
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_CAUGHT_UP, &caught_up);
}

static void fill(const struct job *job, uint8_t *data, uint32_t size)
{
    ask_fill(job->number, job->said, data, size);
}

static void after_part(struct job *job, uint32_t size, bool is_end)
{
    struct ask *ask = ask_find(job->number);

    job->said += size;
    job->credit -= size;
    job->has_ended = is_end;
    if (job->is_cancelled)
        return;
    ask->answered_bytes = job->said;
    ask->is_ended = is_end;
}

static uint32_t part_size(const struct job *job, uint32_t bytes)
{
    bytes = bytes < ANSWER_CHUNK_MAX_BYTES ? bytes : ANSWER_CHUNK_MAX_BYTES;
    return bytes < job->credit ? bytes : job->credit;
}

void worker_say_head(struct played_worker *worker, struct job *job, uint32_t bytes, bool is_end)
{
    Skep__Worker__ResponseHead head = SKEP__WORKER__RESPONSE_HEAD__INIT;
    static uint8_t data[ANSWER_CHUNK_MAX_BYTES];
    char text[16];
    const char *const token[] = { "x-token", text };
    uint8_t packed[64];

    if (!job || !job->has_begun || job->has_head || !job->app || job->is_cancelled ||
        !worker_may_say(worker))
        return;
    bytes = part_size(job, bytes);
    fill(job, data, bytes);
    (void) snprintf(text, sizeof text, "%u", job->number);
    head.id = job->id;
    head.status = 200;
    head.head.data = packed;
    head.head.len = pack_head(packed, 2, token);
    head.body = (ProtobufCBinaryData){ .data = data, .len = bytes };
    head.end = is_end;
    job->has_head = true;
    after_part(job, bytes, is_end);
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_RESPONSE_HEAD, &head);
}

void worker_say_body(struct played_worker *worker, struct job *job, uint32_t bytes, bool is_end)
{
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;
    static uint8_t data[ANSWER_CHUNK_MAX_BYTES];

    if (!job || !job->has_head || job->has_ended || !job->app || job->is_cancelled ||
        !worker_may_say(worker))
        return;
    bytes = part_size(job, bytes);
    if (bytes == 0 && !is_end)
        return;
    fill(job, data, bytes);
    body.id = job->id;
    body.data = (ProtobufCBinaryData){ .data = data, .len = bytes };
    body.end = is_end;
    after_part(job, bytes, is_end);
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_BODY, &body);
}

void worker_say_credit(struct played_worker *worker, struct job *job)
{
    Skep__Worker__Credit credit = SKEP__WORKER__CREDIT__INIT;

    if (!job || !job->has_begun || !job->app || job->unread == 0 || !worker_may_say(worker))
        return;
    credit.id = job->id;
    credit.bytes = job->unread;
    job->window += job->unread;
    job->unread = 0;
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_CREDIT, &credit);
}

/* ---- calls */

static bool may_call(const struct played_worker *worker, const struct job *job)
{
    return job && job->has_begun && job->app && !job->is_cancelled && worker_may_say(worker);
}

void worker_say_call(struct played_worker *worker, struct job *job, uint32_t binding,
                     uint32_t bytes)
{
    Skep__Worker__Call frame = SKEP__WORKER__CALL__INIT;
    static uint8_t data[BODY_CHUNK_MAX_BYTES];
    struct out_call *call = NULL;
    bool is_post = bytes > 0;
    uint32_t first = bytes < sizeof data ? bytes : sizeof data;
    char path[32];
    const char *const texts[] = { is_post ? "POST" : "GET", "http", "call", path };
    uint8_t packed[64];

    if (!may_call(worker, job) || (binding != CALL_FETCH_BINDING && job->app->n_bindings == 0))
        return;
    for (unsigned i = 0; i < JOB_CALLS; i++)
        call = job->calls[i].id == 0 ? &job->calls[i] : call;
    uint32_t number = call ? ask_new(!is_post) : 0;
    if (number == 0)
        return;
    *call = (struct out_call){
        .id = ++job->last_call,
        .number = number,
        .sent = first,
        .left = bytes - first,
        .may_send = BODY_CHUNK_MAX_BYTES - first,
        .window = BODY_WINDOW_BYTES,
    };
    ask_fill(number, 0, data, first);
    frame.request = job->id;
    frame.id = call->id;
    frame.binding = binding == CALL_FETCH_BINDING ? binding : binding % job->app->n_bindings;
    frame.port = 80;
    (void) snprintf(path, sizeof path, "/%u", number);
    frame.head.data = packed;
    frame.head.len = pack_head(packed, HEAD_CALL_TEXTS, texts);
    frame.body = (ProtobufCBinaryData){ .data = data, .len = first };
    frame.end = call->left == 0;
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_CALL, &frame);
}

static struct out_call *pick_call(struct played_worker *worker, struct job *job, uint32_t n)
{
    if (!may_call(worker, job))
        return NULL;
    for (unsigned i = 0; i < JOB_CALLS; i++)
        if (job->calls[(n + i) % JOB_CALLS].id != 0)
            return &job->calls[(n + i) % JOB_CALLS];
    return NULL;
}

void worker_say_call_body(struct played_worker *worker, struct job *job, uint32_t n, uint32_t bytes)
{
    Skep__Worker__CallBody body = SKEP__WORKER__CALL_BODY__INIT;
    static uint8_t data[BODY_CHUNK_MAX_BYTES];
    struct out_call *call = pick_call(worker, job, n);

    if (!call || call->left == 0)
        return;
    bytes = bytes < sizeof data ? bytes : sizeof data;
    bytes = bytes < call->may_send ? bytes : call->may_send;
    bytes = bytes < call->left ? bytes : (uint32_t) call->left;
    if (bytes == 0)
        return;
    ask_fill(call->number, call->sent, data, bytes);
    call->sent += bytes;
    call->left -= bytes;
    call->may_send -= bytes;
    body.request = job->id;
    body.id = call->id;
    body.data = (ProtobufCBinaryData){ .data = data, .len = bytes };
    body.end = call->left == 0;
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_BODY, &body);
}

void worker_say_call_credit(struct played_worker *worker, struct job *job, uint32_t n)
{
    Skep__Worker__CallCredit credit = SKEP__WORKER__CALL_CREDIT__INIT;
    struct out_call *call = pick_call(worker, job, n);

    if (!call || call->unread == 0)
        return;
    credit.request = job->id;
    credit.id = call->id;
    credit.bytes = call->unread;
    call->window += call->unread;
    call->unread = 0;
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CREDIT, &credit);
}

void worker_say_call_cancel(struct played_worker *worker, struct job *job, uint32_t n)
{
    Skep__Worker__CallCancel cancel = SKEP__WORKER__CALL_CANCEL__INIT;
    struct out_call *call = pick_call(worker, job, n);

    if (!call)
        return;
    cancel.request = job->id;
    cancel.id = call->id;
    end_call(call);
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CANCEL, &cancel);
}

/* Returns the outcome that an honest worker would report. */
static unsigned true_outcome(const struct played_worker *worker, const struct job *job,
                             unsigned outcome)
{
    if (was_withdrawn(worker, job))
        return SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED;
    if (job->is_cancelled)
        return SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED;
    if (!job->app || !job->has_begun)
        return SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED;
    if (outcome == SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED ||
        outcome == SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED)
        outcome = SKEP__WORKER__OUTCOME__OUTCOME_OK;
    if (outcome == SKEP__WORKER__OUTCOME__OUTCOME_OK && !job->has_ended)
        return SKEP__WORKER__OUTCOME__OUTCOME_EXCEPTION;
    return outcome;
}

/* Returns whether the job must begin before it may end: one that has not begun ends only where it
 * cannot begin. */
static bool must_begin_first(const struct played_worker *worker, const struct job *job)
{
    return !job->has_begun && job->app && !job->app->is_stopped && !job->is_cancelled &&
           !was_withdrawn(worker, job);
}

void worker_say_done(struct played_worker *worker, struct job *job, unsigned outcome,
                     uint64_t cpu_us)
{
    Skep__Worker__Done done = SKEP__WORKER__DONE__INIT;

    if (!job || job->id == 0 || !worker_may_say(worker) || must_begin_first(worker, job))
        return;
    done.id = job->id;
    done.outcome = (Skep__Worker__Outcome) true_outcome(worker, job, outcome);
    done.cpu_us = cpu_us;
    struct scoreboard_thread *row = row_of(worker);
    if (atomic_load(&row->running_request) == job->id) {
        atomic_store(&row->running_request, 0);
        atomic_store(&row->running_placement, 0);
    }
    if (job->app && job->has_begun) {
        struct scoreboard_placement *claim = &worker->board->placements[job->app->row];
        atomic_fetch_add(&claim->cpu_ns, cpu_us * 1000);
    }
    atomic_fetch_add(&row->heartbeat, 1);
    if (!job->has_ended)
        ask_find(job->number)->may_be_cut = true;
    worker->last_done = job->id;
    forget_job(job);
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_DONE, &done);
}

void worker_say_exceeded(struct played_worker *worker, struct app *app, struct job *job,
                         unsigned limit)
{
    Skep__Worker__Exceeded exceeded = SKEP__WORKER__EXCEEDED__INIT;
    uint32_t *seen;

    if (job)
        app = job->app;
    if (!app || (app->state != APP_READY && app->state != APP_LOADING) ||
        (job && (job->id == 0 || !job->has_begun)) || !worker_may_say(worker))
        return;
    seen = job ? &job->exceeded : &app->exceeded;
    limit %= LIMITS;
    if (*seen >> limit & 1)
        return;
    *seen |= 1U << limit;
    exceeded.placement = app->id;
    exceeded.request = job ? job->id : 0;
    exceeded.limit = (Skep__Worker__Limit) limit;
    exceeded.used = 1000;
    exceeded.observed = (app->observed >> limit & 1) != 0;
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_EXCEEDED, &exceeded);
}

void worker_say_log(struct played_worker *worker, struct app *app)
{
    Skep__Worker__Log line = SKEP__WORKER__LOG__INIT;
    static const char text[] = "says something";

    if (!app || !worker_may_say(worker))
        return;
    line.placement = app->id;
    line.level = SKEP__WORKER__LOG_LEVEL__LOG_INFO;
    line.text =
        (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = sizeof text - 1 };
    say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_LOG, &line);
}

/* Returns the id of a request that is over, whose row another may have by now; else one that never
 * was. */
static uint64_t find_late_id(const struct played_worker *worker, const struct job *job)
{
    if (worker->last_done != 0)
        return worker->last_done;
    return job ? job->id + SCOREBOARD_REQUESTS : 77;
}

void worker_let_answers_be_cut(const struct played_worker *worker)
{
    for (unsigned i = 0; i < WORKER_JOBS; i++)
        if (worker->jobs[i].id != 0)
            ask_find(worker->jobs[i].number)->may_be_cut = true;
}

bool worker_break_protocol(struct played_worker *worker, unsigned how)
{
    Skep__Worker__Done done = SKEP__WORKER__DONE__INIT;
    Skep__Worker__Credit credit = SKEP__WORKER__CREDIT__INIT;
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;
    Skep__Worker__Call call = SKEP__WORKER__CALL__INIT;
    Skep__Worker__CallCredit call_credit = SKEP__WORKER__CALL_CREDIT__INIT;
    Skep__Worker__ResponseHead head = SKEP__WORKER__RESPONSE_HEAD__INIT;
    const struct job *job = worker_pick_job(worker, how);

    if (!worker_may_say(worker))
        return false;
    worker->is_hostile = true;
    worker_let_answers_be_cut(worker);
    done.id = credit.id = body.id = find_late_id(worker, job);
    call.request = call_credit.request = job ? job->id : done.id;
    if (how % 7 == 6 && job) { /* a name without its value */
        head.id = job->id;
        head.head =
            (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) "\1\0\0\0\0\0\0", .len = 8 };
        say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_RESPONSE_HEAD, &head);
    } else if (how % 5 == 3) {
        call.id = job ? job->last_call + 1 : 1;
        call.binding = TENANT_BINDINGS_MAX;
        say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_CALL, &call);
    } else if (how % 5 == 4) {
        call_credit.id = job ? job->last_call + 1 : 1;
        call_credit.bytes = 1;
        say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CREDIT, &call_credit);
    } else if (how % 3 == 0) {
        say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_DONE, &done);
    } else if (how % 3 == 1) {
        credit.bytes = 1;
        say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_CREDIT, &credit);
    } else {
        body.end = true;
        say(worker, SKEP__WORKER__FROM_WORKER__MESSAGE_BODY, &body);
    }
    return true;
}

void worker_deafen(struct played_worker *worker)
{
    worker->is_deaf = !worker->is_deaf;
    worker_let_answers_be_cut(worker); /* a cancel may not be read */
}

static bool has_moving_app(const struct played_worker *worker)
{
    for (unsigned i = 0; i < WORKER_APPS; i++)
        if (worker->apps[i].state != APP_NONE && worker->apps[i].state != APP_READY)
            return true;
    return false;
}

void worker_wait_or_go_on(struct played_worker *worker)
{
    bool waits = worker->waits_since_ns == 0;

    if (worker->stat_fd < 0 || worker->is_killed)
        return;
    HOLD(pwrite(worker->stat_fd, waits ? "R" : "S", 1, STAT_STATE_AT) == 1);
    worker->waits_since_ns = waits ? world_now_ns() : 0;
    worker->was_moving = worker->is_deaf || has_moving_app(worker);
    worker_let_answers_be_cut(worker); /* a cancel may not be read for long */
    atomic_fetch_add(&row_of(worker)->heartbeat, 1);
}

bool worker_is_excused(const struct played_worker *worker, uint64_t now_ns)
{
    return worker->waits_since_ns > 0 && !worker->was_moving && !worker->is_hostile &&
           now_ns - worker->waits_since_ns < WAIT_LEAST_MS * NSEC_PER_MSEC;
}

void worker_hang_up(struct played_worker *worker)
{
    if (worker->fd >= 0)
        (void) shutdown(worker->fd, SHUT_RDWR);
    worker->is_hostile = true; /* the supervisor must ignore all that it sends */
    worker_let_answers_be_cut(worker);
}
