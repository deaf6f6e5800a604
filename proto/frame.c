/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/frame.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/flat.h"

#define ARENA_ALIGN 16
#define WIRE_TYPE_BYTES 2 /* protobuf's type of bytes, in the lowest three bits of a tag */

/* AddressSanitizer is told which part of the arena is in use, so that it sees a message that is
 * read after the next one, and a field that is read behind its end. */
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
    /* Untouched pages cost nothing, so the bound may be generous. malloc would ask for pages, too,
     * but AddressSanitizer's writes half a megabyte of shadow for each such block. */
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

/* Returns the message that is set in the envelope; NULL: none. All members of the oneof are in one
 * place. */
static ProtobufCMessage *find_inner(const ProtobufCMessage *envelope, uint32_t *ret_number)
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
    *ret_number = number;
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

/* The field of the envelope whose tag the bytes begin with, if they are that one message. *at is moved to its bytes. */
static const ProtobufCFieldDescriptor *find_member(const ProtobufCMessageDescriptor *type,
                                                   const uint8_t **at, const uint8_t *end)
{
    uint64_t tag, size;

    if (!flat_read_varint(at, end, &tag) || (tag & 7) != WIRE_TYPE_BYTES || tag > UINT32_MAX ||
        !flat_read_varint(at, end, &size) || size != (size_t) (end - *at))
        return NULL;
    /* The fields of an envelope are numbered one after the other. */
    uint64_t i = (tag >> 3) - type->fields[0].id;
    return i < type->n_fields && type->fields[i].id == tag >> 3 ? &type->fields[i] : NULL;
}

static ProtobufCMessage *unpack_flat(const ProtobufCMessageDescriptor *type,
                                     const ProtobufCFieldDescriptor *member, const uint8_t *data,
                                     size_t size, struct arena *arena)
{
    const ProtobufCMessageDescriptor *inner_type = member->descriptor;
    ProtobufCMessage *envelope = arena_alloc(arena, type->sizeof_message);
    ProtobufCMessage *inner = arena_alloc(arena, inner_type->sizeof_message);

    if (!envelope || !inner || !flat_unpack(inner_type, data, size, inner))
        return NULL;
    type->message_init(envelope);
    memcpy((char *) envelope + member->quantifier_offset, &member->id, sizeof member->id);
    memcpy((char *) envelope + member->offset, &inner, sizeof inner);
    return envelope;
}

static ProtobufCMessage *unpack_envelope(const ProtobufCMessageDescriptor *type,
                                         const struct frame_tails *tails, const uint8_t *data,
                                         size_t size, struct arena *arena)
{
    const uint8_t *at = data;
    const ProtobufCFieldDescriptor *member = find_member(type, &at, data + size);

    if (!member || member->type != PROTOBUF_C_TYPE_MESSAGE)
        return NULL;
    if (flat_is(member->descriptor) && member->descriptor != tails->greeting)
        return unpack_flat(type, member, at, (size_t) (data + size - at), arena);
    return protobuf_c_message_unpack(type, &arena->allocator, size, data);
}

/* Reads a flat message where it lies, and others as frame_unpack does. */
static ProtobufCMessage *unpack_inside(const ProtobufCMessageDescriptor *type, const uint8_t *data,
                                       size_t size, struct arena *arena)
{
    const uint8_t *at = data;
    const ProtobufCFieldDescriptor *member = find_member(type, &at, data + size);
    ProtobufCMessage *envelope = NULL;

    if (member && member->type == PROTOBUF_C_TYPE_MESSAGE && flat_is(member->descriptor))
        envelope = unpack_flat(type, member, at, (size_t) (data + size - at), arena);
    if (envelope)
        return envelope;
    arena_reset(arena);
    return protobuf_c_message_unpack(type, &arena->allocator, size, data);
}

ProtobufCMessage *frame_unpack_tail(const ProtobufCMessageDescriptor *type,
                                    const struct frame_tails *tails, const uint8_t *frame,
                                    size_t size, struct arena *arena)
{
    size_t head = FRAME_HEADER_BYTES + (has_tail(frame) ? FRAME_TAIL_BYTES : 0);
    size_t tail = 0;
    uint32_t number;

    arena_reset(arena);
    if (tails->is_inside)
        return has_tail(frame) ? NULL : unpack_inside(type, frame + head, size - head, arena);
    if (head > FRAME_HEADER_BYTES) {
        tail = size >= head ? read_u32(frame + FRAME_HEADER_BYTES) : 0;
        if (tail == 0 || tail > size - head)
            return NULL;
    }
    ProtobufCMessage *envelope =
        unpack_envelope(type, tails, frame + head, size - head - tail, arena);
    if (!envelope)
        return NULL;
    ProtobufCBinaryData *field = find_tail(find_inner(envelope, &number), tails);
    if (field ? field->len > 0 : tail > 0)
        return NULL;
    if (tail > 0)
        *field = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) (frame + size - tail),
                                        .len = tail };
    return envelope;
}

static uint64_t member_tag(uint32_t number)
{
    return (uint64_t) number << 3 | WIRE_TYPE_BYTES;
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

/* The envelope around a flat message is its tag and its size. Without the tail. */
static size_t packed_bytes(const struct frame_cut *cut)
{
    if (!cut->flat)
        return protobuf_c_message_get_packed_size(cut->envelope);
    return flat_varint_size(member_tag(cut->number)) + flat_varint_size(cut->flat_bytes) +
           cut->flat_bytes - (cut->inside > 0 ? cut->tail.len : 0);
}

static void pack_envelope(const struct frame_cut *cut, uint8_t *to)
{
    if (!cut->flat) {
        (void) protobuf_c_message_pack(cut->envelope, to);
        return;
    }
    to = flat_put_varint(to, member_tag(cut->number));
    to = flat_put_varint(to, cut->flat_bytes);
    to = flat_pack(cut->flat, cut->skipped, to);
    if (cut->inside > 0) {
        to = flat_put_varint(to, member_tag(cut->inside));
        (void) flat_put_varint(to, cut->tail.len);
    }
}

void frame_cut(struct frame_cut *cut, const ProtobufCMessage *envelope,
               const struct frame_tails *tails)
{
    uint32_t number = 0;
    const ProtobufCMessage *inner = tails ? find_inner(envelope, &number) : NULL;
    const ProtobufCBinaryData *field = inner ? find_tail(inner, tails) : NULL;

    bool is_flat = inner && flat_is(inner->descriptor);

    *cut = (struct frame_cut){ .envelope = envelope, .number = number };
    if (field && is_flat && tails->is_inside)
        cut->inside = flat_ends_with(inner, (size_t) ((const char *) field - (const char *) inner));
    if (field && field->len > 0 && (cut->inside > 0 || !tails->is_inside)) {
        assert(is_flat);
        cut->tail = *field;
        cut->skipped = (size_t) ((const char *) field - (const char *) inner);
    }
    if (is_flat) {
        cut->flat = inner;
        cut->flat_bytes = flat_size(inner, cut->skipped);
        if (cut->inside > 0)
            cut->flat_bytes += flat_varint_size(member_tag(cut->inside)) +
                               flat_varint_size(cut->tail.len) + cut->tail.len;
    }
    size_t most = FRAME_MAX_BYTES, around = FRAME_HEADER_BYTES, packed = packed_bytes(cut);
    if (cut->tail.len > 0) {
        size_t size = cut->inside > 0 ? 0 : FRAME_TAIL_BYTES;
        around += size;
        most -= size;
        most -= cut->tail.len < most ? cut->tail.len : most;
    }
    cut->head_bytes = packed == 0 || packed > most ? 0 : around + packed;
}

void frame_pack_head(const struct frame_cut *cut, uint8_t *buffer)
{
    size_t length = cut->head_bytes - FRAME_HEADER_BYTES + cut->tail.len;

    if (cut->tail.len == 0 || cut->inside > 0) {
        write_u32(buffer, (uint32_t) length);
        pack_envelope(cut, buffer + FRAME_HEADER_BYTES);
        return;
    }
    write_u32(buffer, (uint32_t) length | FRAME_TAIL_BIT);
    write_u32(buffer + FRAME_HEADER_BYTES, (uint32_t) cut->tail.len);
    pack_envelope(cut, buffer + FRAME_HEADER_BYTES + FRAME_TAIL_BYTES);
}

void frame_pack_cut(const struct frame_cut *cut, uint8_t *buffer)
{
    frame_pack_head(cut, buffer);
    if (cut->tail.len > 0)
        memcpy(buffer + cut->head_bytes, cut->tail.data, cut->tail.len);
}
