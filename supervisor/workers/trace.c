/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"
#include "proto/head.h"
#include "worker.pb-c.h"

/* Requests whose begin is known; of an older one the times count anew. */
#define REQUESTS_MAX 64
#define TEXT_MAX 200

struct traced {
    uint64_t id; /* id of the sending; 0: free */
    uint64_t since_ns;
    unsigned n_frames;
};

struct trace {
    struct traced requests[REQUESTS_MAX];
    unsigned next; /* is given up for a new one */
};

struct trace *trace_new(void)
{
    return calloc(1, sizeof(struct trace));
}

struct trace *trace_free(struct trace *trace)
{
    free(trace);
    return NULL;
}

static const void *field_of(const ProtobufCMessage *message, const char *name, ProtobufCType type)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

    return field && field->type == type && field->label != PROTOBUF_C_LABEL_REPEATED
               ? (const char *) message + field->offset
               : NULL;
}

/* The request that a frame is about; 0: none. */
static uint64_t id_of(const ProtobufCMessage *message)
{
    const uint64_t *id = field_of(message, "request", PROTOBUF_C_TYPE_UINT64);

    if (!id)
        id = field_of(message, "id", PROTOBUF_C_TYPE_UINT64);
    return id ? *id : 0;
}

static struct traced *find(struct trace *trace, uint64_t id)
{
    for (unsigned i = 0; i < REQUESTS_MAX; i++)
        if (trace->requests[i].id == id)
            return &trace->requests[i];
    struct traced *request = &trace->requests[trace->next++ % REQUESTS_MAX];
    *request = (struct traced){ .id = id, .since_ns = io_now_ns() };
    return request;
}

static void add_bytes(char *text, size_t size, const char *name, const ProtobufCBinaryData *bytes)
{
    size_t have = strlen(text);

    if (bytes && bytes->len > 0)
        (void) snprintf(text + have, size - have, " %s %zu bytes", name, bytes->len);
}

/* Method and URL of a Request; method, scheme, host and path of a Call. */
static void add_target(char *text, size_t size, const ProtobufCMessage *message)
{
    const ProtobufCBinaryData *packed = field_of(message, "head", PROTOBUF_C_TYPE_BYTES);
    unsigned n_texts = message->descriptor == &skep__worker__request__descriptor
                           ? HEAD_REQUEST_TEXTS
                       : message->descriptor == &skep__worker__call__descriptor ? HEAD_CALL_TEXTS
                                                                                : 0;
    struct head head;

    if (!packed || n_texts == 0 ||
        head_open(packed->data, packed->len, n_texts, HEAD_REQUEST_FIELDS_MAX, &head) < 0)
        return;
    for (unsigned i = 0; i < n_texts; i++) {
        size_t have = strlen(text);
        struct head_text part = head_next(&head);
        (void) snprintf(text + have, size - have, " %.*s",
                        (int) (part.size < TEXT_MAX ? part.size : TEXT_MAX),
                        (const char *) part.data);
    }
}

static void add_number(char *text, size_t size, const char *name, const uint32_t *number)
{
    size_t have = strlen(text);

    if (number)
        (void) snprintf(text + have, size - have, " %s %" PRIu32, name, *number);
}

/* Writes what is worth knowing of a frame: status, URL, number of bytes, whether it is the last one. */
static void describe(const ProtobufCMessage *message, char *text, size_t size)
{
    const ProtobufCType bytes = PROTOBUF_C_TYPE_BYTES, number = PROTOBUF_C_TYPE_UINT32;
    const protobuf_c_boolean *end = field_of(message, "end", PROTOBUF_C_TYPE_BOOL);

    (void) snprintf(text, size, "%s", message->descriptor->short_name);
    add_target(text, size, message);
    add_number(text, size, "status", field_of(message, "status", number));
    add_number(text, size, "bytes", field_of(message, "bytes", number));
    add_bytes(text, size, "body", field_of(message, "body", bytes));
    add_bytes(text, size, "data", field_of(message, "data", bytes));
    add_bytes(text, size, "text", field_of(message, "text", bytes));
    size_t have = strlen(text);
    if (end && *end)
        (void) snprintf(text + have, size - have, ", end");
}

void trace_frame(struct trace *trace, bool is_from_worker, const ProtobufCMessage *message)
{
    char text[2 * TEXT_MAX + 128];
    uint64_t id = trace ? id_of(message) : 0;

    if (id == 0)
        return;
    struct traced *request = find(trace, id);
    if (request->n_frames++ > TRACE_FRAMES_MAX)
        return;
    uint64_t us = (io_now_ns() - request->since_ns) / NSEC_PER_USEC;
    describe(message, text, sizeof text);
    if (request->n_frames > TRACE_FRAMES_MAX)
        log_info("trace: %" PRIu64 " %3" PRIu64 ".%03" PRIu64
                 " ms and more frames, which are not shown",
                 id, us / 1000, us % 1000);
    else
        log_info("trace: %" PRIu64 " %3" PRIu64 ".%03" PRIu64 " ms %s %s", id, us / 1000, us % 1000,
                 is_from_worker ? "<-" : "->", text);
}
