/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd's side of skep-egress: what it lets egress say, what each end may send, and what becomes of fetches when egress
 * goes. The test plays the spawner, egress behind a socket pair, and the clock.
 */
#include "supervisor/helpers/egress.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "egress.pb-c.h"
#include "egress/program.h"
#include "helper.pb-c.h"
#include "proto/frame.h"
#include "supervisor/helpers/spawner.h"
#include "tests/events/clock.h"
#include "tests/pack_head.h"

#define NUMBER 5
#define CREDIT 1000
#define TENANT 77
#define FETCHES_MAX 8

/* ---- the spawner */

static struct {
    unsigned n_asked;
    bool is_waiting; /* a request has no answer yet */
    int error;       /* result of the next request */
    spawner_started_fn on_started;
    void *owner;
} asked;

int __wrap_spawner_start_helper(struct spawner *spawner, unsigned number, const char *word,
                                spawner_started_fn on_started, void *owner);
void __wrap_spawner_forget(struct spawner *spawner, const void *owner);

int __wrap_spawner_start_helper(struct spawner *spawner, unsigned number, const char *word,
                                spawner_started_fn on_started, void *owner)
{
    (void) spawner;
    (void) word;
    assert_int_equal(number, NUMBER);
    asked.n_asked++;
    asked.is_waiting = true;
    asked.on_started = on_started;
    asked.owner = owner;
    return asked.error;
}

void __wrap_spawner_forget(struct spawner *spawner, const void *owner)
{
    (void) spawner;
    assert_ptr_equal(owner, asked.owner);
}

/* ---- the kernel */

static bool is_runnable; /* egress waits for a processor, or runs */
static uint64_t cpu_ns;  /* CPU time of egress */

bool __wrap_process_is_runnable(int stat_fd);
uint64_t __wrap_process_cpu_ns(int stat_fd);

uint64_t __wrap_process_cpu_ns(int stat_fd)
{
    (void) stat_fd;
    return cpu_ns;
}

bool __wrap_process_is_runnable(int stat_fd)
{
    (void) stat_fd;
    return is_runnable;
}

/* ---- the scene */

/* One fetch as its opener sees it. */
struct opener {
    struct scene *scene;
    struct egress_fetch *fetch; /* NULL: it has ended */
    unsigned n_heads, n_ends;
    unsigned status, version, n_fields;
    size_t received;
    uint32_t credit;
    enum egress_end end;
    char text[64], address[64];
    uint64_t sent, counted, total_us, connect_us;
    bool cancels_next; /* in on_end */
};

struct scene {
    struct event_base *base;
    struct health health;
    struct egress *egress;
    int fd; /* egress' end of the channel; -1: closed */
    uint8_t *input;
    size_t have;
    struct opener openers[FETCHES_MAX];
    unsigned n_room;
};

static void on_head(void *owner, const struct egress_answer *answer)
{
    struct opener *opener = owner;
    struct head rest = answer->fields;

    opener->n_heads++;
    opener->status = answer->status;
    opener->version = answer->version;
    for (; rest.n_texts > 0; opener->n_fields++)
        (void) head_next(&rest);
}

static void on_body(void *owner, const uint8_t *data, size_t size)
{
    struct opener *opener = owner;

    assert_int_equal(data[0], 'x');
    opener->received += size;
}

static void on_credit(void *owner, uint32_t bytes)
{
    ((struct opener *) owner)->credit += bytes;
}

static void copy(struct head_text from, char *to, size_t size)
{
    (void) snprintf(to, size, "%.*s", (int) from.size, from.data);
}

static void on_end(void *owner, const struct egress_result *result)
{
    struct opener *opener = owner, *next = opener + 1;

    assert_non_null(opener->fetch);
    opener->fetch = NULL;
    opener->n_ends++;
    opener->end = result->end;
    copy(result->text, opener->text, sizeof opener->text);
    copy(result->address, opener->address, sizeof opener->address);
    opener->sent = result->sent;
    opener->counted = result->received;
    opener->total_us = result->total_us;
    opener->connect_us = result->connect_us;
    if (opener->cancels_next) {
        egress_cancel(next->fetch);
        next->fetch = NULL;
    }
}

static const struct egress_ops ops = {
    .on_head = on_head,
    .on_body = on_body,
    .on_credit = on_credit,
    .on_end = on_end,
};

static void on_room(void *owner)
{
    ((struct scene *) owner)->n_room++;
}

static void turn(const struct scene *s)
{
    for (unsigned i = 0; i < 4; i++)
        (void) event_base_loop(s->base, EVLOOP_NONBLOCK);
}

static void pass_s(const struct scene *s, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        clock_pass(NSEC_PER_SEC);
        turn(s);
    }
}

/* ---- egress */

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

static void put(const struct scene *s, const ProtobufCMessage *message)
{
    static uint8_t frame[FRAME_HEADER_BYTES + (300 << 10)];
    static const int socket_bytes = sizeof frame;
    const size_t size = protobuf_c_message_get_packed_size(message);

    assert_true(size <= sizeof frame - FRAME_HEADER_BYTES);
    const uint32_t length = htole32((uint32_t) size);
    memcpy(frame, &length, sizeof length);
    (void) protobuf_c_message_pack(message, frame + FRAME_HEADER_BYTES);
    assert_int_equal(setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &socket_bytes, sizeof socket_bytes),
                     0);
    assert_int_equal(write(s->fd, frame, FRAME_HEADER_BYTES + size), FRAME_HEADER_BYTES + size);
}

static void greet(const struct scene *s, uint32_t version)
{
    Skep__Helper__Hello hello = SKEP__HELPER__HELLO__INIT;
    Skep__Helper__Greeting greeting = SKEP__HELPER__GREETING__INIT;

    hello.name = bytes_of(EGRESS_HELPER_NAME);
    hello.version = version;
    greeting.message_case = SKEP__HELPER__GREETING__MESSAGE_HELLO;
    greeting.hello = &hello;
    put(s, &greeting.base);
    turn(s);
}

/* Answers the spawner's request with a connection. */
static void connect_it(struct scene *s)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    s->fd = pair[0];
    s->have = 0;
    const struct spawner_started started = { 0, -1, -1, pair[1] };
    asked.is_waiting = false;
    asked.on_started(asked.owner, 0, NULL, &started);
}

static void refuse_it(void)
{
    asked.is_waiting = false;
    asked.on_started(asked.owner, -ECONNREFUSED, "connection to the unit", NULL);
}

static void await_request(const struct scene *s)
{
    for (unsigned second = 0; !asked.is_waiting; second++) {
        assert_true(second < 60); /* more than the longest back-off */
        pass_s(s, 1);
    }
}

static void come_back(struct scene *s)
{
    fd_cleanup(&s->fd);
    s->fd = -1;
    await_request(s);
    connect_it(s);
    greet(s, EGRESS_VERSION);
}

/* Takes the next frame from skepd; the caller frees it. NULL: there is none. */
static Skep__Egress__ToEgress *take(struct scene *s)
{
    turn(s);
    ssize_t n = read(s->fd, s->input + s->have, (4U << 20) - s->have);
    s->have += n > 0 ? (size_t) n : 0;
    int64_t size = frame_measure(s->input, s->have);
    assert_true(size >= 0);
    if (size == 0)
        return NULL;
    Skep__Egress__ToEgress *frame = skep__egress__to_egress__unpack(
        NULL, (size_t) size - FRAME_HEADER_BYTES, s->input + FRAME_HEADER_BYTES);
    assert_non_null(frame);
    s->have -= (size_t) size;
    memmove(s->input, s->input + size, s->have);
    return frame;
}

/* Takes a frame that must be of that kind, and drops it. */
static void expect(struct scene *s, Skep__Egress__ToEgress__MessageCase kind)
{
    Skep__Egress__ToEgress *frame = take(s);

    assert_non_null(frame);
    assert_int_equal(frame->message_case, kind);
    skep__egress__to_egress__free_unpacked(frame, NULL);
}

static void expect_nothing(struct scene *s)
{
    assert_null(take(s));
}

static void say(const struct scene *s, Skep__Egress__FromEgress__MessageCase kind, void *message)
{
    Skep__Egress__FromEgress frame = SKEP__EGRESS__FROM_EGRESS__INIT;

    frame.message_case = kind;
    frame.head = message; /* a union */
    put(s, &frame.base);
    turn(s);
}

static const char *const fields[] = { "content-type", "text/plain", "x-empty", "" };

static void say_head(const struct scene *s, uint64_t id)
{
    Skep__Egress__Head head = SKEP__EGRESS__HEAD__INIT;
    uint8_t packed[256];

    head.id = id;
    head.status = 201;
    head.version = 11;
    head.head.data = packed;
    head.head.len = pack_head(packed, ARRAY_LEN(fields), fields);
    say(s, SKEP__EGRESS__FROM_EGRESS__MESSAGE_HEAD, &head);
}

static void say_body(const struct scene *s, uint64_t id, size_t size)
{
    static uint8_t data[ANSWER_CHUNK_MAX_BYTES + 1];
    Skep__Stream__Body body = SKEP__STREAM__BODY__INIT;

    memset(data, 'x', sizeof data);
    body.id = id;
    body.data = (ProtobufCBinaryData){ .data = data, .len = size };
    say(s, SKEP__EGRESS__FROM_EGRESS__MESSAGE_BODY, &body);
}

static void say_credit(const struct scene *s, uint64_t id, uint32_t bytes)
{
    Skep__Stream__Credit credit = SKEP__STREAM__CREDIT__INIT;

    credit.id = id;
    credit.bytes = bytes;
    say(s, SKEP__EGRESS__FROM_EGRESS__MESSAGE_CREDIT, &credit);
}

static void say_done(const struct scene *s, uint64_t id, Skep__Egress__Failure failure,
                     uint64_t received)
{
    Skep__Egress__Done done = SKEP__EGRESS__DONE__INIT;

    done.id = id;
    done.failure = failure;
    done.received = received;
    done.text = bytes_of(failure == 0 ? "" : "so it is");
    done.address = bytes_of("192.0.2.1:443");
    done.total_us = UINT64_MAX;
    done.connect_us = 5;
    say(s, SKEP__EGRESS__FROM_EGRESS__MESSAGE_DONE, &done);
}

/* ---- skepd */

static struct egress_request request_of(const uint8_t *head, size_t size)
{
    return (struct egress_request){
        .tenant = TENANT,
        .method = { "POST", 4 },
        .host = { "example.com", 11 },
        .path = { "/a?b", 4 },
        .is_https = true,
        .port = 443,
        .head = head,
        .head_size = size,
        .has_body = true,
        .length = -1,
        .credit = CREDIT,
        .connect_ms = 1,
        .head_ms = 2,
        .idle_ms = 3,
        .total_ms = 4,
    };
}

static int try_open(struct scene *s, unsigned n)
{
    uint8_t packed[256];
    const size_t size = pack_head(packed, ARRAY_LEN(fields), fields);
    const struct egress_request request = request_of(packed, size);
    struct opener *opener = &s->openers[n];

    *opener = (struct opener){ .scene = s };
    return egress_open(s->egress, &request, &ops, opener, &opener->fetch);
}

/* Opens a fetch; its Open is taken. */
static struct opener *open_one(struct scene *s, unsigned n)
{
    assert_int_equal(try_open(s, n), 0);
    expect(s, SKEP__EGRESS__TO_EGRESS__MESSAGE_OPEN);
    return &s->openers[n];
}

static int set_up(void **state)
{
    static struct scene scene;
    static uint8_t input[4U << 20];

    scene = (struct scene){ .fd = -1, .input = input };
    asked.n_asked = 0;
    asked.error = 0;
    is_runnable = false;
    cpu_ns = 100 * NSEC_PER_SEC;
    (void) signal(SIGPIPE, SIG_IGN); /* as skepd does */
    clock_reset();
    log_silence();
    scene.base = event_base_new();
    const struct egress_options options = {
        .number = NUMBER,
        .base = scene.base,
        .health = &scene.health,
    };
    assert_int_equal(egress_new(&options, &scene.egress), 0);
    egress_on_room(scene.egress, on_room, &scene);
    *state = &scene;
    return 0;
}

static int set_up_ready(void **state)
{
    (void) set_up(state);
    connect_it(*state);
    greet(*state, EGRESS_VERSION);
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    s->egress = egress_free(s->egress);
    fd_cleanup(&s->fd);
    event_base_free(s->base);
    return 0;
}

/* ---- tests */

static void test_fetch_goes_out_and_its_answer_comes_back(void **state)
{
    struct scene *s = *state;
    struct address_prefix named = { .bytes = { 1, 2, 3 }, .bits = 120 };
    struct address_prefix denied[2] = { { .bytes = { 4 }, .bits = 8 },
                                        { .bytes = { 5 }, .bits = 9 } };
    uint8_t packed[256];
    const size_t size = pack_head(packed, ARRAY_LEN(fields), fields);
    struct egress_request request = request_of(packed, size);
    struct opener *opener = &s->openers[0];

    request.addresses = (struct address_rules){ &named, 1, denied, 2 };
    request.length = 7;
    assert_int_equal(egress_open(s->egress, &request, &ops, opener, &opener->fetch), 0);
    assert_int_equal(egress_count(s->egress), 1);
    Skep__Egress__ToEgress *frame = take(s);
    const Skep__Egress__Open *open = frame->open;
    assert_int_equal(frame->message_case, SKEP__EGRESS__TO_EGRESS__MESSAGE_OPEN);
    assert_int_equal(open->id, 1);
    assert_int_equal(open->tenant, TENANT);
    assert_memory_equal(open->method.data, "POST", 4);
    assert_memory_equal(open->scheme.data, "https", 5);
    assert_memory_equal(open->host.data, "example.com", 11);
    assert_memory_equal(open->path.data, "/a?b", 4);
    assert_int_equal(open->port, 443);
    assert_int_equal(open->head.len, size);
    assert_memory_equal(open->head.data, packed, size);
    assert_true(open->has_body && open->has_length && open->length == 7);
    assert_int_equal(open->credit, CREDIT);
    assert_true(open->n_named == 1 && open->named[0]->bits == 120);
    assert_memory_equal(open->named[0]->address.data, named.bytes, 16);
    assert_true(open->n_denied == 2 && open->denied[1]->bits == 9);
    assert_memory_equal(open->denied[1]->address.data, denied[1].bytes, 16);
    assert_true(open->connect_ms == 1 && open->head_ms == 2 && open->idle_ms == 3 &&
                open->total_ms == 4);
    skep__egress__to_egress__free_unpacked(frame, NULL);

    egress_send_body(opener->fetch, (const uint8_t *) "1234567", 7, true);
    expect(s, SKEP__EGRESS__TO_EGRESS__MESSAGE_BODY);
    say_head(s, 1);
    assert_true(opener->n_heads == 1 && opener->status == 201 && opener->version == 11);
    assert_int_equal(opener->n_fields, ARRAY_LEN(fields));
    say_body(s, 1, CREDIT);
    assert_int_equal(opener->received, CREDIT);
    egress_give_credit(opener->fetch, CREDIT);
    expect(s, SKEP__EGRESS__TO_EGRESS__MESSAGE_CREDIT);
    say_body(s, 1, 1);
    clock_pass(2 * NSEC_PER_MSEC);
    say_done(s, 1, SKEP__EGRESS__FAILURE__FAILURE_NONE, CREDIT + 1);
    assert_int_equal(opener->n_ends, 1);
    assert_int_equal(opener->end, EGRESS_COMPLETE);
    assert_int_equal(opener->counted, CREDIT + 1);
    assert_string_equal(opener->address, "192.0.2.1:443");
    assert_true(opener->total_us == 2000 &&
                opener->connect_us == 5); /* not longer than it was open */
    assert_int_equal(egress_count(s->egress), 0);
    assert_int_equal(s->health.of[HELPER_EGRESS].losses, 0);
}

static void test_each_failure_has_its_end(void **state)
{
    static const enum egress_end ends[] = {
        EGRESS_REQUEST,   EGRESS_NAME, EGRESS_RESOLVER, EGRESS_ADDRESS,
        EGRESS_CONNECT,   EGRESS_TLS,  EGRESS_CLOSED,   EGRESS_PROTOCOL,
        EGRESS_HEAD_SIZE, EGRESS_TIME, EGRESS_BUSY,     EGRESS_INTERNAL,
    };
    struct scene *s = *state;

    for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
        const struct opener *opener = open_one(s, 0);
        say_done(s, 1 + i,
                 (Skep__Egress__Failure) (SKEP__EGRESS__FAILURE__FAILURE_REQUEST + (int) i), 0);
        assert_int_equal(opener->n_ends, 1);
        assert_int_equal(opener->end, ends[i]);
        assert_string_equal(opener->text, "so it is");
    }
    assert_int_equal(s->health.of[HELPER_EGRESS].losses, 0);
}

static void test_fetch_that_was_cancelled_is_passed_over_until_its_end(void **state)
{
    struct scene *s = *state;
    struct opener *opener = open_one(s, 0);

    egress_cancel(opener->fetch);
    expect(s, SKEP__EGRESS__TO_EGRESS__MESSAGE_CANCEL);
    say_head(s, 1);
    say_body(s, 1, 10);
    assert_int_equal(egress_count(s->egress), 1);
    say_done(s, 1, SKEP__EGRESS__FAILURE__FAILURE_CANCELLED, 10);
    assert_int_equal(opener->n_heads + opener->n_ends, 0);
    assert_int_equal(opener->received, 0);
    assert_int_equal(egress_count(s->egress), 0);
    assert_int_equal(s->health.of[HELPER_EGRESS].losses, 0);
    /* The number is over for good. */
    say_done(s, 1, SKEP__EGRESS__FAILURE__FAILURE_CANCELLED, 10);
    assert_int_equal(s->health.of[HELPER_EGRESS].losses, 1);
}

static void test_body_goes_on_with_credit(void **state)
{
    static const uint8_t data[EGRESS_WINDOW_BYTES];
    struct scene *s = *state;
    struct opener *opener = open_one(s, 0);

    egress_send_body(opener->fetch, data, EGRESS_WINDOW_BYTES, false);
    expect(s, SKEP__EGRESS__TO_EGRESS__MESSAGE_BODY);
    say_credit(s, 1, 100);
    assert_int_equal(opener->credit, 100);
    egress_send_body(opener->fetch, data, 100, true);
    expect(s, SKEP__EGRESS__TO_EGRESS__MESSAGE_BODY);
    say_credit(s, 1, EGRESS_WINDOW_BYTES); /* on its way when the end was sent */
    assert_int_equal(opener->credit, 100);
    assert_int_equal(s->health.of[HELPER_EGRESS].losses, 0);
    say_credit(s, 1, 101);
    assert_int_equal(s->health.of[HELPER_EGRESS].losses, 1);
    assert_int_equal(opener->end, EGRESS_LOST);
}

/* ---- breaches */

static void head_of_none(const struct scene *s)
{
    say_head(s, 3);
}

static void body_of_none(const struct scene *s)
{
    say_body(s, 3, 1);
}

static void credit_of_none(const struct scene *s)
{
    say_credit(s, 3, 1);
}

static void done_of_none(const struct scene *s)
{
    say_done(s, 3, SKEP__EGRESS__FAILURE__FAILURE_TIME, 0);
}

static void done_twice(const struct scene *s)
{
    say_done(s, 1, SKEP__EGRESS__FAILURE__FAILURE_TIME, 0);
    say_done(s, 1, SKEP__EGRESS__FAILURE__FAILURE_TIME, 0);
}

static void second_head(const struct scene *s)
{
    say_head(s, 1);
    say_head(s, 1);
}

static void body_before_head(const struct scene *s)
{
    say_body(s, 1, 1);
}

static void empty_body(const struct scene *s)
{
    say_head(s, 1);
    say_body(s, 1, 0);
}

static void large_body(const struct scene *s)
{
    egress_give_credit(s->openers[0].fetch, 2 * ANSWER_CHUNK_MAX_BYTES);
    say_head(s, 1);
    say_body(s, 1, ANSWER_CHUNK_MAX_BYTES + 1);
}

static void more_body_than_credit(const struct scene *s)
{
    say_head(s, 1);
    say_body(s, 1, CREDIT);
    say_body(s, 1, 1);
}

static void credit_for_nothing(const struct scene *s)
{
    say_credit(s, 1, 1);
}

static void credit_of_nothing(const struct scene *s)
{
    egress_send_body(s->openers[0].fetch, (const uint8_t *) "abc", 3, false);
    say_credit(s, 1, 0);
}

static void complete_without_head(const struct scene *s)
{
    say_done(s, 1, SKEP__EGRESS__FAILURE__FAILURE_NONE, 0);
}

static void cancelled_by_nobody(const struct scene *s)
{
    say_done(s, 1, SKEP__EGRESS__FAILURE__FAILURE_CANCELLED, 0);
}

static void unknown_failure(const struct scene *s)
{
    say_done(s, 1, (Skep__Egress__Failure) 14, 0);
}

static void negative_failure(const struct scene *s)
{
    say_done(s, 1, (Skep__Egress__Failure) -1, 0);
}

static void wrong_count(const struct scene *s)
{
    say_done(s, 1, SKEP__EGRESS__FAILURE__FAILURE_CLOSED, 1);
}

static void sent_too_much(const struct scene *s)
{
    Skep__Egress__Done done = SKEP__EGRESS__DONE__INIT;

    done.id = 1;
    done.failure = SKEP__EGRESS__FAILURE__FAILURE_CLOSED;
    done.sent = 1;
    say(s, SKEP__EGRESS__FROM_EGRESS__MESSAGE_DONE, &done);
}

static void say_text(const struct scene *s, const char *text, const char *address)
{
    Skep__Egress__Done done = SKEP__EGRESS__DONE__INIT;

    done.id = 1;
    done.failure = SKEP__EGRESS__FAILURE__FAILURE_CLOSED;
    done.text = bytes_of(text);
    done.address = bytes_of(address);
    say(s, SKEP__EGRESS__FROM_EGRESS__MESSAGE_DONE, &done);
}

static void text_with_escape(const struct scene *s)
{
    say_text(s, "\x1b[2J", "");
}

static void text_of_utf8(const struct scene *s)
{
    say_text(s, "\xe2\x80\xae", "");
}

static void address_with_newline(const struct scene *s)
{
    say_text(s, "", "192.0.2.1:443\nhello");
}

static void long_text(const struct scene *s)
{
    char text[1024];

    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    say_text(s, text, "");
}

static void say_bad_head(const struct scene *s, uint32_t status, uint32_t version, const char *name,
                         const char *value)
{
    const char *const bad[] = { name, value };
    Skep__Egress__Head head = SKEP__EGRESS__HEAD__INIT;
    uint8_t packed[256];

    head.id = 1;
    head.status = status;
    head.version = version;
    head.head.data = packed;
    head.head.len = pack_head(packed, ARRAY_LEN(bad), bad);
    say(s, SKEP__EGRESS__FROM_EGRESS__MESSAGE_HEAD, &head);
}

static void provisional_status(const struct scene *s)
{
    say_bad_head(s, 199, 11, "a", "b");
}

static void large_status(const struct scene *s)
{
    say_bad_head(s, 1000, 11, "a", "b");
}

static void unknown_version(const struct scene *s)
{
    say_bad_head(s, 200, 30, "a", "b");
}

static void field_without_name(const struct scene *s)
{
    say_bad_head(s, 200, 11, "", "b");
}

static void name_with_blank(const struct scene *s)
{
    say_bad_head(s, 200, 11, "a b", "b");
}

static void value_with_newline(const struct scene *s)
{
    say_bad_head(s, 200, 20, "a", "b\r\nc: d");
}

static void say_reason(const struct scene *s, const char *reason)
{
    static uint8_t packed[16];
    Skep__Egress__Head head = SKEP__EGRESS__HEAD__INIT;

    head.id = 1;
    head.status = 200;
    head.version = 11;
    head.head.data = packed;
    head.head.len = pack_head(packed, 0, NULL);
    head.reason = bytes_of(reason);
    say(s, SKEP__EGRESS__FROM_EGRESS__MESSAGE_HEAD, &head);
}

static void reason_with_newline(const struct scene *s)
{
    say_reason(s, "OK\r\nSet-Cookie: a=b");
}

static void long_reason(const struct scene *s)
{
    char reason[EGRESS_REASON_MAX_BYTES + 2] = "";

    memset(reason, 'a', sizeof reason - 1);
    say_reason(s, reason);
}

static void broken_head(const struct scene *s)
{
    Skep__Egress__Head head = SKEP__EGRESS__HEAD__INIT;

    head.id = 1;
    head.status = 200;
    head.version = 11;
    head.head = bytes_of("\x01");
    say(s, SKEP__EGRESS__FROM_EGRESS__MESSAGE_HEAD, &head);
}

static void too_many_fields(const struct scene *s)
{
    static const char *many[2 * EGRESS_FIELDS_MAX + 2];
    static uint8_t packed[16 << 10];
    Skep__Egress__Head head = SKEP__EGRESS__HEAD__INIT;

    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = "a";
    head.id = 1;
    head.status = 200;
    head.version = 11;
    head.head.data = packed;
    head.head.len = pack_head(packed, ARRAY_LEN(many), many);
    say(s, SKEP__EGRESS__FROM_EGRESS__MESSAGE_HEAD, &head);
}

static void second_hello(const struct scene *s)
{
    greet(s, EGRESS_VERSION);
}

static void no_message(const struct scene *s)
{
    Skep__Egress__FromEgress frame = SKEP__EGRESS__FROM_EGRESS__INIT;

    put(s, &frame.base);
    turn(s);
}

static const struct {
    void (*commit)(const struct scene *s);
    const char *why;
} breaches[] = {
    { head_of_none, "it sent the head of a stream that there is not, and is ended" },
    { body_of_none, "it sent a body of a stream that there is not, and is ended" },
    { credit_of_none, "it gave credit to a stream that there is not, and is ended" },
    { done_of_none, "it ended a fetch that there is not, and is ended" },
    { done_twice, "it ended a fetch that there is not, and is ended" },
    { second_head, "it sent a second head of an answer, and is ended" },
    { body_before_head, "it sent a body before its head, and is ended" },
    { empty_body, "it sent a part of a body that is none, and is ended" },
    { large_body, "it sent a part of a body that is none, and is ended" },
    { more_body_than_credit, "it sent more of a body than it had credit for, and is ended" },
    { credit_for_nothing, "it gave more credit than it had taken bytes, and is ended" },
    { credit_of_nothing, "it gave more credit than it had taken bytes, and is ended" },
    { complete_without_head, "it ended a fetch without an answer as complete, and is ended" },
    { cancelled_by_nobody, "it ended a fetch for a reason that there is not, and is ended" },
    { unknown_failure, "it ended a fetch for a reason that there is not, and is ended" },
    { negative_failure, "it ended a fetch for a reason that there is not, and is ended" },
    { wrong_count, "it counted bytes that were not there, and is ended" },
    { sent_too_much, "it counted bytes that were not there, and is ended" },
    { text_with_escape, "it sent a text that cannot be shown, and is ended" },
    { text_of_utf8, "it sent a text that cannot be shown, and is ended" },
    { address_with_newline, "it sent a text that cannot be shown, and is ended" },
    { long_text, "it sent a text that cannot be shown, and is ended" },
    { provisional_status, "it sent a status or a version that is none, and is ended" },
    { large_status, "it sent a status or a version that is none, and is ended" },
    { unknown_version, "it sent a status or a version that is none, and is ended" },
    { field_without_name, "it sent headers that are none, and is ended" },
    { name_with_blank, "it sent headers that are none, and is ended" },
    { value_with_newline, "it sent headers that are none, and is ended" },
    { broken_head, "it sent headers that are none, and is ended" },
    { reason_with_newline, "it sent a reason phrase that is none, and is ended" },
    { long_reason, "it sent a reason phrase that is none, and is ended" },
    { too_many_fields, "it sent headers that are none, and is ended" },
    { second_hello, "it broke the protocol, and is ended" },
    { no_message, "it broke the protocol, and is ended" },
};

static void test_egress_that_breaks_the_protocol_is_lost_with_its_reason(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(breaches); i++) {
        (void) set_up_ready(state);
        struct scene *s = *state;
        const struct opener *first = open_one(s, 0), *second = open_one(s, 1);
        breaches[i].commit(s);
        const struct helper_health *health = &s->health.of[HELPER_EGRESS];
        assert_int_equal(health->state, HELPER_RESTARTING);
        assert_string_equal(health->why, breaches[i].why);
        assert_int_equal(first->n_ends, 1);
        assert_int_equal(second->n_ends, 1);
        assert_int_equal(second->end, EGRESS_LOST);
        assert_int_equal(egress_count(s->egress), 0);
        come_back(s);
        assert_int_equal(health->state, HELPER_OK);
        (void) open_one(s, 2);
        (void) tear_down(state);
    }
}

/* ---- losses */

static void test_each_fetch_ends_when_egress_dies_and_new_ones_work(void **state)
{
    struct scene *s = *state;

    for (unsigned i = 0; i < FETCHES_MAX; i++)
        (void) open_one(s, i);
    say_head(s, 1);
    egress_cancel(s->openers[2].fetch);
    s->openers[2].fetch = NULL;
    s->openers[3].cancels_next = true;
    s->n_room = 0;
    fd_cleanup(&s->fd);
    s->fd = -1;
    turn(s);
    for (unsigned i = 0; i < FETCHES_MAX; i++) {
        const bool is_cancelled = i == 2 || i == 4;
        assert_int_equal(s->openers[i].n_ends, is_cancelled ? 0 : 1);
        assert_true(is_cancelled || s->openers[i].end == EGRESS_LOST);
    }
    assert_string_equal(s->openers[0].text, "skep-egress has ended");
    assert_int_equal(egress_count(s->egress), 0);
    assert_false(egress_is_ready(s->egress));
    assert_int_equal(try_open(s, 0), -EPIPE);
    assert_int_equal(s->n_room, 0);
    come_back(s);
    assert_int_equal(s->n_room, 1);
    const struct opener *opener = open_one(s, 0);
    say_done(s, FETCHES_MAX + 1, SKEP__EGRESS__FAILURE__FAILURE_TIME, 0);
    assert_int_equal(opener->end, EGRESS_TIME);
}

static void test_egress_that_is_not_there_at_first_is_asked_for_again(void **state)
{
    struct scene *s = *state;

    assert_int_equal(asked.n_asked, 1);
    assert_int_equal(try_open(s, 0), -EPIPE);
    assert_int_equal(s->health.of[HELPER_EGRESS].state, HELPER_ABSENT);
    refuse_it();
    assert_int_equal(s->health.of[HELPER_EGRESS].state, HELPER_RESTARTING);
    assert_string_equal(s->health.of[HELPER_EGRESS].why, "it cannot be started");
    for (unsigned i = 0; i < 10; i++) { /* then it waits ever longer */
        await_request(s);
        refuse_it();
    }
    come_back(s);
    assert_int_equal(s->health.of[HELPER_EGRESS].state, HELPER_OK);
    assert_int_equal(s->n_room, 1);
    (void) open_one(s, 0);
}

static void test_egress_of_another_version_is_refused_and_asked_for_again(void **state)
{
    struct scene *s = *state;

    connect_it(s);
    greet(s, EGRESS_VERSION + 1);
    assert_string_equal(s->health.of[HELPER_EGRESS].why, "it is of another version");
    come_back(s);
    assert_int_equal(s->health.of[HELPER_EGRESS].state, HELPER_OK);
}

static void test_egress_is_gone_when_no_spawner_is_left(void **state)
{
    struct scene *s = *state;

    (void) open_one(s, 0);
    asked.error = -EPIPE;
    fd_cleanup(&s->fd);
    s->fd = -1;
    pass_s(s, 1);
    assert_int_equal(s->health.of[HELPER_EGRESS].state, HELPER_GONE);
    assert_int_equal(s->openers[0].end, EGRESS_LOST);
}

/* A unit, of which nothing but its silence is known. */
static void test_egress_that_stands_still_is_named_and_then_lost(void **state)
{
    struct scene *s = *state;
    const struct helper_health *health = &s->health.of[HELPER_EGRESS];
    const struct opener *opener = open_one(s, 0);

    pass_s(s, 3);
    expect(s, SKEP__EGRESS__TO_EGRESS__MESSAGE_PING);
    pass_s(s, 4);
    assert_int_equal(health->state, HELPER_OK);
    pass_s(s, 2);
    assert_int_equal(health->state, HELPER_SILENT);
    assert_int_equal(opener->n_ends, 0);
    expect_nothing(s); /* one is enough */
    pass_s(s, 10);
    assert_int_equal(opener->end, EGRESS_LOST);
    assert_string_equal(health->why, "it does not answer, and is ended");
    assert_int_equal(health->losses, 1);
    come_back(s);
    (void) open_one(s, 1);
}

static void test_egress_whose_loop_hangs_is_lost_soon(void **state)
{
    struct scene *s = *state;
    const struct opener *opener = open_one(s, 0);

    is_runnable = true;
    pass_s(s, 3);
    expect(s, SKEP__EGRESS__TO_EGRESS__MESSAGE_PING);
    cpu_ns += 6 * NSEC_PER_SEC;
    pass_s(s, 14);
    assert_int_equal(opener->n_ends, 0);
    pass_s(s, 3);
    assert_int_equal(opener->end, EGRESS_LOST);
    assert_string_equal(s->health.of[HELPER_EGRESS].why, "it does not answer, and is ended");
}

static void test_egress_that_is_not_let_run_is_lost_in_the_end(void **state)
{
    struct scene *s = *state;
    const struct opener *opener = open_one(s, 0);

    is_runnable = true;
    pass_s(s, 40);
    assert_int_equal(s->health.of[HELPER_EGRESS].state, HELPER_SILENT);
    assert_int_equal(opener->n_ends, 0);
    pass_s(s, 30);
    assert_int_equal(opener->end, EGRESS_LOST);
    assert_string_equal(s->health.of[HELPER_EGRESS].why, "it does not answer, and is ended");
}

static void test_egress_that_answers_pings_may_be_slow_with_fetches(void **state)
{
    struct scene *s = *state;
    Skep__Stream__Pong pong = SKEP__STREAM__PONG__INIT;
    const struct opener *opener = open_one(s, 0);

    for (unsigned i = 0; i < 100; i++) {
        pass_s(s, 3);
        expect(s, SKEP__EGRESS__TO_EGRESS__MESSAGE_PING);
        say(s, SKEP__EGRESS__FROM_EGRESS__MESSAGE_PONG, &pong);
        pass_s(s, 1);
    }
    assert_int_equal(opener->n_ends, 0);
    assert_int_equal(s->health.of[HELPER_EGRESS].state, HELPER_OK);
}

static void test_answer_that_skepd_was_too_slow_to_read_counts(void **state)
{
    struct scene *s = *state;
    Skep__Stream__Pong pong = SKEP__STREAM__PONG__INIT;
    Skep__Egress__FromEgress frame = SKEP__EGRESS__FROM_EGRESS__INIT;

    pass_s(s, 3);
    frame.message_case = SKEP__EGRESS__FROM_EGRESS__MESSAGE_PONG;
    frame.pong = &pong;
    put(s, &frame.base);
    clock_pass(100 * NSEC_PER_SEC); /* skepd was stopped */
    pass_s(s, 1);
    assert_int_equal(s->health.of[HELPER_EGRESS].losses, 0);
    assert_int_equal(s->health.of[HELPER_EGRESS].state, HELPER_OK);
}

/* ---- bounds */

static void test_requests_that_egress_would_refuse_are_not_sent(void **state)
{
    static const char *many[2 * EGRESS_FIELDS_MAX + 2];
    static uint8_t packed[128 << 10];
    struct scene *s = *state;
    struct egress_fetch *fetch;
    size_t size = pack_head(packed, ARRAY_LEN(fields), fields);
    const struct egress_request good = request_of(packed, size);
    struct egress_request bad[9];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        bad[i] = good;
    bad[0].head_size = 3;
    bad[1].credit = EGRESS_CREDIT_MAX_BYTES + 1;
    bad[2].addresses.n_named = EGRESS_PREFIXES_MAX + 1;
    bad[3].connect_ms = 0;
    bad[4].total_ms = UINT32_MAX;
    bad[5].has_body = false;
    bad[5].length = 0;
    bad[6].addresses.n_denied = EGRESS_PREFIXES_MAX + 1;
    bad[7].head_size = EGRESS_HEAD_MAX_BYTES + 1;
    static char path[FRAME_MAX_BYTES];
    memset(path, 'a', sizeof path);
    bad[8].path = (struct head_text){ path, sizeof path };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(egress_open(s->egress, &bad[i], &ops, s, &fetch),
                         i < 7 ? -EINVAL : -EMSGSIZE);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = "a";
    size = pack_head(packed, ARRAY_LEN(many), many);
    const struct egress_request long_head = request_of(packed, size);
    assert_int_equal(egress_open(s->egress, &long_head, &ops, s, &fetch), -EMSGSIZE);
    assert_int_equal(egress_open(NULL, &good, &ops, s, &fetch), -EPIPE);
    expect_nothing(s);
    (void) open_one(s, 0); /* with the first number */
    say_done(s, 1, SKEP__EGRESS__FAILURE__FAILURE_TIME, 0);
    assert_int_equal(s->openers[0].end, EGRESS_TIME);
}

static void fill(struct scene *s, unsigned *ret_n)
{
    static uint8_t packed[EGRESS_HEAD_MAX_BYTES], value[40 << 10];
    struct egress_fetch *fetch;

    memset(value, 'v', sizeof value - 1);
    const char *const large[] = { "a", (const char *) value };
    const struct egress_request request =
        request_of(packed, pack_head(packed, ARRAY_LEN(large), large));
    int r;
    while ((r = egress_open(s->egress, &request, &ops, &s->openers[0], &fetch)) == 0)
        egress_cancel(fetch), ++*ret_n;
    assert_int_equal(r, -EAGAIN);
}

static void test_egress_that_is_behind_gets_nothing_new_until_it_has_caught_up(void **state)
{
    struct scene *s = *state;
    unsigned n = 0;

    s->n_room = 0;
    fill(s, &n);
    assert_in_range(n, 20, 100);
    turn(s);
    assert_int_equal(s->n_room, 0);
    for (unsigned i = 0; i < n; i++) {
        expect(s, SKEP__EGRESS__TO_EGRESS__MESSAGE_OPEN);
        expect(s, SKEP__EGRESS__TO_EGRESS__MESSAGE_CANCEL);
    }
    turn(s);
    assert_int_equal(s->n_room, 1);
    (void) open_one(s, 0);
    assert_int_equal(s->health.of[HELPER_EGRESS].losses, 0);
}

/* Credit that nobody takes: egress sends bodies of a byte, and does not read. */
static void test_egress_that_does_not_read_is_lost_before_its_queue_is_large(void **state)
{
    struct scene *s = *state;
    struct opener *opener = open_one(s, 0);
    unsigned n = 0;

    say_head(s, 1);
    for (; opener->n_ends == 0; n++) {
        assert_true(n < 10000000);
        if (n % 500 == 0)
            turn(s);
        if (opener->fetch) {
            say_body(s, 1, 1);
            if (opener->fetch)
                egress_give_credit(opener->fetch, 1);
        }
    }
    assert_int_equal(opener->end, EGRESS_LOST);
    assert_string_equal(s->health.of[HELPER_EGRESS].why, "it takes no more frames, and is ended");
}

static void test_no_more_fetches_are_open_than_egress_takes(void **state)
{
    struct scene *s = *state;
    static struct opener openers[EGRESS_FETCHES_MAX];
    uint8_t packed[256];
    const struct egress_request request =
        request_of(packed, pack_head(packed, ARRAY_LEN(fields), fields));
    struct egress_fetch *more;

    for (unsigned i = 0; i < EGRESS_FETCHES_MAX; i++) {
        openers[i] = (struct opener){ .scene = s };
        assert_int_equal(egress_open(s->egress, &request, &ops, &openers[i], &openers[i].fetch), 0);
        expect(s, SKEP__EGRESS__TO_EGRESS__MESSAGE_OPEN);
    }
    s->n_room = 0;
    assert_int_equal(egress_open(s->egress, &request, &ops, s, &more), -EAGAIN);
    assert_int_equal(egress_count(s->egress), EGRESS_FETCHES_MAX);
    say_done(s, 1000, SKEP__EGRESS__FAILURE__FAILURE_TIME, 0);
    assert_int_equal(openers[999].end, EGRESS_TIME);
    assert_int_equal(s->n_room, 1);
    (void) open_one(s, 0);
    s->egress = egress_free(s->egress);
    assert_int_equal(openers[0].end, EGRESS_LOST);
    assert_int_equal(openers[EGRESS_FETCHES_MAX - 1].end, EGRESS_LOST);
    assert_int_equal(s->openers[0].end, EGRESS_LOST);
}

static void test_forget_names_the_tenant(void **state)
{
    struct scene *s = *state;

    egress_forget(NULL, TENANT);
    egress_forget(s->egress, TENANT);
    Skep__Egress__ToEgress *frame = take(s);
    assert_int_equal(frame->message_case, SKEP__EGRESS__TO_EGRESS__MESSAGE_FORGET);
    assert_int_equal(frame->forget->tenant, TENANT);
    skep__egress__to_egress__free_unpacked(frame, NULL);
}

#define READY(test) cmocka_unit_test_setup_teardown(test, set_up_ready, tear_down)
#define WITHOUT(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        READY(test_fetch_goes_out_and_its_answer_comes_back),
        READY(test_each_failure_has_its_end),
        READY(test_fetch_that_was_cancelled_is_passed_over_until_its_end),
        READY(test_body_goes_on_with_credit),
        cmocka_unit_test(test_egress_that_breaks_the_protocol_is_lost_with_its_reason),
        READY(test_each_fetch_ends_when_egress_dies_and_new_ones_work),
        WITHOUT(test_egress_that_is_not_there_at_first_is_asked_for_again),
        WITHOUT(test_egress_of_another_version_is_refused_and_asked_for_again),
        READY(test_egress_is_gone_when_no_spawner_is_left),
        READY(test_egress_that_stands_still_is_named_and_then_lost),
        READY(test_egress_whose_loop_hangs_is_lost_soon),
        READY(test_egress_that_is_not_let_run_is_lost_in_the_end),
        READY(test_egress_that_answers_pings_may_be_slow_with_fetches),
        READY(test_answer_that_skepd_was_too_slow_to_read_counts),
        READY(test_requests_that_egress_would_refuse_are_not_sent),
        READY(test_egress_that_is_behind_gets_nothing_new_until_it_has_caught_up),
        READY(test_egress_that_does_not_read_is_lost_before_its_queue_is_large),
        READY(test_no_more_fetches_are_open_than_egress_takes),
        READY(test_forget_names_the_tenant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
