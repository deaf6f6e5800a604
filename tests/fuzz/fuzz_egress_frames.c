/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds bytes to skepd as those of skep-egress, with fetches in each of their states. With any bytes: openers get no more
 * of an answer than they gave credit for, one head before it, and one end; a bad frame costs egress and ends all fetches;
 * and the next egress is asked as before.
 *
 * Input: how it is sent (HOW_*), frames.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "egress.pb-c.h"
#include "egress/program.h"
#include "helper.pb-c.h"
#include "proto/frame.h"
#include "supervisor/helpers/egress.h"
#include "supervisor/helpers/spawner.h"
#include "tests/fuzz/rig.h"

#define OPTIONS_BYTES 1
#define INPUT_MAX_BYTES ((size_t) 32 << 10)
#define PIECES_MAX 64
#define TURNS_MAX 1000
#define CREDIT 1000
#define SENT 3000
#define TIME_MS 1000

enum { HOW_PIECES = 7, HOW_CLOSES = 8, HOW_MORE_CREDIT = 16 };
enum { PLAIN, UPLOADS, UPLOADED, CANCELLED, ENDED, FETCHES };

const size_t fuzz_options_bytes = OPTIONS_BYTES;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_so)
{
    if (!is_so)
        abort();
}

/* ---- the spawner */

static struct {
    bool is_waiting; /* a request has no answer yet */
    spawner_started_fn on_started;
    void *owner;
} asked;

int __wrap_spawner_start_helper(struct spawner *spawner, unsigned number, const char *word,
                                spawner_started_fn on_started, void *owner);
void __wrap_spawner_forget(struct spawner *spawner, const void *owner);

int __wrap_spawner_start_helper(struct spawner *spawner, unsigned number, const char *word,
                                spawner_started_fn on_started, void *owner)
{
    (void) spawner;
    (void) word;
    (void) number;
    asked.is_waiting = true;
    asked.on_started = on_started;
    asked.owner = owner;
    return 0;
}

void __wrap_spawner_forget(struct spawner *spawner, const void *owner)
{
    (void) spawner;
    (void) owner;
}

/* ---- the openers */

struct opener {
    struct egress_fetch *fetch; /* NULL: it has ended, or was cancelled */
    unsigned n_heads, n_ends;
    uint64_t received, credit; /* bytes of the answer: those that came, and those that could */
    uint64_t granted, sent;    /* bytes of the request: those that egress took, and all */
    bool gives_more;           /* credit for each part that comes */
};

static void check_printable(struct head_text text)
{
    for (size_t i = 0; i < text.size; i++)
        check(text.data[i] >= ' ' && text.data[i] <= '~');
}

static void on_head(void *owner, const struct egress_answer *answer)
{
    struct opener *opener = owner;
    struct head rest = answer->fields;
    unsigned status = answer->status, version = answer->version;

    check(opener->fetch && opener->n_heads++ == 0);
    check(status >= 200 && status <= 999 && (version == 10 || version == 11 || version == 20));
    check(rest.n_texts <= 2 * EGRESS_FIELDS_MAX && rest.n_texts % 2 == 0);
    check(answer->reason.size <= EGRESS_REASON_MAX_BYTES);
    while (rest.n_texts > 0) {
        struct head_text text = head_next(&rest);
        check(!memchr(text.data, '\n', text.size) && !memchr(text.data, '\r', text.size));
    }
}

static void on_body(void *owner, const uint8_t *data, size_t size)
{
    struct opener *opener = owner;

    (void) data;
    opener->received += size;
    check(opener->fetch && opener->n_heads == 1 && size > 0);
    check(opener->received <= opener->credit);
    if (opener->gives_more) {
        opener->credit += size;
        egress_give_credit(opener->fetch, (uint32_t) size);
    }
}

static void on_credit(void *owner, uint32_t bytes)
{
    struct opener *opener = owner;

    opener->granted += bytes;
    check(opener->fetch && bytes > 0 && opener->granted <= opener->sent);
}

static void on_end(void *owner, const struct egress_result *result)
{
    struct opener *opener = owner;

    check(opener->fetch && opener->n_ends++ == 0 && result->end < EGRESS_ENDS);
    check(result->end != EGRESS_COMPLETE || (opener->n_heads == 1 && result->text.size == 0));
    check(result->end == EGRESS_LOST || result->received == opener->received);
    check(result->sent <= opener->sent);
    check_printable(result->text);
    check_printable(result->address);
    opener->fetch = NULL;
}

static const struct egress_ops ops = { on_head, on_body, on_credit, on_end };

/* ---- the scene */

struct scene {
    struct event_base *base;
    struct health health;
    struct egress *egress;
    int fd; /* egress' end; -1: closed */
    struct opener openers[FETCHES];
};

static void turn(const struct scene *scene)
{
    static uint8_t dropped[64 << 10];

    for (unsigned i = 0; i < 3; i++)
        (void) event_base_loop(scene->base, EVLOOP_NONBLOCK);
    while (scene->fd >= 0 && read(scene->fd, dropped, sizeof dropped) > 0)
        ;
}

static void put(const struct scene *scene, const ProtobufCMessage *message)
{
    uint8_t frame[1024];
    const size_t size = protobuf_c_message_get_packed_size(message);
    const uint32_t length = htole32((uint32_t) size);

    check(size + FRAME_HEADER_BYTES <= sizeof frame);
    memcpy(frame, &length, sizeof length);
    (void) protobuf_c_message_pack(message, frame + FRAME_HEADER_BYTES);
    check(send(scene->fd, frame, FRAME_HEADER_BYTES + size, MSG_NOSIGNAL) > 0);
    turn(scene);
}

static void become_ready(struct scene *scene)
{
    static uint8_t name[] = EGRESS_HELPER_NAME;
    Skep__Helper__Hello hello = SKEP__HELPER__HELLO__INIT;
    Skep__Helper__Greeting greeting = SKEP__HELPER__GREETING__INIT;
    int pair[2];

    check(asked.is_waiting);
    asked.is_waiting = false;
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    scene->fd = pair[0];
    const struct spawner_started started = { 0, -1, -1, pair[1] };
    asked.on_started(asked.owner, 0, NULL, &started);
    hello.name = (ProtobufCBinaryData){ .data = name, .len = sizeof name - 1 };
    hello.version = EGRESS_VERSION;
    greeting.message_case = SKEP__HELPER__GREETING__MESSAGE_HELLO;
    greeting.hello = &hello;
    put(scene, &greeting.base);
    check(egress_is_ready(scene->egress));
}

static void open_one(struct scene *scene, struct opener *opener, bool has_body)
{
    static const uint8_t no_fields[4];
    const struct egress_request request = {
        .tenant = 1,
        .method = { "POST", 4 },
        .host = { "a.example", 9 },
        .path = { "/", 1 },
        .port = 80,
        .head = no_fields,
        .head_size = sizeof no_fields,
        .has_body = has_body,
        .length = -1,
        .credit = CREDIT,
        .connect_ms = TIME_MS,
        .head_ms = TIME_MS,
        .idle_ms = TIME_MS,
        .total_ms = TIME_MS,
    };

    check(egress_open(scene->egress, &request, &ops, opener, &opener->fetch) == 0);
    opener->credit = CREDIT;
}

/* Ends a fetch as egress does. */
static void say_done(const struct scene *scene, uint64_t id)
{
    Skep__Egress__Done done = SKEP__EGRESS__DONE__INIT;
    Skep__Egress__FromEgress frame = SKEP__EGRESS__FROM_EGRESS__INIT;

    done.id = id;
    done.failure = SKEP__EGRESS__FAILURE__FAILURE_TIME;
    frame.message_case = SKEP__EGRESS__FROM_EGRESS__MESSAGE_DONE;
    frame.done = &done;
    put(scene, &frame.base);
}

static void send_body(struct opener *opener, bool is_end)
{
    static const uint8_t data[SENT];

    egress_send_body(opener->fetch, data, sizeof data, is_end);
    opener->sent += sizeof data;
}

static void set_up(struct scene *scene, unsigned how)
{
    *scene = (struct scene){ .base = event_base_new(), .fd = -1 };
    asked.is_waiting = false;
    const struct egress_options options = { .base = scene->base, .health = &scene->health };
    check(egress_new(&options, &scene->egress) == 0);
    become_ready(scene);
    for (unsigned i = 0; i < FETCHES; i++) {
        open_one(scene, &scene->openers[i], i == UPLOADS || i == UPLOADED);
        scene->openers[i].gives_more = (how & HOW_MORE_CREDIT) != 0;
    }
    send_body(&scene->openers[UPLOADS], false);
    send_body(&scene->openers[UPLOADED], true);
    egress_cancel(scene->openers[CANCELLED].fetch);
    scene->openers[CANCELLED].fetch = NULL;
    say_done(scene, 1 + ENDED);
    check(scene->openers[ENDED].n_ends == 1);
    turn(scene);
}

/* Returns whether one of the frames is none at all. */
static bool has_breach(const uint8_t *data, size_t size)
{
    static struct arena arena;
    int64_t frame;

    check(arena.memory || arena_init(&arena, 4U << 20) == 0);
    for (; (frame = frame_measure(data, size)) > 0; data += frame, size -= (size_t) frame) {
        const Skep__Egress__FromEgress *message = (const Skep__Egress__FromEgress *) frame_unpack(
            &skep__egress__from_egress__descriptor, data, (size_t) frame, &arena);
        if (!message || message->message_case == 0)
            return true;
    }
    return frame < 0;
}

static void feed(struct scene *scene, const uint8_t *data, size_t size, unsigned how)
{
    static const size_t pieces[] = { INPUT_MAX_BYTES, 1, 3, 4, 7, 16, 64, 1000 };
    size_t piece = pieces[how & HOW_PIECES];

    if (piece < size / PIECES_MAX)
        piece = size / PIECES_MAX;
    while (size > 0) {
        ssize_t n = send(scene->fd, data, size < piece ? size : piece, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            break; /* skepd has closed it */
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t) n : 0;
        turn(scene);
    }
    for (unsigned i = 0; i < 8; i++)
        turn(scene); /* frames beyond those of a turn */
    if (how & HOW_CLOSES)
        (void) shutdown(scene->fd, SHUT_RDWR);
    turn(scene);
}

/* Checks that each fetch has ended, and that the next egress serves. */
static void check_loss(struct scene *scene)
{
    struct opener next = { .fetch = NULL };

    for (unsigned i = 0; i < FETCHES; i++)
        check(!scene->openers[i].fetch && scene->openers[i].n_ends == (i != CANCELLED));
    check(egress_count(scene->egress) == 0);
    (void) close(scene->fd);
    scene->fd = -1;
    for (unsigned i = 0; !asked.is_waiting; i++) {
        check(i < TURNS_MAX);
        (void) event_base_loop(scene->base, EVLOOP_ONCE);
    }
    become_ready(scene);
    open_one(scene, &next, false);
    say_done(scene, FETCHES + 1);
    check(next.n_ends == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene;

    if (size < OPTIONS_BYTES || size > INPUT_MAX_BYTES)
        return 0;
    log_silence();
    (void) signal(SIGPIPE, SIG_IGN);
    set_up(&scene, data[0]);
    feed(&scene, data + OPTIONS_BYTES, size - OPTIONS_BYTES, data[0]);
    bool is_lost = !egress_is_ready(scene.egress);
    check(is_lost || !has_breach(data + OPTIONS_BYTES, size - OPTIONS_BYTES));
    check(is_lost || !(data[0] & HOW_CLOSES));
    if (is_lost)
        check_loss(&scene);
    scene.egress = egress_free(scene.egress);
    for (unsigned i = 0; i < FETCHES; i++)
        check(scene.openers[i].n_ends == (i != CANCELLED));
    fd_cleanup(&scene.fd);
    event_base_free(scene.base);
    return 0;
}
