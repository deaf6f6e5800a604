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
#include "supervisor/requests/kinds.h"
#include "supervisor/requests/may_call.h"
#include "supervisor/tenants/callers.h"
#include "supervisor/tenants/unserved.h"
#include "supervisor/workers/worker.h"

#define FIELDS_MAX 256
#define METHOD_MAX_BYTES 32
#define AUTHORITY_BYTES (HOST_NAME_MAX_BYTES + 8)

/* A call, as the client of its request. */
struct service {
    struct call *call;       /* borrowed; gone with the service */
    struct request *request; /* borrowed; NULL until there is one */
    bool is_head;            /* the method is HEAD: an answer has no body */
    bool has_body;           /* the answer has a body */
};

static const struct client_ops service_client;

static struct request *request_of(const struct caller *caller)
{
    char *at = (char *) (uintptr_t) caller - offsetof(struct request, calls);

    return (struct request *) (void *) at;
}

static struct request *parent_of(const struct call *call)
{
    return request_of(call->caller);
}

static void count_call(const struct request *parent, enum error_code code)
{
    stats_count_call(parent->ledger->record, &parent->attempt.tenant->counted, code);
}

/* ---- the answer, to the caller's worker */

/* Returns whether skepd has no room for answers that the caller's worker does not take. */
static bool is_short(const struct request *parent)
{
    return http_front_pressure(parent->ledger->front) >= 2 &&
           worker_is_congested(parent->attempt.placement->worker);
}

/* Ends the call; its waiting bytes are kept for the caller now. */
static void leave(struct service *service, struct request *parent)
{
    free(service);
    ledger_count_bytes(parent);
}

static int refuse_for_room(struct service *service)
{
    struct request *parent = parent_of(service->call);

    count_call(parent, ERROR_OVERLOADED);
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

static bool is_content_length(struct http_text name)
{
    static const char length[] = "content-length";

    return name.size == sizeof length - 1 && strncasecmp(name.data, length, name.size) == 0;
}

/* Copies the fields that pass. Returns their number, or -EBADMSG. */
static int pass_fields(const struct http_response *response, bool is_head,
                       struct call_field fields[static FIELDS_MAX])
{
    size_t size = 0;
    int n = 0;

    if (response->status < 200 || response->status > 599 || response->n_fields > FIELDS_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < response->n_fields; i++) {
        const struct http_field *field = &response->fields[i];
        enum http_passage passage = http_field_passage(field);
        size += field->name.size + field->value.size + 4;
        if (passage == HTTP_PASSAGE_REFUSED || size > HTTP_RESPONSE_HEAD_MAX_BYTES)
            return -EBADMSG;
        if (passage == HTTP_PASSAGE_FREE || (is_head && is_content_length(field->name)))
            fields[n++] = (struct call_field){ view(field->name), view(field->value) };
    }
    return n;
}

/* Counts the waiting bytes of an answer, which are kept for the caller. */
static void count_waiting(const struct service *service, struct request *parent)
{
    if (call_waiting(service->call) > 0)
        ledger_count_bytes(parent);
}

static int respond(void *to, const struct http_response *response, const uint8_t *body, size_t size,
                   bool end)
{
    struct service *service = to;
    struct request *parent = parent_of(service->call);
    struct call_field fields[FIELDS_MAX + 1];
    char length[24];
    int n = pass_fields(response, service->is_head, fields);

    if (n < 0)
        return n;
    if (is_short(parent))
        return refuse_for_room(service);
    struct call_answer answer = { response->status, fields, (size_t) n };
    service->has_body = !service->is_head && response->status != 204 && response->status != 205 &&
                        response->status != 304;
    size = service->has_body ? size : 0;
    if (end && service->has_body) {
        (void) snprintf(length, sizeof length, "%zu", size);
        fields[answer.n_fields++] =
            (struct call_field){ literal("content-length"), literal(length) };
    }
    count_call(parent, ERROR_NONE);
    if (call_respond(service->call, &answer, body, size, end) < 0) {
        leave(service, parent);
        return -ECANCELED;
    }
    if (end)
        leave(service, parent);
    else
        count_waiting(service, parent);
    return 0;
}

static int send_body(void *to, const uint8_t *data, size_t size, bool end)
{
    struct service *service = to;
    struct request *parent = parent_of(service->call);

    if (is_short(parent))
        return refuse_for_room(service);
    size = service->has_body ? size : 0;
    if ((size > 0 || end) && call_send_body(service->call, data, size, end) < 0) {
        leave(service, parent);
        return -ECANCELED;
    }
    if (end)
        leave(service, parent);
    else
        count_waiting(service, parent);
    return 0;
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
    struct call_answer answer = { info->status, fields, 3 };
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
    struct request *parent = parent_of(service->call);

    if (service->call->is_head_sent) {
        call_fail(service->call, false, error_info(code)->code);
    } else {
        count_call(parent, code);
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

    return parent_of(service->call)->attempt.tenant->number;
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
                                  ? parent_of(((struct service *) request->client.to)->call)
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

enum error_code service_check(const struct tenant *tenant, const struct binding *binding)
{
    const char *name = binding->target;

    return check_right(tenant->version, name, tenant_find(tenant->tenants, name, strlen(name)));
}

/* ---- the head of a call, which a worker chooses */

struct parsed {
    struct http_request head;
    struct http_text scheme;
    struct http_field fields[FIELDS_MAX + 2];
    char authority[AUTHORITY_BYTES];
    char length[24];
    char *names; /* owned; in lower case */
};

static void parsed_done(struct parsed *parsed)
{
    free(parsed->names);
}

static const char *find_any(const char *from, const char *end, const char *set)
{
    while (from < end && !strchr(set, *from))
        from++;
    return from;
}

/* Parses "HOST[:PORT]" of a URL into the authority as a URL shows it. */
static int parse_authority(const char *from, const char *end, unsigned usual_port,
                           struct parsed *parsed)
{
    const char *bracket =
        from < end && *from == '[' ? memchr(from, ']', (size_t) (end - from)) : NULL;
    const char *colon =
        memchr(bracket ? bracket : from, ':', (size_t) (end - (bracket ? bracket : from)));
    const char *host_end = colon ? colon : end, *reason;
    unsigned port = 0;
    size_t size;

    if (host_name_parse(from, (size_t) (host_end - from), parsed->authority, &size, &reason) < 0)
        return -EBADMSG;
    for (const char *digit = host_end + 1; digit < end; digit++) {
        if (*digit < '0' || *digit > '9' ||
            (port = port * 10 + (unsigned) (*digit - '0')) > UINT16_MAX)
            return -EBADMSG;
    }
    parsed->head.host = (struct http_text){ parsed->authority, size };
    if (host_end + 1 < end && port != usual_port)
        size += (size_t) snprintf(parsed->authority + size, AUTHORITY_BYTES - size, ":%u", port);
    parsed->head.authority = (struct http_text){ parsed->authority, size };
    return 0;
}

static int parse_url(struct call_text url, struct parsed *parsed)
{
    static const struct {
        struct http_text text;
        unsigned port;
    } schemes[] = { { { "http://", 7 }, 80 }, { { "https://", 8 }, 443 } };
    const char *end = url.data + url.size;

    for (size_t i = 0; i < url.size; i++)
        if (url.data[i] <= 0x20 || url.data[i] >= 0x7f || url.data[i] == '#')
            return -EBADMSG;
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        struct http_text scheme = schemes[i].text;
        if (url.size <= scheme.size || memcmp(url.data, scheme.data, scheme.size) != 0)
            continue;
        const char *slash = find_any(url.data + scheme.size, end, "/?");
        if (slash == end || *slash != '/')
            return -EBADMSG;
        parsed->scheme = scheme;
        parsed->head.target = (struct http_text){ slash, (size_t) (end - slash) };
        return parse_authority(url.data + scheme.size, slash, schemes[i].port, parsed);
    }
    return -EBADMSG;
}

static void add_field(struct parsed *parsed, const char *name, struct http_text value)
{
    parsed->fields[parsed->head.n_fields++] = (struct http_field){ { name, strlen(name) }, value };
}

/* Makes the fields: the URL's host, the length if it is known, and fields of the call that pass. */
static int parse_fields(const struct call_head *from, struct parsed *parsed)
{
    size_t size = 0;

    for (size_t i = 0; i < from->n_fields; i++)
        size += from->fields[i].name.size;
    char *at = parsed->names = malloc(size + 1);
    if (!at)
        return -ENOMEM;
    add_field(parsed, "host", parsed->head.authority);
    if (from->end && from->body_size > 0) {
        int n = snprintf(parsed->length, sizeof parsed->length, "%zu", from->body_size);
        add_field(parsed, "content-length", (struct http_text){ parsed->length, (size_t) n });
    }
    for (size_t i = 0; i < from->n_fields; i++) {
        const struct call_field *field = &from->fields[i];
        struct http_field *to = &parsed->fields[parsed->head.n_fields];
        for (size_t k = 0; k < field->name.size; k++)
            at[k] = field->name.data[k] >= 'A' && field->name.data[k] <= 'Z'
                        ? (char) (field->name.data[k] | 0x20)
                        : field->name.data[k];
        *to = (struct http_field){ { at, field->name.size },
                                   { field->value.data, field->value.size } };
        at += field->name.size;
        enum http_passage passage = http_field_passage(to);
        if (passage == HTTP_PASSAGE_REFUSED)
            return -EBADMSG;
        parsed->head.n_fields += passage == HTTP_PASSAGE_FREE;
    }
    parsed->head.fields = parsed->fields;
    return 0;
}

static bool is_head_too_large(const struct http_config *limits, const struct call_head *head)
{
    size_t size = head->method.size + head->url.size;

    for (size_t i = 0; i < head->n_fields; i++)
        size += head->fields[i].name.size + head->fields[i].value.size + 4;
    return size > limits->header_bytes || head->n_fields > limits->header_count;
}

static enum error_code parse(const struct http_config *limits, const struct call_head *from,
                             struct parsed *parsed)
{
    struct http_request *head = &parsed->head;

    if (is_head_too_large(limits, from))
        return ERROR_HEADER_TOO_LARGE;
    head->method = (struct http_text){ from->method.data, from->method.size };
    head->client = (struct http_text){ "call", 4 };
    head->has_body = !from->end || from->body_size > 0;
    head->content_length = head->has_body ? -1 : 0;
    head->is_idempotent = http_is_idempotent(head->method);
    if (head->method.size > METHOD_MAX_BYTES || !http_is_token(head->method))
        return ERROR_BAD_REQUEST;
    int r = parse_url(from->url, parsed);
    if (r == 0)
        r = parse_fields(from, parsed);
    return r == 0 ? ERROR_NONE : r == -ENOMEM ? ERROR_OVERLOADED : ERROR_BAD_REQUEST;
}

/* ---- the kind */

static void refuse(struct call *call, enum error_code code)
{
    count_call(parent_of(call), code);
    answer_problem(call, code, 0, 0);
}

static int open_request(struct call *call, struct tenant *tenant, const struct call_head *from,
                        const struct parsed *parsed)
{
    struct request *parent = parent_of(call);
    struct service *service = calloc(1, sizeof *service);
    const struct request_client client = { &service_client, service };
    const struct request_origin origin = {
        .scheme = parsed->scheme,
        .caller = { parent->attempt.tenant->name, strlen(parent->attempt.tenant->name) },
        .parent = call->caller,
    };

    if (!service)
        return -ENOMEM;
    service->call = call;
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
    const struct request *parent = parent_of(call);
    const char *name = call->binding->target;
    struct tenant *tenant = tenant_find(parent->ledger->placements->tenants, name, strlen(name));
    _cleanup_(parsed_done) struct parsed parsed = { .names = NULL };
    enum error_code code = check(parent, name, tenant);

    if (code == ERROR_NONE)
        code = parse(&parent->ledger->config->http, from, &parsed);
    if (code != ERROR_NONE) {
        refuse(call, code);
        return 0;
    }
    if (!call_take_service(call))
        return 0;
    return open_request(call, tenant, from, &parsed);
}

static void on_body(struct call *call, const uint8_t *data, size_t size, bool end)
{
    const struct service *service = call->object;

    ledger_take_body(service->request, data, size, end);
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
    return worker_is_congested(request_of(caller)->attempt.placement->worker);
}

static bool meet_limit(struct caller *caller, unsigned limit, uint64_t used_milli)
{
    struct request *request = request_of(caller);

    return ledger_meet_limit(request->attempt.version, request, limit, used_milli);
}

static void send_failure(struct caller *caller, uint32_t id, bool is_limit, const char *text)
{
    if (is_limit)
        count_call(request_of(caller), ERROR_SUB_LIMIT);
    call_frames_send_failure(request_of(caller), id, is_limit, text);
}

static void send_head(struct caller *caller, uint32_t id, const struct call_answer *answer,
                      const uint8_t *body, size_t size, bool end)
{
    call_frames_send_head(request_of(caller), id, answer, &(struct call_part){ body, size, end });
}

static void send_part(struct caller *caller, uint32_t id, const uint8_t *data, size_t size,
                      bool end)
{
    call_frames_send_body(request_of(caller), id, &(struct call_part){ data, size, end });
}

static void send_credit(struct caller *caller, uint32_t id, uint32_t bytes)
{
    call_frames_send_credit(request_of(caller), id, bytes);
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
    struct request *first = root ? request_of(root) : NULL;
    if (first && first->attempt.placement) {
        uint64_t due_ns = ledger_deadline_ns(first);
        if (due_ns != UINT64_MAX || request->tree_due_ns == 0)
            request->tree_due_ns = due_ns;
    }
    return request->tree_due_ns;
}
