/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing: u32 little-endian length, then that many bytes of one protobuf message.
 * Pure functions on bytes; used by skepd, skep-worker and skep. See PROTOCOL.md.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_BYTES 4
#define FRAME_MAX_BYTES (UINT32_C(1) << 20)
#define BODY_CHUNK_MAX_BYTES (UINT32_C(64) << 10)
/* Credit is given back in steps of this size: with less to come a peer would wait for ever. */
#define BODY_GRANT_STEP_BYTES (UINT32_C(64) << 10)
#define BODY_WINDOW_BYTES (UINT32_C(256) << 10) /* credit of each body at its start */
#define LOG_LINE_MAX_BYTES (UINT32_C(8) << 10)
#define EXCEEDED_USED_MAX (UINT64_C(1) << 40) /* the most that Exceeded.used says, in any unit */
#define PROTOCOL_VERSION 2

/* Looks at the first bytes of a stream. Returns the size of the whole frame there
 * (header included), 0 if more bytes are needed to tell or to complete it, -EMSGSIZE if
 * its length is over FRAME_MAX_BYTES, -EPROTO if it is 0. */
int64_t frame_measure(const uint8_t *data, size_t size);

/* Memory for one unpacked message. Everything given out is freed at once by reset. */
struct arena {
    ProtobufCAllocator allocator; /* hand this to protobuf-c */
    uint8_t *memory;
    size_t size; /* bytes at memory */
    size_t used;
    size_t touched; /* the most that was used */
};

/* 0 or -ENOMEM. size: the most that one message may need; more makes unpack fail, which
 * bounds what a small frame can blow up to. */
int arena_init(struct arena *arena, size_t size);
void arena_reset(struct arena *arena);
void arena_done(struct arena *arena);

/* Unpacks the message of a whole frame (as measured) into the arena, which is reset
 * first. The result lives until the next reset. NULL: not a message of that type, or over
 * the arena's size. */
ProtobufCMessage *frame_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *frame,
                               size_t size, struct arena *arena);

/* Bytes that frame_pack will write, or 0 if the message is over FRAME_MAX_BYTES. */
size_t frame_packed_size(const ProtobufCMessage *message);

/* Writes header and message to buffer, which holds frame_packed_size bytes. */
void frame_pack(const ProtobufCMessage *message, uint8_t *buffer, size_t size);
