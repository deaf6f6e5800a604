/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/helpers/streams.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "proto/channel.h"
#include "proto/frame.h"

#define NS_PER_US UINT64_C(1000)
/* Most bytes that may wait for the helper: requests up to the bound of helper_is_congested, and for each stream its window with frames
 * around it. */
#define QUEUE_BASE_BYTES ((size_t) 2 << 20)
#define QUEUE_STREAM_BYTES (8U << 10)

/* ---- the table */

struct stream *streams_find(const struct streams *streams, uint64_t id)
{
    struct stream *stream;

    LIST_FOREACH (stream, &streams->buckets[id % STREAM_BUCKETS], bucket)
        if (stream->id == id)
            break;
    return stream;
}

static bool has_room(const struct streams *streams)
{
    return helper_is_ready(streams->helper) && !helper_is_congested(streams->helper) &&
           streams->n < streams->kind->most;
}

bool streams_are_ready(const struct streams *streams)
{
    return !streams->is_ending && helper_is_ready(streams->helper);
}

int streams_check_room(struct streams *streams)
{
    if (!streams_are_ready(streams))
        return -EPIPE;
    if (has_room(streams))
        return 0;
    streams->is_refusing = true;
    return -EAGAIN;
}

void streams_offer_room(struct streams *streams)
{
    if (!streams->is_refusing || !has_room(streams))
        return;
    streams->is_refusing = false;
    if (streams->on_room)
        streams->on_room(streams->room_owner);
}

static void note_empty_queue(struct streams *streams)
{
    if (helper_is_ready(streams->helper) && helper_queued_bytes(streams->helper) == 0)
        streams->n_behind = streams->n;
}

void stream_prepare(struct streams *streams, struct stream *stream, bool has_body, uint32_t credit)
{
    stream->streams = streams;
    stream->id = streams->last_id + 1;
    stream->opened_ns = io_now_ns();
    stream->window = has_body ? streams->kind->window_bytes : 0;
    stream->is_body_over = !has_body;
    stream->credit = credit;
    note_empty_queue(streams);
}

void stream_add(struct stream *stream)
{
    struct streams *streams = stream->streams;

    streams->last_id = stream->id;
    streams->n_behind++;
    streams->n++;
    LIST_INSERT_HEAD(&streams->buckets[stream->id % STREAM_BUCKETS], stream, bucket);
    TAILQ_INSERT_TAIL(&streams->open, stream, entry);
}

void stream_remove(struct stream *stream)
{
    LIST_REMOVE(stream, bucket);
    TAILQ_REMOVE(&stream->streams->open, stream, entry);
    stream->streams->n--;
}

uint64_t streams_take_id(struct streams *streams)
{
    return ++streams->last_id;
}

/* ---- frames to the helper */

/* Sends a frame. A frame that cannot be sent costs the process, in the next turn: the stream that it belongs to is torn.
 * So does one for which nothing should wait: the helper does not read. -EPIPE needs nothing, for the loss is on its way. */
void streams_send(struct streams *streams, const ProtobufCMessage *frame)
{
    note_empty_queue(streams);
    int r = helper_send_frame(streams->helper, frame);
    size_t bound = QUEUE_BASE_BYTES +
                   streams->n_behind * ((size_t) streams->kind->window_bytes + QUEUE_STREAM_BYTES);
    if ((r < 0 && r != -EPIPE) || (r == 0 && helper_queued_bytes(streams->helper) > bound))
        event_active(streams->failure, EV_TIMEOUT, 0);
}

static void on_failure(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("streams: a frame that cannot be sent");
    const struct streams *streams = arg;

    (void) helper_lose(streams->helper, "it takes no more frames, and is ended");
}

static void send_member(struct streams *streams, int member_case, void *member)
{
    const struct stream_envelope envelope = {
        PROTOBUF_C_MESSAGE_INIT(streams->kind->to_helper),
        member_case,
        member,
    };

    streams_send(streams, &envelope.base);
}

void stream_send_body(struct stream *stream, const uint8_t *data, size_t size, bool is_end)
{
    Skep__Stream__Body body = SKEP__STREAM__BODY__INIT;

    assert(!stream->is_cancelled && !stream->is_body_over && size <= stream->window &&
           (size > 0 || is_end));
    stream->window -= (uint32_t) size;
    stream->sent += size;
    stream->is_body_over = is_end;
    body.id = stream->id;
    body.data = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
    body.end = is_end;
    send_member(stream->streams, stream->streams->kind->body_case, &body);
}

void stream_give_credit(struct stream *stream, uint32_t bytes)
{
    Skep__Stream__Credit credit = SKEP__STREAM__CREDIT__INIT;

    assert(!stream->is_cancelled &&
           bytes <= stream->streams->kind->credit_max_bytes - stream->credit);
    if (bytes == 0)
        return;
    stream->credit += bytes;
    credit.id = stream->id;
    credit.bytes = bytes;
    send_member(stream->streams, stream->streams->kind->credit_case, &credit);
}

void stream_cancel(struct stream *stream)
{
    Skep__Stream__Cancel cancel = SKEP__STREAM__CANCEL__INIT;

    assert(!stream->is_cancelled);
    stream->is_cancelled = true;
    cancel.id = stream->id;
    send_member(stream->streams, stream->streams->kind->cancel_case, &cancel);
}

/* ---- frames from the helper */

int streams_refuse(const struct streams *streams, const char *why)
{
    return helper_lose(streams->helper, why);
}

int streams_on_body(struct streams *streams, const Skep__Stream__Body *body)
{
    struct stream *stream = streams_find(streams, body->id);

    if (!stream)
        return streams_refuse(streams,
                              "it sent a body of a stream that there is not, and is ended");
    if (!stream->has_head)
        return streams_refuse(streams, "it sent a body before its head, and is ended");
    if (body->data.len == 0 || body->data.len > ANSWER_CHUNK_MAX_BYTES || body->end)
        return streams_refuse(streams, "it sent a part of a body that is none, and is ended");
    if (body->data.len > stream->credit)
        return streams_refuse(streams,
                              "it sent more of a body than it had credit for, and is ended");
    stream->credit -= (uint32_t) body->data.len;
    stream->received += body->data.len;
    if (!stream->is_cancelled)
        streams->kind->on_body(stream, body->data.data, body->data.len);
    return 0;
}

int streams_on_credit(struct streams *streams, const Skep__Stream__Credit *credit)
{
    struct stream *stream = streams_find(streams, credit->id);
    const uint32_t window = streams->kind->window_bytes;

    if (!stream)
        return streams_refuse(streams,
                              "it gave credit to a stream that there is not, and is ended");
    /* A request without a body has no window, and has sent nothing. */
    if (credit->bytes == 0 || credit->bytes > window || credit->bytes > stream->sent ||
        credit->bytes > window - stream->window)
        return streams_refuse(streams, "it gave more credit than it had taken bytes, and is ended");
    stream->window += credit->bytes;
    if (!stream->is_cancelled && !stream->is_body_over)
        streams->kind->on_credit(stream, credit->bytes);
    return 0;
}

int streams_on_pong(void *owner, const ProtobufCMessage *message)
{
    (void) owner;
    (void) message;
    return 0;
}

bool stream_text_is_right(ProtobufCBinaryData text, size_t most)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < ' ' || text.data[i] > '~')
            return false;
    return text.len <= most;
}

uint64_t stream_cut_us(const struct stream *stream, uint64_t us)
{
    const uint64_t open_us = (io_now_ns() - stream->opened_ns) / NS_PER_US;

    return us < open_us ? us : open_us;
}

/* ---- the life of the helper */

static void lose_all(struct streams *streams)
{
    struct stream *stream;
    unsigned n_lost = 0;

    TAILQ_FOREACH (stream, &streams->open, entry)
        n_lost += !stream->is_cancelled;
    if (n_lost > 0)
        log_error("%s has ended, and %u open %s with it", streams->kind->name, n_lost,
                  n_lost == 1 ? streams->kind->noun : streams->kind->plural);
    while ((stream = TAILQ_FIRST(&streams->open)))
        streams->kind->lose(stream);
}

static void on_lost(void *owner)
{
    struct streams *streams = owner;

    (void) event_del(streams->failure);
    lose_all(streams);
    if (streams->kind->on_lost)
        streams->kind->on_lost(streams);
}

static void on_ready(void *owner)
{
    struct streams *streams = owner;

    if (streams->kind->on_ready)
        streams->kind->on_ready(streams);
    streams->is_refusing = true; /* those that found no helper wait, too */
    streams_offer_room(streams);
}

static void on_drained(void *owner)
{
    streams_offer_room(owner);
}

static const struct helper_ops helper_ops = {
    .on_lost = on_lost,
    .on_ready = on_ready,
    .on_drained = on_drained,
};

int streams_init(struct streams *streams, const struct stream_kind *kind,
                 const struct helper_options *helper, const struct channel_table *frames)
{
    streams->kind = kind;
    TAILQ_INIT(&streams->open);
    streams->failure = event_new(helper->base, -1, 0, on_failure, streams);
    int r = streams->failure ? helper_new(helper, &streams->helper) : -ENOMEM;
    if (r < 0)
        return r;
    helper_listen(streams->helper, frames, &helper_ops, streams);
    return 0;
}

void streams_done(struct streams *streams)
{
    streams->is_ending = true;
    if (streams->kind)
        lose_all(streams);
    streams->helper = helper_free(streams->helper);
    if (streams->failure)
        event_free(streams->failure);
    streams->failure = NULL;
}
