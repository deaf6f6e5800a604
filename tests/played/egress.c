/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/played/egress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/channel.h"
#include "proto/head.h"
#include "supervisor/helpers/egress.h"
#include "tests/played/hold.h"

static struct {
    const struct channel_table *frames;
    const struct helper_ops *ops;
    void *owner;
    bool is_lost, is_behind;
    struct played_fetch fetches[PLAYED_FETCHES_MAX];
    unsigned n_fetches, n_forgets;
} played;

static ProtobufCBinaryData bytes_of(const void *data, size_t size)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
}

static void copy(ProtobufCBinaryData from, char *to, size_t size)
{
    PLAYED_HOLD(from.len < size);
    if (from.len > 0)
        memcpy(to, from.data, from.len);
    to[from.len] = '\0';
}

/* ---- what it is asked */

static struct played_fetch *find(uint64_t id)
{
    for (unsigned i = played.n_fetches; i > 0; i--)
        if (played.fetches[i - 1].id == id)
            return &played.fetches[i - 1];
    played_fail("no such fetch", (int) id);
}

static void take_open(const Skep__Egress__Open *open)
{
    PLAYED_HOLD(played.n_fetches < PLAYED_FETCHES_MAX);
    struct played_fetch *fetch = &played.fetches[played.n_fetches++];
    struct head head;

    PLAYED_HOLD(head_open(open->head.data, open->head.len, 0, 256, &head) == 0);
    PLAYED_HOLD(open->connect_ms > 0 && open->head_ms > 0 && open->idle_ms > 0 &&
                open->total_ms > 0);
    *fetch = (struct played_fetch){
        .id = open->id,
        .tenant = open->tenant,
        .port = open->port,
        .is_https = open->scheme.len == 5,
        .has_body = open->has_body,
        .has_length = open->has_length,
        .length = open->length,
        .n_fields = head.n_texts / 2,
        .n_named = open->n_named,
        .credit = open->credit,
        .is_body_ended = !open->has_body,
    };
    copy(open->method, fetch->method, sizeof fetch->method);
    copy(open->host, fetch->host, sizeof fetch->host);
    copy(open->path, fetch->path, sizeof fetch->path);
}

static void take_body(const Skep__Stream__Body *body)
{
    struct played_fetch *fetch = find(body->id);

    PLAYED_HOLD(!fetch->is_body_ended);
    fetch->body_bytes += body->data.len;
    fetch->is_body_ended = body->end;
}

struct helper *__wrap_helper_free(struct helper *helper);
int __wrap_helper_new(const struct helper_options *options, struct helper **ret_helper);
void __wrap_helper_listen(struct helper *helper, const struct channel_table *answers,
                          const struct helper_ops *ops, void *owner);
int __wrap_helper_send_frame(struct helper *helper, const ProtobufCMessage *frame);
int __wrap_helper_lose(struct helper *helper, const char *why);
bool __wrap_helper_is_ready(const struct helper *helper);
bool __wrap_helper_is_congested(const struct helper *helper);
size_t __wrap_helper_queued_bytes(const struct helper *helper);

int __wrap_helper_new(const struct helper_options *options, struct helper **ret_helper)
{
    (void) options;
    *ret_helper = (struct helper *) (void *) &played; /* only the wrapped functions see it */
    return 0;
}

struct helper *__wrap_helper_free(struct helper *helper)
{
    (void) helper;
    return NULL;
}

void __wrap_helper_listen(struct helper *helper, const struct channel_table *answers,
                          const struct helper_ops *ops, void *owner)
{
    (void) helper;
    played.frames = answers;
    played.ops = ops;
    played.owner = owner;
}

int __wrap_helper_send_frame(struct helper *helper, const ProtobufCMessage *message)
{
    const Skep__Egress__ToEgress *frame = (const Skep__Egress__ToEgress *) message;

    (void) helper;
    if (played.is_lost)
        return -EPIPE;
    switch (frame->message_case) {
    case SKEP__EGRESS__TO_EGRESS__MESSAGE_OPEN:
        take_open(frame->open);
        break;
    case SKEP__EGRESS__TO_EGRESS__MESSAGE_BODY:
        take_body(frame->body);
        break;
    case SKEP__EGRESS__TO_EGRESS__MESSAGE_CREDIT:
        find(frame->credit->id)->credit += frame->credit->bytes;
        break;
    case SKEP__EGRESS__TO_EGRESS__MESSAGE_CANCEL:
        find(frame->cancel->id)->is_cancelled = true;
        break;
    case SKEP__EGRESS__TO_EGRESS__MESSAGE_FORGET:
        played.n_forgets++;
        break;
    default:
        PLAYED_HOLD(!"a frame that is known");
    }
    return 0;
}

int __wrap_helper_lose(struct helper *helper, const char *why)
{
    (void) helper;
    played_fail(why, 0);
}

bool __wrap_helper_is_ready(const struct helper *helper)
{
    (void) helper;
    return !played.is_lost;
}

bool __wrap_helper_is_congested(const struct helper *helper)
{
    (void) helper;
    return played.is_behind;
}

size_t __wrap_helper_queued_bytes(const struct helper *helper)
{
    (void) helper;
    return 0;
}

/* ---- what a test has it do */

struct egress *played_egress(struct event_base *base)
{
    const struct egress_options options = { .base = base };
    struct egress *egress;

    memset(&played, 0, sizeof played);
    PLAYED_HOLD(egress_new(&options, &egress) == 0);
    played.ops->on_ready(played.owner);
    return egress;
}

unsigned played_fetches(void)
{
    return played.n_fetches;
}

unsigned played_fetches_open(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < played.n_fetches; i++)
        n += !played.fetches[i].is_cancelled && !played.fetches[i].is_done;
    return n;
}

const struct played_fetch *played_fetch(unsigned i)
{
    PLAYED_HOLD(i < played.n_fetches);
    return &played.fetches[i];
}

unsigned played_forgets(void)
{
    return played.n_forgets;
}

static void say(Skep__Egress__FromEgress__MessageCase which, const void *message)
{
    PLAYED_HOLD(played.frames->rules[which].handle(played.owner, message) == 0);
}

void played_head(unsigned i, unsigned status, const char *name, const char *value)
{
    Skep__Egress__Head head = SKEP__EGRESS__HEAD__INIT;
    uint8_t packed[512];
    const size_t size = head_table_bytes(name ? 2 : 0);
    struct head_writer writer = head_write(packed, name ? 2 : 0);

    if (name) {
        (void) head_add(&writer, name, strlen(name));
        (void) head_add(&writer, value, strlen(value));
    }
    head.id = played_fetch(i)->id;
    head.status = status;
    head.version = 11;
    head.head = bytes_of(packed, size + (name ? strlen(name) + strlen(value) : 0));
    say(SKEP__EGRESS__FROM_EGRESS__MESSAGE_HEAD, &head);
}

void played_body(unsigned i, size_t size)
{
    static const uint8_t data[65536];
    Skep__Stream__Body body = SKEP__STREAM__BODY__INIT;

    PLAYED_HOLD(size <= played_fetch(i)->credit);
    played.fetches[i].credit -= size;
    played.fetches[i].answer_bytes += size;
    body.id = played_fetch(i)->id;
    body.data = bytes_of(data, size);
    say(SKEP__EGRESS__FROM_EGRESS__MESSAGE_BODY, &body);
}

void played_credit(unsigned i, uint32_t bytes)
{
    Skep__Stream__Credit credit = SKEP__STREAM__CREDIT__INIT;

    credit.id = played_fetch(i)->id;
    credit.bytes = bytes;
    say(SKEP__EGRESS__FROM_EGRESS__MESSAGE_CREDIT, &credit);
}

void played_done(unsigned i, Skep__Egress__Failure failure, const char *text)
{
    Skep__Egress__Done done = SKEP__EGRESS__DONE__INIT;

    played.fetches[i].is_done = true;
    done.id = played_fetch(i)->id;
    done.failure = failure;
    done.received = played_fetch(i)->answer_bytes;
    done.text = bytes_of(text, strlen(text));
    say(SKEP__EGRESS__FROM_EGRESS__MESSAGE_DONE, &done);
}

void played_end_cancelled(void)
{
    for (unsigned i = 0; i < played.n_fetches; i++)
        if (played.fetches[i].is_cancelled && !played.fetches[i].is_done)
            played_done(i, SKEP__EGRESS__FAILURE__FAILURE_CANCELLED, "");
}

void played_egress_hangs(void)
{
    played.is_behind = true;
}

void played_egress_reads(void)
{
    played.is_behind = false;
    played.ops->on_drained(played.owner);
}

void played_egress_dies(void)
{
    played.is_lost = true;
    for (unsigned i = 0; i < played.n_fetches; i++)
        played.fetches[i].is_done = true;
    played.ops->on_lost(played.owner);
}

void played_egress_returns(void)
{
    played.is_lost = false;
    played.ops->on_ready(played.owner);
}
