/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/flat.h"

#include <limits.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };

static bool is_scalar(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_UINT32 || field->type == PROTOBUF_C_TYPE_UINT64 ||
           field->type == PROTOBUF_C_TYPE_BOOL || field->type == PROTOBUF_C_TYPE_ENUM;
}

bool flat_is(const ProtobufCMessageDescriptor *type)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (field->label != PROTOBUF_C_LABEL_NONE ||
            (!is_scalar(field) && field->type != PROTOBUF_C_TYPE_BYTES))
            return false;
    }
    return true;
}

size_t flat_varint_size(uint64_t value)
{
    /* Seven bits to a byte; 0 takes one, too. */
    return (unsigned) (63 - __builtin_clzll(value | 1)) / 7 + 1;
}

uint8_t *flat_put_varint(uint8_t *to, uint64_t value)
{
    for (; value > 127; value >>= 7)
        *to++ = (uint8_t) (value | 128);
    *to++ = (uint8_t) value;
    return to;
}

bool flat_read_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t) (byte & 127) << shift;
        if (byte < 128) {
            *ret_value = value;
            return byte > 0 || shift == 0;
        }
    }
    return false;
}

/* ---- fields of a message */

static const void *place(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return (const char *) message + field->offset;
}

static uint64_t get_number(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    uint64_t large;
    uint32_t number; /* also that of an enum and of protobuf_c_boolean */

    if (field->type == PROTOBUF_C_TYPE_UINT64) {
        memcpy(&large, place(message, field), sizeof large);
        return large;
    }
    memcpy(&number, place(message, field), sizeof number);
    return field->type == PROTOBUF_C_TYPE_BOOL ? number != 0 : number;
}

static bool set_number(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                       uint64_t value)
{
    void *to = (char *) message + field->offset;
    uint32_t number = (uint32_t) value;

    if (field->type == PROTOBUF_C_TYPE_UINT64) {
        memcpy(to, &value, sizeof value);
        return true;
    }
    memcpy(to, &number, sizeof number);
    return value <= (field->type == PROTOBUF_C_TYPE_UINT32 ? UINT32_MAX
                     : field->type == PROTOBUF_C_TYPE_ENUM ? INT_MAX
                                                           : 1);
}

static ProtobufCBinaryData get_bytes(const ProtobufCMessage *message,
                                     const ProtobufCFieldDescriptor *field)
{
    ProtobufCBinaryData bytes;

    memcpy(&bytes, place(message, field), sizeof bytes);
    return bytes;
}

static uint64_t tag(const ProtobufCFieldDescriptor *field)
{
    return (uint64_t) field->id << 3 |
           (field->type == PROTOBUF_C_TYPE_BYTES ? WIRE_BYTES : WIRE_VARINT);
}

/* ---- out */

size_t flat_size(const ProtobufCMessage *message, size_t skipped)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    size_t size = 0;

    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        bool is_bytes = field->type == PROTOBUF_C_TYPE_BYTES;
        uint64_t number = is_bytes ? get_bytes(message, field).len : get_number(message, field);
        if (number == 0 || field->offset == skipped)
            continue;
        size += flat_varint_size(tag(field)) + flat_varint_size(number) + (is_bytes ? number : 0);
    }
    return size;
}

uint32_t flat_ends_with(const ProtobufCMessage *message, size_t offset)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;

    for (unsigned i = type->n_fields; i-- > 0;) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        bool is_bytes = field->type == PROTOBUF_C_TYPE_BYTES;
        if (field->offset == offset)
            return is_bytes && get_bytes(message, field).len > 0 ? field->id : 0;
        if (is_bytes ? get_bytes(message, field).len > 0 : get_number(message, field) > 0)
            return 0;
    }
    return 0;
}

uint8_t *flat_pack(const ProtobufCMessage *message, size_t skipped, uint8_t *to)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;

    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        bool is_bytes = field->type == PROTOBUF_C_TYPE_BYTES;
        ProtobufCBinaryData bytes = { 0 };
        if (is_bytes)
            bytes = get_bytes(message, field);
        uint64_t number = is_bytes ? bytes.len : get_number(message, field);
        if (number == 0 || field->offset == skipped)
            continue;
        to = flat_put_varint(to, tag(field));
        to = flat_put_varint(to, number);
        if (is_bytes) {
            memcpy(to, bytes.data, bytes.len);
            to += bytes.len;
        }
    }
    return to;
}

/* ---- in */

/* The value behind a tag. */
static bool read_value(const ProtobufCFieldDescriptor *field, const uint8_t **at,
                       const uint8_t *end, ProtobufCMessage *to)
{
    uint64_t number;

    if (!flat_read_varint(at, end, &number) || number == 0)
        return false;
    if (field->type != PROTOBUF_C_TYPE_BYTES)
        return set_number(to, field, number);
    if (number > (size_t) (end - *at))
        return false;
    const ProtobufCBinaryData bytes = { .data = (uint8_t *) (uintptr_t) *at,
                                        .len = (size_t) number };
    memcpy((char *) to + field->offset, &bytes, sizeof bytes);
    *at += number;
    return true;
}

bool flat_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size,
                 ProtobufCMessage *to)
{
    const uint8_t *at = data, *end = data + size;
    unsigned i = 0;
    uint64_t found;

    type->message_init(to);
    while (at < end) {
        if (!flat_read_varint(&at, end, &found))
            return false;
        /* The descriptor has its fields in the order of their numbers, as the bytes must. */
        while (i < type->n_fields && tag(&type->fields[i]) < found)
            i++;
        if (i == type->n_fields || tag(&type->fields[i]) != found ||
            !read_value(&type->fields[i], &at, end, to))
            return false;
        i++;
    }
    return true;
}
