/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/call_frames.h"

#include <errno.h>
#include <string.h>

#include "proto/frame.h"
#include "supervisor/requests/internal.h"
#include "supervisor/workers/worker.h"
#include "worker.pb-c.h"

#define HEADERS_MAX 256

static ProtobufCBinaryData bytes(const void *data, size_t size)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
}

static struct call_text view(ProtobufCBinaryData data)
{
    return (struct call_text){ .data = (const char *) data.data, .size = data.len };
}

/* ---- in */

int requests_on_call_frame(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Call *call = (const Skep__Worker__Call *) message;
    struct request *request = request_find(owner, call->request);
    struct call_field fields[HEADERS_MAX];

    if (!request || call->n_headers > HEADERS_MAX)
        return -EPROTO;
    for (size_t i = 0; i < call->n_headers; i++) {
        fields[i].name = view(call->headers[i]->name);
        fields[i].value = view(call->headers[i]->value);
    }
    const struct call_head head = {
        .id = call->id,
        .binding = call->binding,
        .method = view(call->method),
        .url = view(call->url),
        .fields = fields,
        .n_fields = call->n_headers,
        .body = call->body.data,
        .body_size = call->body.len,
        .end = call->end,
    };
    ledger_note_started(request);
    return caller_on_call(&request->calls, &head);
}

int requests_on_call_body_frame(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__CallBody *body = (const Skep__Worker__CallBody *) message;
    struct request *request = request_find(owner, body->request);

    return request ? caller_on_body(&request->calls, body->id, body->data.data, body->data.len,
                                    body->end)
                   : -EPROTO;
}

int requests_on_call_credit_frame(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__CallCredit *credit = (const Skep__Worker__CallCredit *) message;
    struct request *request = request_find(owner, credit->request);

    if (!request)
        return -EPROTO;
    int r = caller_on_credit(&request->calls, credit->id, credit->bytes);
    ledger_count_bytes(request);
    return r;
}

int requests_on_call_cancel_frame(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__CallCancel *cancel = (const Skep__Worker__CallCancel *) message;
    struct request *request = request_find(owner, cancel->request);

    if (!request)
        return -EPROTO;
    int r = caller_on_cancel(&request->calls, cancel->id);
    ledger_count_bytes(request);
    return r;
}

/* ---- out */

static void send_frame(const struct request *request, unsigned which, void *message)
{
    (void) link_send(request->attempt.placement->worker,
                     (Skep__Worker__ToWorker__MessageCase) which, message);
}

void call_frames_send_head(struct request *request, uint32_t id, const struct call_answer *answer,
                           const struct call_part *part)
{
    Skep__Worker__CallHead frame = SKEP__WORKER__CALL_HEAD__INIT;
    Skep__Worker__Header headers[HEADERS_MAX + 1];
    Skep__Worker__Header *pointers[HEADERS_MAX + 1];

    for (size_t i = 0; i < answer->n_fields; i++) {
        const struct call_field *field = &answer->fields[i];
        skep__worker__header__init(&headers[i]);
        headers[i].name = bytes(field->name.data, field->name.size);
        headers[i].value = bytes(field->value.data, field->value.size);
        pointers[i] = &headers[i];
    }
    frame.request = request->attempt.id;
    frame.id = id;
    frame.status = answer->status;
    frame.headers = pointers;
    frame.n_headers = answer->n_fields;
    frame.body = bytes(part->data, part->size);
    frame.end = part->end;
    send_frame(request, SKEP__WORKER__TO_WORKER__MESSAGE_CALL_HEAD, &frame);
}

void call_frames_send_body(struct request *request, uint32_t id, const struct call_part *part)
{
    Skep__Worker__CallBody frame = SKEP__WORKER__CALL_BODY__INIT;

    frame.request = request->attempt.id;
    frame.id = id;
    frame.data = bytes(part->data, part->size);
    frame.end = part->end;
    send_frame(request, SKEP__WORKER__TO_WORKER__MESSAGE_CALL_BODY, &frame);
}

void call_frames_send_credit(struct request *request, uint32_t id, uint32_t size)
{
    Skep__Worker__CallCredit frame = SKEP__WORKER__CALL_CREDIT__INIT;

    frame.request = request->attempt.id;
    frame.id = id;
    frame.bytes = size;
    send_frame(request, SKEP__WORKER__TO_WORKER__MESSAGE_CALL_CREDIT, &frame);
}

void call_frames_send_failure(struct request *request, uint32_t id, bool is_limit, const char *text)
{
    Skep__Worker__CallDone frame = SKEP__WORKER__CALL_DONE__INIT;

    frame.request = request->attempt.id;
    frame.id = id;
    frame.failure =
        is_limit ? SKEP__WORKER__CALL_FAILURE__CALL_LIMIT : SKEP__WORKER__CALL_FAILURE__CALL_BROKEN;
    frame.message = bytes(text, strlen(text));
    send_frame(request, SKEP__WORKER__TO_WORKER__MESSAGE_CALL_DONE, &frame);
}
