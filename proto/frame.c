/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/frame.h"

#include <endian.h>
#include <errno.h>
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
    length = le32toh(length);
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

ProtobufCMessage *frame_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *frame,
                               size_t size, struct arena *arena)
{
    arena_reset(arena);
    return protobuf_c_message_unpack(type, &arena->allocator, size - FRAME_HEADER_BYTES,
                                     frame + FRAME_HEADER_BYTES);
}

size_t frame_packed_size(const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);

    return size == 0 || size > FRAME_MAX_BYTES ? 0 : size + FRAME_HEADER_BYTES;
}

void frame_pack(const ProtobufCMessage *message, uint8_t *buffer, size_t size)
{
    uint32_t length = htole32((uint32_t) (size - FRAME_HEADER_BYTES));

    memcpy(buffer, &length, sizeof length);
    (void) protobuf_c_message_pack(message, buffer + FRAME_HEADER_BYTES);
}
