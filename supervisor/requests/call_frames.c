/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/call_frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "proto/frame.h"
#include "proto/head.h"
#include "supervisor/requests/internal.h"
#include "supervisor/workers/worker.h"
#include "worker.pb-c.h"

static ProtobufCBinaryData bytes(const void *data, size_t size)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
}

static struct call_text take(struct head *head)
{
    struct head_text text = head_next(head);

    return (struct call_text){ .data = text.data, .size = text.size };
}

/* ---- in */

int requests_on_call_frame(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Call *call = (const Skep__Worker__Call *) message;
    struct request *request = request_find(owner, call->request);
    _uninitialized_ struct call_field fields[HEAD_FIELDS_MAX];
    struct head packed;

    if (!request ||
        head_open(call->head.data, call->head.len, HEAD_CALL_TEXTS, HEAD_FIELDS_MAX, &packed) < 0)
        return -EPROTO;
    struct call_text method = take(&packed), scheme = take(&packed), host = take(&packed),
                     path = take(&packed);
    size_t n_fields = packed.n_texts / 2;
    for (size_t i = 0; i < n_fields; i++) {
        fields[i].name = take(&packed);
        fields[i].value = take(&packed);
    }
    struct trace_call trace;
    n_fields = trace_call(&request->span, (const uint8_t *) request->head_memory,
                          request->packed_bytes, fields, n_fields, &trace);
    const struct call_head head = {
        .id = call->id,
        .binding = call->binding,
        .method = method,
        .scheme = scheme,
        .host = host,
        .path = path,
        .port = call->port,
        .fields = fields,
        .n_fields = n_fields,
        .body = call->body.data,
        .body_size = call->body.len,
        .end = call->end,
        .span = trace.span.is_on ? &trace.span : NULL,
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

/* Packs the head of an answer. NULL without memory. */
static uint8_t *pack_answer(const struct call_answer *answer, size_t *ret_size)
{
    size_t size = head_table_bytes(2 * answer->n_fields);

    for (size_t i = 0; i < answer->n_fields; i++)
        size += answer->fields[i].name.size + answer->fields[i].value.size;
    uint8_t *packed = malloc(size);
    if (!packed)
        return NULL;
    struct head_writer to = head_write(packed, 2 * (uint32_t) answer->n_fields);
    for (size_t i = 0; i < answer->n_fields; i++) {
        (void) head_add(&to, answer->fields[i].name.data, answer->fields[i].name.size);
        (void) head_add(&to, answer->fields[i].value.data, answer->fields[i].value.size);
    }
    *ret_size = size;
    return packed;
}

void call_frames_send_head(struct request *request, uint32_t id, const struct call_answer *answer,
                           const struct call_part *part)
{
    Skep__Worker__CallHead frame = SKEP__WORKER__CALL_HEAD__INIT;
    size_t size = 0;
    _cleanup_free_ uint8_t *packed = pack_answer(answer, &size);

    if (!packed) { /* later parts of the call are ignored, as those of a call that is over */
        call_frames_send_failure(request, id, false, "skepd has no memory for the answer");
        return;
    }
    frame.request = request->attempt.id;
    frame.id = id;
    frame.status = answer->status;
    frame.head = bytes(packed, size);
    frame.reason = bytes(answer->reason.data, answer->reason.size);
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
