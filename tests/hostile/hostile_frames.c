/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/hostile_frames.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "proto/frame.h"
#include "proto/head.h"
#include "proto/worker_tails.h"
#include "tests/pack_head.h"

void write_all(const void *data, size_t size)
{
    const uint8_t *at = data;

    while (size > 0) {
        ssize_t n = write(CHANNEL_FD, at, size);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd room = { .fd = CHANNEL_FD, .events = POLLOUT };
            (void) poll(&room, 1, -1);
        } else if (n < 0) {
            _exit(1); /* skepd has closed the channel: the kill is on its way */
        } else {
            at += n;
            size -= (size_t) n;
        }
    }
}

void read_all(void *data, size_t size)
{
    uint8_t *at = data;

    while (size > 0) {
        struct pollfd input = { .fd = CHANNEL_FD, .events = POLLIN };
        (void) poll(&input, 1, -1);
        ssize_t n = read(CHANNEL_FD, at, size);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            _exit(0);
        at += n > 0 ? n : 0;
        size -= n > 0 ? (size_t) n : 0;
    }
}

void stay_silent(void)
{
    for (;;)
        (void) pause();
}

void send_message(Skep__Worker__FromWorker__MessageCase which, void *message)
{
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;

    envelope.message_case = which;
    envelope.hello = message; /* any member of the union: all are pointers */
    struct frame_cut cut;
    frame_cut(&cut, &envelope.base, &worker_tails);
    size_t size = cut.head_bytes + cut.tail.len;
    uint8_t *frame = malloc(size);
    if (!frame)
        _exit(2);
    frame_pack_cut(&cut, frame);
    write_all(frame, size);
    free(frame);
}

ProtobufCBinaryData bytes(const void *data, size_t size)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
}

void send_hello(uint32_t protocol)
{
    Skep__Worker__Hello hello = SKEP__WORKER__HELLO__INIT;

    hello.protocol = protocol;
    hello.v8_version = bytes("0.0-hostile", 11);
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_HELLO, &hello);
}

void send_loaded(uint32_t tenant, int result)
{
    Skep__Worker__Loaded loaded = SKEP__WORKER__LOADED__INIT;

    loaded.placement = tenant;
    loaded.result = (Skep__Worker__LoadResult) result;
    loaded.cpu_us = UINT64_MAX;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED, &loaded);
}

void send_unloaded(uint32_t tenant)
{
    Skep__Worker__Unloaded unloaded = SKEP__WORKER__UNLOADED__INIT;

    unloaded.placement = tenant;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_UNLOADED, &unloaded);
}

void send_pong(uint64_t token)
{
    Skep__Worker__Pong pong = SKEP__WORKER__PONG__INIT;

    pong.token = token;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_PONG, &pong);
}

void send_log(uint32_t tenant, const void *data, size_t size)
{
    Skep__Worker__Log line = SKEP__WORKER__LOG__INIT;

    line.placement = tenant;
    line.level = SKEP__WORKER__LOG_LEVEL__LOG_INFO;
    line.text = bytes(data, size);
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_LOG, &line);
}

void send_exceeded(uint32_t tenant, uint64_t request, int limit, uint64_t used, bool observed)
{
    Skep__Worker__Exceeded exceeded = SKEP__WORKER__EXCEEDED__INIT;

    exceeded.placement = tenant;
    exceeded.request = request;
    exceeded.limit = (Skep__Worker__Limit) limit;
    exceeded.used = used;
    exceeded.observed = observed;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_EXCEEDED, &exceeded);
}

void send_stopped(uint32_t tenant)
{
    Skep__Worker__Stopped stopped = SKEP__WORKER__STOPPED__INIT;

    stopped.placement = tenant;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_STOPPED, &stopped);
}

void send_caught_up(void)
{
    Skep__Worker__CaughtUp caught_up = SKEP__WORKER__CAUGHT_UP__INIT;

    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_CAUGHT_UP, &caught_up);
}

void send_done(uint64_t id, int outcome)
{
    Skep__Worker__Done done = SKEP__WORKER__DONE__INIT;

    done.id = id;
    done.outcome = (Skep__Worker__Outcome) outcome;
    done.cpu_us = UINT64_MAX;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_DONE, &done);
}

void answer_saying(uint64_t id, ProtobufCBinaryData message)
{
    Skep__Worker__Done done = SKEP__WORKER__DONE__INIT;

    send_head(id, true);
    done.id = id;
    done.message = message;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_DONE, &done);
}

void send_credit(uint64_t id, uint32_t size)
{
    Skep__Worker__Credit credit = SKEP__WORKER__CREDIT__INIT;

    credit.id = id;
    credit.bytes = size;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_CREDIT, &credit);
}

void send_call(uint64_t request, uint32_t id, uint32_t binding)
{
    Skep__Worker__Call call = SKEP__WORKER__CALL__INIT;
    static const char *const texts[] = { "GET", "http", "nobody", "/" };
    uint8_t packed[64];

    call.request = request;
    call.id = id;
    call.binding = binding;
    call.head = bytes(packed, pack_head(packed, HEAD_CALL_TEXTS, texts));
    call.port = 80;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_CALL, &call);
}

void send_call_body(uint64_t request, uint32_t id, size_t size, bool end)
{
    static const uint8_t data[BODY_CHUNK_MAX_BYTES + 1];
    Skep__Worker__CallBody body = SKEP__WORKER__CALL_BODY__INIT;

    body.request = request;
    body.id = id;
    body.data = bytes(data, size);
    body.end = end;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_BODY, &body);
}

void send_call_credit(uint64_t request, uint32_t id, uint32_t size)
{
    Skep__Worker__CallCredit credit = SKEP__WORKER__CALL_CREDIT__INIT;

    credit.request = request;
    credit.id = id;
    credit.bytes = size;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CREDIT, &credit);
}

void send_call_cancel(uint64_t request, uint32_t id)
{
    Skep__Worker__CallCancel cancel = SKEP__WORKER__CALL_CANCEL__INIT;

    cancel.request = request;
    cancel.id = id;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CANCEL, &cancel);
}

void send_body(uint64_t id, size_t size, bool end)
{
    static const uint8_t data[ANSWER_CHUNK_MAX_BYTES + 1];
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;

    body.id = id;
    body.data = bytes(data, size);
    body.end = end;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_BODY, &body);
}

/* A head with n times the same header (name NULL: empty ones). */
void send_head_with(uint64_t id, uint32_t status, size_t n, const char *name,
                    ProtobufCBinaryData value, bool end)
{
    size_t name_size = name ? strlen(name) : 0;
    size_t size = head_table_bytes(2 * n) + n * (name_size + value.len);
    uint8_t *packed = malloc(size);

    if (!packed)
        _exit(2);
    struct head_writer to = head_write(packed, 2 * (uint32_t) n);
    for (size_t i = 0; i < n; i++) {
        (void) head_add(&to, name, name_size);
        (void) head_add(&to, value.data, value.len);
    }
    send_packed_head(id, status, bytes(packed, size), end);
    free(packed);
}

void send_packed_head(uint64_t id, uint32_t status, ProtobufCBinaryData packed, bool end)
{
    Skep__Worker__ResponseHead head = SKEP__WORKER__RESPONSE_HEAD__INIT;

    head.id = id;
    head.status = status;
    head.head = packed;
    head.body = bytes("hostile\n", HEAD_BODY_BYTES);
    head.end = end;
    send_message(SKEP__WORKER__FROM_WORKER__MESSAGE_RESPONSE_HEAD, &head);
}

void send_head(uint64_t id, bool end)
{
    send_head_with(id, 200, 0, NULL, bytes(NULL, 0), end);
}

void answer(uint64_t id)
{
    send_head(id, true);
    send_done(id, SKEP__WORKER__OUTCOME__OUTCOME_OK);
}

void answer_fields(uint64_t id, size_t n, const char *name, ProtobufCBinaryData value)
{
    send_head_with(id, 200, n, name, value, true);
    send_done(id, SKEP__WORKER__OUTCOME__OUTCOME_OK);
}

void answer_with(uint64_t id, const char *name, const char *value)
{
    answer_fields(id, 1, name, bytes(value, strlen(value)));
}

void answer_status(uint64_t id, uint32_t status)
{
    send_head_with(id, status, 0, NULL, bytes(NULL, 0), true);
    send_done(id, SKEP__WORKER__OUTCOME__OUTCOME_OK);
}

/* 8 bytes of body with the head, and 2 more. */
void answer_length(uint64_t id, const char *length, bool end)
{
    send_head_with(id, 200, 1, "Content-Length", bytes(length, strlen(length)), false);
    send_body(id, 2, end);
    send_done(id, SKEP__WORKER__OUTCOME__OUTCOME_OK);
}

void send_length(uint32_t length, size_t n_bytes)
{
    uint8_t frame[64] = { (uint8_t) length, (uint8_t) (length >> 8), (uint8_t) (length >> 16),
                          (uint8_t) (length >> 24) };

    write_all(frame, n_bytes);
}

void send_body_inside(uint64_t id)
{
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;
    uint8_t frame[64];

    body.id = id;
    body.data = bytes("in", 2);
    envelope.message_case = SKEP__WORKER__FROM_WORKER__MESSAGE_BODY;
    envelope.body = &body;
    size_t size = frame_packed_size(&envelope.base);
    frame_pack(&envelope.base, frame, size);
    write_all(frame, size);
}

void send_done_with_tail(uint64_t id)
{
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;
    Skep__Worker__Done done = SKEP__WORKER__DONE__INIT;
    uint8_t frame[64];

    done.id = id;
    envelope.message_case = SKEP__WORKER__FROM_WORKER__MESSAGE_DONE;
    envelope.done = &done;
    struct frame_cut cut = { .envelope = &envelope.base, .tail = bytes("tail", 4) };
    cut.head_bytes =
        FRAME_HEADER_BYTES + FRAME_TAIL_BYTES + protobuf_c_message_get_packed_size(cut.envelope);
    frame_pack_cut(&cut, frame);
    write_all(frame, cut.head_bytes + cut.tail.len);
}
