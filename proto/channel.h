/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a framed Unix socket on a libevent loop: many frames for each read, one write for each
 * loop turn. A table says which messages may be received; any other closes the channel in one place
 * (-EPROTO), never the process. Single-threaded.
 */
#pragma once

#include <event2/event.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel;
struct frame_tails;

/* Handles one message of the envelope's oneof. owner: as given to channel_new. Returns 0,
 * or -errno to close the channel (-EPROTO: the peer broke the protocol). The message
 * lives until the handler returns. */
typedef int (*channel_handler_fn)(void *owner, const ProtobufCMessage *message);

struct channel_rule {
    uint32_t phases; /* bit set of phases in which the peer may send the message */
    channel_handler_fn handle;
};

/* One direction: the envelope and a rule for each case of its oneof, indexed by the case's
 * number; a case without handler is not allowed. */
struct channel_table {
    const ProtobufCMessageDescriptor *envelope;
    size_t case_offset;  /* offsetof(envelope, message_case) */
    size_t value_offset; /* offsetof(envelope, any member of the oneof) */
    const struct channel_rule *rules;
    size_t n_rules;
};

struct channel_options {
    struct event_base *base; /* borrowed: outlives the channel */
    int fd;                  /* connected stream socket; owned from channel_new's success on */
    const struct channel_table *receive;
    const struct frame_tails *tails; /* tails of both directions; NULL: no message has one */
    uint32_t phase;                  /* first phase, one bit */
    void *owner;
    /* Called once when the channel has failed or the peer has left: error is 0 for end of
     * file, else -errno. Not called after channel_free. The owner may free the channel in it. */
    void (*on_closed)(void *owner, int error);
    /* Called before each message that the table allows; NULL: all are handled. number: its case in
     * the oneof, message: as for its handler. 1: handle it; 0: it was refused, and answered;
     * -errno: close. May stop reading. */
    int (*may_handle)(void *owner, unsigned number, const ProtobufCMessage *message);
    /* Called when the frames of one turn's reads have been handled and the channel is still open;
     * may be NULL. May free the channel. */
    void (*on_read_end)(void *owner);
    /* Called when queued output has fallen to zero after channel_send answered -ENOBUFS or
     * after it went over output_high_bytes; may be NULL. */
    void (*on_drained)(void *owner);
    /* Called once after channel_await_written, when nothing is queued any more; may be NULL. */
    void (*on_written)(void *owner);
    const char *name; /* name of the callbacks, for common/loop_watch.h; static */
    /* Each message is watched as a callback with a name of its own. For channels whose messages are
     * few and expensive. */
    bool is_each_watched;
    size_t output_high_bytes; /* channel_is_congested above this */
    size_t output_max_bytes;  /* channel_send fails with -ENOBUFS above this; 0: no limit */
    /* Most frames that are handled in one loop turn; the rest waits for the next turn, after all
     * others. 0: no limit. */
    unsigned frames_per_turn;
};

/* Makes a channel of a connected non-blocking socket. 0 or -errno (fd stays the caller's). */
int channel_new(const struct channel_options *options, struct channel **ret_channel);

/* Closes the socket and drops queued output. NULL is allowed; may be called from a handler and from
 * on_closed. Returns NULL. */
struct channel *channel_free(struct channel *channel);

void channel_set_phase(struct channel *channel, uint32_t phase);

/* Sets, from the next message on, the table of messages that may be received, and the owner that
 * their handlers get; the callbacks of channel_options keep theirs. */
void channel_set_receiver(struct channel *channel, const struct channel_table *receive,
                          void *owner);

/* Queues one message (an envelope); it is written at the end of the loop turn, or now if it has a large tail. 0,
 * -EMSGSIZE over FRAME_MAX_BYTES, -ENOBUFS over output_max_bytes, -EPIPE after closing. */
int channel_send(struct channel *channel, const ProtobufCMessage *envelope);

/* Writes the queue now, as far as the socket takes it. */
void channel_flush(struct channel *channel);

/* Makes the channel call on_written once all that is queued by then has been written, in a later turn of the loop even if
 * nothing is queued. */
void channel_await_written(struct channel *channel);

/* Reads and handles now all that the peer had written, to the end of file or until the socket is
 * empty; for a peer that is dead. on_closed may be called. */
void channel_drain_input(struct channel *channel);

size_t channel_queued_bytes(const struct channel *channel);
bool channel_is_congested(const struct channel *channel);

/* Stops and resumes reading, so that a peer is held back by its socket buffer. */
void channel_set_reading(struct channel *channel, bool reading);

/* Frames received, and bytes that the socket has taken, so far; for stats and liveness. */
uint64_t channel_received_frames(const struct channel *channel);
uint64_t channel_written_bytes(const struct channel *channel);
