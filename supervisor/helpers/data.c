/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd's side of skep-data: the processes, one for each cordon, and what streams.h does not have of their operations. Supervisor,
 * loop thread.
 *
 * Each process has a struct health of its own; the one that others read has the worst state of all, and the sum of all losses.
 */
#include "supervisor/helpers/data.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/log_gate.h"
#include "common/loop_watch.h"
#include "config/names.h"
#include "data.pb-c.h"
#include "data/program.h"
#include "proto/channel.h"
#include "supervisor/helpers/streams.h"

#define NOTICE_NS NSEC_PER_SEC

struct data_call {
    struct stream stream;       /* first */
    const struct data_ops *ops; /* borrowed */
    void *owner;                /* borrowed */
};

/* A tenant whose files are to be closed. */
struct closing {
    TAILQ_ENTRY(closing) entry;
    uint64_t id; /* 0: not sent yet */
    uint64_t due_ns;
    char tenant[NAME_MAX_BYTES + 1];
    bool is_removed;
    data_closed_fn on_closed; /* NULL: nobody wants to know */
    void *owner;              /* borrowed */
};

/* The process of one cordon. */
struct data_process {
    struct streams streams; /* first */
    TAILQ_ENTRY(data_process) entry;
    struct data *data; /* borrowed */
    char cordon[NAME_MAX_BYTES + 1];
    struct health health; /* only HELPER_DATA is used */
    TAILQ_HEAD(, closing) closings;
    struct log_gate notices;
};

struct data {
    struct data_options options;
    TAILQ_HEAD(, data_process) processes;
    struct event *timer;                  /* timer of closings */
    bool is_shared;                       /* another skepd uses the same folder */
    uint64_t losses;                      /* losses of processes that were ended since */
    const struct data_listener *listener; /* borrowed, like owner; NULL: none */
    void *owner;
};

static struct data_process *process_of(struct streams *streams)
{
    return (struct data_process *) (void *) streams;
}

static struct data_call *call_of(struct stream *stream)
{
    return (struct data_call *) (void *) stream;
}

/* Frees the operation, and tells its opener, who may do anything but free data. */
static void end(struct data_call *call, const struct data_result *result)
{
    const struct data_ops *ops = call->stream.is_cancelled ? NULL : call->ops;
    void *owner = call->owner;

    stream_remove(&call->stream);
    free(call);
    if (ops)
        ops->on_end(owner, result);
}

/* ---- frames to data */

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

static bool is_operation(const char *name)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz-");

    return size > 0 && size <= DATA_OPERATION_NAME_MAX && name[size] == '\0';
}

/* Checks what data would take for a breach. */
static bool is_request_right(const struct data_request *request)
{
    return name_is_valid(request->tenant) && name_is_valid(request->space) &&
           is_operation(request->operation) && request->credit <= DATA_CREDIT_MAX_BYTES;
}

static int send_open(const struct data_call *call, const struct data_request *request)
{
    const struct limits *from = request->limits;
    Skep__Data__Limits limits = SKEP__DATA__LIMITS__INIT;
    Skep__Data__Open open = SKEP__DATA__OPEN__INIT;
    Skep__Data__ToData frame = SKEP__DATA__TO_DATA__INIT;

    limits.storage_rate = from->storage_rate;
    limits.kv_mib = from->kv_mib;
    limits.kv_keys = from->kv_keys;
    limits.kv_value_mib = from->kv_value_mib;
    limits.sql_mib = from->sql_mib;
    limits.sql_ms = from->sql_ms;
    limits.sql_rows_mib = from->sql_rows_mib;
    open.id = call->stream.id;
    open.tenant = bytes_of(request->tenant);
    open.kind = request->kind == DATA_KV ? SKEP__DATA__KIND__KIND_KV : SKEP__DATA__KIND__KIND_SQL;
    open.space = bytes_of(request->space);
    open.operation = bytes_of(request->operation);
    open.has_body = request->has_body;
    open.credit = request->credit;
    open.limits = &limits;
    open.is_operator = request->is_operator;
    frame.message_case = SKEP__DATA__TO_DATA__MESSAGE_OPEN;
    frame.open = &open;
    return helper_send_frame(call->stream.streams->helper, &frame.base);
}

static void send_close(struct data_process *process, struct closing *closing)
{
    Skep__Data__Close close = SKEP__DATA__CLOSE__INIT;
    Skep__Data__ToData frame = SKEP__DATA__TO_DATA__INIT;

    closing->id = streams_take_id(&process->streams);
    close.id = closing->id;
    close.tenant = bytes_of(closing->tenant);
    close.remove = closing->is_removed;
    frame.message_case = SKEP__DATA__TO_DATA__MESSAGE_CLOSE;
    frame.close = &close;
    streams_send(&process->streams, &frame.base);
}

static void send_share(struct data_process *process)
{
    Skep__Data__Share share = SKEP__DATA__SHARE__INIT;
    Skep__Data__ToData frame = SKEP__DATA__TO_DATA__INIT;

    share.is_on = process->data->is_shared;
    frame.message_case = SKEP__DATA__TO_DATA__MESSAGE_SHARE;
    frame.share = &share;
    streams_send(&process->streams, &frame.base);
}

/* ---- tenants whose files are closed */

static void end_closing(struct data_process *process, struct closing *closing, int error)
{
    data_closed_fn on_closed = closing->on_closed;
    void *owner = closing->owner;

    TAILQ_REMOVE(&process->closings, closing, entry);
    free(closing);
    if (on_closed)
        on_closed(owner, error);
}

static void end_closings(struct data_process *process, int error)
{
    struct closing *closing;

    while ((closing = TAILQ_FIRST(&process->closings)))
        end_closing(process, closing, error);
}

static void set_timer(struct data *data, uint64_t due_ns)
{
    const uint64_t now = io_now_ns();
    const uint64_t ms = due_ns > now ? (due_ns - now) / NSEC_PER_MSEC + 1 : 0;
    const struct timeval wait = { .tv_sec = (time_t) (ms / 1000),
                                  .tv_usec = (suseconds_t) (ms % 1000 * 1000) };

    if (!event_pending(data->timer, EV_TIMEOUT, NULL))
        (void) event_add(data->timer, &wait);
}

/* Finds a closing whose time is over. Each process has them in the order of their times. */
static struct closing *find_overdue(const struct data *data, uint64_t now,
                                    struct data_process **ret_process)
{
    struct data_process *process;

    TAILQ_FOREACH (process, &data->processes, entry) {
        struct closing *closing = TAILQ_FIRST(&process->closings);
        if (closing && closing->due_ns <= now) {
            *ret_process = process;
            return closing;
        }
    }
    return NULL;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("data: timer");
    struct data *data = arg;
    struct data_process *process;
    struct closing *closing;
    uint64_t now = io_now_ns();

    while ((closing = find_overdue(data, now, &process)))
        end_closing(process, closing, -ETIMEDOUT);
    TAILQ_FOREACH (process, &data->processes, entry)
        if ((closing = TAILQ_FIRST(&process->closings)))
            set_timer(data, closing->due_ns);
}

/* ---- frames from data. Each handler's last step is the callback, after which the operation may be gone. */

static int on_head(void *owner, const ProtobufCMessage *message)
{
    const Skep__Data__Head *head = (const Skep__Data__Head *) message;
    struct streams *streams = owner;
    struct stream *stream = streams_find(streams, head->id);

    if (!stream)
        return streams_refuse(streams,
                              "it sent the head of a stream that there is not, and is ended");
    if (stream->has_head)
        return streams_refuse(streams, "it sent a second head of an answer, and is ended");
    if (head->status != 200 && (head->status < 400 || head->status > 599))
        return streams_refuse(streams, "it sent a status that is none, and is ended");
    stream->has_head = true;
    const struct data_call *call = call_of(stream);
    if (!stream->is_cancelled)
        call->ops->on_head(call->owner, head->status);
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

static const enum data_end ends[] = {
    [SKEP__DATA__FAILURE__FAILURE_NONE] = DATA_COMPLETE,
    [SKEP__DATA__FAILURE__FAILURE_CANCELLED] = DATA_ENDS, /* only as the answer to Cancel */
    [SKEP__DATA__FAILURE__FAILURE_BUSY] = DATA_BUSY,
    [SKEP__DATA__FAILURE__FAILURE_INTERNAL] = DATA_INTERNAL,
    [SKEP__DATA__FAILURE__FAILURE_CLOSED] = DATA_CLOSING,
};

/* Checks the end of an operation. Returns why it cannot be so, or NULL. */
static const char *check_done(const struct stream *stream, const Skep__Data__Done *done)
{
    const bool is_complete = done->failure == SKEP__DATA__FAILURE__FAILURE_NONE;

    if ((unsigned) done->failure >= ARRAY_LEN(ends) ||
        (done->failure == SKEP__DATA__FAILURE__FAILURE_CANCELLED && !stream->is_cancelled))
        return "it ended an operation for a reason that there is not, and is ended";
    if (is_complete && !stream->has_head)
        return "it ended an operation without an answer as complete, and is ended";
    if (!stream_text_is_right(done->text, STREAM_TEXT_MAX_BYTES) ||
        (is_complete && done->text.len > 0))
        return "it sent a text that cannot be shown, and is ended";
    if (done->sent != stream->received || done->received > stream->sent)
        return "it counted bytes that were not there, and is ended";
    return NULL;
}

static int on_done(void *owner, const ProtobufCMessage *message)
{
    const Skep__Data__Done *done = (const Skep__Data__Done *) message;
    struct streams *streams = owner;
    struct stream *stream = streams_find(streams, done->id);

    const char *why =
        stream ? check_done(stream, done) : "it ended an operation that there is not, and is ended";
    if (why)
        return streams_refuse(streams, why);
    const struct data_result result = {
        .end = ends[done->failure],
        .text = { (const char *) done->text.data, done->text.len },
        .sent = done->received,
        .received = done->sent,
        .wait_us = stream_cut_us(stream, done->wait_us),
        .total_us = stream_cut_us(stream, done->total_us),
    };
    end(call_of(stream), &result);
    streams_offer_room(streams);
    return 0;
}

static int take_closed(void *owner, const ProtobufCMessage *message)
{
    const Skep__Data__Closed *closed = (const Skep__Data__Closed *) message;
    struct data_process *process = process_of(owner);
    struct closing *closing;

    TAILQ_FOREACH (closing, &process->closings, entry)
        if (closing->id != 0 && closing->id == closed->id)
            break;
    /* The answer to one that was given up is no breach: its number was given. */
    if (!closing && (closed->id == 0 || closed->id > process->streams.last_id))
        return streams_refuse(&process->streams,
                              "it closed what it was not asked to, and is ended");
    if (closing)
        end_closing(process, closing, closed->failed ? -EIO : 0);
    return 0;
}

/* Copies a tenant's name. Returns false if it is none. */
static bool copy_name(ProtobufCBinaryData from, char to[static NAME_MAX_BYTES + 1])
{
    if (from.len > NAME_MAX_BYTES)
        return false;
    if (from.len > 0)
        memcpy(to, from.data, from.len);
    to[from.len] = '\0';
    return strlen(to) == from.len && name_is_valid(to);
}

static int on_notice(void *owner, const ProtobufCMessage *message)
{
    const Skep__Data__Notice *notice = (const Skep__Data__Notice *) message;
    struct data_process *process = process_of(owner);
    char tenant[NAME_MAX_BYTES + 1] = "", more[LOG_GATE_TEXT_BYTES];
    uint64_t left_out;

    if ((notice->tenant.len > 0 && !copy_name(notice->tenant, tenant)) ||
        !stream_text_is_right(notice->text, STREAM_TEXT_MAX_BYTES))
        return streams_refuse(&process->streams,
                              "it sent a text that cannot be shown, and is ended");
    if (log_gate_pass(&process->notices, io_now_ns(), NOTICE_NS, &left_out))
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = tenant[0] != '\0' ? tenant : NULL),
                  "data (cordon %s): %.*s%s", process->cordon, (int) notice->text.len,
                  (const char *) notice->text.data, log_gate_text(left_out, more));
    return 0;
}

/* The process ends with this frame; it is not waited for. */
static int on_stuck(void *owner, const ProtobufCMessage *message)
{
    const Skep__Data__Stuck *stuck = (const Skep__Data__Stuck *) message;
    struct data_process *process = process_of(owner);
    const struct data *data = process->data;
    char tenant[NAME_MAX_BYTES + 1];

    if (!copy_name(stuck->tenant, tenant))
        return streams_refuse(&process->streams, "it named a tenant that is none, and is ended");
    log_event(
        LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = tenant),
        "data (cordon %s): an operation of the tenant did not end within its time, and had run "
        "for %u ms: the process is ended",
        process->cordon, stuck->ms);
    if (data->listener && data->listener->on_stuck)
        data->listener->on_stuck(data->owner, process->cordon, tenant, stuck->ms);
    return streams_refuse(&process->streams, "an operation in it did not end");
}

static const struct channel_rule rules[] = {
    [SKEP__DATA__FROM_DATA__MESSAGE_HEAD] = { 1, on_head },
    [SKEP__DATA__FROM_DATA__MESSAGE_BODY] = { 1, on_body },
    [SKEP__DATA__FROM_DATA__MESSAGE_CREDIT] = { 1, on_credit },
    [SKEP__DATA__FROM_DATA__MESSAGE_DONE] = { 1, on_done },
    [SKEP__DATA__FROM_DATA__MESSAGE_PONG] = { 1, streams_on_pong },
    [SKEP__DATA__FROM_DATA__MESSAGE_CLOSED] = { 1, take_closed },
    [SKEP__DATA__FROM_DATA__MESSAGE_NOTICE] = { 1, on_notice },
    [SKEP__DATA__FROM_DATA__MESSAGE_STUCK] = { 1, on_stuck },
};

static const struct channel_table frames = {
    .envelope = &skep__data__from_data__descriptor,
    .case_offset = offsetof(Skep__Data__FromData, message_case),
    .value_offset = offsetof(Skep__Data__FromData, head),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};

/* ---- the kind of stream */

static void take_body(struct stream *stream, const uint8_t *data, size_t size)
{
    const struct data_call *call = call_of(stream);

    call->ops->on_body(call->owner, data, size);
}

static void take_credit(struct stream *stream, uint32_t bytes)
{
    const struct data_call *call = call_of(stream);

    call->ops->on_credit(call->owner, bytes);
}

static void lose(struct stream *stream)
{
    static const char text[] =
        "the storage process has ended: whether the write was done is not known";
    const struct data_result result = { .end = DATA_LOST, .text = { text, sizeof text - 1 } };

    end(call_of(stream), &result);
}

static void on_lost(struct streams *streams)
{
    end_closings(process_of(streams), -EPIPE);
}

static void on_ready(struct streams *streams)
{
    struct data_process *process = process_of(streams);
    struct closing *closing;

    if (process->data->is_shared)
        send_share(process);
    TAILQ_FOREACH (closing, &process->closings, entry)
        send_close(process, closing);
}

STREAM_CHECK_ENVELOPE(Skep__Data__ToData);

static const struct stream_kind kind = {
    .name = "data",
    .noun = "operation",
    .plural = "operations",
    .to_helper = &skep__data__to_data__descriptor,
    .body_case = SKEP__DATA__TO_DATA__MESSAGE_BODY,
    .credit_case = SKEP__DATA__TO_DATA__MESSAGE_CREDIT,
    .cancel_case = SKEP__DATA__TO_DATA__MESSAGE_CANCEL,
    .window_bytes = DATA_WINDOW_BYTES,
    .credit_max_bytes = DATA_CREDIT_MAX_BYTES,
    .most = DATA_OPERATIONS_MAX,
    .on_body = take_body,
    .on_credit = take_credit,
    .lose = lose,
    .on_lost = on_lost,
    .on_ready = on_ready,
};

/* ---- the processes */

/* Tells the health that others read of the worst state of all processes. */
static void note_health(const struct data *data)
{
    struct health *health = data->options.health;
    struct helper_health *all = &health->of[HELPER_DATA], worst = { .losses = data->losses };
    const struct data_process *process;

    TAILQ_FOREACH (process, &data->processes, entry) {
        const struct helper_health *one = &process->health.of[HELPER_DATA];
        uint64_t losses = worst.losses + one->losses;
        if (one->state >= worst.state)
            worst = *one;
        worst.losses = losses;
    }
    bool is_change = worst.state != all->state;
    *all = worst;
    if (is_change && health->on_change)
        health->on_change(health->owner);
}

static void on_health(void *owner)
{
    note_health(owner);
}

static void on_room(void *owner)
{
    const struct data_process *process = owner;
    const struct data *data = process->data;

    if (data->listener && data->listener->on_room)
        data->listener->on_room(data->owner, process->cordon);
}

static struct data_process *find(const struct data *data, const char *cordon)
{
    struct data_process *process;

    TAILQ_FOREACH (process, &data->processes, entry)
        if (strcmp(process->cordon, cordon) == 0)
            break;
    return process;
}

static void process_free(struct data_process *process)
{
    struct data *data = process->data;

    process->streams.is_ending = true;
    end_closings(process, -EPIPE);
    streams_done(&process->streams);
    TAILQ_REMOVE(&data->processes, process, entry);
    data->losses += process->health.of[HELPER_DATA].losses;
    free(process);
}

static Skep__Stream__Ping ping = SKEP__STREAM__PING__INIT;
static const Skep__Data__ToData ping_frame = {
    PROTOBUF_C_MESSAGE_INIT(&skep__data__to_data__descriptor),
    .message_case = SKEP__DATA__TO_DATA__MESSAGE_PING,
    .ping = &ping,
};

static int process_new(struct data *data, const char *cordon, struct data_process **ret_process)
{
    struct data_process *process = calloc(1, sizeof *process);
    const struct helper_options helper = {
        .id = HELPER_DATA,
        .name = DATA_HELPER_NAME,
        .version = DATA_VERSION,
        .number = data->options.number,
        .word = cordon,
        .base = data->options.base,
        .spawner = data->options.spawner,
        .health = process ? &process->health : NULL,
        .ping = &ping_frame.base,
        .tails = &data_tails,
        .socket_bytes = DATA_SOCKET_BYTES,
    };

    if (!process)
        return -ENOMEM;
    (void) snprintf(process->cordon, sizeof process->cordon, "%s", cordon);
    process->data = data;
    process->health =
        (struct health){ .detail = process->cordon, .on_change = on_health, .owner = data };
    process->streams.on_room = on_room;
    process->streams.room_owner = process;
    TAILQ_INIT(&process->closings);
    TAILQ_INSERT_TAIL(&data->processes, process, entry);
    int r = streams_init(&process->streams, &kind, &helper, &frames);
    if (r < 0) {
        process_free(process);
        return r;
    }
    *ret_process = process;
    return 0;
}

static int get(struct data *data, const char *cordon, struct data_process **ret_process)
{
    *ret_process = find(data, cordon);
    if (*ret_process)
        return 0;
    return name_is_valid(cordon) ? process_new(data, cordon, ret_process) : -EINVAL;
}

/* ---- for the user of data */

int data_open(struct data *data, const char *cordon, const struct data_request *request,
              const struct data_ops *ops, void *owner, struct data_call **ret_call)
{
    struct data_process *process;

    if (!is_request_right(request))
        return -EINVAL;
    int r = get(data, cordon, &process);
    if (r == 0)
        r = streams_check_room(&process->streams);
    if (r < 0)
        return r;
    _cleanup_free_ struct data_call *call = calloc(1, sizeof *call);
    if (!call)
        return -ENOMEM;
    call->ops = ops;
    call->owner = owner;
    stream_prepare(&process->streams, &call->stream, request->has_body, request->credit);
    r = send_open(call, request);
    if (r < 0)
        return r;
    stream_add(&call->stream);
    *ret_call = TAKE_PTR(call);
    return 0;
}

void data_send_body(struct data_call *call, const uint8_t *bytes, size_t size, bool is_end)
{
    stream_send_body(&call->stream, bytes, size, is_end);
}

void data_give_credit(struct data_call *call, uint32_t bytes)
{
    stream_give_credit(&call->stream, bytes);
}

void data_cancel(struct data_call *call)
{
    stream_cancel(&call->stream);
}

int data_close_tenant(struct data *data, const char *cordon, const char *tenant, bool is_removed,
                      data_closed_fn on_closed, void *owner)
{
    _cleanup_free_ struct closing *closing = calloc(1, sizeof *closing);
    struct data_process *process;

    if (!closing)
        return -ENOMEM;
    int r = name_is_valid(tenant) ? get(data, cordon, &process) : -EINVAL;
    if (r < 0)
        return r;
    (void) snprintf(closing->tenant, sizeof closing->tenant, "%s", tenant);
    closing->is_removed = is_removed;
    closing->due_ns = io_now_ns() + DATA_CLOSE_MS * NSEC_PER_MSEC;
    closing->on_closed = on_closed;
    closing->owner = owner;
    set_timer(data, closing->due_ns);
    if (streams_are_ready(&process->streams))
        send_close(process, closing);
    TAILQ_INSERT_TAIL(&process->closings, closing, entry);
    (void) TAKE_PTR(closing);
    return 0;
}

void data_forget(struct data *data, const void *owner)
{
    struct data_process *process;
    struct closing *closing;

    if (!data)
        return;
    TAILQ_FOREACH (process, &data->processes, entry)
        TAILQ_FOREACH (closing, &process->closings, entry)
            if (closing->owner == owner)
                closing->on_closed = NULL;
}

void data_end_unwanted(struct data *data, bool (*is_wanted)(void *owner, const char *cordon),
                       void *owner)
{
    struct data_process *process, *next;

    for (process = TAILQ_FIRST(&data->processes); process; process = next) {
        next = TAILQ_NEXT(process, entry);
        if (process->streams.n > 0 || !TAILQ_EMPTY(&process->closings) ||
            is_wanted(owner, process->cordon))
            continue;
        log_info("data (cordon %s) is ended: there is no such cordon any more", process->cordon);
        process_free(process);
        note_health(data);
    }
}

void data_share(struct data *data, bool is_on)
{
    struct data_process *process;

    if (!data || data->is_shared == is_on)
        return;
    data->is_shared = is_on;
    TAILQ_FOREACH (process, &data->processes, entry)
        if (streams_are_ready(&process->streams))
            send_share(process);
}

bool data_is_shared(const struct data *data)
{
    return data && data->is_shared;
}

bool data_is_ready(const struct data *data, const char *cordon)
{
    const struct data_process *process = data ? find(data, cordon) : NULL;

    return process && streams_are_ready(&process->streams);
}

unsigned data_count(const struct data *data)
{
    const struct data_process *process;
    unsigned n = 0;

    if (data)
        TAILQ_FOREACH (process, &data->processes, entry)
            n += process->streams.n;
    return n;
}

void data_listen(struct data *data, const struct data_listener *listener, void *owner)
{
    data->listener = listener;
    data->owner = owner;
}

int data_new(const struct data_options *options, struct data **ret_data)
{
    struct data *data = calloc(1, sizeof *data);

    if (!data)
        return -ENOMEM;
    data->options = *options;
    TAILQ_INIT(&data->processes);
    data->timer = event_new(options->base, -1, 0, on_timer, data);
    if (!data->timer) {
        free(data);
        return -ENOMEM;
    }
    *ret_data = data;
    return 0;
}

struct data *data_free(struct data *data)
{
    struct data_process *process;

    if (!data)
        return NULL;
    while ((process = TAILQ_FIRST(&data->processes)))
        process_free(process);
    event_free(data->timer);
    free(data);
    return NULL;
}
