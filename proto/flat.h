/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flat messages: those of numbers and bytes only, without repeated fields and messages inside. Packs and unpacks them without
 * protobuf-c's general walk: the same bytes, and no others. Pure functions; used by the channel between skepd and its workers.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLAT_VARINT_MAX_BYTES 10

bool flat_is(const ProtobufCMessageDescriptor *type);

/* Returns the bytes of the flat message when it is packed. skipped: offset of a field that counts
 * as empty; 0: none. */
size_t flat_size(const ProtobufCMessage *message, size_t skipped);

/* Returns the number of the field at that offset if the flat message, packed, ends with its bytes; else 0. */
uint32_t flat_ends_with(const ProtobufCMessage *message, size_t offset);

/* Packs the flat message to memory that holds flat_size. Returns the end of the written bytes. */
uint8_t *flat_pack(const ProtobufCMessage *message, size_t skipped, uint8_t *to);

/* Reads a flat message into `to`, memory of type->sizeof_message bytes. Fields of bytes point into
 * data. False: flat_pack writes such bytes for no message of the type (fields in another order or
 * twice, fields that the type does not have, numbers that do not fit theirs or are longer than they
 * need be, defaults that are written out). */
bool flat_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size,
                 ProtobufCMessage *to);

/* One number as protobuf writes it. These return its size, its end, and false if the bytes are not
 * a number in that form. */
size_t flat_varint_size(uint64_t value);
uint8_t *flat_put_varint(uint8_t *to, uint64_t value);
bool flat_read_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret_value);
