/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd's side of skep-egress: the fetches that are open, by their numbers, and what each end of them may still send.
 * Supervisor, loop thread.
 *
 * A fetch that was cancelled stays in the table until egress has said Done: its frames are checked like others, and go
 * nowhere. Functions for the opener call none of its callbacks: a failure in them is noted, and reported in the next turn
 * of the loop.
 */
#include "supervisor/helpers/egress.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "egress.pb-c.h"
#include "egress/program.h"
#include "egress/target.h"
#include "proto/channel.h"
#include "proto/frame.h"

#define BUCKETS 1024
#define TIME_MAX_MS (UINT32_C(24) * 3600 * 1000)
#define TEXT_MAX_BYTES 512
#define SAY_AGAIN_NS (60 * NSEC_PER_SEC)
#define ADDRESS_MAX_BYTES 64
#define NS_PER_US UINT64_C(1000)
/* Most bytes that may wait for egress: requests up to the bound of helper_is_congested, and for each fetch its window with frames
 * around it. */
#define QUEUE_BASE_BYTES ((size_t) 2 << 20)
#define QUEUE_FETCH_BYTES ((size_t) EGRESS_WINDOW_BYTES + (8 << 10))

struct egress_fetch {
    LIST_ENTRY(egress_fetch) bucket;
    TAILQ_ENTRY(egress_fetch) entry;
    struct egress *egress;        /* borrowed */
    const struct egress_ops *ops; /* borrowed; NULL: cancelled */
    void *owner;                  /* borrowed */
    uint64_t id;
    uint64_t opened_ns;
    uint64_t sent, received; /* bytes of bodies */
    uint32_t window;         /* bytes of the request's body that may still be sent */
    uint32_t credit;         /* bytes of the answer's body that may still come */
    bool is_body_over;       /* the request's body has been sent to its end */
    bool has_head;
};
LIST_HEAD(bucket, egress_fetch);

/* Failures of one kind since the last line about it. */
struct failing {
    uint64_t said_ns; /* 0: never */
    unsigned n;
};

struct egress {
    struct helper *helper;
    struct failing failing[EGRESS_ENDS];
    struct event *failure;              /* made active when a frame could not be sent */
    TAILQ_HEAD(, egress_fetch) fetches; /* the oldest first */
    struct bucket buckets[BUCKETS];
    unsigned n_fetches; /* with those that are cancelled */
    unsigned n_behind;  /* fetches that have been open since the queue to egress was empty */
    uint64_t last_id;
    void (*on_room)(void *owner); /* NULL: nobody wants to know */
    void *room_owner;             /* borrowed */
    bool is_refusing;             /* egress_open has returned -EAGAIN, and on_room is due */
    bool is_ending;
};

/* ---- fetches */

static struct bucket *bucket_of(struct egress *egress, uint64_t id)
{
    return &egress->buckets[id % BUCKETS];
}

static struct egress_fetch *find(struct egress *egress, uint64_t id)
{
    struct egress_fetch *fetch;

    LIST_FOREACH (fetch, bucket_of(egress, id), bucket)
        if (fetch->id == id)
            break;
    return fetch;
}

static void fetch_free(struct egress_fetch *fetch)
{
    LIST_REMOVE(fetch, bucket);
    TAILQ_REMOVE(&fetch->egress->fetches, fetch, entry);
    fetch->egress->n_fetches--;
    free(fetch);
}

/* Frees the fetch, and tells its opener, who may do anything but free egress. */
static void end(struct egress_fetch *fetch, const struct egress_result *result)
{
    const struct egress_ops *ops = fetch->ops;
    void *owner = fetch->owner;

    fetch_free(fetch);
    if (ops)
        ops->on_end(owner, result);
}

static bool has_room(const struct egress *egress)
{
    return helper_is_ready(egress->helper) && !helper_is_congested(egress->helper) &&
           egress->n_fetches < EGRESS_FETCHES_MAX;
}

/* Tells that fetches may be opened again, if one was refused. */
static void offer_room(struct egress *egress)
{
    if (!egress->is_refusing || !has_room(egress))
        return;
    egress->is_refusing = false;
    if (egress->on_room)
        egress->on_room(egress->room_owner);
}

/* ---- frames to egress */

/* Sends a frame. A frame that cannot be sent costs the process, in the next turn: the stream that it belongs to is torn.
 * So does one for which nothing should wait: egress does not read. -EPIPE needs nothing, for the loss is on its way. */
static void send_frame(struct egress *egress, const Skep__Egress__ToEgress *frame)
{
    if (helper_is_ready(egress->helper) && helper_queued_bytes(egress->helper) == 0)
        egress->n_behind = egress->n_fetches;
    int r = helper_send_frame(egress->helper, &frame->base);
    size_t bound = QUEUE_BASE_BYTES + egress->n_behind * QUEUE_FETCH_BYTES;
    if ((r < 0 && r != -EPIPE) || (r == 0 && helper_queued_bytes(egress->helper) > bound))
        event_active(egress->failure, EV_TIMEOUT, 0);
}

static void on_failure(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("egress: a frame that cannot be sent");
    const struct egress *egress = arg;

    (void) helper_lose(egress->helper, "it takes no more frames, and is ended");
}

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
    open.id = fetch->id;
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
    return helper_send_frame(fetch->egress->helper, &frame.base);
}

int egress_open(struct egress *egress, const struct egress_request *request,
                const struct egress_ops *ops, void *owner, struct egress_fetch **ret_fetch)
{
    if (!egress_is_ready(egress))
        return -EPIPE;
    int r = check_request(request);
    if (r < 0)
        return r;
    if (!has_room(egress)) {
        egress->is_refusing = true;
        return -EAGAIN;
    }
    _cleanup_free_ struct egress_fetch *fetch = calloc(1, sizeof *fetch);
    if (!fetch)
        return -ENOMEM;
    fetch->egress = egress;
    fetch->ops = ops;
    fetch->owner = owner;
    fetch->id = egress->last_id + 1;
    fetch->opened_ns = io_now_ns();
    fetch->window = request->has_body ? EGRESS_WINDOW_BYTES : 0;
    fetch->is_body_over = !request->has_body;
    fetch->credit = request->credit;
    if (helper_queued_bytes(egress->helper) == 0)
        egress->n_behind = egress->n_fetches;
    r = send_open(fetch, request);
    if (r < 0)
        return r;
    egress->last_id = fetch->id;
    egress->n_behind++;
    egress->n_fetches++;
    LIST_INSERT_HEAD(bucket_of(egress, fetch->id), fetch, bucket);
    TAILQ_INSERT_TAIL(&egress->fetches, fetch, entry);
    *ret_fetch = TAKE_PTR(fetch);
    return 0;
}

void egress_send_body(struct egress_fetch *fetch, const uint8_t *data, size_t size, bool is_end)
{
    Skep__Egress__Body body = SKEP__EGRESS__BODY__INIT;
    Skep__Egress__ToEgress frame = SKEP__EGRESS__TO_EGRESS__INIT;
    const struct head_text part = { (const char *) data, size };

    assert(fetch->ops && !fetch->is_body_over && size <= fetch->window && (size > 0 || is_end));
    fetch->window -= (uint32_t) size;
    fetch->sent += size;
    fetch->is_body_over = is_end;
    body.id = fetch->id;
    body.data = bytes_of(part);
    body.end = is_end;
    frame.message_case = SKEP__EGRESS__TO_EGRESS__MESSAGE_BODY;
    frame.body = &body;
    send_frame(fetch->egress, &frame);
}

void egress_give_credit(struct egress_fetch *fetch, uint32_t bytes)
{
    Skep__Egress__Credit credit = SKEP__EGRESS__CREDIT__INIT;
    Skep__Egress__ToEgress frame = SKEP__EGRESS__TO_EGRESS__INIT;

    assert(fetch->ops && bytes <= EGRESS_CREDIT_MAX_BYTES - fetch->credit);
    if (bytes == 0)
        return;
    fetch->credit += bytes;
    credit.id = fetch->id;
    credit.bytes = bytes;
    frame.message_case = SKEP__EGRESS__TO_EGRESS__MESSAGE_CREDIT;
    frame.credit = &credit;
    send_frame(fetch->egress, &frame);
}

void egress_cancel(struct egress_fetch *fetch)
{
    Skep__Egress__Cancel cancel = SKEP__EGRESS__CANCEL__INIT;
    Skep__Egress__ToEgress frame = SKEP__EGRESS__TO_EGRESS__INIT;

    assert(fetch->ops);
    fetch->ops = NULL;
    cancel.id = fetch->id;
    frame.message_case = SKEP__EGRESS__TO_EGRESS__MESSAGE_CANCEL;
    frame.cancel = &cancel;
    send_frame(fetch->egress, &frame);
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
    send_frame(egress, &frame);
}

/* ---- frames from egress. Each handler's last step is the callback, after which the fetch may be gone. */

/* Loses egress for a frame that it may not send. All fetches are gone afterwards. */
static int refuse(const struct egress *egress, const char *why)
{
    return helper_lose(egress->helper, why);
}

static bool is_printable(ProtobufCBinaryData text, size_t most)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < ' ' || text.data[i] > '~')
            return false;
    return text.len <= most;
}

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
    struct egress *egress = owner;
    struct egress_fetch *fetch = find(egress, head->id);
    struct egress_answer answer = {
        .status = head->status,
        .version = head->version,
        .reason = { (const char *) head->reason.data, head->reason.len },
    };

    if (!fetch)
        return refuse(egress, "it sent the head of a fetch that there is not, and is ended");
    if (fetch->has_head)
        return refuse(egress, "it sent a second head of an answer, and is ended");
    if (head->status < 200 || head->status > 999 ||
        (head->version != 10 && head->version != 11 && head->version != 20))
        return refuse(egress, "it sent a status or a version that is none, and is ended");
    if (head->head.len > head_table_bytes(2 * (size_t) EGRESS_FIELDS_MAX) + EGRESS_HEAD_MAX_BYTES ||
        head_open(head->head.data, head->head.len, 0, EGRESS_FIELDS_MAX, &answer.fields) < 0 ||
        !are_fields(answer.fields))
        return refuse(egress, "it sent headers that are none, and is ended");
    if (head->reason.len > EGRESS_REASON_MAX_BYTES || !target_is_value(answer.reason))
        return refuse(egress, "it sent a reason phrase that is none, and is ended");
    fetch->has_head = true;
    if (fetch->ops)
        fetch->ops->on_head(fetch->owner, &answer);
    return 0;
}

static int on_body(void *owner, const ProtobufCMessage *message)
{
    const Skep__Egress__Body *body = (const Skep__Egress__Body *) message;
    struct egress *egress = owner;
    struct egress_fetch *fetch = find(egress, body->id);

    if (!fetch)
        return refuse(egress, "it sent a body of a fetch that there is not, and is ended");
    if (!fetch->has_head)
        return refuse(egress, "it sent a body before its head, and is ended");
    if (body->data.len == 0 || body->data.len > ANSWER_CHUNK_MAX_BYTES || body->end)
        return refuse(egress, "it sent a part of a body that is none, and is ended");
    if (body->data.len > fetch->credit)
        return refuse(egress, "it sent more of a body than it had credit for, and is ended");
    fetch->credit -= (uint32_t) body->data.len;
    fetch->received += body->data.len;
    if (fetch->ops)
        fetch->ops->on_body(fetch->owner, body->data.data, body->data.len);
    return 0;
}

static int on_credit(void *owner, const ProtobufCMessage *message)
{
    const Skep__Egress__Credit *credit = (const Skep__Egress__Credit *) message;
    struct egress *egress = owner;
    struct egress_fetch *fetch = find(egress, credit->id);

    if (!fetch)
        return refuse(egress, "it gave credit to a fetch that there is not, and is ended");
    /* A request without a body has no window, and has sent nothing. */
    if (credit->bytes == 0 || credit->bytes > EGRESS_WINDOW_BYTES || credit->bytes > fetch->sent ||
        credit->bytes > EGRESS_WINDOW_BYTES - fetch->window)
        return refuse(egress, "it gave more credit than it had taken bytes, and is ended");
    fetch->window += credit->bytes;
    if (fetch->ops && !fetch->is_body_over)
        fetch->ops->on_credit(fetch->owner, credit->bytes);
    return 0;
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

static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

static struct head_text text_of(ProtobufCBinaryData bytes)
{
    return (struct head_text){ (const char *) bytes.data, bytes.len };
}

/* Checks the end of a fetch. Returns why it cannot be so, or NULL. */
static const char *check_done(const struct egress_fetch *fetch, const Skep__Egress__Done *done)
{
    const bool is_complete = done->failure == SKEP__EGRESS__FAILURE__FAILURE_NONE;

    if ((unsigned) done->failure >= ARRAY_LEN(ends) ||
        (done->failure == SKEP__EGRESS__FAILURE__FAILURE_CANCELLED && fetch->ops))
        return "it ended a fetch for a reason that there is not, and is ended";
    if (is_complete && !fetch->has_head)
        return "it ended a fetch without an answer as complete, and is ended";
    if (!is_printable(done->text, TEXT_MAX_BYTES) ||
        !is_printable(done->address, ADDRESS_MAX_BYTES) || (is_complete && done->text.len > 0))
        return "it sent a text that cannot be shown, and is ended";
    if (done->received != fetch->received || done->sent > fetch->sent)
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
    struct egress *egress = owner;
    struct egress_fetch *fetch = find(egress, done->id);

    const char *why =
        fetch ? check_done(fetch, done) : "it ended a fetch that there is not, and is ended";
    if (why)
        return refuse(egress, why);
    /* Times are those of another process: none is longer than the fetch was open. */
    const uint64_t open_us = (io_now_ns() - fetch->opened_ns) / NS_PER_US;
    const struct egress_result result = {
        .end = ends[done->failure],
        .text = text_of(done->text),
        .address = text_of(done->address),
        .sent = done->sent,
        .received = done->received,
        .connects = done->connects,
        .connect_us = at_most(done->connect_us, open_us),
        .head_us = at_most(done->head_us, open_us),
        .total_us = at_most(done->total_us, open_us),
    };
    if (fetch->ops)
        note_failure(egress, &result);
    end(fetch, &result);
    offer_room(egress);
    return 0;
}

static int on_pong(void *owner, const ProtobufCMessage *message)
{
    (void) owner;
    (void) message;
    return 0;
}

static const struct channel_rule rules[] = {
    [SKEP__EGRESS__FROM_EGRESS__MESSAGE_HEAD] = { 1, on_head },
    [SKEP__EGRESS__FROM_EGRESS__MESSAGE_BODY] = { 1, on_body },
    [SKEP__EGRESS__FROM_EGRESS__MESSAGE_CREDIT] = { 1, on_credit },
    [SKEP__EGRESS__FROM_EGRESS__MESSAGE_DONE] = { 1, on_done },
    [SKEP__EGRESS__FROM_EGRESS__MESSAGE_PONG] = { 1, on_pong },
};

static const struct channel_table frames = {
    .envelope = &skep__egress__from_egress__descriptor,
    .case_offset = offsetof(Skep__Egress__FromEgress, message_case),
    .value_offset = offsetof(Skep__Egress__FromEgress, head),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};

/* ---- the life of egress */

static void end_all(struct egress *egress)
{
    static const char text[] = "skep-egress has ended";
    const struct egress_result result = { .end = EGRESS_LOST, .text = { text, sizeof text - 1 } };
    struct egress_fetch *fetch;
    unsigned n_lost = 0;

    TAILQ_FOREACH (fetch, &egress->fetches, entry)
        n_lost += fetch->ops != NULL;
    if (n_lost > 0)
        log_error("egress has ended, and %u open fetch%s with it", n_lost, n_lost == 1 ? "" : "es");
    while ((fetch = TAILQ_FIRST(&egress->fetches)))
        end(fetch, &result);
}

static void on_lost(void *owner)
{
    struct egress *egress = owner;

    (void) event_del(egress->failure);
    end_all(egress);
}

static void on_ready(void *owner)
{
    struct egress *egress = owner;

    egress->is_refusing = true; /* those that found no egress wait, too */
    offer_room(egress);
}

static void on_drained(void *owner)
{
    offer_room(owner);
}

static const struct helper_ops helper_ops = {
    .on_lost = on_lost,
    .on_ready = on_ready,
    .on_drained = on_drained,
};

static Skep__Egress__Ping ping = SKEP__EGRESS__PING__INIT;
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
    TAILQ_INIT(&egress->fetches);
    egress->failure = event_new(options->base, -1, 0, on_failure, egress);
    int r = egress->failure ? helper_new(&helper, &egress->helper) : -ENOMEM;
    if (r < 0) {
        (void) egress_free(egress);
        return r;
    }
    helper_listen(egress->helper, &frames, &helper_ops, egress);
    *ret_egress = egress;
    return 0;
}

void egress_on_room(struct egress *egress, void (*on_room)(void *owner), void *owner)
{
    egress->on_room = on_room;
    egress->room_owner = owner;
}

bool egress_is_ready(const struct egress *egress)
{
    return egress && !egress->is_ending && helper_is_ready(egress->helper);
}

unsigned egress_count(const struct egress *egress)
{
    return egress ? egress->n_fetches : 0;
}

struct egress *egress_free(struct egress *egress)
{
    if (!egress)
        return NULL;
    egress->is_ending = true;
    end_all(egress);
    egress->helper = helper_free(egress->helper);
    if (egress->failure)
        event_free(egress->failure);
    free(egress);
    return NULL;
}
