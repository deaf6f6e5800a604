/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "egress.pb-c.h"
#include "proto/frame.h"
#include "proto/worker_tails.h"
#include "worker.pb-c.h"

static void put_length(uint8_t *frame, uint32_t length)
{
    length = htole32(length);
    memcpy(frame, &length, sizeof length);
}

static void test_a_short_header_asks_for_more(void **state)
{
    uint8_t frame[FRAME_HEADER_BYTES] = { 1 };

    (void) state;
    for (size_t size = 0; size < sizeof frame; size++)
        assert_int_equal(frame_measure(frame, size), 0);
}

static void test_an_incomplete_frame_asks_for_more(void **state)
{
    uint8_t frame[16];

    (void) state;
    put_length(frame, 12);
    assert_int_equal(frame_measure(frame, 15), 0);
    assert_int_equal(frame_measure(frame, 16), 16);
}

static void test_lengths_out_of_bounds_are_refused_from_the_header_alone(void **state)
{
    uint8_t frame[FRAME_HEADER_BYTES];

    (void) state;
    put_length(frame, 0);
    assert_int_equal(frame_measure(frame, sizeof frame), -EPROTO);
    put_length(frame, FRAME_MAX_BYTES);
    assert_int_equal(frame_measure(frame, sizeof frame), 0);
    put_length(frame, FRAME_MAX_BYTES + 1);
    assert_int_equal(frame_measure(frame, sizeof frame), -EMSGSIZE);
    put_length(frame, UINT32_MAX);
    assert_int_equal(frame_measure(frame, sizeof frame), -EMSGSIZE);
}

static void test_a_message_survives_packing_and_unpacking(void **state)
{
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;
    Skep__Worker__Done done = SKEP__WORKER__DONE__INIT;
    struct arena arena;

    (void) state;
    done.id = 1234567890123;
    done.outcome = SKEP__WORKER__OUTCOME__OUTCOME_EXCEPTION;
    char text[] = "boom";
    done.message.data = (uint8_t *) text;
    done.message.len = 4;
    envelope.message_case = SKEP__WORKER__FROM_WORKER__MESSAGE_DONE;
    envelope.done = &done;
    size_t size = frame_packed_size(&envelope.base);
    _cleanup_free_ uint8_t *frame = malloc(size);
    frame_pack(&envelope.base, frame, size);
    assert_int_equal(frame_measure(frame, size), (int64_t) size);

    assert_int_equal(arena_init(&arena, 65536), 0);
    Skep__Worker__FromWorker *got = (Skep__Worker__FromWorker *) frame_unpack(
        &skep__worker__from_worker__descriptor, frame, size, &arena);
    assert_non_null(got);
    assert_int_equal(got->message_case, SKEP__WORKER__FROM_WORKER__MESSAGE_DONE);
    assert_int_equal(got->done->id, 1234567890123);
    assert_memory_equal(got->done->message.data, "boom", 4);
    arena_done(&arena);
}

static void test_garbage_is_no_message(void **state)
{
    uint8_t frame[64];
    struct arena arena;

    (void) state;
    memset(frame, 0xff, sizeof frame);
    put_length(frame, sizeof frame - FRAME_HEADER_BYTES);
    assert_int_equal(arena_init(&arena, 65536), 0);
    assert_null(frame_unpack(&skep__worker__from_worker__descriptor, frame, sizeof frame, &arena));
    arena_done(&arena);
}

/* Each empty binding is 2 bytes on the wire and many times that in memory. */
static void test_a_small_frame_that_blows_up_is_refused(void **state)
{
    enum { BINDINGS = 100000 };
    _cleanup_free_ Skep__Worker__Binding *bindings = calloc(BINDINGS, sizeof *bindings);
    _cleanup_free_ Skep__Worker__Binding **pointers = calloc(BINDINGS, sizeof *pointers);
    Skep__Worker__LoadBegin begin = SKEP__WORKER__LOAD_BEGIN__INIT;
    Skep__Worker__ToWorker envelope = SKEP__WORKER__TO_WORKER__INIT;
    struct frame_cut cut;
    struct arena arena;

    (void) state;
    for (size_t i = 0; i < BINDINGS; i++) {
        skep__worker__binding__init(&bindings[i]);
        pointers[i] = &bindings[i];
    }
    begin.bindings = pointers;
    begin.n_bindings = BINDINGS;
    envelope.message_case = SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_BEGIN;
    envelope.load_begin = &begin;
    frame_cut(&cut, &envelope.base, &worker_tails);
    assert_true(cut.head_bytes > 0 && cut.head_bytes < FRAME_MAX_BYTES);
    _cleanup_free_ uint8_t *frame = malloc(cut.head_bytes);
    frame_pack_cut(&cut, frame);

    assert_int_equal(arena_init(&arena, 4U << 20), 0);
    assert_null(frame_unpack_tail(&skep__worker__to_worker__descriptor, &worker_tails, frame,
                                  cut.head_bytes, &arena));
    arena_done(&arena);
    assert_int_equal(arena_init(&arena, 64U << 20), 0);
    assert_non_null(frame_unpack_tail(&skep__worker__to_worker__descriptor, &worker_tails, frame,
                                      cut.head_bytes, &arena));
    arena_done(&arena);
}

static void test_a_message_over_the_limit_has_no_packed_size(void **state)
{
    _cleanup_free_ uint8_t *data = calloc(1, FRAME_MAX_BYTES + 1);
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;

    (void) state;
    body.data.data = data;
    body.data.len = FRAME_MAX_BYTES + 1;
    envelope.message_case = SKEP__WORKER__FROM_WORKER__MESSAGE_BODY;
    envelope.body = &body;
    assert_int_equal(frame_packed_size(&envelope.base), 0);
}

/* Packs a body of four bytes by hand with this tail. Returns the frame's size. */
static size_t pack_body(uint8_t *frame, ProtobufCMessage *message, unsigned which, const char *tail,
                        uint32_t tail_size)
{
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;

    envelope.message_case = which;
    envelope.body = (Skep__Worker__Body *) message;
    size_t packed = protobuf_c_message_pack(&envelope.base, frame + 8);
    memcpy(frame + 8 + packed, tail, strlen(tail));
    put_length(frame, (uint32_t) (4 + packed + strlen(tail)) | FRAME_TAIL_BIT);
    put_length(frame + 4, tail_size);
    return 8 + packed + strlen(tail);
}

static const Skep__Worker__FromWorker *unpack(const uint8_t *frame, size_t size,
                                              struct arena *arena)
{
    return (const Skep__Worker__FromWorker *) frame_unpack_tail(
        &skep__worker__from_worker__descriptor, &worker_tails, frame, size, arena);
}

static void test_a_body_goes_behind_its_message_and_is_not_copied(void **state)
{
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;
    Skep__Worker__ResponseHead head = SKEP__WORKER__RESPONSE_HEAD__INIT;
    struct frame_cut cut;
    struct arena arena;
    uint8_t frame[128];

    (void) state;
    head.id = 77;
    head.head = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) "head", .len = 4 };
    head.body = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) "four", .len = 4 };
    envelope.message_case = SKEP__WORKER__FROM_WORKER__MESSAGE_RESPONSE_HEAD;
    envelope.response_head = &head;
    frame_cut(&cut, &envelope.base, &worker_tails);
    assert_ptr_equal(cut.tail.data, head.body.data);
    frame_pack_cut(&cut, frame);
    size_t size = cut.head_bytes + cut.tail.len;
    assert_int_equal(frame_measure(frame, size), (int64_t) size);
    assert_int_equal(frame_measure(frame, size - 1), 0);
    assert_memory_equal(frame + size - 4, "four", 4);
    assert_int_equal(head.body.len, 4); /* the caller's message is not changed */

    assert_int_equal(arena_init(&arena, 65536), 0);
    const Skep__Worker__FromWorker *got = unpack(frame, size, &arena);
    assert_non_null(got);
    assert_int_equal(got->response_head->id, 77);
    assert_int_equal(got->response_head->head.len, 4);
    assert_memory_equal(got->response_head->head.data, "head", 4);
    assert_ptr_equal(got->response_head->body.data, frame + size - 4);
    assert_int_equal(got->response_head->body.len, 4);
    assert_null(frame_unpack(&skep__worker__from_worker__descriptor, frame, size, &arena));
    arena_done(&arena);
}

static void test_a_body_without_bytes_has_no_tail(void **state)
{
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;
    struct frame_cut cut;
    struct arena arena;
    uint8_t frame[64];

    (void) state;
    body.id = 5;
    body.end = true;
    envelope.message_case = SKEP__WORKER__FROM_WORKER__MESSAGE_BODY;
    envelope.body = &body;
    frame_cut(&cut, &envelope.base, &worker_tails);
    assert_int_equal(cut.tail.len, 0);
    assert_int_equal(cut.head_bytes, frame_packed_size(&envelope.base));
    frame_pack_cut(&cut, frame);
    assert_int_equal(arena_init(&arena, 65536), 0);
    const Skep__Worker__FromWorker *got = unpack(frame, cut.head_bytes, &arena);
    assert_non_null(got);
    assert_true(got->body->end);
    assert_int_equal(got->body->data.len, 0);
    arena_done(&arena);
}

static void test_a_tail_that_cannot_be_is_refused(void **state)
{
    enum { BODY = SKEP__WORKER__FROM_WORKER__MESSAGE_BODY };
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;
    Skep__Worker__Pong pong = SKEP__WORKER__PONG__INIT;
    struct arena arena;
    uint8_t frame[128];
    size_t size;

    (void) state;
    assert_int_equal(arena_init(&arena, 65536), 0);
    body.id = 5;
    size = pack_body(frame, &body.base, BODY, "four", 4);
    assert_non_null(unpack(frame, size, &arena));
    size = pack_body(frame, &body.base, BODY, "four", 0); /* a tail of no bytes */
    assert_null(unpack(frame, size, &arena));
    size = pack_body(frame, &body.base, BODY, "", 0);
    assert_null(unpack(frame, size, &arena));
    size = pack_body(frame, &body.base, BODY, "four", 60); /* longer than its frame */
    assert_null(unpack(frame, size, &arena));
    size = pack_body(frame, &body.base, BODY, "four", UINT32_MAX);
    assert_null(unpack(frame, size, &arena));
    size = pack_body(frame, &body.base, BODY, "four", 3); /* a byte behind the message */
    assert_null(unpack(frame, size, &arena));
    pong.token = 1;
    size = pack_body(frame, &pong.base, SKEP__WORKER__FROM_WORKER__MESSAGE_PONG, "four", 4);
    assert_null(unpack(frame, size, &arena)); /* a message without a body */
    body.data = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) "in", .len = 2 };
    size = pack_body(frame, &body.base, BODY, "four", 4); /* bytes in both places */
    assert_null(unpack(frame, size, &arena));
    size = pack_body(frame, &body.base, BODY, "", 0);
    memmove(frame + 4, frame + 8, size - 8); /* bytes in the message only */
    put_length(frame, (uint32_t) size - 8);
    assert_null(unpack(frame, size - 4, &arena));
    for (size_t n = FRAME_HEADER_BYTES + 1; n < 8; n++) { /* the size of the tail is cut off */
        put_length(frame, (uint32_t) (n - FRAME_HEADER_BYTES) | FRAME_TAIL_BIT);
        assert_null(unpack(frame, n, &arena));
    }
    arena_done(&arena);
}

/* ---- bytes inside their message */

static const struct frame_tail inside_rows[] = {
    { &skep__stream__body__descriptor, offsetof(Skep__Stream__Body, data) },
};
static const struct frame_tails inside = { .rows = inside_rows, .n_rows = 1, .is_inside = true };

/* Cuts a body of four bytes, and checks that the frame is the one that protobuf packs. Returns its size. */
static size_t pack_inside(uint8_t frame[static 64], bool end, bool is_cut)
{
    Skep__Stream__Body body = SKEP__STREAM__BODY__INIT;
    Skep__Egress__FromEgress envelope = SKEP__EGRESS__FROM_EGRESS__INIT;
    struct frame_cut cut;
    uint8_t plain[64];

    body.id = 300;
    body.data = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) "four", .len = 4 };
    body.end = end;
    envelope.message_case = SKEP__EGRESS__FROM_EGRESS__MESSAGE_BODY;
    envelope.body = &body;
    frame_cut(&cut, &envelope.base, &inside);
    assert_int_equal(cut.tail.len, is_cut ? 4 : 0);
    if (is_cut)
        assert_ptr_equal(cut.tail.data, body.data.data);
    frame_pack_cut(&cut, frame);
    size_t size = frame_packed_size(&envelope.base);
    assert_int_equal(cut.head_bytes + cut.tail.len, size);
    frame_pack(&envelope.base, plain, size);
    assert_memory_equal(frame, plain, size);
    return size;
}

static void test_bytes_inside_their_message_are_not_copied(void **state)
{
    uint8_t frame[64];
    struct arena arena;

    (void) state;
    assert_int_equal(arena_init(&arena, 4096), 0);
    for (int end = 0; end < 2; end++) {
        size_t size = pack_inside(frame, end, !end); /* with end they are not the last ones */
        const Skep__Egress__FromEgress *got = (const Skep__Egress__FromEgress *) frame_unpack_tail(
            &skep__egress__from_egress__descriptor, &inside, frame, size, &arena);
        assert_non_null(got);
        assert_int_equal(got->message_case, SKEP__EGRESS__FROM_EGRESS__MESSAGE_BODY);
        assert_int_equal(got->body->id, 300);
        assert_int_equal(got->body->end, end);
        assert_int_equal(got->body->data.len, 4);
        assert_ptr_equal(got->body->data.data, frame + size - 4 - (end ? 2 : 0));
    }
    arena_done(&arena);
}

static void test_all_forms_of_a_message_with_bytes_inside_are_read(void **state)
{
    /* The fields in another order, with one that is not known; a default that is written out. */
    static const uint8_t other[] = { 10, 0, 0, 0, 26, 8, 120, 1, 18, 2, 'a', 'b', 8, 5 };
    static const uint8_t spelt[] = { 8, 0, 0, 0, 26, 6, 8, 5, 18, 0, 24, 0 };
    static const uint8_t tail[] = { 9, 0, 0, 128, 1, 0, 0, 0, 26, 2, 8, 5, 'a' };
    const ProtobufCMessageDescriptor *type = &skep__egress__from_egress__descriptor;
    struct arena arena;

    (void) state;
    assert_int_equal(arena_init(&arena, 4096), 0);
    const Skep__Egress__FromEgress *got = (const Skep__Egress__FromEgress *) frame_unpack_tail(
        type, &inside, other, sizeof other, &arena);
    assert_non_null(got);
    assert_int_equal(got->body->id, 5);
    assert_memory_equal(got->body->data.data, "ab", 2);
    got = (const Skep__Egress__FromEgress *) frame_unpack_tail(type, &inside, spelt, sizeof spelt,
                                                               &arena);
    assert_non_null(got);
    assert_int_equal(got->body->id, 5);
    assert_int_equal(got->body->data.len, 0);
    assert_null(frame_unpack_tail(type, &inside, tail, sizeof tail, &arena));
    assert_null(frame_unpack_tail(type, &inside, other, sizeof other - 1, &arena));
    arena_done(&arena);
}

static void test_a_tail_counts_for_the_limit_of_a_frame(void **state)
{
    _cleanup_free_ uint8_t *data = calloc(1, FRAME_MAX_BYTES);
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;
    struct frame_cut cut;

    (void) state;
    envelope.message_case = SKEP__WORKER__FROM_WORKER__MESSAGE_BODY;
    envelope.body = &body;
    body.id = 5;
    body.data = (ProtobufCBinaryData){ .data = data, .len = FRAME_MAX_BYTES - 8 };
    frame_cut(&cut, &envelope.base, &worker_tails);
    assert_int_equal(cut.head_bytes + cut.tail.len, FRAME_HEADER_BYTES + FRAME_MAX_BYTES);
    body.data.len++;
    frame_cut(&cut, &envelope.base, &worker_tails);
    assert_int_equal(cut.head_bytes, 0);
}

static const Skep__Worker__FromWorker *unpack_bytes(const void *message, size_t size,
                                                    struct arena *arena)
{
    static uint8_t frame[64];

    put_length(frame, (uint32_t) size);
    memcpy(frame + FRAME_HEADER_BYTES, message, size);
    return unpack(frame, FRAME_HEADER_BYTES + size, arena);
}

/* By this frame peers of different releases know each other. */
static void test_a_hello_with_more_fields_is_understood(void **state)
{
    static const uint8_t hello[] = { 0x0a, 9, 0x08, 99, 0x12, 1, '1', 0x1a, 1, 'x', 0x20 | 7 };
    static const uint8_t better[] = { 0x0a, 8, 0x08, 99, 0x12, 1, '1', 0x1a, 1, 'x' };
    struct arena arena;

    (void) state;
    assert_int_equal(arena_init(&arena, 65536), 0);
    const Skep__Worker__FromWorker *got = unpack_bytes(better, sizeof better, &arena);
    assert_non_null(got);
    assert_int_equal(got->hello->protocol, 99);
    assert_null(unpack_bytes(hello, sizeof hello, &arena)); /* but not with half a field */
    arena_done(&arena);
}

static void test_an_envelope_has_one_message_and_nothing_behind_it(void **state)
{
    static const uint8_t pong[] = { 0x4a, 2, 0x08, 1 }, two[] = { 0x4a, 0, 0x4a, 0 },
                         behind[] = { 0x4a, 0, 0 }, shorter[] = { 0x4a, 3, 0x08, 1 },
                         unknown[] = { 0xfa, 0x07, 0 }, number[] = { 0x48, 1 };
    struct arena arena;

    (void) state;
    assert_int_equal(arena_init(&arena, 65536), 0);
    const Skep__Worker__FromWorker *got = unpack_bytes(pong, sizeof pong, &arena);
    assert_non_null(got);
    assert_int_equal(got->message_case, SKEP__WORKER__FROM_WORKER__MESSAGE_PONG);
    assert_int_equal(got->pong->token, 1);
    assert_non_null(unpack_bytes(two, 2, &arena));
    assert_null(unpack_bytes(two, sizeof two, &arena));
    assert_null(unpack_bytes(behind, sizeof behind, &arena));
    assert_null(unpack_bytes(shorter, sizeof shorter, &arena));
    assert_null(unpack_bytes(unknown, sizeof unknown, &arena));
    assert_null(unpack_bytes(number, sizeof number, &arena));
    assert_null(unpack_bytes(pong, 0, &arena));
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_body_goes_behind_its_message_and_is_not_copied),
        cmocka_unit_test(test_a_body_without_bytes_has_no_tail),
        cmocka_unit_test(test_a_tail_that_cannot_be_is_refused),
        cmocka_unit_test(test_a_tail_counts_for_the_limit_of_a_frame),
        cmocka_unit_test(test_bytes_inside_their_message_are_not_copied),
        cmocka_unit_test(test_all_forms_of_a_message_with_bytes_inside_are_read),
        cmocka_unit_test(test_a_hello_with_more_fields_is_understood),
        cmocka_unit_test(test_an_envelope_has_one_message_and_nothing_behind_it),
        cmocka_unit_test(test_a_short_header_asks_for_more),
        cmocka_unit_test(test_an_incomplete_frame_asks_for_more),
        cmocka_unit_test(test_lengths_out_of_bounds_are_refused_from_the_header_alone),
        cmocka_unit_test(test_a_message_survives_packing_and_unpacking),
        cmocka_unit_test(test_garbage_is_no_message),
        cmocka_unit_test(test_a_small_frame_that_blows_up_is_refused),
        cmocka_unit_test(test_a_message_over_the_limit_has_no_packed_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
