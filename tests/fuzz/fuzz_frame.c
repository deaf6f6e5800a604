/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of every envelope that crosses a process boundary, decoded from one stream of bytes. The first byte
 * picks the envelope.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "admin.pb-c.h"
#include "common/cleanup.h"
#include "proto/frame.h"
#include "proto/worker_tails.h"
#include "store.pb-c.h"
#include "worker.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_BYTES (4U << 20)

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
        /* Walks all of it: what was unpacked lies within the arena, and the tail within the frame. */
        if (message)
            frame_cut(&cut, message, &worker_tails);
        if (cut.head_bytes + cut.tail.len > FRAME_HEADER_BYTES + FRAME_MAX_BYTES ||
            (cut.tail.len > 0 && cut.tail.data + cut.tail.len != data + frame))
            abort();
        data += frame;
        size -= (size_t) frame;
    }
    arena_done(&arena);
    return 0;
}
