/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers of a worker's frames about requests. Every byte from a worker is hostile; a frame that
 * does not fit the ledger is -EPROTO, which gets the worker killed. Supervisor, loop thread.
 */
#include "supervisor/requests/frames.h"

#include <errno.h>

#include "common/cleanup.h"
#include "proto/head.h"
#include "supervisor/placement/first_credit.h"
#include "supervisor/requests/internal.h"
#include "supervisor/workers/link.h"

static size_t take_fields(struct head *from, struct http_field fields[static HEAD_FIELDS_MAX])
{
    size_t n = from->n_texts / 2;

    for (size_t i = 0; i < n; i++) {
        struct head_text name = head_next(from), value = head_next(from);
        fields[i].name = (struct http_text){ name.data, name.size };
        fields[i].value = (struct http_text){ value.data, value.size };
    }
    return n;
}

int requests_on_response_head_frame(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__ResponseHead *head = (const Skep__Worker__ResponseHead *) message;
    struct request *request = request_find(owner, head->id);
    _uninitialized_ struct http_field fields[HEAD_FIELDS_MAX];
    struct head packed;

    if (!request || head->body.len > ANSWER_CHUNK_MAX_BYTES ||
        head_open(head->head.data, head->head.len, 0, HEAD_FIELDS_MAX, &packed) < 0)
        return -EPROTO;
    struct http_response response = { .status = head->status, .fields = fields };
    response.n_fields = take_fields(&packed, fields);
    return ledger_on_head(request, &response, head->body.data, head->body.len, head->end);
}

int requests_on_body_frame(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Body *body = (const Skep__Worker__Body *) message;
    struct request *request = request_find(owner, body->id);

    /* Each part counts as progress, so one without bytes is refused. */
    if (!request || body->data.len > ANSWER_CHUNK_MAX_BYTES || (body->data.len == 0 && !body->end))
        return -EPROTO;
    return ledger_on_body(request, body->data.data, body->data.len, body->end);
}

int requests_on_credit_frame(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Credit *credit = (const Skep__Worker__Credit *) message;
    struct request *request = request_find(owner, credit->id);

    return request ? ledger_on_credit(request, credit->bytes) : -EPROTO;
}

static void log_of_tenant(struct request *request, Skep__Worker__LogLevel level,
                          ProtobufCBinaryData line)
{
    if (line.len == 0)
        return;
    tenant_log_of(request->attempt.tenant, request->attempt.id, (enum tenant_log_level) level,
                  (const char *) line.data, link_line_size(line));
    request->is_told = true;
}

int requests_on_done_frame(void *owner, const ProtobufCMessage *message)
{
    static const enum error_code codes[] = {
        [SKEP__WORKER__OUTCOME__OUTCOME_OK] = ERROR_NONE,
        [SKEP__WORKER__OUTCOME__OUTCOME_EXCEPTION] = ERROR_EXCEPTION,
        [SKEP__WORKER__OUTCOME__OUTCOME_BAD_RESPONSE] = ERROR_BAD_RESPONSE,
        [SKEP__WORKER__OUTCOME__OUTCOME_CPU_REQUEST] = ERROR_CPU_REQUEST,
        [SKEP__WORKER__OUTCOME__OUTCOME_MEM_ISOLATE] = ERROR_MEM_ISOLATE,
        [SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED] = ERROR_EXCEPTION,
        [SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED] = ERROR_NONE,
        [SKEP__WORKER__OUTCOME__OUTCOME_HUNG] = ERROR_HUNG,
    };
    const Skep__Worker__Done *done = (const Skep__Worker__Done *) message;
    struct request *request = request_find(owner, done->id);

    /* Another worker has the request by now: all other frames about it have an unknown id. */
    if (done->outcome == SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED &&
        worker_end_withdrawn(owner, done->id))
        return 0;
    if (!request || (unsigned) done->outcome >= ARRAY_LEN(codes))
        return -EPROTO;
    log_of_tenant(request, SKEP__WORKER__LOG_LEVEL__LOG_ERROR, done->message);
    if (done->outcome == SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED)
        ledger_on_not_loaded(request);
    else {
        first_credit_on_done(request->attempt.placement, done->first_us);
        ledger_on_done(request, codes[done->outcome], done->cpu_us);
    }
    return 0;
}

int requests_on_caught_up_frame(void *owner, const ProtobufCMessage *message)
{
    struct worker *worker = owner;

    (void) message;
    if (worker->caught_up == worker->served) /* each frame is for one request at least */
        return -EPROTO;
    worker->caught_up++;
    ledger_on_caught_up(worker);
    return 0;
}
