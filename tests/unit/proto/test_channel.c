/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel over a real socket pair and a real loop, with the supervisor's kind of table:
 * the frames that a worker may send in each phase, and breaches.
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "proto/channel.h"
#include "proto/frame.h"
#include "proto/worker_tails.h"
#include "worker.pb-c.h"

enum { PHASE_ONE = 1, PHASE_TWO = 2 };

#define FRAMES_PER_TURN 100

struct fixture {
    struct event_base *base;
    struct channel *channel;
    int peer;
    unsigned hellos, pongs, drained, written, closed;
    unsigned read_ends, pongs_at_read_end;
    int error;
    bool frees_in_handler, stops_reading;
};

static int on_hello(void *owner, const ProtobufCMessage *message)
{
    struct fixture *f = owner;

    (void) message;
    f->hellos++;
    channel_set_phase(f->channel, PHASE_TWO);
    if (f->frees_in_handler)
        f->channel = channel_free(f->channel);
    return 0;
}

static int on_pong(void *owner, const ProtobufCMessage *message)
{
    struct fixture *f = owner;

    (void) message;
    f->pongs++;
    if (f->stops_reading)
        channel_set_reading(f->channel, false);
    return 0;
}

static const struct channel_rule rules[] = {
    [SKEP__WORKER__FROM_WORKER__MESSAGE_HELLO] = { PHASE_ONE, on_hello },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_PONG] = { PHASE_TWO, on_pong },
};

static const struct channel_table table = {
    .envelope = &skep__worker__from_worker__descriptor,
    .case_offset = offsetof(Skep__Worker__FromWorker, message_case),
    .value_offset = offsetof(Skep__Worker__FromWorker, hello),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};

static void on_closed(void *owner, int error)
{
    struct fixture *f = owner;

    f->closed++;
    f->error = error;
}

static void on_read_end(void *owner)
{
    struct fixture *f = owner;

    f->read_ends++;
    f->pongs_at_read_end = f->pongs;
}

static void on_drained(void *owner)
{
    ((struct fixture *) owner)->drained++;
}

static void on_written(void *owner)
{
    ((struct fixture *) owner)->written++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    f->base = event_base_new();
    f->peer = pair[1];
    struct channel_options options = {
        .base = f->base,
        .fd = pair[0],
        .receive = &table,
        .tails = &worker_tails,
        .phase = PHASE_ONE,
        .owner = f,
        .on_closed = on_closed,
        .on_read_end = on_read_end,
        .on_drained = on_drained,
        .on_written = on_written,
        .output_high_bytes = 64 << 10,
        .output_max_bytes = 4 << 20,
        .frames_per_turn = FRAMES_PER_TURN,
    };
    assert_int_equal(channel_new(&options, &f->channel), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    f->channel = channel_free(f->channel);
    if (f->peer >= 0)
        (void) close(f->peer);
    event_base_free(f->base);
    free(f);
    return 0;
}

static void turn(struct fixture *f)
{
    for (unsigned i = 0; i < 8; i++)
        (void) event_base_loop(f->base, EVLOOP_NONBLOCK);
}

static size_t pack(Skep__Worker__FromWorker__MessageCase which, void *message, uint8_t *buffer)
{
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;

    envelope.message_case = which;
    envelope.hello = message;
    size_t size = frame_packed_size(&envelope.base);
    frame_pack(&envelope.base, buffer, size);
    return size;
}

static size_t pack_hello(uint8_t *buffer)
{
    Skep__Worker__Hello hello = SKEP__WORKER__HELLO__INIT;

    hello.protocol = PROTOCOL_VERSION;
    return pack(SKEP__WORKER__FROM_WORKER__MESSAGE_HELLO, &hello, buffer);
}

static size_t pack_pong(uint8_t *buffer)
{
    Skep__Worker__Pong pong = SKEP__WORKER__PONG__INIT;

    pong.token = 42;
    return pack(SKEP__WORKER__FROM_WORKER__MESSAGE_PONG, &pong, buffer);
}

static void say(struct fixture *f, const void *data, size_t size)
{
    assert_int_equal(write(f->peer, data, size), (ssize_t) size);
    turn(f);
}

static int send_body(struct fixture *f, size_t size)
{
    static const uint8_t zeros[BODY_CHUNK_MAX_BYTES];
    Skep__Worker__ToWorker envelope = SKEP__WORKER__TO_WORKER__INIT;
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;

    body.data.data = (uint8_t *) (uintptr_t) zeros;
    body.data.len = size;
    envelope.message_case = SKEP__WORKER__TO_WORKER__MESSAGE_BODY;
    envelope.body = &body;
    return channel_send(f->channel, &envelope.base);
}

static void test_many_frames_in_one_write_are_all_handled(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[1024];
    size_t size = pack_hello(buffer);

    for (unsigned i = 0; i < 20; i++)
        size += pack_pong(buffer + size);
    say(f, buffer, size);
    assert_int_equal(f->hellos, 1);
    assert_int_equal(f->pongs, 20);
    assert_int_equal(channel_received_frames(f->channel), 21);
    assert_int_equal(f->closed, 0);
}

/* Runs one turn of the loop, with only the events that are due now. */
static void one_turn(struct fixture *f)
{
    assert_int_not_equal(event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK), -1);
}

/* Sends n frames in one write, because the kernel counts each write against the socket's buffer as
 * if it were large. */
static void flood(struct fixture *f, unsigned n)
{
    static uint8_t buffer[64 << 10];
    size_t size = pack_hello(buffer);

    assert_int_equal(write(f->peer, buffer, size), (ssize_t) size);
    one_turn(f);
    size = 0;
    for (unsigned i = 0; i < n; i++)
        size += pack_pong(buffer + size);
    assert_int_equal(write(f->peer, buffer, size), (ssize_t) size);
}

static void test_a_flood_of_frames_is_taken_in_turns_with_the_others(void **state)
{
    struct fixture *f = *state;

    flood(f, 3 * FRAMES_PER_TURN + 7);
    for (unsigned seen = 0; f->pongs < 3 * FRAMES_PER_TURN + 7; seen = f->pongs) {
        one_turn(f);
        assert_in_range(f->pongs - seen, 1, FRAMES_PER_TURN);
    }
    one_turn(f);
    assert_int_equal(f->closed, 0);
}

static void test_frames_over_a_turn_are_handled_before_the_end_of_file(void **state)
{
    struct fixture *f = *state;

    flood(f, 2 * FRAMES_PER_TURN + 1);
    (void) close(f->peer);
    f->peer = -1;
    for (unsigned i = 0; i < 10 && f->closed == 0; i++)
        one_turn(f);
    assert_int_equal(f->pongs, 2 * FRAMES_PER_TURN + 1);
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->error, 0);
}

static void test_the_rest_of_a_flood_waits_while_reading_is_stopped(void **state)
{
    struct fixture *f = *state;

    flood(f, 2 * FRAMES_PER_TURN);
    one_turn(f);
    unsigned seen = f->pongs;
    channel_set_reading(f->channel, false);
    for (unsigned i = 0; i < 10; i++)
        one_turn(f);
    assert_int_equal(f->pongs, seen);
    channel_set_reading(f->channel, true);
    for (unsigned i = 0; i < 10; i++)
        one_turn(f);
    assert_int_equal(f->pongs, 2 * FRAMES_PER_TURN);
}

static void test_the_end_of_a_read_comes_once_after_all_its_frames(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[1024];
    size_t size = pack_hello(buffer);

    for (unsigned i = 0; i < 20; i++)
        size += pack_pong(buffer + size);
    say(f, buffer, size);
    assert_int_equal(f->read_ends, 1);
    assert_int_equal(f->pongs_at_read_end, 20);
    say(f, buffer, pack_hello(buffer)); /* a breach: the channel is closed */
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->read_ends, 1);
}

static void test_a_frame_that_comes_byte_by_byte_is_handled(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[64];
    size_t size = pack_hello(buffer);

    for (size_t i = 0; i < size; i++)
        say(f, buffer + i, 1);
    assert_int_equal(f->hellos, 1);
}

static void test_a_message_of_another_phase_closes_with_eproto(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[64];

    say(f, buffer, pack_pong(buffer));
    assert_int_equal(f->pongs, 0);
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->error, -EPROTO);
}

static void test_a_message_without_a_rule_closes_with_eproto(void **state)
{
    struct fixture *f = *state;
    Skep__Worker__Unloaded unloaded = SKEP__WORKER__UNLOADED__INIT;
    uint8_t buffer[64];

    unloaded.placement = 1;
    say(f, buffer, pack(SKEP__WORKER__FROM_WORKER__MESSAGE_UNLOADED, &unloaded, buffer));
    assert_int_equal(f->error, -EPROTO);
    assert_int_equal(f->closed, 1);
}

static void test_an_empty_envelope_closes_with_eproto(void **state)
{
    static const uint8_t unknown_field[] = { 3, 0, 0, 0, 0xfa, 0x06, 0x00 };
    struct fixture *f = *state;

    say(f, unknown_field, sizeof unknown_field);
    assert_int_equal(f->error, -EPROTO);
}

static void test_a_giant_length_closes_before_anything_is_allocated(void **state)
{
    struct fixture *f = *state;
    uint32_t length = htole32(UINT32_MAX);

    say(f, &length, sizeof length);
    assert_int_equal(f->error, -EMSGSIZE);
}

static void test_a_stream_that_ends_inside_a_frame_is_a_breach(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[64];
    size_t size = pack_hello(buffer);

    say(f, buffer, size - 1);
    (void) close(f->peer);
    f->peer = -1;
    turn(f);
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->error, -EPROTO);
}

static void test_a_stream_that_ends_between_frames_is_just_an_end(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[64];

    say(f, buffer, pack_hello(buffer));
    (void) close(f->peer);
    f->peer = -1;
    turn(f);
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->error, 0);
}

static void
test_what_a_peer_has_said_before_its_end_is_handled_although_it_takes_no_more(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[256];
    size_t size = pack_hello(buffer);

    size += pack_pong(buffer + size);
    assert_int_equal(send(f->peer, buffer, size, 0), size);
    (void) close(f->peer);
    f->peer = -1;
    assert_int_equal(send_body(f, 100), 0);
    channel_flush(f->channel); /* EPIPE, before any byte was read */
    assert_int_equal(f->closed, 0);
    assert_int_equal(send_body(f, 100), -EPIPE);
    turn(f);
    assert_int_equal(f->hellos, 1);
    assert_int_equal(f->pongs, 1);
    assert_int_equal(f->closed, 1);
}

static void test_a_peer_that_only_stops_reading_is_closed_with_epipe(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[64];
    size_t size = pack_hello(buffer);

    assert_int_equal(send(f->peer, buffer, size, 0), size);
    assert_int_equal(shutdown(f->peer, SHUT_RD), 0);
    assert_int_equal(send_body(f, 100), 0);
    channel_flush(f->channel);
    turn(f);
    assert_int_equal(f->hellos, 1);
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->error, -EPIPE);
}

static void test_the_channel_may_be_freed_by_its_own_handler(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[256];
    size_t size = pack_hello(buffer);

    f->frees_in_handler = true;
    size += pack_pong(buffer + size);
    say(f, buffer, size);
    assert_int_equal(f->hellos, 1);
    assert_int_equal(f->pongs, 0);
    assert_null(f->channel);
    assert_int_equal(f->closed, 0);
}

static void test_frames_wait_while_reading_is_stopped(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[256];
    size_t size = pack_hello(buffer);

    f->stops_reading = true;
    size += pack_pong(buffer + size);
    size += pack_pong(buffer + size);
    say(f, buffer, size);
    assert_int_equal(f->pongs, 1);
    f->stops_reading = false;
    channel_set_reading(f->channel, true);
    turn(f);
    assert_int_equal(f->pongs, 2);
}

static void test_what_is_sent_in_one_turn_goes_out_in_one_write(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[4096];

    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(send_body(f, 100), 0);
    assert_int_equal(recv(f->peer, buffer, sizeof buffer, 0), -1);
    (void) event_base_loop(f->base, EVLOOP_NONBLOCK);
    ssize_t n = recv(f->peer, buffer, sizeof buffer, 0);
    assert_true(n > 500);
    assert_int_equal(recv(f->peer, buffer, sizeof buffer, 0), -1);
}

/* Reads all that has come, and asserts that it is Ping frames and Body frames in the order in which
 * they were sent, body number i with bytes i. */
static void assert_bodies_in_order(struct fixture *f, unsigned n, size_t size)
{
    static uint8_t input[2 << 20];
    struct arena arena;
    size_t have = 0, at = 0;
    int64_t frame;

    turn(f);
    for (ssize_t got = 1; got > 0; turn(f))
        if ((got = read(f->peer, input + have, sizeof input - have)) > 0)
            have += (size_t) got;
    assert_int_equal(arena_init(&arena, 65536), 0);
    for (unsigned i = 0; i < n; i++) {
        for (int ping = 0; ping < 2; ping++) {
            frame = frame_measure(input + at, have - at);
            assert_true(frame > 0);
            const Skep__Worker__ToWorker *got = (const Skep__Worker__ToWorker *) frame_unpack_tail(
                &skep__worker__to_worker__descriptor, &worker_tails, input + at, (size_t) frame,
                &arena);
            assert_non_null(got);
            if (ping == 0) {
                assert_int_equal(got->message_case, SKEP__WORKER__TO_WORKER__MESSAGE_PING);
                assert_int_equal(got->ping->token, i + 1);
            } else {
                assert_int_equal(got->message_case, SKEP__WORKER__TO_WORKER__MESSAGE_BODY);
                assert_int_equal(got->body->data.len, size);
                for (size_t k = 0; k < size; k++)
                    assert_true(got->body->data.data[k] == i);
            }
            at += (size_t) frame;
        }
    }
    assert_int_equal(at, have);
    arena_done(&arena);
}

/* Sends small frames, which wait for the end of the turn, and large bodies, which take them along. Bytes of either that
 * the socket does not take wait in order. */
static void send_in_order(struct fixture *f, unsigned n, size_t size)
{
    static uint8_t data[BODY_CHUNK_MAX_BYTES];
    Skep__Worker__ToWorker envelope = SKEP__WORKER__TO_WORKER__INIT;
    Skep__Worker__Ping ping = SKEP__WORKER__PING__INIT;
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;

    for (unsigned i = 0; i < n; i++) {
        ping.token = i + 1;
        envelope.message_case = SKEP__WORKER__TO_WORKER__MESSAGE_PING;
        envelope.ping = &ping;
        assert_int_equal(channel_send(f->channel, &envelope.base), 0);
        memset(data, (int) i, size); /* the caller may reuse the memory at once */
        body.data = (ProtobufCBinaryData){ .data = data, .len = size };
        envelope.message_case = SKEP__WORKER__TO_WORKER__MESSAGE_BODY;
        envelope.body = &body;
        assert_int_equal(channel_send(f->channel, &envelope.base), 0);
    }
}

static void test_large_bodies_are_written_at_once_and_in_order(void **state)
{
    struct fixture *f = *state;

    send_in_order(f, 2, BODY_CHUNK_MAX_BYTES);
    assert_int_equal(channel_queued_bytes(f->channel), 0);
    assert_true(channel_written_bytes(f->channel) > (uint64_t) 2 * BODY_CHUNK_MAX_BYTES);
    assert_bodies_in_order(f, 2, BODY_CHUNK_MAX_BYTES);
    send_in_order(f, 20, BODY_CHUNK_MAX_BYTES);
    assert_true(channel_queued_bytes(f->channel) > 0);
    assert_bodies_in_order(f, 20, BODY_CHUNK_MAX_BYTES);
    assert_int_equal(channel_queued_bytes(f->channel), 0);
}

static void test_writing_is_told_once_also_of_what_went_at_once(void **state)
{
    struct fixture *f = *state;

    send_in_order(f, 1, BODY_CHUNK_MAX_BYTES); /* takes the ping along */
    assert_bodies_in_order(f, 1, BODY_CHUNK_MAX_BYTES);
    assert_int_equal(f->written, 0);
    assert_int_equal(send_body(f, BODY_CHUNK_MAX_BYTES), 0);
    channel_await_written(f->channel);
    assert_int_equal(channel_queued_bytes(f->channel), 0);
    assert_int_equal(f->written, 0); /* the owner may be in the middle of its work */
    turn(f);
    assert_int_equal(f->written, 1);
    send_in_order(f, 20, BODY_CHUNK_MAX_BYTES);
    channel_await_written(f->channel);
    turn(f);
    assert_int_equal(f->written, 1);
    assert_true(channel_queued_bytes(f->channel) > 0);
}

static void test_small_bodies_wait_for_the_end_of_the_turn(void **state)
{
    struct fixture *f = *state;

    send_in_order(f, 20, 1000);
    assert_true(channel_queued_bytes(f->channel) > 20 * 1000);
    assert_int_equal(channel_written_bytes(f->channel), 0);
    assert_bodies_in_order(f, 20, 1000);
}

static void test_a_peer_that_does_not_read_is_congestion_and_then_enobufs(void **state)
{
    struct fixture *f = *state;
    _cleanup_free_ uint8_t *buffer = malloc(1 << 20);
    int r = 0;

    for (unsigned i = 0; i < 200 && r == 0; i++) {
        r = send_body(f, BODY_CHUNK_MAX_BYTES);
        turn(f);
    }
    assert_int_equal(r, -ENOBUFS);
    assert_true(channel_is_congested(f->channel));
    assert_true(channel_queued_bytes(f->channel) <= 4 << 20);
    unsigned drained_before = f->drained;
    while (channel_queued_bytes(f->channel) > 0) {
        assert_true(recv(f->peer, buffer, 1 << 20, 0) > 0);
        turn(f);
    }
    assert_int_equal(f->drained, drained_before + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_many_frames_in_one_write_are_all_handled),
        TEST(test_a_flood_of_frames_is_taken_in_turns_with_the_others),
        TEST(test_frames_over_a_turn_are_handled_before_the_end_of_file),
        TEST(test_the_rest_of_a_flood_waits_while_reading_is_stopped),
        TEST(test_the_end_of_a_read_comes_once_after_all_its_frames),
        TEST(test_a_frame_that_comes_byte_by_byte_is_handled),
        TEST(test_a_message_of_another_phase_closes_with_eproto),
        TEST(test_a_message_without_a_rule_closes_with_eproto),
        TEST(test_an_empty_envelope_closes_with_eproto),
        TEST(test_a_giant_length_closes_before_anything_is_allocated),
        TEST(test_a_stream_that_ends_inside_a_frame_is_a_breach),
        TEST(test_a_stream_that_ends_between_frames_is_just_an_end),
        TEST(test_what_a_peer_has_said_before_its_end_is_handled_although_it_takes_no_more),
        TEST(test_a_peer_that_only_stops_reading_is_closed_with_epipe),
        TEST(test_the_channel_may_be_freed_by_its_own_handler),
        TEST(test_frames_wait_while_reading_is_stopped),
        TEST(test_what_is_sent_in_one_turn_goes_out_in_one_write),
        TEST(test_large_bodies_are_written_at_once_and_in_order),
        TEST(test_writing_is_told_once_also_of_what_went_at_once),
        TEST(test_small_bodies_wait_for_the_end_of_the_turn),
        TEST(test_a_peer_that_does_not_read_is_congestion_and_then_enobufs),
    };

    (void) signal(SIGPIPE, SIG_IGN); /* as all programs with channels do */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
