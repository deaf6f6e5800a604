/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutations for libFuzzer that know where a frame begins: half of them change one message and
 * correct the lengths afterwards, since random changes hardly ever leave valid lengths. The other
 * half also changes the targets' options, before the frames.
 */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "proto/frame.h"
#include "tests/fuzz/rig.h"

#define CASES 12
#define FRAMES_MAX 256

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* Finds where each whole frame begins, and where the last one ends. Returns how many there are. */
static size_t find_frames(const uint8_t *data, size_t size, size_t *ret_starts)
{
    size_t at = fuzz_options_bytes, n = 0;

    while (n < FRAMES_MAX && at < size) {
        int64_t frame = frame_measure(data + at, size - at);
        if (frame <= 0)
            break;
        ret_starts[n++] = at;
        at += (size_t) frame;
    }
    ret_starts[n] = at;
    return n;
}

static size_t put_varint(uint8_t *at, size_t value)
{
    size_t n = 0;

    for (; value > 127; value >>= 7)
        at[n++] = (uint8_t) (value | 128);
    at[n++] = (uint8_t) value;
    return n;
}

/* Returns where the message's own bytes begin, behind the envelope's tag and length; 0: it has
 * none. */
static size_t skip_envelope(const uint8_t *message, size_t size)
{
    size_t at = 1;

    if (size == 0 || (message[0] & 7) != 2)
        return 0;
    while (at < size && at < 6 && (message[at] & 128))
        at++;
    return at < size ? at + 1 : 0;
}

/* Returns the number of raw bytes behind the frame's message; *ret_lead: bytes before them. */
static size_t find_tail(const uint8_t *frame, size_t size, size_t *ret_lead)
{
    uint32_t length, tail;

    memcpy(&length, frame, sizeof length);
    if (!(le32toh(length) & FRAME_TAIL_BIT) || size < FRAME_HEADER_BYTES + FRAME_TAIL_BYTES)
        return 0;
    memcpy(&tail, frame + FRAME_HEADER_BYTES, sizeof tail);
    tail = le32toh(tail);
    if (tail == 0 || tail > size - FRAME_HEADER_BYTES - FRAME_TAIL_BYTES)
        return 0;
    *ret_lead = FRAME_HEADER_BYTES + FRAME_TAIL_BYTES;
    return tail;
}

/* Puts a mutated message in the place of one. Returns the size of the whole. */
static size_t change_message(uint8_t *data, size_t size, size_t max_size, const size_t *frame,
                             unsigned seed)
{
    _cleanup_free_ uint8_t *body = malloc(max_size);
    size_t lead = FRAME_HEADER_BYTES, tail = find_tail(data + frame[0], frame[1] - frame[0], &lead);
    const uint8_t *message = data + frame[0] + lead;
    size_t end = frame[1] - tail, message_size = end - frame[0] - lead;
    size_t skip = skip_envelope(message, message_size);
    uint8_t head[16] = { 0 };

    if (!body || frame[1] > max_size)
        return size;
    uint8_t tag = seed & 7 ? message[0] : (uint8_t) ((seed >> 3) % CASES << 3 | 2);
    size_t n = message_size - skip;
    memcpy(body, message + skip, n);
    if (seed & 7)
        n = LLVMFuzzerMutate(body, n, max_size);
    size_t head_size = lead;
    if (skip > 0) {
        head[head_size++] = tag;
        head_size += put_varint(head + head_size, n);
    }
    size_t rest = size - end; /* with the message's tail */
    if (frame[0] + head_size + n + rest > max_size)
        return size;
    uint32_t length = htole32((uint32_t) (head_size - FRAME_HEADER_BYTES + n + tail) |
                              (tail > 0 ? FRAME_TAIL_BIT : 0));
    memcpy(head, &length, sizeof length);
    if (tail > 0) {
        length = htole32((uint32_t) tail);
        memcpy(head + FRAME_HEADER_BYTES, &length, sizeof length);
    }
    memmove(data + frame[0] + head_size + n, data + end, rest);
    memcpy(data + frame[0], head, head_size);
    memcpy(data + frame[0] + head_size, body, n);
    return frame[0] + head_size + n + rest;
}

static size_t copy_frame(uint8_t *data, size_t size, size_t max_size, const size_t *from, size_t to)
{
    uint8_t frame[1024];
    size_t n = from[1] - from[0];

    if (n > sizeof frame || size + n > max_size)
        return size;
    memcpy(frame, data + from[0], n);
    memmove(data + to + n, data + to, size - to);
    memcpy(data + to, frame, n);
    return size + n;
}

static size_t remove_frame(uint8_t *data, size_t size, const size_t *frame)
{
    memmove(data + frame[0], data + frame[1], size - frame[1]);
    return size - (frame[1] - frame[0]);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size_t starts[FRAMES_MAX + 1];
    size_t n = size > fuzz_options_bytes ? find_frames(data, size, starts) : 0;

    if (n == 0 || seed % 2 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    seed /= 2;
    size_t one = seed % n, other = seed / 256 % n;
    switch (seed / 65536 % 8) {
    case 0:
        return copy_frame(data, size, max_size, &starts[one], starts[other]);
    case 1:
        return n > 1 ? remove_frame(data, size, &starts[one]) : size;
    default:
        return change_message(data, size, max_size, &starts[one], seed / 65536);
    }
}
