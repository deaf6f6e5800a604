/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of admin.proto as JSON, made from their descriptors: fields have the names of the
 * .proto. Pure functions; any verb.
 */
#pragma once

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

/* Makes an object with each field: texts (empty: null), numbers, booleans, lists of texts. A list
 * of messages that start with a text becomes an object in which all but the last of their fields
 * are the keys; any other, a list of objects. NULL: out of memory. */
json_t *message_json(const ProtobufCMessage *message);
/* Makes a number of the object null if it is 0, for fields in which 0 means none. 0 or negative:
 * out of memory. */
int message_null_if_zero(json_t *object, const char *key);

/* A message that is a page of a list: its first field the rows, its second the number of rows in
 * all. */
struct message_page {
    const ProtobufCMessage *const *rows;
    size_t n_rows;
    uint32_t total;
};
struct message_page message_page(const ProtobufCMessage *message);
