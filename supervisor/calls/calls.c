/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/calls/calls.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "proto/frame.h"

#define TEXT_BYTES 256

struct call_budget {
    unsigned refs;
    struct caller *root;  /* borrowed; NULL: the root request is over */
    uint32_t subrequests; /* subrequests of the root's version */
    uint32_t n_calls;
    unsigned n_services;
};

/* A head that waits, with the texts that it points to. */
struct call_copy {
    size_t size; /* in memory */
    struct call_answer answer;
    struct call_field fields[];
};

/* ---- budgets */

static int make_budget(struct caller *caller)
{
    if (caller->budget)
        return 0;
    caller->budget = calloc(1, sizeof *caller->budget);
    if (!caller->budget)
        return -ENOMEM;
    caller->budget->refs = 1;
    caller->budget->root = caller;
    caller->budget->subrequests = caller->limits->subrequests;
    return 0;
}

static struct call_budget *budget_unref(struct call_budget *budget)
{
    if (budget && --budget->refs == 0)
        free(budget);
    return NULL;
}

void caller_inherit(struct caller *child, const struct caller *parent)
{
    assert(parent->budget && !child->budget);
    child->budget = parent->budget;
    child->budget->refs++;
}

const struct caller *caller_root(const struct caller *caller)
{
    return caller->budget ? caller->budget->root : NULL;
}

/* ---- the life of a call */

static struct call *call_find(const struct caller *caller, uint32_t id)
{
    struct call *call;

    TAILQ_FOREACH (call, &caller->calls, entry)
        if (call->id == id)
            return call;
    return NULL;
}

static void call_free(struct call *call)
{
    TAILQ_REMOVE(&call->caller->calls, call, entry);
    call->caller->n_calls--;
    call->caller->n_queued -= call->is_queued;
    if (call->waiting)
        evbuffer_free(call->waiting);
    free(call->head);
    free(call);
}

/* Cancels a call, with its kind, unless the kind is through with it. */
static void call_cancel(struct call *call)
{
    if (call->kind)
        call->kind->cancel(call);
    call_free(call);
}

void call_fail(struct call *call, bool is_limit, const char *text)
{
    call->caller->ops->send_failure(call->caller, call->id, is_limit, text);
    call_free(call);
}

static size_t waiting_bytes(const struct call *call)
{
    return call->waiting ? evbuffer_get_length(call->waiting) : 0;
}

static size_t head_bytes(const struct call *call)
{
    return call->head ? call->head->size : 0;
}

size_t call_waiting(const struct call *call)
{
    return head_bytes(call) + waiting_bytes(call);
}

size_t call_queued(const struct call *call)
{
    return BODY_WINDOW_BYTES - call->window_out + waiting_bytes(call);
}

/* ---- limits */

static bool meet(struct caller *caller, unsigned limit, uint64_t used_milli)
{
    return caller->ops->meet_limit(caller, limit, used_milli);
}

/* Returns whether so much is over a limit of the caller that is enforced. */
static bool is_over(struct caller *caller, unsigned limit, uint64_t used)
{
    uint32_t most = limit_get(caller->limits, &limit_table[limit]);

    return most != LIMIT_UNLIMITED && used > most && meet(caller, limit, used * 1000);
}

/* Returns whether the budget of the root request is used up, whichever tenant calls. */
static bool is_over_budget(struct caller *caller)
{
    struct call_budget *budget = caller->budget;
    struct caller *root = budget->root;

    if (budget->subrequests == LIMIT_UNLIMITED || budget->n_calls <= budget->subrequests)
        return false;
    /* A root request that is over cannot note the limit; the call is refused all the same. */
    return !root || !root->is_begun ||
           meet(root, LIMIT_INDEX(subrequests), UINT64_C(1000) * budget->n_calls);
}

/* Returns whether the caller has as many calls open as it may, without one more of this kind. */
static bool is_over_calls(struct caller *caller, const struct call_kind *kind)
{
    if (kind->is_queued)
        return caller->n_queued >= CALL_QUEUED_MAX;
    return is_over(caller, LIMIT_INDEX(calls), (uint64_t) caller->n_calls - caller->n_queued + 1);
}

/* Writes the limit that the caller is over with one more call of a kind that queues, and the remedy; "": none. */
static void check_queued(struct caller *caller, const struct call_kind *kind, char text[TEXT_BYTES])
{
    text[0] = '\0';
    if (is_over_calls(caller, kind))
        (void) snprintf(
            text, TEXT_BYTES,
            "sub_limit: a request may have %u operations of storage that wait: await some of them "
            "before the next",
            CALL_QUEUED_MAX);
}

/* The same for the other kinds, whose calls are subrequests. */
static void check_limits(struct caller *caller, const struct call_kind *kind, char text[TEXT_BYTES])
{
    text[0] = '\0';
    if (is_over(caller, LIMIT_INDEX(subrequests), caller->n_subrequests))
        (void) snprintf(text, TEXT_BYTES,
                        "sub_limit: a request may make %u calls (subrequests): make fewer, or "
                        "raise limits.subrequests in skep.yaml",
                        caller->limits->subrequests);
    else if (is_over_budget(caller))
        (void) snprintf(
            text, TEXT_BYTES,
            "sub_limit: all that is done for one request may make %u calls (subrequests): make "
            "fewer, or raise limits.subrequests of the tenant that was asked first",
            caller->budget->subrequests);
    else if (is_over_calls(caller, kind))
        (void) snprintf(
            text, TEXT_BYTES,
            "sub_limit: a request may have %u calls open at a time (calls): make fewer "
            "at a time, read or cancel their bodies, or raise limits.calls in skep.yaml",
            caller->limits->calls);
}

bool call_take_service(struct call *call)
{
    char text[TEXT_BYTES];

    if (call->caller->budget->n_services < CALL_SERVICES_MAX) {
        call->caller->budget->n_services++;
        return true;
    }
    (void) snprintf(text, sizeof text,
                    "sub_limit: all that is done for one request may call other tenants %u times",
                    CALL_SERVICES_MAX);
    call_fail(call, true, text);
    return false;
}

/* Counts bytes of a body. Returns whether the call may go on. */
static bool count_bytes(struct call *call, size_t size)
{
    struct caller *caller = call->caller;
    uint32_t most = caller->limits->call_mib;

    caller->n_bytes += size;
    return most == LIMIT_UNLIMITED || caller->n_bytes <= (uint64_t) most << 20 ||
           !meet(caller, LIMIT_INDEX(call_mib), caller->n_bytes * 1000 >> 20);
}

static void fail_for_bytes(struct call *call)
{
    char text[TEXT_BYTES];

    (void) snprintf(text, sizeof text,
                    "sub_limit: the bodies of a request's calls may have %u MiB (call_mib): send "
                    "and read less, or raise limits.call_mib in skep.yaml",
                    call->caller->limits->call_mib);
    call_fail(call, true, text);
}

/* ---- the attempt */

void caller_begin(struct caller *caller, const struct caller_ops *ops,
                  const struct call_kind *const *kinds, const struct manifest *manifest,
                  const struct limits *limits)
{
    caller->ops = ops;
    caller->kinds = kinds;
    caller->manifest = manifest;
    caller->limits = limits;
    TAILQ_INIT(&caller->calls);
    caller->last_id = 0;
    caller->n_subrequests = 0;
    caller->is_begun = true;
    caller->is_cancelled = false;
}

void caller_cancel(struct caller *caller)
{
    struct call *call;

    if (!caller->is_begun)
        return;
    caller->is_cancelled = true;
    while ((call = TAILQ_FIRST(&caller->calls)))
        call_cancel(call);
}

void caller_end(struct caller *caller)
{
    caller_cancel(caller);
    caller->is_begun = false;
}

void caller_done(struct caller *caller)
{
    if (caller->budget && caller->budget->root == caller)
        caller->budget->root = NULL;
    caller->budget = budget_unref(caller->budget);
}

size_t caller_waiting_bytes(const struct caller *caller)
{
    const struct call *call;
    size_t bytes = 0;

    if (caller->n_calls > 0)
        TAILQ_FOREACH (call, &caller->calls, entry)
            bytes += call_waiting(call);
    return bytes;
}

size_t caller_kept_bytes(const struct caller *caller)
{
    const struct call *call;
    size_t bytes = 0;

    if (caller->n_calls > 0)
        TAILQ_FOREACH (call, &caller->calls, entry)
            bytes += head_bytes(call) +
                     (call->kind && !call->kind->is_from_outside ? 0 : waiting_bytes(call));
    return bytes;
}

/* ---- out */

/* Copies a text to *at, which moves behind it. */
static struct call_text copy_text(char **at, struct call_text from)
{
    const struct call_text to = { *at, from.size };

    if (from.size > 0)
        memcpy(*at, from.data, from.size);
    *at += from.size;
    return to;
}

static struct call_copy *copy_answer(const struct call_answer *answer)
{
    size_t size = sizeof(struct call_copy) + answer->n_fields * sizeof(struct call_field) +
                  answer->reason.size;

    for (size_t i = 0; i < answer->n_fields; i++)
        size += answer->fields[i].name.size + answer->fields[i].value.size;
    struct call_copy *copy = malloc(size);
    if (!copy)
        return NULL;
    char *at = (char *) &copy->fields[answer->n_fields];
    copy->size = size;
    copy->answer = (struct call_answer){ .status = answer->status,
                                         .fields = copy->fields,
                                         .n_fields = answer->n_fields };
    for (size_t i = 0; i < answer->n_fields; i++) {
        copy->fields[i].name = copy_text(&at, answer->fields[i].name);
        copy->fields[i].value = copy_text(&at, answer->fields[i].value);
    }
    copy->answer.reason = copy_text(&at, answer->reason);
    return copy;
}

/* Sends waiting data, as far as there is room and credit. The call may be gone afterwards. */
static void send_waiting(struct call *call)
{
    struct caller *caller = call->caller;
    const struct caller_ops *ops = caller->ops;

    while ((call->head || waiting_bytes(call) > 0 || call->is_end_due) &&
           !ops->is_congested(caller)) {
        size_t left = waiting_bytes(call);
        size_t part = left < ANSWER_CHUNK_MAX_BYTES ? left : ANSWER_CHUNK_MAX_BYTES;
        part = part < call->window_out ? part : call->window_out;
        bool is_end = call->is_end_due && part == left;
        const uint8_t *data = part > 0 ? evbuffer_pullup(call->waiting, (ev_ssize_t) part) : NULL;
        if (part > 0 && !data) {
            part = 0;
            is_end = false;
        }
        if (call->head)
            ops->send_head(caller, call->id, &call->head->answer, data, part, is_end);
        else if (part > 0 || is_end)
            ops->send_body(caller, call->id, data, part, is_end);
        else
            return; /* no credit */
        free(call->head);
        call->head = NULL;
        call->window_out -= (uint32_t) part;
        if (part > 0)
            (void) evbuffer_drain(call->waiting, part);
        if (is_end) {
            call_free(call);
            return;
        }
    }
}

static int keep(struct call *call, const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (!call->waiting && !(call->waiting = evbuffer_new()))
        return -ENOMEM;
    return evbuffer_add(call->waiting, data, size) < 0 ? -ENOMEM : 0;
}

/* Queues a part behind other waiting data. */
static int send_later(struct call *call, const uint8_t *data, size_t size, bool end)
{
    if (keep(call, data, size) < 0) {
        call_fail(call, false, "overloaded: no memory for the answer");
        return -ENOMEM;
    }
    if (end) {
        call->is_end_due = true;
        call->kind = NULL;
        call->object = NULL;
    }
    send_waiting(call);
    return 0;
}

int call_respond(struct call *call, const struct call_answer *answer, const uint8_t *body,
                 size_t size, bool end)
{
    const struct caller_ops *ops = call->caller->ops;

    assert(!call->is_head_sent);
    if (!count_bytes(call, size)) {
        fail_for_bytes(call);
        return -EFBIG;
    }
    call->is_head_sent = true;
    if (!ops->is_congested(call->caller) && size <= ANSWER_CHUNK_MAX_BYTES) {
        ops->send_head(call->caller, call->id, answer, body, size, end);
        call->window_out -= (uint32_t) size;
        if (end)
            call_free(call);
        return 0;
    }
    call->head = copy_answer(answer);
    if (!call->head) {
        call_fail(call, false, "overloaded: no memory for the answer");
        return -ENOMEM;
    }
    return send_later(call, body, size, end);
}

int call_send_body(struct call *call, const uint8_t *data, size_t size, bool end)
{
    const struct caller_ops *ops = call->caller->ops;

    assert(call->is_head_sent);
    if (!count_bytes(call, size)) {
        fail_for_bytes(call);
        return -EFBIG;
    }
    if (call->head || waiting_bytes(call) > 0 || size > call->window_out ||
        size > ANSWER_CHUNK_MAX_BYTES || ops->is_congested(call->caller))
        return send_later(call, data, size, end);
    ops->send_body(call->caller, call->id, data, size, end);
    call->window_out -= (uint32_t) size;
    if (end)
        call_free(call);
    return 0;
}

void call_grant(struct call *call, uint32_t bytes)
{
    uint32_t absorbed = bytes < call->absorbed ? bytes : call->absorbed;

    call->absorbed -= absorbed;
    bytes -= absorbed;
    if (bytes == 0 || call->is_body_ended)
        return;
    call->window_in += bytes;
    call->caller->ops->send_credit(call->caller, call->id, bytes);
}

void caller_on_room(struct caller *caller)
{
    struct call *call, *next;

    if (caller->n_calls == 0)
        return;
    for (call = TAILQ_FIRST(&caller->calls); call; call = next) {
        next = TAILQ_NEXT(call, entry);
        send_waiting(call);
    }
}

/* ---- in */

/* fetch() is no binding of a manifest: each tenant has it, and its rules decide what it may reach. */
static const struct binding fetch_binding = { .kind = BINDING_FETCH };

/* Finds the binding of a call. NULL: the version lacks it. */
static const struct binding *find_binding(const struct caller *caller, uint32_t number)
{
    if (number == CALL_FETCH_BINDING)
        return &fetch_binding;
    return number < caller->manifest->n_bindings ? &caller->manifest->bindings[number] : NULL;
}

static int open_call(struct caller *caller, const struct binding *binding,
                     const struct call_head *head)
{
    struct call *call = calloc(1, sizeof *call);

    if (!call)
        return -ENOMEM;
    call->caller = caller;
    call->kind = caller->kinds[binding->kind];
    call->binding = binding;
    call->id = head->id;
    call->window_in = CALL_WINDOW_BYTES - (uint32_t) head->body_size;
    call->absorbed = CALL_WINDOW_BYTES;
    call->window_out = BODY_WINDOW_BYTES;
    call->is_body_ended = head->end;
    call->is_queued = call->kind->is_queued;
    TAILQ_INSERT_TAIL(&caller->calls, call, entry);
    caller->n_calls++;
    caller->n_queued += call->is_queued;
    if (!count_bytes(call, head->body_size)) {
        fail_for_bytes(call);
        return 0;
    }
    int r = call->kind->open(call, head);
    if (r < 0)
        call_fail(call, false, "overloaded: no memory for the call");
    return 0;
}

int caller_on_call(struct caller *caller, const struct call_head *head)
{
    char text[TEXT_BYTES];

    if (!caller->is_begun || head->id != caller->last_id + 1 || head->body_size > CALL_WINDOW_BYTES)
        return -EPROTO;
    const struct binding *binding = find_binding(caller, head->binding);
    if (!binding)
        return -EPROTO;
    caller->last_id++;
    if (caller->is_cancelled)
        return 0;
    int r = make_budget(caller);
    if (r == 0) {
        const struct call_kind *kind = caller->kinds[binding->kind];
        caller->n_subrequests += !kind->is_queued;
        caller->budget->n_calls += !kind->is_queued;
        (kind->is_queued ? check_queued : check_limits)(caller, kind, text);
        if (text[0] != '\0')
            caller->ops->send_failure(caller, head->id, true, text);
        else
            r = open_call(caller, binding, head);
    }
    if (r < 0)
        caller->ops->send_failure(caller, head->id, false, "overloaded: no memory for the call");
    return 0;
}

/* Finds a call. Frames of a call that is over here may have been on their way: *ret_call is NULL
 * then. */
static int find(const struct caller *caller, uint32_t id, struct call **ret_call)
{
    if (!caller->is_begun || id == 0 || id > caller->last_id)
        return -EPROTO;
    *ret_call = call_find(caller, id);
    return 0;
}

int caller_on_body(struct caller *caller, uint32_t id, const uint8_t *data, size_t size, bool end)
{
    struct call *call;
    int r = find(caller, id, &call);

    if (r < 0 || size > BODY_CHUNK_MAX_BYTES || (size == 0 && !end))
        return -EPROTO;
    if (!call)
        return 0;
    if (call->is_body_ended || size > call->window_in)
        return -EPROTO;
    call->window_in -= (uint32_t) size;
    call->is_body_ended = end;
    if (!call->kind)
        return 0;
    if (!count_bytes(call, size)) {
        call->kind->cancel(call);
        fail_for_bytes(call);
        return 0;
    }
    call->kind->on_body(call, data, size, end);
    return 0;
}

int caller_on_credit(struct caller *caller, uint32_t id, uint32_t bytes)
{
    struct call *call;
    int r = find(caller, id, &call);

    if (r < 0 || bytes == 0 || bytes > BODY_WINDOW_BYTES)
        return -EPROTO;
    if (!call)
        return 0;
    if (bytes > BODY_WINDOW_BYTES - call->window_out)
        return -EPROTO;
    call->window_out += bytes;
    bool is_open = call->kind;
    send_waiting(call);
    if (is_open)
        call->kind->on_credit(call);
    return 0;
}

int caller_on_cancel(struct caller *caller, uint32_t id)
{
    struct call *call;
    int r = find(caller, id, &call);

    if (r < 0)
        return r;
    if (call)
        call_cancel(call);
    return 0;
}
