/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/channel.h"

#include <errno.h>
#include <event2/buffer.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/loop_watch.h"
#include "proto/frame.h"

#define INPUT_FIRST_BYTES \
    (320U << 10) /* the largest part of an answer and more; what is not used costs nothing */
#define INPUT_MAX_BYTES (FRAME_HEADER_BYTES + FRAME_MAX_BYTES)
#define ARENA_BYTES (4U << 20)
#define TURNS_AT_END \
    64 /* most turns of reading from a peer that takes no more: they empty its socket */
/* Frames with a tail of this size are written at once, from the tail's own memory. */
#define DIRECT_MIN_BYTES (16U << 10)
#define DIRECT_HEAD_MAX_BYTES 512
#define READS_PER_TURN 4   /* so that one peer cannot keep the loop to itself */
#define FRAMES_PER_LOOK 16 /* at the clock of loop_now_ns */

struct channel {
    struct channel_options options;
    void *receiver; /* borrowed: the owner that handlers of messages get */
    uint32_t phase;
    struct event *read_event;
    struct event *write_event; /* waits until the socket takes more */
    struct event *flush_event; /* made active by the first send of a turn */
    struct event *next_turn;   /* a timer that is due at once: for frames over frames_per_turn */
    struct evbuffer *output;
    struct arena arena;
    uint8_t *input;
    size_t input_size; /* allocated */
    size_t input_have;
    unsigned frames_left; /* rest of frames_per_turn */
    uint64_t received;    /* frames so far */
    uint64_t written;     /* bytes so far */
    int error;
    bool is_flush_due;
    unsigned turns_at_end; /* turns of reading after is_output_over */
    /* The peer takes no more; the channel closes when all that it wrote is read. */
    bool is_output_over;
    bool is_closed;
    bool is_reading;
    bool wants_drained, wants_written;
    unsigned depth; /* callbacks of the owner now on the stack */
    bool is_freed;  /* a callback has freed the channel; the memory goes when depth is 0 */
};

static void destroy(struct channel *ch)
{
    if (ch->read_event)
        event_free(ch->read_event);
    if (ch->write_event)
        event_free(ch->write_event);
    if (ch->flush_event)
        event_free(ch->flush_event);
    if (ch->next_turn)
        event_free(ch->next_turn);
    if (ch->output)
        evbuffer_free(ch->output);
    arena_done(&ch->arena);
    free(ch->input);
    free(ch);
}

/* Leaves a stretch in which callbacks ran. Returns false if the channel is gone. */
static bool leave(struct channel *ch)
{
    if (--ch->depth > 0 || !ch->is_freed)
        return !ch->is_freed;
    destroy(ch);
    return false;
}

/* Gives the peer up; the one place that does. */
static void fail(struct channel *ch, int error)
{
    if (ch->is_closed)
        return;
    ch->is_closed = true;
    ch->error = error;
    (void) event_del(ch->read_event);
    (void) event_del(ch->write_event);
    (void) event_del(ch->flush_event);
    (void) event_del(ch->next_turn);
    ch->depth++;
    ch->options.on_closed(ch->options.owner, error);
    (void) leave(ch);
}

static int dispatch(struct channel *ch, const uint8_t *frame, size_t size)
{
    const struct channel_table *table = ch->options.receive;
    const struct frame_tails *tails = ch->options.tails;
    ProtobufCMessage *envelope =
        tails ? frame_unpack_tail(table->envelope, tails, frame, size, &ch->arena)
              : frame_unpack(table->envelope, frame, size, &ch->arena);

    if (!envelope)
        return -EPROTO;
    unsigned number;
    memcpy(&number, (const char *) envelope + table->case_offset, sizeof number);
    if (number >= table->n_rules)
        return -EPROTO;
    const struct channel_rule *rule = &table->rules[number];
    if (!rule->handle || !(rule->phases & ch->phase))
        return -EPROTO;
    const ProtobufCMessage *message;
    memcpy(&message, (const char *) envelope + table->value_offset, sizeof message);
    if (!message)
        return -EPROTO;
    ch->received++;
    int r = 1;
    if (ch->options.may_handle)
        r = ch->options.may_handle(ch->options.owner, number, message);
    if (r <= 0)
        return r;
    if (!ch->options.is_each_watched)
        return rule->handle(ch->receiver, message);
    LOOP_CALLBACK(message->descriptor->short_name);
    return rule->handle(ch->receiver, message);
}

/* Handles the whole frames in the input buffer, as many as the turn has left. Returns 0 or -errno. */
static int consume(struct channel *ch)
{
    size_t at = 0;
    int r = 0;

    while (!ch->is_freed && !ch->is_closed && ch->is_reading && ch->frames_left > 0) {
        int64_t size = frame_measure(ch->input + at, ch->input_have - at);
        if (size <= 0) {
            r = (int) size;
            break;
        }
        if (ch->frames_left-- % FRAMES_PER_LOOK == 0)
            loop_now_touch();
        r = dispatch(ch, ch->input + at, (size_t) size);
        at += (size_t) size;
        if (r < 0)
            break;
    }
    ch->input_have -= at;
    if (at > 0 && ch->input_have > 0)
        memmove(ch->input, ch->input + at, ch->input_have);
    return r;
}

/* Makes room for the frame that the input starts with; only a length that frame_measure has
 * accepted lets the buffer grow. */
static int reserve_input(struct channel *ch)
{
    if (ch->input_have < ch->input_size)
        return 0;
    size_t size = ch->input_size * 2 < INPUT_MAX_BYTES ? ch->input_size * 2 : INPUT_MAX_BYTES;
    if (size <= ch->input_have)
        return -EMSGSIZE;
    uint8_t *input = realloc(ch->input, size);
    if (!input)
        return -ENOMEM;
    ch->input = input;
    ch->input_size = size;
    return 0;
}

/* Reads once and handles the frames. Returns 1 if there may be more, 0 if not, -errno; *ret_eof. */
static int read_once(struct channel *ch, bool *ret_eof)
{
    int r = reserve_input(ch);

    if (r < 0)
        return r;
    size_t room = ch->input_size - ch->input_have;
    ssize_t n = read(ch->options.fd, ch->input + ch->input_have, room);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0) {
        *ret_eof = true;
        return 0;
    }
    ch->input_have += (size_t) n;
    r = consume(ch);
    return r < 0 ? r : (size_t) n == room;
}

/* Leaves the frames beyond frames_per_turn to the next turn. A level-triggered read event would
 * come in this turn again, before those of others. */
static void yield_turn(struct channel *ch)
{
    static const struct timeval at_once = { 0 };

    (void) event_del(ch->read_event);
    (void) event_add(ch->next_turn, &at_once);
}

static void read_in(struct channel *ch, unsigned n_reads, unsigned n_frames)
{
    bool is_eof = false;
    int r = 1;

    ch->depth++;
    ch->frames_left = n_frames;
    if (ch->input_have > 0 && !ch->is_closed && consume(ch) < 0)
        r = -EPROTO; /* frames that were left over when reading was stopped */
    for (unsigned i = 0; i < n_reads && r > 0; i++)
        if (ch->is_freed || ch->is_closed || !ch->is_reading || ch->frames_left == 0)
            r = 0;
        else
            r = read_once(ch, &is_eof);
    if (!ch->is_freed && !ch->is_closed && r >= 0 && ch->options.on_read_end)
        ch->options.on_read_end(ch->options.owner);
    if (!ch->is_freed && (r < 0 || is_eof))
        fail(ch, r < 0 ? r : ch->input_have > 0 ? -EPROTO : 0);
    if (!ch->is_freed && !ch->is_closed && ch->is_reading && ch->frames_left == 0)
        yield_turn(ch);
    (void) leave(ch);
}

static unsigned frames_per_turn(const struct channel *ch)
{
    return ch->options.frames_per_turn > 0 ? ch->options.frames_per_turn : UINT_MAX;
}

/* Does a turn of reading after EPIPE: the channel closes when a turn brings nothing more. */
static void read_rest(struct channel *ch)
{
    uint64_t before = ch->received;

    ch->depth++;
    read_in(ch, READS_PER_TURN, frames_per_turn(ch));
    if (!ch->is_freed && !ch->is_closed) {
        if (ch->received == before || ++ch->turns_at_end == TURNS_AT_END)
            fail(ch, -EPIPE);
        else
            yield_turn(ch);
    }
    (void) leave(ch);
}

static void read_turn(struct channel *ch)
{
    if (ch->is_output_over)
        read_rest(ch);
    else
        read_in(ch, READS_PER_TURN, frames_per_turn(ch));
}

static const char *name_of(const struct channel *ch)
{
    return ch->options.name ? ch->options.name : "channel";
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK(name_of(arg));

    (void) fd;
    (void) what;
    read_turn(arg);
}

static void on_next_turn(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK(name_of(arg));
    struct channel *ch = arg;

    (void) fd;
    (void) what;
    (void) event_add(ch->read_event, NULL);
    read_turn(ch);
}

/* Ends output to a peer that takes no more, usually because it has ended. Frames that it wrote
 * before are still in the socket, and count: they are read before the channel closes. */
static void end_output(struct channel *ch)
{
    ch->is_output_over = true;
    (void) evbuffer_drain(ch->output, evbuffer_get_length(ch->output));
    channel_set_reading(ch, true);
    event_active(ch->read_event, EV_READ, 0);
}

static void write_out(struct channel *ch)
{
    while (evbuffer_get_length(ch->output) > 0) {
        int n = evbuffer_write(ch->output, ch->options.fd);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            (void) event_add(ch->write_event, NULL);
            return;
        }
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            end_output(ch);
            return;
        }
        if (n <= 0) {
            fail(ch, n < 0 ? -errno : -EPIPE);
            return;
        }
        ch->written += (uint64_t) n;
    }
    if (ch->wants_written && ch->options.on_written) {
        ch->wants_written = false;
        ch->options.on_written(ch->options.owner);
    }
    if (ch->wants_drained && ch->options.on_drained && !ch->is_closed) {
        ch->wants_drained = false;
        ch->options.on_drained(ch->options.owner);
    }
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK(name_of(arg));
    struct channel *ch = arg;

    (void) fd;
    (void) what;
    ch->is_flush_due = false;
    if (ch->is_closed)
        return;
    ch->depth++;
    write_out(ch);
    (void) leave(ch);
}

int channel_new(const struct channel_options *options, struct channel **ret_channel)
{
    struct channel *ch = calloc(1, sizeof *ch);

    if (!ch)
        return -ENOMEM;
    ch->options = *options;
    ch->receiver = options->owner;
    ch->phase = options->phase;
    ch->is_reading = true;
    ch->input_size = INPUT_FIRST_BYTES;
    ch->input = malloc(ch->input_size);
    ch->output = evbuffer_new();
    ch->read_event = event_new(options->base, options->fd, EV_READ | EV_PERSIST, on_readable, ch);
    ch->write_event = event_new(options->base, options->fd, EV_WRITE, on_flush, ch);
    ch->flush_event = event_new(options->base, -1, 0, on_flush, ch);
    ch->next_turn = event_new(options->base, -1, 0, on_next_turn, ch);
    int r = arena_init(&ch->arena, ARENA_BYTES);
    if (r < 0 || !ch->input || !ch->output || !ch->read_event || !ch->write_event ||
        !ch->flush_event || !ch->next_turn || event_add(ch->read_event, NULL) < 0) {
        destroy(ch);
        return -ENOMEM;
    }
    *ret_channel = ch;
    return 0;
}

struct channel *channel_free(struct channel *ch)
{
    if (!ch || ch->is_freed)
        return NULL;
    ch->is_freed = true;
    ch->is_closed = true;
    (void) event_del(ch->read_event);
    (void) event_del(ch->write_event);
    (void) event_del(ch->flush_event);
    (void) event_del(ch->next_turn);
    (void) close(ch->options.fd);
    if (ch->depth == 0)
        destroy(ch);
    return NULL;
}

void channel_set_phase(struct channel *ch, uint32_t phase)
{
    ch->phase = phase;
}

void channel_set_receiver(struct channel *ch, const struct channel_table *receive, void *owner)
{
    ch->options.receive = receive;
    ch->receiver = owner;
}

/* Writes a frame with a large tail from the tail's own memory, behind the queue, as far as the
 * socket takes it. Returns how much of the frame was written; an error comes again, and is
 * reported, when the rest is written. */
static size_t write_large(struct channel *ch, const struct frame_cut *cut)
{
    _uninitialized_ uint8_t head[DIRECT_HEAD_MAX_BYTES];
    struct iovec parts[] = { { head, cut->head_bytes }, { cut->tail.data, cut->tail.len } };

    if (cut->tail.len < DIRECT_MIN_BYTES || cut->head_bytes > sizeof head ||
        event_pending(ch->write_event, EV_WRITE, NULL))
        return 0;
    while (evbuffer_get_length(ch->output) > 0) {
        int n = evbuffer_write(ch->output, ch->options.fd);
        if (n <= 0)
            return 0;
        ch->written += (uint64_t) n;
    }
    frame_pack_head(cut, head);
    ssize_t n = writev(ch->options.fd, parts, ARRAY_LEN(parts));
    if (n <= 0)
        return 0;
    ch->written += (uint64_t) n;
    return (size_t) n;
}

/* Queues the frame without its first `done` bytes: all of that, or nothing. 0 or -ENOMEM. */
static int queue_rest(struct channel *ch, const struct frame_cut *cut, size_t done)
{
    struct evbuffer_iovec space;
    _uninitialized_ uint8_t head[DIRECT_HEAD_MAX_BYTES];
    size_t tail_done = done > cut->head_bytes ? done - cut->head_bytes : 0;

    /* From here on there is room for all. */
    if (evbuffer_expand(ch->output, cut->head_bytes + cut->tail.len - done) < 0)
        return -ENOMEM;
    if (done == 0) {
        if (evbuffer_reserve_space(ch->output, (ev_ssize_t) cut->head_bytes, &space, 1) < 1)
            return -ENOMEM;
        frame_pack_head(cut, space.iov_base);
        space.iov_len = cut->head_bytes;
        (void) evbuffer_commit_space(ch->output, &space, 1);
    } else if (done < cut->head_bytes) {
        frame_pack_head(cut, head);
        (void) evbuffer_add(ch->output, head + done, cut->head_bytes - done);
    }
    if (tail_done < cut->tail.len)
        (void) evbuffer_add(ch->output, cut->tail.data + tail_done, cut->tail.len - tail_done);
    return 0;
}

static void plan_flush(struct channel *ch)
{
    if (ch->is_flush_due || event_pending(ch->write_event, EV_WRITE, NULL))
        return;
    ch->is_flush_due = true;
    event_active(ch->flush_event, EV_WRITE, 0);
}

int channel_send(struct channel *ch, const ProtobufCMessage *envelope)
{
    struct frame_cut cut;

    if (ch->is_closed || ch->is_output_over)
        return -EPIPE;
    frame_cut(&cut, envelope, ch->options.tails);
    if (cut.head_bytes == 0)
        return -EMSGSIZE;
    size_t size = cut.head_bytes + cut.tail.len;
    if (ch->options.output_max_bytes > 0 &&
        evbuffer_get_length(ch->output) + size > ch->options.output_max_bytes) {
        ch->wants_drained = true;
        return -ENOBUFS;
    }
    size_t done = write_large(ch, &cut);
    if (done == size)
        return 0;
    if (queue_rest(ch, &cut, done) < 0) {
        if (done == 0)
            return -ENOMEM;
        end_output(ch); /* closes the channel: the peer has half a frame */
        return -EPIPE;
    }
    if (channel_is_congested(ch))
        ch->wants_drained = true;
    plan_flush(ch);
    return 0;
}

void channel_flush(struct channel *ch)
{
    if (ch->is_closed || evbuffer_get_length(ch->output) == 0)
        return;
    ch->depth++;
    write_out(ch);
    (void) leave(ch);
}

void channel_drain_input(struct channel *ch)
{
    channel_set_reading(ch, true);
    read_in(ch, UINT_MAX, UINT_MAX);
}

void channel_await_written(struct channel *ch)
{
    ch->wants_written = true;
    if (!ch->is_closed)
        plan_flush(ch); /* a large tail may have been written at once, so that no flush is due */
}

size_t channel_queued_bytes(const struct channel *ch)
{
    return evbuffer_get_length(ch->output);
}

bool channel_is_congested(const struct channel *ch)
{
    return evbuffer_get_length(ch->output) > ch->options.output_high_bytes;
}

void channel_set_reading(struct channel *ch, bool reading)
{
    if (ch->is_closed || ch->is_reading == reading)
        return;
    ch->is_reading = reading;
    if (!reading) {
        (void) event_del(ch->read_event);
        (void) event_del(ch->next_turn);
        return;
    }
    (void) event_add(ch->read_event, NULL);
    if (ch->input_have > 0)
        event_active(ch->read_event, EV_READ, 0);
}

uint64_t channel_received_frames(const struct channel *ch)
{
    return ch->received;
}

uint64_t channel_written_bytes(const struct channel *ch)
{
    return ch->written;
}
