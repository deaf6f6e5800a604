/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing: u32 little-endian length, then that many bytes: one protobuf message, and behind it, raw, the bytes of a body.
 * Pure functions on bytes; used by skepd, skep-worker and skep. See PROTOCOL.md.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_BYTES 4
/* Bit of the length: the size of a tail follows, as u32. */
#define FRAME_TAIL_BIT (UINT32_C(1) << 31)
#define FRAME_TAIL_BYTES 4
#define FRAME_MAX_BYTES (UINT32_C(1) << 20) /* bytes behind the length */
/* Bytes of a request's or a call's body in one frame. */
#define BODY_CHUNK_MAX_BYTES (UINT32_C(64) << 10)
/* The same of an answer: large parts cost less. A request's come from its client in small ones, and would have to be joined. */
#define ANSWER_CHUNK_MAX_BYTES (UINT32_C(256) << 10)
/* Credit is given back in steps of this size: for less a peer would wait for ever. */
#define BODY_GRANT_STEP_BYTES (UINT32_C(64) << 10)
#define BODY_WINDOW_BYTES (UINT32_C(256) << 10) /* credit of each body at its start */
#define LOG_LINE_MAX_BYTES (UINT32_C(8) << 10)
#define EXCEEDED_USED_MAX (UINT64_C(1) << 40) /* the most that Exceeded.used says, in any unit */
/* The most that the files of one load have together: the largest value of files_mib. */
#define LOAD_FILES_MAX_BYTES (UINT32_C(256) << 20)
#define PROTOCOL_VERSION 5
/* Call.binding of fetch(), which is no binding of the manifest. */
#define CALL_FETCH_BINDING UINT32_MAX

/* One type of message whose bytes go raw behind the message: its field `offset`, a ProtobufCBinaryData. In the message
 * itself that field is empty. */
struct frame_tail {
    const ProtobufCMessageDescriptor *type;
    size_t offset;
};

/* Rules for the messages of a channel. Flat ones (proto/flat.h) must be as flat_pack writes them. */
struct frame_tails {
    const struct frame_tail *rows;
    size_t n_rows;
    /* The message by which peers of different releases know each other: fields of it that are not
     * known here are ignored. */
    const ProtobufCMessageDescriptor *greeting;
    /* The bytes stay in their message, so that the frames are plain protobuf, and all of its forms are read. They are written
     * from where they lie if they are the message's end, and read where they lie if the message is flat. */
    bool is_inside;
};

/* Looks at the first bytes of a stream. Returns the size of the whole frame there
 * (header included), 0 if more bytes are needed to tell or to complete it, -EMSGSIZE if
 * its length is over FRAME_MAX_BYTES, -EPROTO if it is 0. */
int64_t frame_measure(const uint8_t *data, size_t size);

/* Memory for one unpacked message. All allocations are freed at once by reset. */
struct arena {
    ProtobufCAllocator allocator; /* hand this to protobuf-c */
    uint8_t *memory;
    size_t size; /* bytes at memory */
    size_t used;
    size_t touched; /* the most that was ever used */
};

/* Makes an arena. 0 or -ENOMEM. size: the most that one message may need; for more, unpacking
 * fails, which bounds the memory that a small frame can take. */
int arena_init(struct arena *arena, size_t size);
/* Forgets what was unpacked; the memory stays. */
void arena_reset(struct arena *arena);
void arena_done(struct arena *arena);

/* Unpacks the message of a whole frame (as measured) into the arena, which is reset
 * first. The result lives until the next reset. NULL: not a message of that type, or over
 * the arena's size. */
ProtobufCMessage *frame_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *frame,
                               size_t size, struct arena *arena);

/* Unpacks an envelope (a type with one oneof and nothing else) of a channel with such tails: the message's field points
 * to the tail in the frame, as all fields of bytes of a flat message do. Without is_inside NULL also for a tail of a
 * type that has none, for bytes that are not in the tail but in the message, and for a flat message
 * that is packed in another way. */
ProtobufCMessage *frame_unpack_tail(const ProtobufCMessageDescriptor *type,
                                    const struct frame_tails *tails, const uint8_t *frame,
                                    size_t size, struct arena *arena);

/* Returns the number of bytes that frame_pack will write, or 0 if the message is over
 * FRAME_MAX_BYTES. */
size_t frame_packed_size(const ProtobufCMessage *message);

/* Writes header and message to buffer, which holds frame_packed_size bytes. */
void frame_pack(const ProtobufCMessage *message, uint8_t *buffer, size_t size);

/* A frame in two pieces: its head, which frame_pack_head writes, and the tail as it lies in memory. */
struct frame_cut {
    const ProtobufCMessage *envelope; /* the caller's */
    /* The envelope's message, if that is flat; else NULL: the envelope is packed as a whole. */
    const ProtobufCMessage *flat;
    size_t flat_bytes; /* size of the message */
    size_t skipped;    /* offset of the message's field that is the tail */
    uint32_t number;   /* number of the message in the envelope */
    uint32_t
        inside; /* number of the field that is the tail, inside the message; 0: the tail is behind it */
    ProtobufCBinaryData tail;
    size_t head_bytes; /* 0: the frame is over FRAME_MAX_BYTES */
};

/* Cuts the tail off an envelope. The result lives as long as the envelope, and must not be
 * copied. */
void frame_cut(struct frame_cut *cut, const ProtobufCMessage *envelope,
               const struct frame_tails *tails);
void frame_pack_head(const struct frame_cut *cut, uint8_t *buffer);
/* Writes both pieces to buffer, which holds head_bytes and the tail. */
void frame_pack_cut(const struct frame_cut *cut, uint8_t *buffer);
