/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "proto/frame.h"
#include "supervisor/requests/call_frames.h"
#include "supervisor/requests/calling.h"
#include "supervisor/requests/kinds.h"
#include "supervisor/requests/may_call.h"
#include "supervisor/requests/service_head.h"
#include "supervisor/tenants/callers.h"
#include "supervisor/tenants/unserved.h"
#include "supervisor/workers/worker.h"

/* A call, as the client of its request. */
struct service {
    struct call *call;       /* borrowed; gone with the service */
    struct request *request; /* borrowed; NULL until there is one */
    bool is_head;            /* the method is HEAD: an answer has no body */
    bool has_body;           /* the answer has a body */
    /* Bytes that are still to come, of the body of the call and of the answer's, by their Content-Length; -1: any number. */
    int64_t body_left, answer_left;
};

static const struct client_ops service_client;
static void fail(void *to, enum error_code code, unsigned retry_after_s, uint64_t request_id);

/* ---- the answer, to the caller's worker */

/* Ends the call; its waiting bytes are kept for the caller now. */
static void leave(struct service *service, struct request *parent)
{
    free(service);
    ledger_count_bytes(parent);
}

static int refuse_for_room(struct service *service)
{
    struct request *parent = call_parent(service->call);

    call_count(parent, ERROR_OVERLOADED);
    call_fail(service->call, false, "overloaded");
    leave(service, parent);
    return -ECANCELED;
}

static struct call_text view(struct http_text text)
{
    return (struct call_text){ text.data, text.size };
}

static struct call_text literal(const char *text)
{
    return (struct call_text){ text, strlen(text) };
}

/* Copies the fields that pass. ret_length: what Content-Length says, which does not pass; -1: there is none. Returns their
 * number, or -EBADMSG. */
static int pass_fields(const struct http_response *response,
                       struct call_field fields[static SERVICE_FIELDS_MAX], int64_t *ret_length)
{
    int64_t length = -1;
    size_t size = 0;
    int n = 0;

    if (response->status < 200 || response->status > 599 || response->n_fields > SERVICE_FIELDS_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < response->n_fields; i++) {
        const struct http_field *field = &response->fields[i];
        enum http_passage passage = http_field_passage(field);
        size += field->name.size + field->value.size + 4;
        if (passage == HTTP_PASSAGE_REFUSED || size > HTTP_RESPONSE_HEAD_MAX_BYTES ||
            http_take_length(field, &length) < 0)
            return -EBADMSG;
        if (passage == HTTP_PASSAGE_FREE)
            fields[n++] = (struct call_field){ view(field->name), view(field->value) };
    }
    *ret_length = length;
    return n;
}

/* Ends the service with the answer or, by r, with the call; otherwise counts the answer's waiting bytes, which are kept for the
 * caller. */
static int after_part(struct service *service, struct request *parent, int r, bool end)
{
    if (r < 0 || end)
        leave(service, parent);
    else if (call_waiting(service->call) > 0)
        ledger_count_bytes(parent);
    return r < 0 ? -ECANCELED : 0;
}

static int respond(void *to, const struct http_response *response, const uint8_t *body, size_t size,
                   bool end)
{
    struct service *service = to;
    struct request *parent = call_parent(service->call);
    struct call_field fields[SERVICE_FIELDS_MAX + 1];
    char length[24];
    int64_t announced;
    int n = pass_fields(response, fields, &announced);

    if (n < 0)
        return n;
    struct call_answer answer = { .status = response->status,
                                  .fields = fields,
                                  .n_fields = (size_t) n };
    service->has_body = !service->is_head && response->status != 204 && response->status != 205 &&
                        response->status != 304;
    size = service->has_body ? size : 0;
    if (end && service->has_body && announced < 0)
        announced = (int64_t) size;
    service->answer_left = announced;
    if (service->has_body && !service_take_length(&service->answer_left, size, end))
        return -EBADMSG;
    if (call_is_short(parent))
        return refuse_for_room(service);
    if (announced >= 0 && (service->has_body || service->is_head)) {
        (void) snprintf(length, sizeof length, "%" PRId64, announced);
        fields[answer.n_fields++] =
            (struct call_field){ literal("content-length"), literal(length) };
    }
    call_count(parent, ERROR_NONE);
    return after_part(service, parent, call_respond(service->call, &answer, body, size, end), end);
}

static int send_body(void *to, const uint8_t *data, size_t size, bool end)
{
    struct service *service = to;
    struct request *parent = call_parent(service->call);

    if (call_is_short(parent))
        return refuse_for_room(service);
    size = service->has_body ? size : 0;
    if (service->has_body && !service_take_length(&service->answer_left, size, end)) {
        fail(to, ERROR_BAD_RESPONSE, 0, 0);
        return -EBADMSG;
    }
    int r = size > 0 || end ? call_send_body(service->call, data, size, end) : 0;
    return after_part(service, parent, r, end);
}

/* Answers as http_fail does. */
static void answer_problem(struct call *call, enum error_code code, unsigned retry_after_s,
                           uint64_t request_id)
{
    const struct error_info *info = error_info(code);
    char body[ERROR_PROBLEM_BYTES], retry[16], id[24], length[24];
    size_t size = error_write_problem(code, info->status, NULL, body);

    (void) snprintf(length, sizeof length, "%zu", size);
    struct call_field fields[5] = {
        { literal("content-type"), literal("application/problem+json") },
        { literal("content-length"), literal(length) },
        { literal("skep-error"), literal(info->code) },
    };
    struct call_answer answer = { .status = info->status, .fields = fields, .n_fields = 3 };
    (void) snprintf(id, sizeof id, "%" PRIu64, request_id);
    if (request_id > 0)
        fields[answer.n_fields++] = (struct call_field){ literal("skep-request-id"), literal(id) };
    (void) snprintf(retry, sizeof retry, "%u", retry_after_s);
    if (retry_after_s > 0)
        fields[answer.n_fields++] = (struct call_field){ literal("retry-after"), literal(retry) };
    (void) call_respond(call, &answer, (const uint8_t *) body, size, true);
}

static void fail(void *to, enum error_code code, unsigned retry_after_s, uint64_t request_id)
{
    struct service *service = to;
    struct request *parent = call_parent(service->call);

    if (service->call->is_head_sent) {
        call_fail(service->call, false, error_info(code)->code);
    } else {
        call_count(parent, code);
        answer_problem(service->call, code, retry_after_s, request_id);
    }
    leave(service, parent);
}

/* ---- the other functions of a client */

static void grant(void *to, size_t bytes)
{
    const struct service *service = to;

    call_grant(service->call, (uint32_t) bytes);
}

static bool awaits_body(const void *to)
{
    const struct service *service = to;

    return !service->call->is_body_ended;
}

static bool is_head_sent(const void *to)
{
    const struct service *service = to;

    return service->call->is_head_sent;
}

static size_t queued(const void *to)
{
    const struct service *service = to;

    return call_queued(service->call);
}

static uint64_t key(const void *to)
{
    const struct service *service = to;

    return call_parent(service->call)->attempt.tenant->number;
}

static const struct client_ops service_client = {
    .respond = respond,
    .send_body = send_body,
    .fail = fail,
    .grant = grant,
    .awaits_body = awaits_body,
    .is_head_sent = is_head_sent,
    .queued = queued,
    .key = key,
    .is_caller = true,
};

/* ---- the right to call */

/* Returns whether the tenant waits for the result of the request. */
static bool is_in_chain(const struct request *request, const struct tenant *tenant)
{
    for (; request; request = request->client.ops == &service_client && request->client.to
                                  ? call_parent(((struct service *) request->client.to)->call)
                                  : NULL)
        if (request->attempt.tenant == tenant)
            return true;
    return false;
}

static bool may_cross(const struct cordon_config *from, const struct cordon_config *to)
{
    return strcmp(from->name, to->name) == 0 || (from->calls_across && to->calls_across);
}

/* Checks conditions that do not depend on the request. from: the caller's version. */
static enum error_code check_right(const struct version *from, const char *name,
                                   const struct tenant *tenant)
{
    if (!tenant)
        return unserved_find(from->tenant->tenants, name) ? ERROR_UNSERVED : ERROR_NO_SERVICE;
    if (tenant->deployed.is_unrouted)
        return ERROR_NO_SERVICE;
    return callers_may_call(tenant->version, from->tenant) &&
                   may_cross(from->cordon, tenant->version->cordon)
               ? ERROR_NONE
               : ERROR_CALL_DENIED;
}

static enum error_code check(const struct request *parent, const char *name,
                             const struct tenant *tenant)
{
    enum error_code code = check_right(parent->attempt.version, name, tenant);

    return code == ERROR_NONE && is_in_chain(parent, tenant) ? ERROR_CALL_CYCLE : code;
}

enum error_code binding_check(const struct tenant *tenant, const struct binding *binding)
{
    const char *name = binding->target;

    if (binding->kind != BINDING_SERVICE)
        return ERROR_NONE;
    return check_right(tenant->version, name, tenant_find(tenant->tenants, name, strlen(name)));
}

/* ---- the kind */

static void refuse(struct call *call, enum error_code code)
{
    call_count(call_parent(call), code);
    answer_problem(call, code, 0, 0);
}

static int open_request(struct call *call, struct tenant *tenant, const struct call_head *from,
                        const struct service_head *parsed)
{
    struct request *parent = call_parent(call);
    struct service *service = calloc(1, sizeof *service);
    const struct request_client client = { &service_client, service };
    const struct request_origin origin = {
        .scheme = parsed->scheme,
        .caller = { parent->attempt.tenant->name, strlen(parent->attempt.tenant->name) },
        .parent = call->caller,
        .span = from->span && !from->span->is_foreign ? from->span : NULL,
    };

    if (!service)
        return -ENOMEM;
    service->call = call;
    service->body_left = parsed->body_left;
    service->is_head =
        parsed->head.method.size == 4 && memcmp(parsed->head.method.data, "HEAD", 4) == 0;
    call->object = service;
    struct request *request = ledger_open(parent->ledger, tenant, &client, &parsed->head, &origin);
    if (!request)
        return 0;
    service->request = request;
    if (from->body_size > 0)
        ledger_take_body(request, from->body, from->body_size, from->end);
    return 0;
}

static int on_open(struct call *call, const struct call_head *from)
{
    const struct request *parent = call_parent(call);
    const char *name = call->binding->target;
    struct tenant *tenant = tenant_find(parent->ledger->placements->tenants, name, strlen(name));
    _cleanup_(service_head_done) struct service_head parsed = { .names = NULL };
    enum error_code code = check(parent, name, tenant);

    if (code == ERROR_NONE)
        code = service_head_parse(&parent->ledger->config->http, from, &parsed);
    if (code != ERROR_NONE) {
        refuse(call, code);
        return 0;
    }
    if (!call_take_service(call))
        return 0;
    return open_request(call, tenant, from, &parsed);
}

/* Ends a call whose body is longer or shorter than announced: for the called tenant as a client's that breaks off is, and
 * by the fault of the caller. */
static void break_off(struct service *service)
{
    struct request *parent = call_parent(service->call);

    if (!service->call->is_head_sent)
        call_count(parent, ERROR_BAD_REQUEST);
    ledger_lose_client(service->request, HTTP_GONE_MALFORMED);
    call_fail(service->call, false, "bad_request: the body is not as long as its Content-Length");
    leave(service, parent);
}

static void on_body(struct call *call, const uint8_t *data, size_t size, bool end)
{
    struct service *service = call->object;

    if (service_take_length(&service->body_left, size, end))
        ledger_take_body(service->request, data, size, end);
    else
        break_off(service);
}

static void on_credit(struct call *call)
{
    const struct service *service = call->object;

    ledger_give_credit(service->request);
}

static void on_cancel(struct call *call)
{
    struct service *service = call->object;

    ledger_lose_client(service->request, HTTP_GONE_LEFT);
    free(service);
}

const struct call_kind service_call_kind = {
    .open = on_open,
    .on_body = on_body,
    .on_credit = on_credit,
    .cancel = on_cancel,
};

/* ---- functions of the attempt */

static bool is_congested(const struct caller *caller)
{
    return worker_is_congested(request_of_caller(caller)->attempt.placement->worker);
}

static bool meet_limit(struct caller *caller, unsigned limit, uint64_t used_milli)
{
    struct request *request = request_of_caller(caller);

    return ledger_meet_limit(request->attempt.version, request, limit, used_milli);
}

static void send_failure(struct caller *caller, uint32_t id, bool is_limit, const char *text)
{
    if (is_limit)
        call_count(request_of_caller(caller), ERROR_SUB_LIMIT);
    call_frames_send_failure(request_of_caller(caller), id, is_limit, text);
}

static void send_head(struct caller *caller, uint32_t id, const struct call_answer *answer,
                      const uint8_t *body, size_t size, bool end)
{
    call_frames_send_head(request_of_caller(caller), id, answer,
                          &(struct call_part){ body, size, end });
}

static void send_part(struct caller *caller, uint32_t id, const uint8_t *data, size_t size,
                      bool end)
{
    call_frames_send_body(request_of_caller(caller), id, &(struct call_part){ data, size, end });
}

static void send_credit(struct caller *caller, uint32_t id, uint32_t bytes)
{
    call_frames_send_credit(request_of_caller(caller), id, bytes);
}

static const struct caller_ops caller_ops = {
    .send_head = send_head,
    .send_body = send_part,
    .send_credit = send_credit,
    .send_failure = send_failure,
    .is_congested = is_congested,
    .meet_limit = meet_limit,
};

#define CALL_ROW(binding, name) [BINDING_##binding] = &name##_call_kind,
static const struct call_kind *const kinds[BINDING_KINDS] = { CALL_KINDS(CALL_ROW) };

const char *binding_kind_name(enum binding_kind kind)
{
    /* clang-format off */
#define NAME_ROW(binding, name) [BINDING_##binding] = #name,
    /* clang-format on */
    static const char *const names[BINDING_KINDS] = { CALL_KINDS(NAME_ROW) };

    return names[kind];
}

void service_begin(struct request *request)
{
    caller_begin(&request->calls, &caller_ops, kinds, request->attempt.version->manifest,
                 &request->attempt.version->limits);
}

uint64_t service_due_ns(struct request *request)
{
    const struct caller *root = caller_root(&request->calls);

    if (root == &request->calls || request->caller.size == 0)
        return UINT64_MAX;
    struct request *first = root ? request_of_caller(root) : NULL;
    if (first && first->attempt.placement) {
        uint64_t due_ns = ledger_deadline_ns(first);
        if (due_ns != UINT64_MAX || request->tree_due_ns == 0)
            request->tree_due_ns = due_ns;
    }
    return request->tree_due_ns;
}
