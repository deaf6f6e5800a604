/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd's side of skep-data: a process for each cordon, what each may say, and what becomes of operations when one goes. The test
 * plays the spawner, the data processes behind socket pairs, and the clock.
 */
#include "supervisor/helpers/data.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "data.pb-c.h"
#include "data/program.h"
#include "helper.pb-c.h"
#include "proto/frame.h"
#include "supervisor/helpers/spawner.h"
#include "tests/events/clock.h"

#define NUMBER 5
#define CREDIT 1000
#define CALLS_MAX 8
#define INPUT_BYTES (1U << 20)

enum { RED, BLUE, CORDONS };
static const char *const cordons[CORDONS] = { "red", "blue" };

/* ---- the spawner */

static struct asked {
    unsigned n;
    bool is_waiting; /* a request has no answer yet */
    spawner_started_fn on_started;
    void *owner;
} asked[CORDONS];

int __wrap_spawner_start_helper(struct spawner *spawner, unsigned number, const char *word,
                                spawner_started_fn on_started, void *owner);
void __wrap_spawner_forget(struct spawner *spawner, const void *owner);

int __wrap_spawner_start_helper(struct spawner *spawner, unsigned number, const char *word,
                                spawner_started_fn on_started, void *owner)
{
    struct asked *one = &asked[strcmp(word, cordons[RED]) == 0 ? RED : BLUE];

    (void) spawner;
    assert_int_equal(number, NUMBER);
    assert_string_equal(word, cordons[one - asked]);
    *one = (struct asked){ one->n + 1, true, on_started, owner };
    return 0;
}

void __wrap_spawner_forget(struct spawner *spawner, const void *owner)
{
    (void) spawner;
    for (unsigned i = 0; i < CORDONS; i++)
        if (asked[i].owner == owner)
            asked[i].is_waiting = false;
}

/* ---- the scene */

struct opener {
    struct data_call *call; /* NULL: it has ended */
    unsigned n_heads, n_ends, status;
    size_t received;
    uint32_t credit;
    enum data_end end;
    char text[128];
    uint64_t sent, counted, total_us;
};

struct peer {
    int fd; /* data's end of the channel; -1: closed */
    uint8_t *input;
    size_t have;
};

struct scene {
    struct event_base *base;
    struct health health;
    struct data *data;
    struct peer peers[CORDONS];
    struct opener openers[CALLS_MAX];
    unsigned n_room[CORDONS];
    char stuck[64];
    uint32_t stuck_ms;
    unsigned n_closed;
    int closed_error;
};

static void on_head(void *owner, unsigned status)
{
    struct opener *opener = owner;

    opener->n_heads++;
    opener->status = status;
}

static void on_body(void *owner, const uint8_t *data, size_t size)
{
    assert_int_equal(data[0], 'x');
    ((struct opener *) owner)->received += size;
}

static void on_credit(void *owner, uint32_t bytes)
{
    ((struct opener *) owner)->credit += bytes;
}

static void on_end(void *owner, const struct data_result *result)
{
    struct opener *opener = owner;

    assert_non_null(opener->call);
    opener->call = NULL;
    opener->n_ends++;
    opener->end = result->end;
    opener->sent = result->sent;
    opener->counted = result->received;
    opener->total_us = result->total_us;
    (void) snprintf(opener->text, sizeof opener->text, "%.*s", (int) result->text.size,
                    result->text.data);
}

static const struct data_ops ops = { on_head, on_body, on_credit, on_end };

static void on_room(void *owner, const char *cordon)
{
    ((struct scene *) owner)->n_room[strcmp(cordon, cordons[RED]) == 0 ? RED : BLUE]++;
}

static void on_stuck(void *owner, const char *cordon, const char *tenant, uint32_t ms)
{
    struct scene *s = owner;

    (void) snprintf(s->stuck, sizeof s->stuck, "%s/%s", cordon, tenant);
    s->stuck_ms = ms;
}

static const struct data_listener listener = { on_room, on_stuck };

static void on_closed(void *owner, int error)
{
    struct scene *s = owner;

    s->n_closed++;
    s->closed_error = error;
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

/* ---- the processes */

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

static void put(const struct scene *s, unsigned peer, const ProtobufCMessage *message)
{
    static uint8_t frame[FRAME_HEADER_BYTES + (300 << 10)];
    static const int socket_bytes = sizeof frame;
    const size_t size = protobuf_c_message_get_packed_size(message);
    const uint32_t length = htole32((uint32_t) size);
    const int fd = s->peers[peer].fd;

    assert_true(size <= sizeof frame - FRAME_HEADER_BYTES);
    memcpy(frame, &length, sizeof length);
    (void) protobuf_c_message_pack(message, frame + FRAME_HEADER_BYTES);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &socket_bytes, sizeof socket_bytes), 0);
    assert_int_equal(write(fd, frame, FRAME_HEADER_BYTES + size), FRAME_HEADER_BYTES + size);
    turn(s);
}

/* Answers the spawner's request with a process that says hello. */
static void start(struct scene *s, unsigned peer)
{
    Skep__Helper__Hello hello = SKEP__HELPER__HELLO__INIT;
    Skep__Helper__Greeting greeting = SKEP__HELPER__GREETING__INIT;
    int pair[2];

    assert_true(asked[peer].is_waiting);
    asked[peer].is_waiting = false;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    s->peers[peer].fd = pair[0];
    s->peers[peer].have = 0;
    const struct spawner_started started = { 0, -1, -1, pair[1] };
    asked[peer].on_started(asked[peer].owner, 0, NULL, &started);
    hello.name = bytes_of(DATA_HELPER_NAME);
    hello.version = DATA_VERSION;
    greeting.message_case = SKEP__HELPER__GREETING__MESSAGE_HELLO;
    greeting.hello = &hello;
    put(s, peer, &greeting.base);
}

static void leave(struct scene *s, unsigned peer)
{
    fd_cleanup(&s->peers[peer].fd);
    s->peers[peer].fd = -1;
    turn(s);
}

static void come_back(struct scene *s, unsigned peer)
{
    leave(s, peer);
    for (unsigned second = 0; !asked[peer].is_waiting; second++) {
        assert_true(second < 60); /* more than the longest back-off */
        pass_s(s, 1);
    }
    start(s, peer);
}

/* Takes the next frame from skepd; the caller frees it. NULL: there is none. */
static Skep__Data__ToData *take(struct scene *s, unsigned number)
{
    struct peer *peer = &s->peers[number];

    turn(s);
    ssize_t n = read(peer->fd, peer->input + peer->have, INPUT_BYTES - peer->have);
    peer->have += n > 0 ? (size_t) n : 0;
    int64_t size = frame_measure(peer->input, peer->have);
    assert_true(size >= 0);
    if (size == 0)
        return NULL;
    Skep__Data__ToData *frame = skep__data__to_data__unpack(
        NULL, (size_t) size - FRAME_HEADER_BYTES, peer->input + FRAME_HEADER_BYTES);
    assert_non_null(frame);
    peer->have -= (size_t) size;
    memmove(peer->input, peer->input + size, peer->have);
    return frame;
}

static void expect(struct scene *s, unsigned peer, Skep__Data__ToData__MessageCase kind)
{
    Skep__Data__ToData *frame = take(s, peer);

    assert_non_null(frame);
    assert_int_equal(frame->message_case, kind);
    skep__data__to_data__free_unpacked(frame, NULL);
}

static void say(const struct scene *s, unsigned peer, Skep__Data__FromData__MessageCase kind,
                void *message)
{
    Skep__Data__FromData frame = SKEP__DATA__FROM_DATA__INIT;

    frame.message_case = kind;
    frame.head = message; /* a union */
    put(s, peer, &frame.base);
}

static void say_head(const struct scene *s, uint64_t id, uint32_t status)
{
    Skep__Data__Head head = SKEP__DATA__HEAD__INIT;

    head.id = id;
    head.status = status;
    say(s, RED, SKEP__DATA__FROM_DATA__MESSAGE_HEAD, &head);
}

static void say_body(const struct scene *s, uint64_t id, size_t size)
{
    static uint8_t data[ANSWER_CHUNK_MAX_BYTES + 1];
    Skep__Stream__Body body = SKEP__STREAM__BODY__INIT;

    memset(data, 'x', sizeof data);
    body.id = id;
    body.data = (ProtobufCBinaryData){ .data = data, .len = size };
    say(s, RED, SKEP__DATA__FROM_DATA__MESSAGE_BODY, &body);
}

static void say_credit(const struct scene *s, uint64_t id, uint32_t bytes)
{
    Skep__Stream__Credit credit = SKEP__STREAM__CREDIT__INIT;

    credit.id = id;
    credit.bytes = bytes;
    say(s, RED, SKEP__DATA__FROM_DATA__MESSAGE_CREDIT, &credit);
}

static void say_done(const struct scene *s, uint64_t id, int failure, uint64_t sent,
                     uint64_t received, const char *text)
{
    Skep__Data__Done done = SKEP__DATA__DONE__INIT;

    done.id = id;
    done.failure = (Skep__Data__Failure) failure;
    done.text = bytes_of(text);
    done.sent = sent;
    done.received = received;
    done.total_us = UINT64_MAX;
    say(s, RED, SKEP__DATA__FROM_DATA__MESSAGE_DONE, &done);
}

static void say_closed(const struct scene *s, uint64_t id)
{
    Skep__Data__Closed closed = SKEP__DATA__CLOSED__INIT;

    closed.id = id;
    say(s, RED, SKEP__DATA__FROM_DATA__MESSAGE_CLOSED, &closed);
}

static void say_notice(const struct scene *s, const char *tenant, const char *text)
{
    Skep__Data__Notice notice = SKEP__DATA__NOTICE__INIT;

    notice.tenant = bytes_of(tenant);
    notice.text = bytes_of(text);
    say(s, RED, SKEP__DATA__FROM_DATA__MESSAGE_NOTICE, &notice);
}

static void say_stuck(const struct scene *s, const char *tenant)
{
    Skep__Data__Stuck stuck = SKEP__DATA__STUCK__INIT;

    stuck.tenant = bytes_of(tenant);
    stuck.ms = 6001;
    say(s, RED, SKEP__DATA__FROM_DATA__MESSAGE_STUCK, &stuck);
}

/* ---- set-up */

static const struct limits limits = {
    .storage_rate = 1,
    .kv_mib = 2,
    .kv_keys = 3,
    .kv_value_mib = 4,
    .sql_mib = 5,
    .sql_ms = 6,
    .sql_rows_mib = LIMIT_UNLIMITED,
};

static struct data_request request_of(void)
{
    return (struct data_request){
        .tenant = "shop",
        .kind = DATA_SQL,
        .space = "orders",
        .operation = "get-many",
        .has_body = true,
        .credit = CREDIT,
        .limits = &limits,
    };
}

static int open_at(struct scene *s, unsigned peer, unsigned number)
{
    const struct data_request request = request_of();
    struct opener *opener = &s->openers[number];

    *opener = (struct opener){ 0 };
    return data_open(s->data, cordons[peer], &request, &ops, opener, &opener->call);
}

/* Opens an operation in the first cordon, whose process takes its Open. */
static struct opener *open_one(struct scene *s, unsigned number)
{
    assert_int_equal(open_at(s, RED, number), 0);
    expect(s, RED, SKEP__DATA__TO_DATA__MESSAGE_OPEN);
    return &s->openers[number];
}

static int set_up(void **state)
{
    static struct scene scene;
    struct scene *s = &scene;

    clock_reset();
    memset(asked, 0, sizeof asked);
    *s = (struct scene){ .base = event_base_new() };
    for (unsigned i = 0; i < CORDONS; i++)
        s->peers[i] = (struct peer){ .fd = -1, .input = malloc(INPUT_BYTES) };
    const struct data_options options = { .number = NUMBER, .base = s->base, .health = &s->health };
    assert_int_equal(data_new(&options, &s->data), 0);
    data_listen(s->data, &listener, s);
    *state = s;
    return 0;
}

static int set_up_ready(void **state)
{
    (void) set_up(state);
    struct scene *s = *state;

    assert_int_equal(open_at(s, RED, 0), -EPIPE);
    start(s, RED);
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    s->data = data_free(s->data);
    for (unsigned i = 0; i < CORDONS; i++) {
        if (s->peers[i].fd >= 0)
            (void) close(s->peers[i].fd);
        free(s->peers[i].input);
    }
    event_base_free(s->base);
    return 0;
}

/* ---- operations */

static void test_process_is_started_on_the_first_need(void **state)
{
    struct scene *s = *state;

    assert_int_equal(asked[RED].n + asked[BLUE].n, 0);
    assert_int_equal(open_at(s, RED, 0), -EPIPE);
    assert_int_equal(open_at(s, RED, 0), -EPIPE);
    assert_int_equal(asked[RED].n, 1);
    assert_int_equal(asked[BLUE].n, 0);
    assert_false(data_is_ready(s->data, cordons[RED]));
    start(s, RED);
    assert_int_equal(s->n_room[RED], 1);
    assert_true(data_is_ready(s->data, cordons[RED]));
    assert_int_equal(s->health.of[HELPER_DATA].state, HELPER_OK);
    (void) open_one(s, 0);
}

static void test_operation_goes_out_and_its_answer_comes_back(void **state)
{
    struct scene *s = *state;
    struct opener *opener = &s->openers[0];

    assert_int_equal(open_at(s, RED, 0), 0);
    Skep__Data__ToData *frame = take(s, RED);
    const Skep__Data__Open *open = frame->open;
    assert_int_equal(frame->message_case, SKEP__DATA__TO_DATA__MESSAGE_OPEN);
    assert_int_equal(open->id, 1);
    assert_memory_equal(open->tenant.data, "shop", 4);
    assert_int_equal(open->kind, SKEP__DATA__KIND__KIND_SQL);
    assert_memory_equal(open->space.data, "orders", 6);
    assert_memory_equal(open->operation.data, "get-many", 8);
    assert_true(open->has_body && open->credit == CREDIT);
    assert_true(open->limits->storage_rate == 1 && open->limits->kv_mib == 2 &&
                open->limits->kv_keys == 3 && open->limits->kv_value_mib == 4);
    assert_true(open->limits->sql_mib == 5 && open->limits->sql_ms == 6 &&
                open->limits->sql_rows_mib == UINT32_MAX);
    skep__data__to_data__free_unpacked(frame, NULL);
    data_send_body(opener->call, (const uint8_t *) "12", 2, true);
    expect(s, RED, SKEP__DATA__TO_DATA__MESSAGE_BODY);
    say_head(s, 1, 200);
    say_body(s, 1, CREDIT);
    data_give_credit(opener->call, 5);
    expect(s, RED, SKEP__DATA__TO_DATA__MESSAGE_CREDIT);
    say_body(s, 1, 5);
    say_done(s, 1, SKEP__DATA__FAILURE__FAILURE_NONE, CREDIT + 5, 2, "");
    assert_int_equal(opener->status, 200);
    assert_int_equal(opener->received, CREDIT + 5);
    assert_int_equal(opener->end, DATA_COMPLETE);
    assert_true(opener->sent == 2 && opener->counted == CREDIT + 5);
    assert_true(opener->total_us < UINT64_MAX); /* not longer than it was open */
    assert_int_equal(data_count(s->data), 0);
    assert_int_equal(s->health.of[HELPER_DATA].losses, 0);
}

static void test_each_failure_has_its_end(void **state)
{
    static const enum data_end ends[] = { DATA_BUSY, DATA_INTERNAL, DATA_CLOSING };
    struct scene *s = *state;

    for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
        const struct opener *opener = open_one(s, 0);
        say_done(s, 1 + i, SKEP__DATA__FAILURE__FAILURE_BUSY + (int) i, 0, 0, "so it is");
        assert_int_equal(opener->n_ends, 1);
        assert_int_equal(opener->end, ends[i]);
        assert_string_equal(opener->text, "so it is");
    }
    assert_int_equal(s->health.of[HELPER_DATA].losses, 0);
}

static void test_operation_that_was_cancelled_is_passed_over_until_its_end(void **state)
{
    struct scene *s = *state;
    struct opener *opener = open_one(s, 0);

    data_cancel(opener->call);
    expect(s, RED, SKEP__DATA__TO_DATA__MESSAGE_CANCEL);
    say_head(s, 1, 200);
    say_body(s, 1, 10);
    assert_int_equal(data_count(s->data), 1);
    say_done(s, 1, SKEP__DATA__FAILURE__FAILURE_CANCELLED, 10, 0, "");
    assert_int_equal(opener->n_heads + opener->n_ends, 0);
    assert_int_equal(data_count(s->data), 0);
    assert_int_equal(s->health.of[HELPER_DATA].losses, 0);
}

static void test_request_that_data_would_refuse_is_not_sent(void **state)
{
    static const char *const operations[] = { "", "Get", "get many", "a/b",
                                              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
    struct scene *s = *state;
    struct opener *opener = &s->openers[0];
    struct data_request request;

    for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
        request = request_of();
        request.operation = operations[i];
        assert_int_equal(data_open(s->data, cordons[RED], &request, &ops, opener, &opener->call),
                         -EINVAL);
    }
    request = request_of();
    request.space = "..";
    assert_int_equal(data_open(s->data, cordons[RED], &request, &ops, opener, &opener->call),
                     -EINVAL);
    request = request_of();
    request.credit = DATA_CREDIT_MAX_BYTES + 1;
    assert_int_equal(data_open(s->data, cordons[RED], &request, &ops, opener, &opener->call),
                     -EINVAL);
    request = request_of();
    assert_int_equal(data_open(s->data, "a/b", &request, &ops, opener, &opener->call), -EINVAL);
}

/* ---- breaches */

static void head_of_none(const struct scene *s)
{
    say_head(s, 3, 200);
}

static void second_head(const struct scene *s)
{
    say_head(s, 1, 200);
    say_head(s, 1, 200);
}

static void status_of_none(const struct scene *s)
{
    say_head(s, 1, 399);
}

static void large_status(const struct scene *s)
{
    say_head(s, 1, 600);
}

static void body_before_head(const struct scene *s)
{
    say_body(s, 1, 1);
}

static void more_body_than_credit(const struct scene *s)
{
    say_head(s, 1, 200);
    say_body(s, 1, CREDIT + 1);
}

static void credit_for_nothing(const struct scene *s)
{
    say_credit(s, 1, 1);
}

static void done_of_none(const struct scene *s)
{
    say_done(s, 3, SKEP__DATA__FAILURE__FAILURE_BUSY, 0, 0, "");
}

static void complete_without_head(const struct scene *s)
{
    say_done(s, 1, SKEP__DATA__FAILURE__FAILURE_NONE, 0, 0, "");
}

static void cancelled_by_nobody(const struct scene *s)
{
    say_done(s, 1, SKEP__DATA__FAILURE__FAILURE_CANCELLED, 0, 0, "");
}

static void unknown_failure(const struct scene *s)
{
    say_done(s, 1, SKEP__DATA__FAILURE__FAILURE_CLOSED + 1, 0, 0, "");
}

static void wrong_count(const struct scene *s)
{
    say_done(s, 1, SKEP__DATA__FAILURE__FAILURE_BUSY, 1, 0, "");
}

static void received_too_much(const struct scene *s)
{
    say_done(s, 1, SKEP__DATA__FAILURE__FAILURE_BUSY, 0, 1, "");
}

static void text_with_escape(const struct scene *s)
{
    say_done(s, 1, SKEP__DATA__FAILURE__FAILURE_BUSY, 0, 0, "\x1b[2J");
}

static void closed_of_none(const struct scene *s)
{
    say_closed(s, 7);
}

static void notice_with_escape(const struct scene *s)
{
    say_notice(s, "", "\n");
}

static void notice_of_no_name(const struct scene *s)
{
    say_notice(s, "../shop", "a file was put aside");
}

static void stuck_of_no_name(const struct scene *s)
{
    say_stuck(s, "");
}

static const struct {
    void (*commit)(const struct scene *s);
    const char *why;
} breaches[] = {
    { head_of_none, "it sent the head of a stream that there is not, and is ended" },
    { second_head, "it sent a second head of an answer, and is ended" },
    { status_of_none, "it sent a status that is none, and is ended" },
    { large_status, "it sent a status that is none, and is ended" },
    { body_before_head, "it sent a body before its head, and is ended" },
    { more_body_than_credit, "it sent more of a body than it had credit for, and is ended" },
    { credit_for_nothing, "it gave more credit than it had taken bytes, and is ended" },
    { done_of_none, "it ended an operation that there is not, and is ended" },
    { complete_without_head, "it ended an operation without an answer as complete, and is ended" },
    { cancelled_by_nobody, "it ended an operation for a reason that there is not, and is ended" },
    { unknown_failure, "it ended an operation for a reason that there is not, and is ended" },
    { wrong_count, "it counted bytes that were not there, and is ended" },
    { received_too_much, "it counted bytes that were not there, and is ended" },
    { text_with_escape, "it sent a text that cannot be shown, and is ended" },
    { closed_of_none, "it closed what it was not asked to, and is ended" },
    { notice_with_escape, "it sent a text that cannot be shown, and is ended" },
    { notice_of_no_name, "it sent a text that cannot be shown, and is ended" },
    { stuck_of_no_name, "it named a tenant that is none, and is ended" },
};

static void test_process_that_breaks_the_protocol_is_lost_with_its_reason(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(breaches); i++) {
        (void) set_up_ready(state);
        struct scene *s = *state;
        const struct opener *first = open_one(s, 0), *second = open_one(s, 1);
        breaches[i].commit(s);
        const struct helper_health *health = &s->health.of[HELPER_DATA];
        assert_int_equal(health->state, HELPER_RESTARTING);
        assert_string_equal(health->why, breaches[i].why);
        assert_int_equal(first->n_ends, 1);
        assert_int_equal(second->end, DATA_LOST);
        assert_string_equal(
            second->text, "the storage process has ended: whether the write was done is not known");
        assert_int_equal(data_count(s->data), 0);
        come_back(s, RED);
        assert_int_equal(health->state, HELPER_OK);
        (void) open_one(s, 2);
        (void) tear_down(state);
    }
}

/* ---- several processes */

static void test_loss_of_one_cordon_leaves_the_others_alone(void **state)
{
    struct scene *s = *state;
    const struct opener *red = open_one(s, 0), *blue = &s->openers[1];

    assert_int_equal(open_at(s, BLUE, 1), -EPIPE);
    start(s, BLUE);
    assert_int_equal(open_at(s, BLUE, 1), 0);
    expect(s, BLUE, SKEP__DATA__TO_DATA__MESSAGE_OPEN);
    leave(s, RED);
    assert_int_equal(red->end, DATA_LOST);
    assert_int_equal(blue->n_ends, 0);
    assert_int_equal(s->health.of[HELPER_DATA].state, HELPER_RESTARTING);
    assert_int_equal(data_count(s->data), 1);
    come_back(s, RED);
    assert_int_equal(s->health.of[HELPER_DATA].state, HELPER_OK);
    assert_int_equal(s->health.of[HELPER_DATA].losses, 1);
    assert_int_equal(s->n_room[RED], 2);
}

static bool is_blue(void *owner, const char *cordon)
{
    (void) owner;
    return strcmp(cordon, cordons[BLUE]) == 0;
}

static void test_process_of_a_cordon_that_is_gone_ends_with_its_last_operation(void **state)
{
    struct scene *s = *state;
    char byte;

    (void) open_one(s, 0);
    data_end_unwanted(s->data, is_blue, s);
    assert_true(data_is_ready(s->data, cordons[RED]));
    say_done(s, 1, SKEP__DATA__FAILURE__FAILURE_BUSY, 0, 0, "");
    data_end_unwanted(s->data, is_blue, s);
    assert_false(data_is_ready(s->data, cordons[RED]));
    assert_int_equal(read(s->peers[RED].fd, &byte, 1), 0);
    assert_int_equal(s->health.of[HELPER_DATA].state, HELPER_ABSENT);
}

/* ---- what it reports */

static void test_operation_that_does_not_end_is_reported_and_costs_the_process(void **state)
{
    struct scene *s = *state;
    const struct opener *opener = open_one(s, 0);

    say_stuck(s, "shop");
    assert_string_equal(s->stuck, "red/shop");
    assert_int_equal(s->stuck_ms, 6001);
    assert_int_equal(opener->end, DATA_LOST);
    assert_string_equal(s->health.of[HELPER_DATA].why, "an operation in it did not end");
}

static void test_notice_is_no_breach(void **state)
{
    struct scene *s = *state;

    say_notice(s, "shop", "kv.db is damaged, and was put aside");
    say_notice(s, "", "the disk is full");
    assert_int_equal(s->health.of[HELPER_DATA].losses, 0);
}

/* ---- tenants whose files are closed */

static uint64_t take_close(struct scene *s, const char *tenant, bool remove)
{
    Skep__Data__ToData *frame = take(s, RED);

    assert_non_null(frame);
    assert_int_equal(frame->message_case, SKEP__DATA__TO_DATA__MESSAGE_CLOSE);
    assert_int_equal(frame->close->tenant.len, strlen(tenant));
    assert_memory_equal(frame->close->tenant.data, tenant, strlen(tenant));
    assert_int_equal(frame->close->remove, remove);
    uint64_t id = frame->close->id;
    skep__data__to_data__free_unpacked(frame, NULL);
    return id;
}

static void test_tenant_is_closed_once(void **state)
{
    struct scene *s = *state;

    assert_int_equal(data_close_tenant(s->data, cordons[RED], "shop", true, on_closed, s), 0);
    uint64_t id = take_close(s, "shop", true);
    (void) open_one(s, 0); /* a greater number, which is no breach */
    assert_int_equal(s->n_closed, 0);
    say_closed(s, id);
    assert_int_equal(s->n_closed, 1);
    assert_int_equal(s->closed_error, 0);
    pass_s(s, 11);
    assert_int_equal(s->n_closed, 1);
}

static void test_close_waits_for_the_process(void **state)
{
    struct scene *s = *state;

    assert_int_equal(data_close_tenant(s->data, cordons[RED], "shop", false, on_closed, s), 0);
    assert_int_equal(asked[RED].n, 1);
    start(s, RED);
    say_closed(s, take_close(s, "shop", false));
    assert_int_equal(s->n_closed, 1);
    assert_int_equal(s->closed_error, 0);
}

static void test_close_fails_with_the_process_or_its_time(void **state)
{
    struct scene *s = *state;

    assert_int_equal(data_close_tenant(s->data, cordons[RED], "shop", true, on_closed, s), 0);
    leave(s, RED);
    assert_int_equal(s->closed_error, -EPIPE);
    assert_non_null(strstr(log_last_error(), "helper data (red) is restarting: it died"));
    come_back(s, RED);
    assert_int_equal(data_close_tenant(s->data, cordons[RED], "shop", true, on_closed, s), 0);
    uint64_t id = take_close(s, "shop", true);
    pass_s(s, DATA_CLOSE_MS / 1000 + 1);
    assert_int_equal(s->n_closed, 2);
    assert_int_equal(s->closed_error, -ETIMEDOUT);
    say_closed(s, id); /* too late, and no breach */
    assert_int_equal(s->health.of[HELPER_DATA].losses, 1);
    assert_int_equal(s->n_closed, 2);
}

static void test_nobody_hears_of_a_close_that_is_forgotten(void **state)
{
    struct scene *s = *state;

    assert_int_equal(data_close_tenant(s->data, cordons[RED], "shop", true, on_closed, s), 0);
    data_forget(s->data, s);
    say_closed(s, take_close(s, "shop", true));
    assert_int_equal(s->n_closed, 0);
    data_forget(NULL, s);
}

int main(void)
{
#define READY(test) cmocka_unit_test_setup_teardown(test, set_up_ready, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_process_is_started_on_the_first_need, set_up,
                                        tear_down),
        READY(test_operation_goes_out_and_its_answer_comes_back),
        READY(test_each_failure_has_its_end),
        READY(test_operation_that_was_cancelled_is_passed_over_until_its_end),
        READY(test_request_that_data_would_refuse_is_not_sent),
        cmocka_unit_test(test_process_that_breaks_the_protocol_is_lost_with_its_reason),
        READY(test_loss_of_one_cordon_leaves_the_others_alone),
        READY(test_process_of_a_cordon_that_is_gone_ends_with_its_last_operation),
        READY(test_operation_that_does_not_end_is_reported_and_costs_the_process),
        READY(test_notice_is_no_breach),
        READY(test_tenant_is_closed_once),
        cmocka_unit_test_setup_teardown(test_close_waits_for_the_process, set_up, tear_down),
        READY(test_close_fails_with_the_process_or_its_time),
        READY(test_nobody_hears_of_a_close_that_is_forgotten),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
