/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flat messages are written as protobuf-c writes them, and read back; other bytes are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "proto/flat.h"
#include "worker.pb-c.h"

static ProtobufCBinaryData text(const char *from)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) from, .len = strlen(from) };
}

/* The same bytes as those of protobuf-c, which read back are the same message. */
static void check_both(const ProtobufCMessage *message)
{
    uint8_t theirs[256], ours[256];
    _Alignas(16) uint8_t memory[256];
    ProtobufCMessage *read = (ProtobufCMessage *) (void *) memory;
    size_t size = protobuf_c_message_pack(message, theirs);

    assert_true(message->descriptor->sizeof_message <= sizeof memory);
    assert_true(flat_is(message->descriptor));
    assert_int_equal(flat_size(message, 0), size);
    assert_ptr_equal(flat_pack(message, 0, ours), ours + size);
    assert_memory_equal(ours, theirs, size);
    assert_true(flat_unpack(message->descriptor, ours, size, read));
    assert_ptr_equal(read->descriptor, message->descriptor);
    assert_int_equal(protobuf_c_message_pack(read, theirs), size);
    assert_memory_equal(ours, theirs, size);
}

static void test_messages_are_those_of_protobuf(void **state)
{
    static const uint64_t numbers[] = { 0,     1,          127,        128,        16383,
                                        16384, UINT32_MAX, 1ULL << 35, 1ULL << 56, UINT64_MAX };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        Skep__Worker__Request request = SKEP__WORKER__REQUEST__INIT;
        Skep__Worker__Done done = SKEP__WORKER__DONE__INIT;
        Skep__Worker__CaughtUp none = SKEP__WORKER__CAUGHT_UP__INIT;
        request.id = done.id = numbers[i];
        request.placement = request.row = (uint32_t) numbers[i];
        request.head = text(i % 2 ? "head" : "");
        request.end = i % 3 == 0;
        done.outcome = (Skep__Worker__Outcome) (i % 8);
        done.message = text("a message");
        check_both(&request.base);
        check_both(&done.base);
        check_both(&none.base);
    }
}

static void test_a_field_that_is_skipped_counts_as_empty(void **state)
{
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT, without = SKEP__WORKER__BODY__INIT;
    uint8_t ours[64], theirs[64];

    (void) state;
    body.id = without.id = 300;
    body.end = without.end = true;
    body.data = text("data");
    size_t size = protobuf_c_message_pack(&without.base, theirs);
    assert_int_equal(flat_size(&body.base, offsetof(Skep__Worker__Body, data)), size);
    (void) flat_pack(&body.base, offsetof(Skep__Worker__Body, data), ours);
    assert_memory_equal(ours, theirs, size);
}

static void test_messages_in_messages_are_not_flat(void **state)
{
    (void) state;
    assert_false(flat_is(&skep__worker__load_begin__descriptor));
    assert_false(flat_is(&skep__worker__to_worker__descriptor));
}

static bool reads(const ProtobufCMessageDescriptor *type, const void *data, size_t size)
{
    _Alignas(16) uint8_t memory[256];
    _cleanup_free_ uint8_t *copy = malloc(size + 1); /* a sanitizer sees a byte behind it */

    assert_true(type->sizeof_message <= sizeof memory);
    memcpy(copy, data, size);
    return flat_unpack(type, copy, size, (ProtobufCMessage *) (void *) memory);
}

#define READS(type, bytes) reads(&skep__worker__##type##__descriptor, bytes, sizeof(bytes) - 1)

static void test_other_bytes_are_refused(void **state)
{
    (void) state;
    assert_true(READS(done, "\x08\x01\x10\x02\x1a\x01x\x20\x03"));
    assert_false(READS(done, "\x10\x02\x08\x01")); /* another order */
    assert_false(READS(done, "\x08\x01\x08\x01")); /* twice */
    assert_false(READS(done, "\x08\x01\x30\x01")); /* a field that it lacks */
    assert_false(READS(done, "\x0a\x01x"));        /* bytes for a number */
    assert_false(READS(done, "\x18\x01"));         /* a number for bytes */
    assert_false(READS(done, "\x08"));             /* no number */
    assert_false(READS(done, "\x08\x80"));         /* half of one */
    assert_false(READS(done, "\x08\x00"));         /* a default, written out */
    assert_false(READS(done, "\x1a\x00"));
    assert_false(READS(done, "\x08\x81\x00")); /* longer than it need be */
    assert_false(READS(done, "\x88\x00\x01"));
    assert_false(READS(done, "\x1a\x02x")); /* fewer bytes than it says */
    assert_false(READS(done, "\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"));
    assert_false(READS(done, "\x10\x80\x80\x80\x80\x08")); /* over INT32_MAX */
    assert_true(READS(done, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_false(READS(done, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02")); /* 65 bits */
    assert_false(READS(done, "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"));
    assert_true(READS(stopped, "\x08\xff\xff\xff\xff\x0f"));
    assert_false(READS(stopped, "\x08\x80\x80\x80\x80\x10")); /* over UINT32_MAX */
    assert_true(READS(body, "\x18\x01"));
    assert_false(READS(body, "\x18\x02")); /* neither true nor false */
    assert_true(READS(caught_up, ""));
    assert_false(READS(caught_up, "\x08\x01"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_are_those_of_protobuf),
        cmocka_unit_test(test_a_field_that_is_skipped_counts_as_empty),
        cmocka_unit_test(test_messages_in_messages_are_not_flat),
        cmocka_unit_test(test_other_bytes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
