/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "proto/head.h"

struct call {
    TAILQ_ENTRY(call) entry;
    uint32_t id;
    uint64_t credit; /* bytes of the body that may be sent */
    /* Bytes of the answer that JavaScript has and has not read, within the window. */
    uint32_t unread;
    uint32_t consumed; /* bytes of the answer that JavaScript has read, not yet granted again */
    bool has_head;
    bool is_end_sent;  /* the end of the call's body is sent */
    bool wants_credit; /* JavaScript waits for isolate_on_call_credit */
};

static ProtobufCBinaryData bytes(struct isolate_bytes from)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) from.data, .len = from.size };
}

static struct isolate_bytes view(ProtobufCBinaryData data)
{
    return (struct isolate_bytes){ .data = data.data, .size = data.len };
}

/* ---- finding a call */

static struct job *find_job(struct app *app, uint64_t id)
{
    struct job *job = id == 0 ? NULL : job_find(app->host, id);

    return job && job->app == app && !job->is_done ? job : NULL;
}

static struct call *find(const struct job *job, uint32_t id)
{
    struct call *call;

    if (job)
        TAILQ_FOREACH (call, &job->calls, entry)
            if (call->id == id)
                return call;
    return NULL;
}

static void call_free(struct job *job, struct call *call)
{
    TAILQ_REMOVE(&job->calls, call, entry);
    free(call);
}

void call_free_all(struct job *job)
{
    struct call *call;

    while ((call = TAILQ_FIRST(&job->calls)))
        call_free(job, call);
}

static void send_cancel(struct job *job, uint32_t id)
{
    Skep__Worker__CallCancel cancel = SKEP__WORKER__CALL_CANCEL__INIT;

    cancel.request = job->id;
    cancel.id = id;
    host_send(job->app->host, SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CANCEL, &cancel);
}

void call_cancel_all(struct job *job)
{
    struct call *call;

    TAILQ_FOREACH (call, &job->calls, entry)
        send_cancel(job, call->id);
    call_free_all(job);
}

bool call_is_awaited(const struct job *job)
{
    const struct call *call;

    /* A call whose answer JavaScript leaves unread, as much as may be sent, cannot wake the job. */
    TAILQ_FOREACH (call, &job->calls, entry)
        if (!call->has_head || call->wants_credit ||
            call->unread + call->consumed < BODY_WINDOW_BYTES)
            return true;
    return false;
}

/* ---- requests of JavaScript; host is the app */

int64_t call_open(void *host, uint64_t request, const struct isolate_call *asked)
{
    struct app *app = host;
    struct job *job = find_job(app, request);
    Skep__Worker__Call frame = SKEP__WORKER__CALL__INIT;

    if (!job || (asked->binding >= app->n_bindings && asked->binding != CALL_FETCH_BINDING))
        return -ENOENT;
    if (asked->head.size > HEAD_MAX_BYTES || asked->body.size > BODY_CHUNK_MAX_BYTES)
        return -E2BIG;
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        return -ENOMEM;
    call->id = ++job->last_call;
    call->credit = BODY_CHUNK_MAX_BYTES - asked->body.size;
    call->is_end_sent = asked->end;
    TAILQ_INSERT_TAIL(&job->calls, call, entry);
    frame.request = job->id;
    frame.id = call->id;
    frame.binding = asked->binding;
    frame.head = bytes(asked->head);
    frame.port = asked->port;
    frame.body = bytes(asked->body);
    frame.end = asked->end;
    host_send(app->host, SKEP__WORKER__FROM_WORKER__MESSAGE_CALL, &frame);
    return call->id;
}

int64_t call_send(void *host, uint64_t request, uint32_t id, struct isolate_bytes data, bool end)
{
    struct app *app = host;
    struct job *job = find_job(app, request);
    struct call *call = find(job, id);
    size_t sent = 0;

    if (!call)
        return -ENOENT;
    if (call->is_end_sent)
        return -EINVAL;
    if (data.size > call->credit)
        return -E2BIG;
    while (sent < data.size || (end && !call->is_end_sent)) {
        Skep__Worker__CallBody body = SKEP__WORKER__CALL_BODY__INIT;
        size_t part =
            data.size - sent < BODY_CHUNK_MAX_BYTES ? data.size - sent : BODY_CHUNK_MAX_BYTES;
        body.request = request;
        body.id = id;
        body.data = bytes((struct isolate_bytes){ part > 0 ? data.data + sent : NULL, part });
        sent += part;
        body.end = call->is_end_sent = end && sent == data.size;
        host_send(app->host, SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_BODY, &body);
    }
    call->credit -= data.size;
    call->wants_credit = !end && call->credit == 0;
    return (int64_t) call->credit;
}

void call_consume(void *host, uint64_t request, uint32_t id, size_t size)
{
    struct app *app = host;
    struct call *call = find(find_job(app, request), id);
    Skep__Worker__CallCredit credit = SKEP__WORKER__CALL_CREDIT__INIT;

    if (!call)
        return;
    /* More credit than the window would look to the supervisor as if the worker lied. */
    uint32_t read = size < call->unread ? (uint32_t) size : call->unread;
    call->unread -= read;
    call->consumed += read;
    if (call->consumed < BODY_GRANT_STEP_BYTES)
        return;
    credit.request = request;
    credit.id = id;
    credit.bytes = call->consumed;
    call->consumed = 0;
    host_send(app->host, SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CREDIT, &credit);
}

void call_cancel(void *host, uint64_t request, uint32_t id)
{
    struct job *job = find_job(host, request);
    struct call *call = find(job, id);

    if (!call)
        return;
    send_cancel(job, id);
    call_free(job, call);
}

/* ---- answers of the supervisor */

static struct call *find_both(struct host *host, uint64_t request, uint32_t id,
                              struct job **ret_job)
{
    struct job *job = job_find(host, request);

    *ret_job = job && !job->is_done ? job : NULL;
    return find(*ret_job, id);
}

int call_on_head(struct host *host, const Skep__Worker__CallHead *head)
{
    struct job *job;
    struct call *call = find_both(host, head->request, head->id, &job);

    struct head packed;

    if (head_open(head->head.data, head->head.len, 0, HEAD_REQUEST_FIELDS_MAX, &packed) < 0)
        return -EPROTO;
    if (!call)
        return 0;
    const struct isolate_answer answer = {
        .call = head->id,
        .status = head->status,
        .head = view(head->head),
        .body = view(head->body),
        .end = head->end,
        .reason = view(head->reason),
    };
    struct app *app = job->app;
    call->has_head = true;
    call->unread += (uint32_t) head->body.len;
    if (head->end)
        call_free(job, call);
    if (entry_begin(app, job))
        entry_end(app, job, isolate_on_call_head(app->isolate, job->id, &answer));
    return 0;
}

int call_on_body(struct host *host, const Skep__Worker__CallBody *body)
{
    struct job *job;
    struct call *call = find_both(host, body->request, body->id, &job);

    if (!call)
        return 0;
    struct app *app = job->app;
    call->unread += (uint32_t) body->data.len;
    if (body->end)
        call_free(job, call);
    if (entry_begin(app, job))
        entry_end(
            app, job,
            isolate_on_call_body(app->isolate, job->id, body->id, view(body->data), body->end));
    return 0;
}

int call_on_credit(struct host *host, const Skep__Worker__CallCredit *credit)
{
    struct job *job;
    struct call *call = find_both(host, credit->request, credit->id, &job);

    if (!call)
        return 0;
    struct app *app = job->app;
    call->credit += credit->bytes;
    if (!call->wants_credit || call->credit == 0)
        return 0;
    call->wants_credit = false;
    if (entry_begin(app, job))
        entry_end(app, job,
                  isolate_on_call_credit(app->isolate, job->id, credit->id, call->credit));
    return 0;
}

int call_on_done(struct host *host, const Skep__Worker__CallDone *done)
{
    struct job *job;
    struct call *call = find_both(host, done->request, done->id, &job);

    if (!call)
        return 0;
    struct app *app = job->app;
    call_free(job, call);
    if (entry_begin(app, job))
        entry_end(app, job,
                  isolate_on_call_failed(app->isolate, job->id, done->id,
                                         done->failure == SKEP__WORKER__CALL_FAILURE__CALL_LIMIT,
                                         view(done->message)));
    return 0;
}
