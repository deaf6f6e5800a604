/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decodes frames of every envelope that crosses a process boundary, from one stream of bytes. The
 * first byte picks the envelope.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "admin.pb-c.h"
#include "common/cleanup.h"
#include "proto/frame.h"
#include "proto/head.h"
#include "proto/worker_tails.h"
#include "store.pb-c.h"
#include "worker.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_BYTES (4U << 20)

/* A packed head that is taken lies within its bytes, text behind text. */
static void check_head(ProtobufCBinaryData packed, uint32_t n_first)
{
    struct head head;

    if (head_open(packed.data, packed.len, n_first, HEAD_FIELDS_MAX, &head) < 0)
        return;
    const char *end = (const char *) packed.data + packed.len, *at = head.texts;
    while (head.n_texts > 0) {
        struct head_text text = head_next(&head);
        if (text.data != at || text.size > (size_t) (end - at) || memchr(at, '\0', text.size))
            abort();
        at += text.size;
    }
    if (at != end)
        abort();
}

static void check_heads(const ProtobufCMessage *envelope)
{
    const Skep__Worker__FromWorker *from = (const void *) envelope;
    const Skep__Worker__ToWorker *to = (const void *) envelope;

    if (envelope->descriptor == &skep__worker__from_worker__descriptor &&
        from->message_case == SKEP__WORKER__FROM_WORKER__MESSAGE_RESPONSE_HEAD)
        check_head(from->response_head->head, 0);
    if (envelope->descriptor == &skep__worker__from_worker__descriptor &&
        from->message_case == SKEP__WORKER__FROM_WORKER__MESSAGE_CALL)
        check_head(from->call->head, HEAD_CALL_TEXTS);
    if (envelope->descriptor == &skep__worker__to_worker__descriptor &&
        to->message_case == SKEP__WORKER__TO_WORKER__MESSAGE_REQUEST)
        check_head(to->request->head, HEAD_REQUEST_TEXTS);
}

/* Checks that the accepted bytes of a flat message are those that frame_pack_cut writes, and that
 * protobuf-c reads the same. */
static void check_packed(const ProtobufCMessage *message, const struct frame_cut *cut,
                         const uint8_t *frame, size_t size)
{
    size_t lead = FRAME_HEADER_BYTES + (cut->tail.len > 0 ? FRAME_TAIL_BYTES : 0);
    _cleanup_free_ uint8_t *again = malloc(size);

    if (!cut->flat || cut->flat->descriptor == worker_tails.greeting)
        return;
    if (!again || cut->head_bytes + cut->tail.len != size)
        abort();
    frame_pack_cut(cut, again);
    ProtobufCMessage *theirs =
        protobuf_c_message_unpack(message->descriptor, NULL, cut->head_bytes - lead, frame + lead);
    if (memcmp(again, frame, size) != 0 || !theirs ||
        protobuf_c_message_pack(theirs, again) != cut->head_bytes - lead ||
        memcmp(again, frame + lead, cut->head_bytes - lead) != 0)
        abort();
    protobuf_c_message_free_unpacked(theirs, NULL);
}

static const ProtobufCMessageDescriptor *const envelopes[] = {
    &skep__worker__from_worker__descriptor, &skep__worker__to_worker__descriptor,
    &skep__admin__command__descriptor,      &skep__admin__answer__descriptor,
    &skep__store__request__descriptor,      &skep__store__answer__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;

    if (size == 0 || arena_init(&arena, ARENA_BYTES) < 0)
        return 0;
    const ProtobufCMessageDescriptor *type = envelopes[data[0] % ARRAY_LEN(envelopes)];
    data++;
    size--;
    for (;;) {
        int64_t frame = frame_measure(data, size);
        if (frame > (int64_t) size || frame > (int64_t) FRAME_HEADER_BYTES + FRAME_MAX_BYTES)
            abort();
        if (frame <= 0)
            break;
        const ProtobufCMessage *message =
            frame_unpack_tail(type, &worker_tails, data, (size_t) frame, &arena);
        struct frame_cut cut = { 0 };
        /* Walks the whole message: all that was unpacked lies within the arena, and the tail within
         * the frame. */
        if (message) {
            frame_cut(&cut, message, &worker_tails);
            check_packed(message, &cut, data, (size_t) frame);
            check_heads(message);
        }
        if (cut.head_bytes + cut.tail.len > FRAME_HEADER_BYTES + FRAME_MAX_BYTES ||
            (cut.tail.len > 0 && cut.tail.data + cut.tail.len != data + frame))
            abort();
        data += frame;
        size -= (size_t) frame;
    }
    arena_done(&arena);
    return 0;
}
