/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams to a helper process, by the frames of stream.proto: the table of those that are open, their windows and credit, and the room
 * for more. egress.c and data.c open and end streams with frames of their own protocol, and embed struct stream in what a
 * stream is to them. Every frame of the helper is checked: a breach costs the process. Supervisor, loop thread.
 *
 * A cancelled stream stays in the table until the helper has ended it.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "stream.pb-c.h"
#include "supervisor/helpers/helper.h"

#define STREAM_BUCKETS 1024
#define STREAM_TEXT_MAX_BYTES 512

struct stream;
struct streams;

/* The form that protobuf-c gives to each message which is one oneof. */
struct stream_envelope {
    ProtobufCMessage base;
    int member_case;
    void *member;
};
/* Checks that an envelope to a helper has that form. */
#define STREAM_CHECK_ENVELOPE(type)                                                      \
    _Static_assert(sizeof(type) == sizeof(struct stream_envelope) &&                     \
                       offsetof(type, message_case) ==                                   \
                           offsetof(struct stream_envelope, member_case) &&              \
                       offsetof(type, body) == offsetof(struct stream_envelope, member), \
                   "an envelope is one oneof")

/* The kind of the streams: const data. */
struct stream_kind {
    const char *name;   /* "egress": for the log */
    const char *noun;   /* "fetch" */
    const char *plural; /* "fetches" */
    const ProtobufCMessageDescriptor
        *to_helper; /* envelope of the frames to the helper: one oneof, and nothing else */
    int body_case, credit_case, cancel_case; /* numbers of the members of that envelope */
    uint32_t window_bytes;                   /* credit of a request's body at its start */
    uint32_t credit_max_bytes;               /* most credit of an answer's body */
    unsigned most;                           /* open ones */
    /* Functions of the owner of a stream, which nobody has cancelled. */
    void (*on_body)(struct stream *stream, const uint8_t *data, size_t size);
    void (*on_credit)(struct stream *stream, uint32_t bytes);
    /* Ends a stream whose helper is lost, and frees what it is in. Also those that are cancelled. */
    void (*lose)(struct stream *stream);
    void (*on_lost)(struct streams *streams);  /* after the streams; NULL: nothing to do */
    void (*on_ready)(struct streams *streams); /* before on_room; likewise */
};

struct stream { /* embedded in its owner */
    LIST_ENTRY(stream) bucket;
    TAILQ_ENTRY(stream) entry;
    struct streams *streams; /* borrowed */
    uint64_t id;
    uint64_t opened_ns;
    uint64_t sent, received; /* bytes of bodies */
    uint32_t window;         /* bytes of the request's body that may still be sent */
    uint32_t credit;         /* bytes of the answer's body that may still come */
    bool is_body_over;       /* the request's body has been sent to its end */
    bool has_head;
    bool is_cancelled; /* nobody wants it any more */
};

struct streams { /* embedded in its owner; all zero before streams_init */
    const struct stream_kind *kind;
    struct helper *helper;     /* owned */
    struct event *failure;     /* made active when a frame could not be sent */
    TAILQ_HEAD(, stream) open; /* the oldest first */
    LIST_HEAD(, stream) buckets[STREAM_BUCKETS];
    unsigned n;        /* with those that are cancelled */
    unsigned n_behind; /* streams that have been open since the queue to the helper was empty */
    uint64_t last_id;
    void (*on_room)(void *owner); /* NULL: nobody wants to know */
    void *room_owner;             /* borrowed */
    bool is_refusing;             /* streams_check_room has returned -EAGAIN, and on_room is due */
    bool is_ending;
};

/* Asks for the helper process. helper: its options. frames: handlers of its frames, which get streams. 0 or -errno; streams_done may
 * be called in both cases. */
int streams_init(struct streams *streams, const struct stream_kind *kind,
                 const struct helper_options *helper, const struct channel_table *frames);
/* Ends all streams by lose, then the process, as helper_free does. */
void streams_done(struct streams *streams);
bool streams_are_ready(const struct streams *streams);

/* Returns whether a stream may be opened: 0; -EPIPE: the helper is not there; -EAGAIN: it is behind, or has as many streams as it may
 * have, and on_room follows. */
int streams_check_room(struct streams *streams);
/* Tells that streams may be opened again, if one was refused. */
void streams_offer_room(struct streams *streams);
/* Prepares a stream, all zero, and gives it its number: the opener sends the opening frame then, and takes the stream into the table with
 * stream_add if that was sent. credit: at most credit_max_bytes. */
void stream_prepare(struct streams *streams, struct stream *stream, bool has_body, uint32_t credit);
void stream_add(struct stream *stream);
/* Takes the stream out of the table; the owner frees it. */
void stream_remove(struct stream *stream);
/* Sends a frame of the helper's protocol. A failure costs the process, in the next turn. */
void streams_send(struct streams *streams, const ProtobufCMessage *frame);
/* Takes a number for a piece of work that is not a stream. */
uint64_t streams_take_id(struct streams *streams);

/* Sends more of the body: never more than the window, not after the end, and not nothing but the end. */
void stream_send_body(struct stream *stream, const uint8_t *data, size_t size, bool is_end);
/* Lets more of the answer come. */
void stream_give_credit(struct stream *stream, uint32_t bytes);
/* Gives the stream up: its owner hears nothing more of it but lose and the end. */
void stream_cancel(struct stream *stream);

/* ---- for the handlers of frames */

/* Finds a stream by the number in a frame. NULL: there is none. */
struct stream *streams_find(const struct streams *streams, uint64_t id);
/* Loses the helper for a frame that it may not send. All streams are gone afterwards. why: static. -EPROTO. */
int streams_refuse(const struct streams *streams, const char *why);
/* Handle the frames of stream.proto. 0 or -EPROTO. The last step is the callback, after which the stream may be gone. */
int streams_on_body(struct streams *streams, const Skep__Stream__Body *body);
int streams_on_credit(struct streams *streams, const Skep__Stream__Credit *credit);
/* A handler of Pong, which says nothing but that the helper lives. */
int streams_on_pong(void *owner, const ProtobufCMessage *message);
/* Returns whether a text of the helper is printable ASCII, of at most so many bytes. */
bool stream_text_is_right(ProtobufCBinaryData text, size_t most);
/* Returns a time of another process, in µs, cut to the time for which the stream has been open. */
uint64_t stream_cut_us(const struct stream *stream, uint64_t us);
