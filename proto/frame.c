/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/frame.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_ALIGN 16

/* AddressSanitizer is told what is in use, so that it sees a message that is read after the next one,
 * and a field that is read behind its end. */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#define ARENA_GAP 16
#else
#define ASAN_POISON_MEMORY_REGION(data, size) ((void) (data), (void) (size))
#define ASAN_UNPOISON_MEMORY_REGION(data, size) ((void) (data), (void) (size))
#define ARENA_GAP 0
#endif

int64_t frame_measure(const uint8_t *data, size_t size)
{
    uint32_t length;

    if (size < FRAME_HEADER_BYTES)
        return 0;
    memcpy(&length, data, sizeof length);
    length = le32toh(length) & ~FRAME_TAIL_BIT;
    if (length == 0)
        return -EPROTO;
    if (length > FRAME_MAX_BYTES)
        return -EMSGSIZE;
    if (size - FRAME_HEADER_BYTES < length)
        return 0;
    return (int64_t) length + FRAME_HEADER_BYTES;
}

static void *arena_alloc(void *data, size_t size)
{
    struct arena *arena = data;
    size_t need = (size + ARENA_GAP + ARENA_ALIGN - 1) & ~(size_t) (ARENA_ALIGN - 1);

    if (need < size || need > arena->size - arena->used)
        return NULL;
    uint8_t *p = arena->memory + arena->used;
    arena->used += need;
    arena->touched = arena->used > arena->touched ? arena->used : arena->touched;
    ASAN_UNPOISON_MEMORY_REGION(p, size);
    ASAN_POISON_MEMORY_REGION(p + size, need - size);
    return p;
}

static void arena_free_one(void *data, void *pointer)
{
    /* Everything is freed by arena_reset. */
    (void) data;
    (void) pointer;
}

int arena_init(struct arena *arena, size_t size)
{
    /* Untouched pages cost nothing, so the bound may be generous. Not from malloc: it would ask for
     * pages, too, but AddressSanitizer's writes half a megabyte of shadow for each such block. */
    uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return -ENOMEM;
    *arena = (struct arena){
        .allocator = { .alloc = arena_alloc, .free = arena_free_one, .allocator_data = arena },
        .memory = memory,
        .size = size,
    };
    return 0;
}

void arena_reset(struct arena *arena)
{
    ASAN_POISON_MEMORY_REGION(arena->memory, arena->used);
    arena->used = 0;
}

void arena_done(struct arena *arena)
{
    if (arena->memory) {
        ASAN_UNPOISON_MEMORY_REGION(arena->memory, arena->touched);
        (void) munmap(arena->memory, arena->size);
    }
    *arena = (struct arena){ 0 };
}

static uint32_t read_u32(const uint8_t *data)
{
    uint32_t value;

    memcpy(&value, data, sizeof value);
    return le32toh(value);
}

static void write_u32(uint8_t *data, uint32_t value)
{
    value = htole32(value);
    memcpy(data, &value, sizeof value);
}

static bool has_tail(const uint8_t *frame)
{
    return (read_u32(frame) & FRAME_TAIL_BIT) != 0;
}

ProtobufCMessage *frame_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *frame,
                               size_t size, struct arena *arena)
{
    arena_reset(arena);
    if (has_tail(frame))
        return NULL;
    return protobuf_c_message_unpack(type, &arena->allocator, size - FRAME_HEADER_BYTES,
                                     frame + FRAME_HEADER_BYTES);
}

/* The message that is set in the envelope; NULL: none. All members of the oneof are in one place. */
static ProtobufCMessage *find_inner(const ProtobufCMessage *envelope)
{
    const ProtobufCFieldDescriptor *field = &envelope->descriptor->fields[0];
    ProtobufCMessage *inner;
    unsigned number;

    if (envelope->descriptor->n_fields == 0 || !(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
        return NULL;
    memcpy(&number, (const char *) envelope + field->quantifier_offset, sizeof number);
    if (number == 0)
        return NULL;
    memcpy(&inner, (const char *) envelope + field->offset, sizeof inner);
    return inner;
}

static ProtobufCBinaryData *find_tail(const ProtobufCMessage *inner,
                                      const struct frame_tails *tails)
{
    for (size_t i = 0; inner && i < tails->n_rows; i++)
        if (tails->rows[i].type == inner->descriptor)
            return (ProtobufCBinaryData *) (uintptr_t) ((const char *) inner +
                                                        tails->rows[i].offset);
    return NULL;
}

ProtobufCMessage *frame_unpack_tail(const ProtobufCMessageDescriptor *type,
                                    const struct frame_tails *tails, const uint8_t *frame,
                                    size_t size, struct arena *arena)
{
    size_t head = FRAME_HEADER_BYTES + (has_tail(frame) ? FRAME_TAIL_BYTES : 0);
    size_t tail = 0;

    arena_reset(arena);
    if (head > FRAME_HEADER_BYTES) {
        tail = size >= head ? read_u32(frame + FRAME_HEADER_BYTES) : 0;
        if (tail == 0 || tail > size - head)
            return NULL;
    }
    ProtobufCMessage *envelope =
        protobuf_c_message_unpack(type, &arena->allocator, size - head - tail, frame + head);
    if (!envelope)
        return NULL;
    ProtobufCBinaryData *field = find_tail(find_inner(envelope), tails);
    if (field ? field->len > 0 : tail > 0)
        return NULL;
    if (tail > 0)
        *field = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) (frame + size - tail),
                                        .len = tail };
    return envelope;
}

size_t frame_packed_size(const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);

    return size == 0 || size > FRAME_MAX_BYTES ? 0 : size + FRAME_HEADER_BYTES;
}

void frame_pack(const ProtobufCMessage *message, uint8_t *buffer, size_t size)
{
    write_u32(buffer, (uint32_t) (size - FRAME_HEADER_BYTES));
    (void) protobuf_c_message_pack(message, buffer + FRAME_HEADER_BYTES);
}

void frame_cut(struct frame_cut *cut, const ProtobufCMessage *envelope,
               const struct frame_tails *tails)
{
    const ProtobufCMessage *inner = tails ? find_inner(envelope) : NULL;
    const ProtobufCBinaryData *field = inner ? find_tail(inner, tails) : NULL;

    cut->envelope = envelope;
    cut->tail = (ProtobufCBinaryData){ 0 };
    if (!field || field->len == 0) {
        cut->head_bytes = frame_packed_size(envelope);
        return;
    }
    size_t at = (size_t) ((const char *) field - (const char *) inner);
    const ProtobufCMessage *copy = (const ProtobufCMessage *) cut->message_copy;
    const size_t envelope_size = envelope->descriptor->sizeof_message;
    const size_t message_size = inner->descriptor->sizeof_message;
    assert(envelope_size <= sizeof cut->envelope_copy && message_size <= sizeof cut->message_copy);
    memcpy(cut->envelope_copy, envelope, envelope_size);
    memcpy(cut->envelope_copy + envelope->descriptor->fields[0].offset, &copy, sizeof copy);
    memcpy(cut->message_copy, inner, message_size);
    memset(cut->message_copy + at, 0, sizeof *field);
    cut->envelope = (const ProtobufCMessage *) cut->envelope_copy;
    cut->tail = *field;
    size_t packed = protobuf_c_message_get_packed_size(cut->envelope);
    bool is_good = field->len <= FRAME_MAX_BYTES - FRAME_TAIL_BYTES &&
                   packed <= FRAME_MAX_BYTES - FRAME_TAIL_BYTES - field->len;
    cut->head_bytes = is_good ? FRAME_HEADER_BYTES + FRAME_TAIL_BYTES + packed : 0;
}

void frame_pack_head(const struct frame_cut *cut, uint8_t *buffer)
{
    if (cut->tail.len == 0) {
        frame_pack(cut->envelope, buffer, cut->head_bytes);
        return;
    }
    size_t length = cut->head_bytes - FRAME_HEADER_BYTES + cut->tail.len;

    write_u32(buffer, (uint32_t) length | FRAME_TAIL_BIT);
    write_u32(buffer + FRAME_HEADER_BYTES, (uint32_t) cut->tail.len);
    (void) protobuf_c_message_pack(cut->envelope, buffer + FRAME_HEADER_BYTES + FRAME_TAIL_BYTES);
}

void frame_pack_cut(const struct frame_cut *cut, uint8_t *buffer)
{
    frame_pack_head(cut, buffer);
    if (cut->tail.len > 0)
        memcpy(buffer + cut->head_bytes, cut->tail.data, cut->tail.len);
}
