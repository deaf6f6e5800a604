/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd's side of skep-egress: fetches, as streams (streams.h), and what only they have. Supervisor, loop thread.
 *
 * Functions for the opener call none of its callbacks: a failure in them is noted, and reported in the next turn
 * of the loop.
 */
#include "supervisor/helpers/egress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "egress.pb-c.h"
#include "egress/program.h"
#include "egress/target.h"
#include "proto/channel.h"
#include "supervisor/helpers/streams.h"

#define TIME_MAX_MS (UINT32_C(24) * 3600 * 1000)
#define SAY_AGAIN_NS (60 * NSEC_PER_SEC)
#define ADDRESS_MAX_BYTES 64

struct egress_fetch {
    struct stream stream;         /* first */
    struct egress *egress;        /* borrowed */
    const struct egress_ops *ops; /* borrowed */
    void *owner;                  /* borrowed */
};

/* Failures of one kind since the last line about it. */
struct failing {
    uint64_t said_ns; /* 0: never */
    unsigned n;
};

struct egress {
    struct streams streams; /* first */
    struct failing failing[EGRESS_ENDS];
};

static struct egress *egress_of(struct streams *streams)
{
    return (struct egress *) (void *) streams;
}

static struct egress_fetch *fetch_of(struct stream *stream)
{
    return (struct egress_fetch *) (void *) stream;
}

/* Frees the fetch, and tells its opener, who may do anything but free egress. */
static void end(struct egress_fetch *fetch, const struct egress_result *result)
{
    const struct egress_ops *ops = fetch->stream.is_cancelled ? NULL : fetch->ops;
    void *owner = fetch->owner;

    stream_remove(&fetch->stream);
    free(fetch);
    if (ops)
        ops->on_end(owner, result);
}

/* ---- frames to egress */

static ProtobufCBinaryData bytes_of(struct head_text text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text.data, .len = text.size };
}

/* Checks what egress would take for a breach. */
static int check_request(const struct egress_request *request)
{
    const uint32_t times[] = { request->connect_ms, request->head_ms, request->idle_ms,
                               request->total_ms };
    struct head head;

    if (request->head_size > EGRESS_HEAD_MAX_BYTES)
        return -EMSGSIZE;
    if (head_open(request->head, request->head_size, 0, HEAD_REQUEST_FIELDS_MAX, &head) < 0 ||
        request->credit > EGRESS_CREDIT_MAX_BYTES ||
        request->addresses.n_named > EGRESS_PREFIXES_MAX ||
        request->addresses.n_denied > EGRESS_PREFIXES_MAX ||
        (request->length >= 0 && !request->has_body))
        return -EINVAL;
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        if (times[i] == 0 || times[i] > TIME_MAX_MS)
            return -EINVAL;
    return head.n_texts > 2 * EGRESS_FIELDS_MAX ? -EMSGSIZE : 0;
}

struct prefix_list {
    Skep__Egress__Prefix prefixes[EGRESS_PREFIXES_MAX], *list[EGRESS_PREFIXES_MAX];
};

/* Writes prefixes for a frame, which borrows them. Returns their number. */
static size_t list_prefixes(const struct address_prefix *from, size_t n, struct prefix_list *to)
{
    for (size_t i = 0; i < n; i++) {
        const struct head_text address = { (const char *) from[i].bytes, sizeof from[i].bytes };
        to->prefixes[i] = (Skep__Egress__Prefix) SKEP__EGRESS__PREFIX__INIT;
        to->prefixes[i].address = bytes_of(address);
        to->prefixes[i].bits = from[i].bits;
        to->list[i] = &to->prefixes[i];
    }
    return n;
}

static int send_open(const struct egress_fetch *fetch, const struct egress_request *request)
{
    Skep__Egress__Open open = SKEP__EGRESS__OPEN__INIT;
    Skep__Egress__ToEgress frame = SKEP__EGRESS__TO_EGRESS__INIT;
    struct prefix_list named, denied;
    const struct head_text scheme = { request->is_https ? "https" : "http",
                                      request->is_https ? 5 : 4 };
    const struct head_text head = { (const char *) request->head, request->head_size };

    open.n_named = list_prefixes(request->addresses.named, request->addresses.n_named, &named);
    open.named = named.list;
    open.n_denied = list_prefixes(request->addresses.denied, request->addresses.n_denied, &denied);
    open.denied = denied.list;
    open.id = fetch->stream.id;
    open.tenant = request->tenant;
    open.method = bytes_of(request->method);
    open.scheme = bytes_of(scheme);
    open.host = bytes_of(request->host);
    open.port = request->port;
    open.path = bytes_of(request->path);
    open.head = bytes_of(head);
    open.has_body = request->has_body;
    open.has_length = request->length >= 0;
    open.length = request->length >= 0 ? (uint64_t) request->length : 0;
    open.credit = request->credit;
    open.connect_ms = request->connect_ms;
    open.head_ms = request->head_ms;
    open.idle_ms = request->idle_ms;
    open.total_ms = request->total_ms;
    frame.message_case = SKEP__EGRESS__TO_EGRESS__MESSAGE_OPEN;
    frame.open = &open;
    return helper_send_frame(fetch->egress->streams.helper, &frame.base);
}

int egress_open(struct egress *egress, const struct egress_request *request,
                const struct egress_ops *ops, void *owner, struct egress_fetch **ret_fetch)
{
    if (!egress_is_ready(egress))
        return -EPIPE;
    int r = check_request(request);
    if (r < 0)
        return r;
    r = streams_check_room(&egress->streams);
    if (r < 0)
        return r;
    _cleanup_free_ struct egress_fetch *fetch = calloc(1, sizeof *fetch);
    if (!fetch)
        return -ENOMEM;
    fetch->egress = egress;
    fetch->ops = ops;
    fetch->owner = owner;
    stream_prepare(&egress->streams, &fetch->stream, request->has_body, request->credit);
    r = send_open(fetch, request);
    if (r < 0)
        return r;
    stream_add(&fetch->stream);
    *ret_fetch = TAKE_PTR(fetch);
    return 0;
}

void egress_send_body(struct egress_fetch *fetch, const uint8_t *data, size_t size, bool is_end)
{
    stream_send_body(&fetch->stream, data, size, is_end);
}

void egress_give_credit(struct egress_fetch *fetch, uint32_t bytes)
{
    stream_give_credit(&fetch->stream, bytes);
}

void egress_cancel(struct egress_fetch *fetch)
{
    stream_cancel(&fetch->stream);
}

void egress_forget(struct egress *egress, uint64_t tenant)
{
    Skep__Egress__Forget forget = SKEP__EGRESS__FORGET__INIT;
    Skep__Egress__ToEgress frame = SKEP__EGRESS__TO_EGRESS__INIT;

    if (!egress)
        return;
    forget.tenant = tenant;
    frame.message_case = SKEP__EGRESS__TO_EGRESS__MESSAGE_FORGET;
    frame.forget = &forget;
    streams_send(&egress->streams, &frame.base);
}

/* ---- frames from egress. Each handler's last step is the callback, after which the fetch may be gone. */

static bool are_fields(struct head fields)
{
    while (fields.n_texts > 0)
        if (!target_is_token(head_next(&fields)) || !target_is_value(head_next(&fields)))
            return false;
    return true;
}

static int on_head(void *owner, const ProtobufCMessage *message)
{
    const Skep__Egress__Head *head = (const Skep__Egress__Head *) message;
    struct streams *streams = owner;
    struct stream *stream = streams_find(streams, head->id);
    struct egress_answer answer = {
        .status = head->status,
        .version = head->version,
        .reason = { (const char *) head->reason.data, head->reason.len },
    };

    if (!stream)
        return streams_refuse(streams,
                              "it sent the head of a stream that there is not, and is ended");
    if (stream->has_head)
        return streams_refuse(streams, "it sent a second head of an answer, and is ended");
    if (head->status < 200 || head->status > 999 ||
        (head->version != 10 && head->version != 11 && head->version != 20))
        return streams_refuse(streams, "it sent a status or a version that is none, and is ended");
    if (head->head.len > head_table_bytes(2 * (size_t) EGRESS_FIELDS_MAX) + EGRESS_HEAD_MAX_BYTES ||
        head_open(head->head.data, head->head.len, 0, EGRESS_FIELDS_MAX, &answer.fields) < 0 ||
        !are_fields(answer.fields))
        return streams_refuse(streams, "it sent headers that are none, and is ended");
    if (head->reason.len > EGRESS_REASON_MAX_BYTES || !target_is_value(answer.reason))
        return streams_refuse(streams, "it sent a reason phrase that is none, and is ended");
    stream->has_head = true;
    const struct egress_fetch *fetch = fetch_of(stream);
    if (!stream->is_cancelled)
        fetch->ops->on_head(fetch->owner, &answer);
    return 0;
}

static int on_body(void *owner, const ProtobufCMessage *message)
{
    return streams_on_body(owner, (const Skep__Stream__Body *) message);
}

static int on_credit(void *owner, const ProtobufCMessage *message)
{
    return streams_on_credit(owner, (const Skep__Stream__Credit *) message);
}

static const enum egress_end ends[] = {
    [SKEP__EGRESS__FAILURE__FAILURE_NONE] = EGRESS_COMPLETE,
    [SKEP__EGRESS__FAILURE__FAILURE_CANCELLED] = EGRESS_ENDS, /* only as the answer to Cancel */
    [SKEP__EGRESS__FAILURE__FAILURE_REQUEST] = EGRESS_REQUEST,
    [SKEP__EGRESS__FAILURE__FAILURE_NAME] = EGRESS_NAME,
    [SKEP__EGRESS__FAILURE__FAILURE_RESOLVER] = EGRESS_RESOLVER,
    [SKEP__EGRESS__FAILURE__FAILURE_ADDRESS] = EGRESS_ADDRESS,
    [SKEP__EGRESS__FAILURE__FAILURE_CONNECT] = EGRESS_CONNECT,
    [SKEP__EGRESS__FAILURE__FAILURE_TLS] = EGRESS_TLS,
    [SKEP__EGRESS__FAILURE__FAILURE_CLOSED] = EGRESS_CLOSED,
    [SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL] = EGRESS_PROTOCOL,
    [SKEP__EGRESS__FAILURE__FAILURE_HEAD_SIZE] = EGRESS_HEAD_SIZE,
    [SKEP__EGRESS__FAILURE__FAILURE_TIME] = EGRESS_TIME,
    [SKEP__EGRESS__FAILURE__FAILURE_BUSY] = EGRESS_BUSY,
    [SKEP__EGRESS__FAILURE__FAILURE_INTERNAL] = EGRESS_INTERNAL,
};

static struct head_text text_of(ProtobufCBinaryData bytes)
{
    return (struct head_text){ (const char *) bytes.data, bytes.len };
}

/* Checks the end of a fetch. Returns why it cannot be so, or NULL. */
static const char *check_done(const struct stream *stream, const Skep__Egress__Done *done)
{
    const bool is_complete = done->failure == SKEP__EGRESS__FAILURE__FAILURE_NONE;

    if ((unsigned) done->failure >= ARRAY_LEN(ends) ||
        (done->failure == SKEP__EGRESS__FAILURE__FAILURE_CANCELLED && !stream->is_cancelled))
        return "it ended a fetch for a reason that there is not, and is ended";
    if (is_complete && !stream->has_head)
        return "it ended a fetch without an answer as complete, and is ended";
    if (!stream_text_is_right(done->text, STREAM_TEXT_MAX_BYTES) ||
        !stream_text_is_right(done->address, ADDRESS_MAX_BYTES) ||
        (is_complete && done->text.len > 0))
        return "it sent a text that cannot be shown, and is ended";
    if (done->received != stream->received || done->sent > stream->sent)
        return "it counted bytes that were not there, and is ended";
    return NULL;
}

/* Tells the operator of failures that the host or the network may have caused, which a tenant's code may keep to itself. Tenants
 * can cause them, too: one line for each kind in a minute is the bound. */
static void note_failure(struct egress *egress, const struct egress_result *result)
{
    static const char *const kinds[EGRESS_ENDS] = {
        [EGRESS_RESOLVER] =
            "a resolver (egress.dns, else /etc/resolv.conf) does not answer or fails",
        [EGRESS_CONNECT] = "servers cannot be reached",
        [EGRESS_TLS] = "TLS with servers fails (egress.ca adds certificates)",
        [EGRESS_TIME] = "a resolver or servers do not answer in time",
        [EGRESS_INTERNAL] = "skep-egress has no memory or no descriptors",
    };
    struct failing *failing = &egress->failing[result->end];
    const uint64_t now = io_now_ns();
    char since[40] = "the first";

    if (!kinds[result->end])
        return;
    failing->n++;
    if (failing->said_ns != 0 && now - failing->said_ns < SAY_AGAIN_NS)
        return;
    if (failing->said_ns != 0)
        (void) snprintf(since, sizeof since, "%u in the last %u s", failing->n,
                        (unsigned) ((now - failing->said_ns) / NSEC_PER_SEC));
    log_warning("fetches of tenants fail: %s: %.*s (%s)", kinds[result->end],
                (int) result->text.size, result->text.data, since);
    *failing = (struct failing){ .said_ns = now };
}

static int on_done(void *owner, const ProtobufCMessage *message)
{
    const Skep__Egress__Done *done = (const Skep__Egress__Done *) message;
    struct streams *streams = owner;
    struct stream *stream = streams_find(streams, done->id);

    const char *why =
        stream ? check_done(stream, done) : "it ended a fetch that there is not, and is ended";
    if (why)
        return streams_refuse(streams, why);
    const struct egress_result result = {
        .end = ends[done->failure],
        .text = text_of(done->text),
        .address = text_of(done->address),
        .sent = done->sent,
        .received = done->received,
        .connects = done->connects,
        .connect_us = stream_cut_us(stream, done->connect_us),
        .head_us = stream_cut_us(stream, done->head_us),
        .total_us = stream_cut_us(stream, done->total_us),
    };
    if (!stream->is_cancelled)
        note_failure(egress_of(streams), &result);
    end(fetch_of(stream), &result);
    streams_offer_room(streams);
    return 0;
}

static const struct channel_rule rules[] = {
    [SKEP__EGRESS__FROM_EGRESS__MESSAGE_HEAD] = { 1, on_head },
    [SKEP__EGRESS__FROM_EGRESS__MESSAGE_BODY] = { 1, on_body },
    [SKEP__EGRESS__FROM_EGRESS__MESSAGE_CREDIT] = { 1, on_credit },
    [SKEP__EGRESS__FROM_EGRESS__MESSAGE_DONE] = { 1, on_done },
    [SKEP__EGRESS__FROM_EGRESS__MESSAGE_PONG] = { 1, streams_on_pong },
};

static const struct channel_table frames = {
    .envelope = &skep__egress__from_egress__descriptor,
    .case_offset = offsetof(Skep__Egress__FromEgress, message_case),
    .value_offset = offsetof(Skep__Egress__FromEgress, head),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};

/* ---- the kind of stream */

static void take_body(struct stream *stream, const uint8_t *data, size_t size)
{
    const struct egress_fetch *fetch = fetch_of(stream);

    fetch->ops->on_body(fetch->owner, data, size);
}

static void take_credit(struct stream *stream, uint32_t bytes)
{
    const struct egress_fetch *fetch = fetch_of(stream);

    fetch->ops->on_credit(fetch->owner, bytes);
}

static void lose(struct stream *stream)
{
    static const char text[] = "skep-egress has ended";
    const struct egress_result result = { .end = EGRESS_LOST, .text = { text, sizeof text - 1 } };

    end(fetch_of(stream), &result);
}

STREAM_CHECK_ENVELOPE(Skep__Egress__ToEgress);

static const struct stream_kind kind = {
    .name = "egress",
    .noun = "fetch",
    .plural = "fetches",
    .to_helper = &skep__egress__to_egress__descriptor,
    .body_case = SKEP__EGRESS__TO_EGRESS__MESSAGE_BODY,
    .credit_case = SKEP__EGRESS__TO_EGRESS__MESSAGE_CREDIT,
    .cancel_case = SKEP__EGRESS__TO_EGRESS__MESSAGE_CANCEL,
    .window_bytes = EGRESS_WINDOW_BYTES,
    .credit_max_bytes = EGRESS_CREDIT_MAX_BYTES,
    .most = EGRESS_FETCHES_MAX,
    .on_body = take_body,
    .on_credit = take_credit,
    .lose = lose,
};

/* ---- the life of egress */

static Skep__Stream__Ping ping = SKEP__STREAM__PING__INIT;
static const Skep__Egress__ToEgress ping_frame = {
    PROTOBUF_C_MESSAGE_INIT(&skep__egress__to_egress__descriptor),
    .message_case = SKEP__EGRESS__TO_EGRESS__MESSAGE_PING,
    .ping = &ping,
};

int egress_new(const struct egress_options *options, struct egress **ret_egress)
{
    struct egress *egress = calloc(1, sizeof *egress);
    const struct helper_options helper = {
        .id = HELPER_EGRESS,
        .name = EGRESS_HELPER_NAME,
        .version = EGRESS_VERSION,
        .number = options->number,
        .base = options->base,
        .spawner = options->spawner,
        .health = options->health,
        .ping = &ping_frame.base,
        .socket = options->socket,
        .remedy = "systemctl start skep-egress.socket",
        .tails = &egress_tails,
        .socket_bytes = EGRESS_SOCKET_BYTES,
    };

    if (!egress)
        return -ENOMEM;
    int r = streams_init(&egress->streams, &kind, &helper, &frames);
    if (r < 0) {
        (void) egress_free(egress);
        return r;
    }
    *ret_egress = egress;
    return 0;
}

void egress_on_room(struct egress *egress, void (*on_room)(void *owner), void *owner)
{
    egress->streams.on_room = on_room;
    egress->streams.room_owner = owner;
}

bool egress_is_ready(const struct egress *egress)
{
    return egress && streams_are_ready(&egress->streams);
}

unsigned egress_count(const struct egress *egress)
{
    return egress ? egress->streams.n : 0;
}

struct egress *egress_free(struct egress *egress)
{
    if (!egress)
        return NULL;
    streams_done(&egress->streams);
    free(egress);
    return NULL;
}
