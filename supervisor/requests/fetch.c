/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/fetch.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/loop_watch.h"
#include "config/egress_rules.h"
#include "proto/frame.h"
#include "supervisor/helpers/egress.h"
#include "supervisor/requests/calling.h"
#include "supervisor/requests/fetch_secrets.h"
#include "supervisor/requests/kinds.h"

#define TEXT_BYTES FETCH_TEXT_BYTES

static struct fetches *fetches_of(const struct fetch *fetch)
{
    return fetch->parent->ledger->fetches;
}

/* ---- memory */

/* Counts the bytes that are kept while the fetch waits. */
static void count_kept(struct fetch *fetch)
{
    size_t bytes = fetch->parts.memory_bytes + (fetch->held ? evbuffer_get_length(fetch->held) : 0);

    fetch->parent->fetch_bytes += bytes;
    fetch->parent->fetch_bytes -= fetch->kept_bytes;
    fetch->kept_bytes = bytes;
}

static void drop_kept(struct fetch *fetch)
{
    fetch_parts_done(&fetch->parts);
    if (fetch->held)
        evbuffer_free(fetch->held);
    fetch->held = NULL;
    count_kept(fetch);
}

/* Frees a fetch whose call is over. */
static void fetch_free(struct fetch *fetch)
{
    if (fetch->open)
        egress_cancel(fetch->open);
    drop_kept(fetch);
    fetches_remove(fetches_of(fetch), fetch);
    free(fetch);
}

/* Frees a fetch whose call has just ended, outside of caller_cancel. */
static void leave(struct fetch *fetch)
{
    struct request *parent = fetch->parent;

    fetch_free(fetch);
    ledger_count_bytes(parent);
}

/* ---- ends */

/* Fails the call; the fetch is gone. */
static void fail(struct fetch *fetch, enum error_code code, const struct egress_result *result,
                 const char *text)
{
    fetch_note_end(fetch, code, result, text);
    call_fail(fetch->call, false, text);
    leave(fetch);
}

static bool refuse_for_room(struct fetch *fetch)
{
    if (!call_is_short(fetch->parent))
        return false;
    fail(fetch, ERROR_OVERLOADED, NULL, "overloaded: skepd has no room for the answer");
    return true;
}

/* Ends the fetch if the call is over, with the answer or (r) without; otherwise counts what waits of the answer. Returns whether the
 * fetch is gone. */
static bool after_part(struct fetch *fetch, int r, bool end)
{
    if (r < 0)
        fetch_note_end(fetch, r == -EFBIG ? ERROR_SUB_LIMIT : ERROR_OVERLOADED, NULL, "given up");
    if (r < 0 || end) {
        leave(fetch);
        return true;
    }
    if (call_waiting(fetch->call) > 0)
        ledger_count_bytes(fetch->parent);
    return false;
}

/* ---- the answer, from egress */

/* Returns the window. The worker reports reads in steps of BODY_GRANT_STEP_BYTES, and less counts as queued: with a window of
 * one step or less it would wait for more, and egress, too. */
static uint32_t window_of(const struct fetch *fetch)
{
    bool is_tight = http_front_pressure(fetch->parent->ledger->front) > 0;

    return is_tight ? 2 * BODY_GRANT_STEP_BYTES : BODY_WINDOW_BYTES;
}

static void give_credit(struct fetch *fetch)
{
    size_t used = call_queued(fetch->call) + fetch->credit;
    uint32_t window = window_of(fetch);

    if (!fetch->open || used + BODY_GRANT_STEP_BYTES / 2 > window)
        return;
    uint32_t bytes = window - (uint32_t) used;
    fetch->credit += bytes;
    egress_give_credit(fetch->open, bytes);
}

static struct call_text view(struct head_text text)
{
    return (struct call_text){ text.data, text.size };
}

/* Copies the headers that pass: those of the server's connection do not, but for Content-Length. Returns their number, or
 * -EBADMSG: a server's answer that a worker may not have. */
static int pass_fields(const struct head *from, struct call_field fields[static EGRESS_FIELDS_MAX])
{
    struct head head = *from;
    int n = 0;

    while (head.n_texts >= 2) {
        struct head_text name = head_next(&head), value = head_next(&head);
        const struct http_field field = { { name.data, name.size }, { value.data, value.size } };
        enum http_passage passage = http_field_passage(&field);
        bool is_of_proxy = name.size >= 6 && strncasecmp(name.data, "proxy-", 6) == 0;
        if (passage == HTTP_PASSAGE_REFUSED || n == EGRESS_FIELDS_MAX)
            return -EBADMSG;
        if ((passage == HTTP_PASSAGE_FREE && !is_of_proxy) ||
            target_text_is(name, "content-length"))
            fields[n++] = (struct call_field){ view(name), view(value) };
    }
    return n;
}

static bool is_null_body(unsigned status)
{
    return status == 204 || status == 205 || status == 304;
}

static void on_head(void *owner, const struct egress_answer *from)
{
    struct fetch *fetch = owner;
    struct call_field fields[EGRESS_FIELDS_MAX];
    int n = pass_fields(&from->fields, fields);
    unsigned status = from->status;

    if (refuse_for_room(fetch))
        return;
    if (n < 0 || status < 200 || status > 599) {
        fail(fetch, ERROR_FETCH_FAILED, NULL,
             n < 0 ? "the answer has a header that is none" : "the answer's status is none");
        return;
    }
    const struct call_answer answer = { status, fields, (size_t) n, view(from->reason) };
    fetch->status = status;
    fetch->has_answer_body = fetch->has_answer_body && !is_null_body(status);
    call_count(fetch->parent, ERROR_NONE);
    fetches_note_head(fetches_of(fetch), fetch);
    (void) after_part(fetch, call_respond(fetch->call, &answer, NULL, 0, false), false);
}

static void on_body(void *owner, const uint8_t *data, size_t size)
{
    struct fetch *fetch = owner;
    bool is_void = !fetch->has_answer_body; /* a body where none may be is the end */

    fetch->credit -= (uint32_t) size;
    fetch->received_bytes += size;
    if (refuse_for_room(fetch))
        return;
    if (is_void)
        fetch_note_end(fetch, ERROR_NONE, NULL, "");
    int r = call_send_body(fetch->call, is_void ? NULL : data, is_void ? 0 : size, is_void);
    (void) after_part(fetch, r, is_void);
}

static void on_egress_credit(void *owner, uint32_t bytes)
{
    const struct fetch *fetch = owner;

    call_grant(fetch->call, bytes);
}

/* Returns the code of an end for the counters. */
static enum error_code code_of(enum egress_end end)
{
    switch (end) {
    case EGRESS_COMPLETE:
        return ERROR_NONE;
    case EGRESS_REQUEST:
        return ERROR_BAD_REQUEST;
    case EGRESS_ADDRESS:
        return ERROR_FETCH_DENIED;
    case EGRESS_BUSY:
    case EGRESS_INTERNAL:
        return ERROR_OVERLOADED;
    default:
        return ERROR_FETCH_FAILED;
    }
}

/* Writes the text of an end: printable ASCII, since it goes on to JavaScript and the log. */
static void write_text(const struct egress_result *result, char text[TEXT_BYTES])
{
    static const char lost[] = "skep-egress, which asks servers, has ended: the fetch is lost";
    size_t size = 0;

    if (result->end == EGRESS_LOST || result->text.size == 0) {
        (void) snprintf(text, TEXT_BYTES, "%s",
                        result->end == EGRESS_LOST ? lost : "skep-egress gave no reason");
        return;
    }
    while (size < result->text.size && size < TEXT_BYTES - 1) {
        char c = result->text.data[size];
        text[size++] = (char) (c < ' ' || c > '~' ? '?' : c);
    }
    text[size] = '\0';
}

static void on_end(void *owner, const struct egress_result *result)
{
    struct fetch *fetch = owner;
    char text[TEXT_BYTES] = "";

    fetch->open = NULL;
    if (result->end == EGRESS_COMPLETE && fetch->status != 0) {
        fetch_note_end(fetch, ERROR_NONE, result, text);
        (void) after_part(fetch, call_send_body(fetch->call, NULL, 0, true), true);
        return;
    }
    write_text(result, text);
    fail(fetch, result->end == EGRESS_COMPLETE ? ERROR_FETCH_FAILED : code_of(result->end), result,
         text);
}

static const struct egress_ops egress_ops = {
    .on_head = on_head,
    .on_body = on_body,
    .on_credit = on_egress_credit,
    .on_end = on_end,
};

/* ---- the request, to egress */

/* Asks the rules that count now. text: as of egress_rules_ask. */
static bool is_allowed(struct fetch *fetch, char text[static TEXT_BYTES])
{
    const struct version *version = fetch->parent->attempt.version;
    const struct host_question question = fetch_parts_question(&fetch->parts);

    fetch->verdict = egress_rules_ask(fetch->parent->ledger->config, version->cordon,
                                      version->manifest, &question, text);
    return fetch->verdict == FETCH_ALLOWED;
}

/* ret_secret: NULL, or the name of a secret that the request must have, and cannot get: r says why. */
static int open_at_egress(struct fetch *fetch, const char **ret_secret)
{
    const struct fetch_parts *parts = &fetch->parts;
    const struct version *version = fetch->parent->attempt.version;
    struct egress_request request = {
        .tenant = fetch->parent->attempt.tenant->number,
        .method = parts->target.method,
        .host = parts->target.host,
        .path = parts->target.path,
        .is_https = parts->is_https,
        .port = parts->target.port,
        .head = parts->head,
        .head_size = parts->head_size,
        .has_body = parts->has_body,
        .length = parts->has_body ? parts->length : -1,
        .credit = window_of(fetch),
        .connect_ms = FETCH_CONNECT_MS,
        .head_ms = FETCH_HEAD_MS,
        .idle_ms = FETCH_IDLE_MS,
        .total_ms = FETCH_TOTAL_MS,
    };

    struct fetch_head with_secrets = { 0 };
    int r = fetch_secrets_add(version->tenant->tenants->secrets, version->manifest, parts,
                              &with_secrets, ret_secret);
    if (r < 0)
        return r;
    if (with_secrets.data) {
        request.head = with_secrets.data;
        request.head_size = with_secrets.size;
    }
    request.addresses = egress_rules_addresses(fetch->parent->ledger->config, version->cordon);
    fetch->credit = request.credit;
    r = egress_open(fetches_of(fetch)->egress, &request, &egress_ops, fetch, &fetch->open);
    fetch_head_done(&with_secrets);
    return r;
}

static_assert(EGRESS_WINDOW_BYTES == CALL_WINDOW_BYTES,
              "what the worker may send at once, egress takes");

/* Sends a part of the body, or its end. */
static void send_part(struct fetch *fetch, const uint8_t *data, size_t size, bool end)
{
    fetch->sent_bytes += size;
    egress_send_body(fetch->open, data, size, end);
}

static void send_held(struct fetch *fetch)
{
    size_t size = fetch->held ? evbuffer_get_length(fetch->held) : 0;

    if (fetch->parts.has_body && (size > 0 || fetch->call->is_body_ended))
        send_part(fetch, size > 0 ? evbuffer_pullup(fetch->held, -1) : NULL, size,
                  fetch->call->is_body_ended);
}

int fetch_begin(struct fetch *fetch)
{
    char text[TEXT_BYTES];

    if (!is_allowed(fetch, text)) {
        fail(fetch, ERROR_FETCH_DENIED, NULL, text);
        return 0;
    }
    /* Bytes that wait are in one piece before the request is in egress. */
    if (fetch->held && !evbuffer_pullup(fetch->held, -1)) {
        fail(fetch, ERROR_OVERLOADED, NULL, "overloaded: no memory for the call");
        return 0;
    }
    const char *secret = NULL;
    int r = open_at_egress(fetch, &secret);
    if (secret) {
        (void) snprintf(
            text, sizeof text,
            "the secret %s cannot go into the request: %s; `skep secrets list` shows it", secret,
            r == -ENOENT ? "it is not set" : strerrordesc_np(-r));
        fail(fetch, ERROR_FETCH_FAILED, NULL, text);
        return 0;
    }
    if (r == -EAGAIN || (r == -EPIPE && fetches_await_egress(fetches_of(fetch))))
        return -EAGAIN;
    if (r < 0) {
        fail(fetch, r == -EPIPE ? ERROR_FETCH_FAILED : ERROR_OVERLOADED, NULL,
             r == -EPIPE      ? "skep-egress, which asks servers, is not running"
             : r == -EMSGSIZE ? "the request is too large"
                              : "overloaded: no memory for the call");
        return 0;
    }
    fetch_queue_open(&fetches_of(fetch)->queue, &fetch->place);
    send_held(fetch);
    drop_kept(fetch);
    ledger_count_bytes(fetch->parent);
    call_grant(fetch->call, EGRESS_WINDOW_BYTES);
    return 0;
}

void fetch_give_up_waiting(struct fetch *fetch)
{
    fail(fetch, ERROR_OVERLOADED, NULL,
         "the fetch has waited for 60 s, because others of its tenant or of its request take all "
         "places");
}

/* ---- the kind */

static int keep(struct fetch *fetch, const uint8_t *data, size_t size)
{
    if (size > 0 && !fetch->held && !(fetch->held = evbuffer_new()))
        return -ENOMEM;
    int r = size > 0 && evbuffer_add(fetch->held, data, size) < 0 ? -ENOMEM : 0;
    count_kept(fetch);
    return r;
}

/* Notes what the record needs when the parts are gone. */
static void note_parts(struct fetch *fetch)
{
    const struct target *target = &fetch->parts.target;

    (void) snprintf(fetch->method, sizeof fetch->method, "%.*s", (int) target->method.size,
                    target->method.data);
    (void) snprintf(fetch->host, sizeof fetch->host, "%.*s", (int) target->host.size,
                    target->host.data);
    fetch->has_answer_body = !fetch->parts.is_head;
}

/* Checks the parts, and has the fetch wait for its turn. 0: it waits, or is over. */
static int start(struct fetch *fetch, const struct call_head *from)
{
    const char *reason = NULL;
    char text[TEXT_BYTES];
    int r = fetch_parts_make(from, &fetch->parts, &reason);

    if (r == -EINVAL) {
        (void) snprintf(text, sizeof text, "the request cannot be sent: %s", reason);
        fail(fetch, ERROR_BAD_REQUEST, NULL, text);
        return 0;
    }
    if (r == 0)
        r = keep(fetch, from->body, from->body_size);
    if (r < 0)
        return r;
    note_parts(fetch);
    if (!is_allowed(fetch, text)) {
        fail(fetch, ERROR_FETCH_DENIED, NULL, text);
        return 0;
    }
    if (http_front_pressure(fetch->parent->ledger->front) >= 2 &&
        fetches_would_wait(fetches_of(fetch), fetch->parent)) {
        fail(fetch, ERROR_OVERLOADED, NULL, "overloaded: skepd has no room for calls that wait");
        return 0;
    }
    return fetches_add(fetches_of(fetch), fetch);
}

static int open_call(struct call *call, const struct call_head *from)
{
    struct fetch *fetch = calloc(1, sizeof *fetch);
    struct request *parent = call_parent(call);

    if (!fetch)
        return -ENOMEM;
    call->object = fetch;
    fetch->call = call;
    fetch->parent = parent;
    fetch->asked_ns = loop_now_ns();
    if (from->span)
        fetch->span = *from->span;
    int r = start(fetch, from);
    if (r < 0)
        fetch_free(fetch);
    ledger_count_bytes(parent);
    return r;
}

static void on_call_body(struct call *call, const uint8_t *data, size_t size, bool end)
{
    struct fetch *fetch = call->object;

    if (!fetch_parts_take(&fetch->parts, size, end)) {
        fail(fetch, ERROR_BAD_REQUEST, NULL,
             "the request cannot be sent: the body is not as long as its Content-Length");
        return;
    }
    if (fetch->open) {
        send_part(fetch, data, size, end);
        return;
    }
    if (keep(fetch, data, size) < 0)
        fail(fetch, ERROR_OVERLOADED, NULL, "overloaded: no memory for the call");
    else
        ledger_count_bytes(fetch->parent);
}

static void on_call_credit(struct call *call)
{
    give_credit(call->object);
}

static void on_cancel(struct call *call)
{
    struct fetch *fetch = call->object;

    fetch->is_given_up = true;
    fetch_note_end(fetch, ERROR_NONE, NULL, "given up");
    fetch_free(fetch);
}

const struct call_kind fetch_call_kind = {
    .open = open_call,
    .on_body = on_call_body,
    .on_credit = on_call_credit,
    .cancel = on_cancel,
    .is_from_outside = true,
};
