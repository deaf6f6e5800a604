/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of worker/host.h: a real host with V8 and sentry on one end of a channel, and a
 * supervisor that keeps all frames on the other. No jail; one loop for both.
 */
#pragma once

#include "proto/channel.h"
#include "proto/worker_tails.h"
#include "tests/pack_head.h"
#include "worker.pb-c.h"
#include "worker/host.h"
#include "worker/isolate.h"
#include "worker/snapshot.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h> /* needs some of the above */

enum { FRAMES_MAX = 512 };

struct frame {
    Skep__Worker__FromWorker__MessageCase kind;
    uint64_t id;    /* the request's; loaded, unloaded: the tenant's */
    int code;       /* outcome, load result, limit */
    uint64_t used;  /* exceeded; body: its bytes */
    bool observed;  /* exceeded */
    char text[256]; /* body, message or log line */
};

struct world {
    struct event_base *base;
    struct host *host;
    struct channel *supervisor;
    struct scoreboard board;
    struct frame frames[FRAMES_MAX];
    size_t n_frames;
    int closed;            /* 1, or the error of the channel */
    bool reuse_after_stop; /* for tenants that are loaded */
    bool has_binding;      /* likewise: env.B */
};

static struct sentry *sentry; /* the process's sentry */
static struct world *world;   /* world of the running test */

/* Keeps a frame of a call. id: the request's; code: the call's; used: bytes. Returns the text: scheme, host, port, path. */
static inline ProtobufCBinaryData keep_call(const ProtobufCMessage *message, struct frame *frame)
{
    struct head head;

    if (message->descriptor == &skep__worker__call__descriptor) {
        const Skep__Worker__Call *m = (const Skep__Worker__Call *) message;
        frame->kind = SKEP__WORKER__FROM_WORKER__MESSAGE_CALL;
        frame->id = m->request;
        frame->code = (int) m->id;
        frame->used = m->body.len;
        static char target[256];
        assert_int_equal(
            head_open(m->head.data, m->head.len, HEAD_CALL_TEXTS, HEAD_FIELDS_MAX, &head), 0);
        (void) head_next(&head); /* the method */
        struct head_text scheme = head_next(&head), host = head_next(&head),
                         path = head_next(&head);
        int n = snprintf(target, sizeof target, "%.*s %.*s %u %.*s", (int) scheme.size, scheme.data,
                         (int) host.size, host.data, m->port, (int) path.size, path.data);
        return (ProtobufCBinaryData){ .data = (uint8_t *) target, .len = (size_t) n };
    }
    if (message->descriptor == &skep__worker__call_body__descriptor) {
        const Skep__Worker__CallBody *m = (const Skep__Worker__CallBody *) message;
        frame->kind = SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_BODY;
        frame->id = m->request;
        frame->code = (int) m->id;
        frame->used = m->data.len;
    } else if (message->descriptor == &skep__worker__call_credit__descriptor) {
        const Skep__Worker__CallCredit *m = (const Skep__Worker__CallCredit *) message;
        frame->kind = SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CREDIT;
        frame->id = m->request;
        frame->code = (int) m->id;
        frame->used = m->bytes;
    } else if (message->descriptor == &skep__worker__call_cancel__descriptor) {
        const Skep__Worker__CallCancel *m = (const Skep__Worker__CallCancel *) message;
        frame->kind = SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CANCEL;
        frame->id = m->request;
        frame->code = (int) m->id;
    }
    return (ProtobufCBinaryData){ 0 };
}

static inline int keep(const ProtobufCMessage *message)
{
    const Skep__Worker__FromWorker__MessageCase none = SKEP__WORKER__FROM_WORKER__MESSAGE__NOT_SET;
    struct frame frame = { .kind = none };
    ProtobufCBinaryData text = { 0 };

    if (message->descriptor == &skep__worker__loaded__descriptor) {
        const Skep__Worker__Loaded *m = (const Skep__Worker__Loaded *) message;
        frame.kind = SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED;
        frame.id = m->placement;
        frame.code = m->result;
        text = m->message;
    } else if (message->descriptor == &skep__worker__done__descriptor) {
        const Skep__Worker__Done *m = (const Skep__Worker__Done *) message;
        frame.kind = SKEP__WORKER__FROM_WORKER__MESSAGE_DONE;
        frame.id = m->id;
        frame.code = m->outcome;
        text = m->message;
    } else if (message->descriptor == &skep__worker__response_head__descriptor) {
        const Skep__Worker__ResponseHead *m = (const Skep__Worker__ResponseHead *) message;
        frame.kind = SKEP__WORKER__FROM_WORKER__MESSAGE_RESPONSE_HEAD;
        frame.id = m->id;
        text = m->body;
    } else if (message->descriptor == &skep__worker__body__descriptor) {
        frame.kind = SKEP__WORKER__FROM_WORKER__MESSAGE_BODY;
        frame.id = ((const Skep__Worker__Body *) message)->id;
        frame.used = ((const Skep__Worker__Body *) message)->data.len;
    } else if (message->descriptor == &skep__worker__exceeded__descriptor) {
        const Skep__Worker__Exceeded *m = (const Skep__Worker__Exceeded *) message;
        frame.kind = SKEP__WORKER__FROM_WORKER__MESSAGE_EXCEEDED;
        frame.id = m->request;
        frame.code = m->limit;
        frame.used = m->used;
        frame.observed = m->observed;
    } else if (message->descriptor == &skep__worker__log__descriptor) {
        const Skep__Worker__Log *m = (const Skep__Worker__Log *) message;
        frame.kind = SKEP__WORKER__FROM_WORKER__MESSAGE_LOG;
        frame.id = m->request;
        text = m->text;
    } else if (message->descriptor == &skep__worker__unloaded__descriptor) {
        frame.kind = SKEP__WORKER__FROM_WORKER__MESSAGE_UNLOADED;
        frame.id = ((const Skep__Worker__Unloaded *) message)->placement;
    } else if (message->descriptor == &skep__worker__caught_up__descriptor) {
        frame.kind = SKEP__WORKER__FROM_WORKER__MESSAGE_CAUGHT_UP;
    } else if (message->descriptor == &skep__worker__stopped__descriptor) {
        frame.kind = SKEP__WORKER__FROM_WORKER__MESSAGE_STOPPED;
        frame.id = ((const Skep__Worker__Stopped *) message)->placement;
    } else {
        text = keep_call(message, &frame);
    }
    size_t size = text.len < sizeof frame.text - 1 ? text.len : sizeof frame.text - 1;
    if (size > 0)
        memcpy(frame.text, text.data, size);
    assert_true(world->n_frames < FRAMES_MAX);
    if (frame.kind != none)
        world->frames[world->n_frames++] = frame;
    return 0;
}

static inline int on_frame(void *owner, const ProtobufCMessage *message)
{
    (void) owner;
    return keep(message);
}

static inline void on_closed(void *owner, int error)
{
    ((struct world *) owner)->closed = error == 0 ? 1 : error;
}

static inline void begin_world(void)
{
    static struct channel_rule rules[SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CANCEL + 1];
    static const struct channel_table table = {
        .envelope = &skep__worker__from_worker__descriptor,
        .case_offset = offsetof(Skep__Worker__FromWorker, message_case),
        .value_offset = offsetof(Skep__Worker__FromWorker, hello),
        .rules = rules,
        .n_rules = sizeof rules / sizeof rules[0],
    };
    int pair[2];

    for (size_t i = 1; i < sizeof rules / sizeof rules[0]; i++)
        rules[i] = (struct channel_rule){ 1, on_frame };
    world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->base = event_base_new();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    const struct channel_options options = {
        .base = world->base,
        .fd = pair[0],
        .receive = &table,
        .tails = &worker_tails,
        .phase = 1,
        .owner = world,
        .on_closed = on_closed,
        .output_high_bytes = SIZE_MAX,
    };
    assert_int_equal(channel_new(&options, &world->supervisor), 0);
    const struct host_options host = {
        .base = world->base,
        .channel_fd = pair[1],
        .scoreboard = &world->board,
    };
    assert_int_equal(host_new(&host, &world->host), 0);
    assert_int_equal(host_start(world->host, sentry), 0);
}

/* Ends the world but not the host, which ends with its process. Tests unload the isolates. */
static inline void end_world(void)
{
    world->supervisor = channel_free(world->supervisor);
    (void) event_base_loop(world->base, EVLOOP_NONBLOCK);
}

static inline void send_to_worker(Skep__Worker__ToWorker__MessageCase which, void *message)
{
    Skep__Worker__ToWorker envelope = SKEP__WORKER__TO_WORKER__INIT;

    envelope.message_case = which;
    envelope.ping = message;
    assert_int_equal(channel_send(world->supervisor, &envelope.base), 0);
}

static inline ProtobufCBinaryData text_field(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

static inline struct frame *find_frame(Skep__Worker__FromWorker__MessageCase kind, uint64_t id)
{
    for (size_t i = 0; i < world->n_frames; i++)
        if (world->frames[i].kind == kind && world->frames[i].id == id)
            return &world->frames[i];
    return NULL;
}

static inline unsigned count_frames(Skep__Worker__FromWorker__MessageCase kind)
{
    unsigned n = 0;

    for (size_t i = 0; i < world->n_frames; i++)
        n += world->frames[i].kind == kind;
    return n;
}

/* Returns the bytes of all frames of the kind. */
static inline uint64_t count_bytes(Skep__Worker__FromWorker__MessageCase kind, uint64_t id)
{
    uint64_t n = 0;

    for (size_t i = 0; i < world->n_frames; i++)
        if (world->frames[i].kind == kind && world->frames[i].id == id)
            n += world->frames[i].used;
    return n;
}

/* Runs the loop until a frame of the kind has come. */
static inline struct frame *await_frame(Skep__Worker__FromWorker__MessageCase kind, uint64_t id)
{
    static const struct timeval patience = { .tv_sec = 240 };
    struct frame *frame = NULL;

    assert_int_equal(event_base_loopexit(world->base, &patience), 0);
    while (!(frame = find_frame(kind, id))) {
        assert_int_equal(event_base_loop(world->base, EVLOOP_ONCE), 0);
        if (event_base_got_exit(world->base) || world->closed)
            fail_msg("no frame of kind %d for %lu; closed: %d", (int) kind, (unsigned long) id,
                     world->closed);
    }
    return frame;
}

static inline struct frame *await_done(uint64_t id)
{
    return await_frame(SKEP__WORKER__FROM_WORKER__MESSAGE_DONE, id);
}

static inline Skep__Worker__Limits usual_limits(void)
{
    Skep__Worker__Limits limits = SKEP__WORKER__LIMITS__INIT;

    limits.cpu_ms = 2000;
    limits.cpu_startup_ms = 2000;
    limits.heap_mib = 32;
    limits.external_mib = 16;
    limits.timers = 8;
    limits.log_kib = 1;
    limits.hung_ms = UINT32_MAX;
    limits.linger_ms = 5000;
    limits.lingering = 2;
    return limits;
}

static inline void send_load(uint32_t tenant, uint32_t place, Skep__Worker__Limits *limits,
                             const char *source)
{
    Skep__Worker__LoadBegin begin = SKEP__WORKER__LOAD_BEGIN__INIT;
    Skep__Worker__LoadFile file = SKEP__WORKER__LOAD_FILE__INIT;
    Skep__Worker__LoadEnd end = SKEP__WORKER__LOAD_END__INIT;
    Skep__Worker__Binding binding = SKEP__WORKER__BINDING__INIT, *bindings[] = { &binding };

    begin.placement = file.placement = end.placement = tenant;
    begin.row = place;
    begin.name = text_field("test");
    begin.main = file.path = text_field("main.js");
    begin.limits = limits;
    begin.reuse_after_stop = world->reuse_after_stop;
    binding.name = text_field("B");
    begin.bindings = bindings;
    begin.n_bindings = world->has_binding;
    file.data = text_field(source);
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_BEGIN, &begin);
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_FILE, &file);
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_END, &end);
}

static inline int load(uint32_t tenant, uint32_t place, Skep__Worker__Limits limits,
                       const char *source)
{
    send_load(tenant, place, &limits, source);
    struct frame *loaded = await_frame(SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED, tenant);
    if (loaded->code != SKEP__WORKER__LOAD_RESULT__LOAD_OK)
        print_message("%s\n", loaded->text);
    return loaded->code;
}

/* Sends a request. id: below SCOREBOARD_REQUESTS, so that it is the row, too. */
static inline void send_method(const char *method, uint32_t tenant, uint64_t id, const char *path)
{
    Skep__Worker__Request request = SKEP__WORKER__REQUEST__INIT;
    char url[128];
    uint8_t packed[256];
    const char *const texts[] = { method, url };

    (void) snprintf(url, sizeof url, "http://a.test%s", path);
    request.id = id;
    request.row = (uint32_t) id;
    request.placement = tenant;
    request.head.data = packed;
    request.head.len = pack_head(packed, 2, texts);
    request.end = true;
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_REQUEST, &request);
}

static inline void send_request(uint32_t tenant, uint64_t id, const char *path)
{
    send_method("GET", tenant, id, path);
}

static inline void send_cancel(uint64_t id, Skep__Worker__CancelReason reason)
{
    Skep__Worker__Cancel cancel = SKEP__WORKER__CANCEL__INIT;

    cancel.id = id;
    cancel.reason = reason;
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_CANCEL, &cancel);
}

static inline void unload(uint32_t tenant)
{
    Skep__Worker__Unload message = SKEP__WORKER__UNLOAD__INIT;

    message.placement = tenant;
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_UNLOAD, &message);
    (void) await_frame(SKEP__WORKER__FROM_WORKER__MESSAGE_UNLOADED, tenant);
}

/* Unloads a tenant. Not an error if the worker has unloaded it already: no Unloaded comes twice. */
static inline void unload_if_there(uint32_t tenant)
{
    if (!find_frame(SKEP__WORKER__FROM_WORKER__MESSAGE_UNLOADED, tenant))
        unload(tenant);
}

static inline void on_fatal(bool is_oom, const char *location)
{
    (void) fprintf(stderr, "V8 died: %s%s\n", is_oom ? "out of memory: " : "", location);
}

static inline int start_process(void **state)
{
    const struct isolate_platform_options options = {
        .argv0 = "test",
        .jit = JIT_ON,
        .wasm_max_mem_pages = 1024,
        .blank_heap_mib = 32,
        .snapshot = { skep_snapshot, skep_snapshot_size },
        .on_fatal = on_fatal,
    };

    (void) state;
    int r = isolate_platform_init(&options, NULL);
    return r < 0 ? r : sentry_start(&sentry);
}

static inline int setup(void **state)
{
    (void) state;
    begin_world();
    return 0;
}

static inline int teardown(void **state)
{
    (void) state;
    end_world();
    return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

#define HANDLER(body)                                                                           \
    "export default { async fetch(request, env, ctx) {\n"                                       \
    "    const path = new URL(request.url).pathname;\n" body "    return new Response('ok');\n" \
    "} };\n"
#define SLEEP "const sleep = (ms) => new Promise((r) => setTimeout(r, ms));\n"
