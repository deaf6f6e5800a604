/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/message.h"

#include <stdbool.h>

#include "cli/output.h"

/* protobuf-c: the member of a field is at its offset; that of a repeated field is a pointer to the
 * first value, and the number of values is at quantifier_offset. */
static const void *member(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return (const char *) message + field->offset;
}

static size_t count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return *(const size_t *) (const void *) ((const char *) message + field->quantifier_offset);
}

static const void *elements(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return *(const void *const *) member(message, field);
}

static json_t *value_json(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const void *value = member(message, field);
    const ProtobufCBinaryData *text = value;

    switch (field->type) {
    case PROTOBUF_C_TYPE_UINT32:
        return json_count(*(const uint32_t *) value);
    case PROTOBUF_C_TYPE_UINT64:
        return json_count(*(const uint64_t *) value);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *) value);
    case PROTOBUF_C_TYPE_BYTES:
        return text->len > 0 ? json_text(text->data, text->len) : json_null();
    default:
        return json_null(); /* admin.proto has no other types */
    }
}

static json_t *texts_json(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const ProtobufCBinaryData *texts = elements(message, field);
    json_t *list = json_array();

    for (size_t i = 0; i < count(message, field); i++)
        if (json_array_append_new(list, json_text(texts[i].data, texts[i].len)) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* ---- lists of messages as objects */

/* Returns the object below a key, made if it is missing; borrowed. */
static json_t *get_object(json_t *object, const char *key)
{
    json_t *inner = json_object_get(object, key);

    if (inner)
        return inner;
    inner = json_object();
    return json_object_set_new(object, key, inner) < 0 ? NULL : inner;
}

static int add_entry(json_t *map, const ProtobufCMessage *entry)
{
    const ProtobufCMessageDescriptor *type = entry->descriptor;
    unsigned last = type->n_fields - 1;

    for (unsigned i = 0; i < last; i++) {
        const ProtobufCBinaryData *text = member(entry, &type->fields[i]);
        _cleanup_free_ char *key = output_line(text->data, text->len);
        if (!key)
            return -1;
        if (i + 1 == last)
            return json_object_set_new(map, key, value_json(entry, &type->fields[last]));
        map = get_object(map, key);
        if (!map)
            return -1;
    }
    return 0;
}

static json_t *map_json(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessage *const *entries = elements(message, field);
    json_t *map = json_object();

    for (size_t i = 0; i < count(message, field); i++)
        if (add_entry(map, entries[i]) < 0) {
            json_decref(map);
            return NULL;
        }
    return map;
}

/* ---- lists of messages as lists */

static json_t *objects_json(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessage *const *entries = elements(message, field);
    json_t *list = json_array();

    for (size_t i = 0; i < count(message, field); i++)
        if (json_array_append_new(list, message_json(entries[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* ---- all of it */

static bool is_map(const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessageDescriptor *type = field->descriptor;

    return type->fields[0].type == PROTOBUF_C_TYPE_BYTES;
}

static json_t *field_json(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return value_json(message, field);
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return texts_json(message, field);
    return is_map(field) ? map_json(message, field) : objects_json(message, field);
}

json_t *message_json(const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    json_t *object = json_object();

    for (unsigned i = 0; i < type->n_fields; i++)
        if (json_object_set_new(object, type->fields[i].name,
                                field_json(message, &type->fields[i])) < 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}

int message_null_if_zero(json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key)) == 0
               ? json_object_set_new(object, key, json_null())
               : 0;
}

struct message_page message_page(const ProtobufCMessage *message)
{
    const ProtobufCFieldDescriptor *fields = message->descriptor->fields;

    return (struct message_page){
        .rows = elements(message, &fields[0]),
        .n_rows = count(message, &fields[0]),
        .total = *(const uint32_t *) member(message, &fields[1]),
    };
}
