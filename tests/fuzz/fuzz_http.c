/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds bytes to a connection of the HTTP front, once whole and once in pieces as large as the
 * first byte says. The handler must see the same both times. The first byte's highest bit makes it
 * grant the request body in small steps.
 */
#include <event2/event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "supervisor/http/http.h"

#define QUIET_TURNS 8
#define INPUT_MAX_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct event_base *base;
    struct http_front *front;
    struct http_exchange *exchange; /* borrowed: the one at work */
    size_t grant;
    uint64_t hash; /* hash of all data that the handler got, the same for any pieces of a body */
    int listening;
    int client;
};

static void mix(struct run *run, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size; i++)
        run->hash = (run->hash ^ bytes[i]) * UINT64_C(0x100000001b3);
}

static void mix_text(struct run *run, struct http_text text)
{
    mix(run, text.data, text.size);
    mix(run, "", 1);
}

static void answer(struct run *run)
{
    static const struct http_response response = { .status = 200 };
    struct http_exchange *exchange = TAKE_PTR(run->exchange);

    if (http_respond(exchange, &response, (const uint8_t *) "ok", 2, true) < 0)
        abort();
}

static void *on_request(void *handler, struct http_exchange *exchange,
                        const struct http_request *request)
{
    struct run *run = handler;

    mix_text(run, request->method);
    mix_text(run, request->host);
    mix_text(run, request->target);
    for (size_t i = 0; i < request->n_fields; i++) {
        mix_text(run, request->fields[i].name);
        mix_text(run, request->fields[i].value);
    }
    run->exchange = exchange;
    if (!request->has_body) {
        answer(run);
        return NULL;
    }
    http_grant(exchange, run->grant);
    return run;
}

static void on_body(void *request, const uint8_t *data, size_t size, bool end)
{
    struct run *run = request;

    mix(run, data, size);
    if (end) {
        mix(run, "end", 3);
        answer(run);
    } else {
        http_grant(run->exchange, size);
    }
}

static void on_writable(void *request)
{
    (void) request;
}

static void on_gone(void *request, enum http_gone why)
{
    (void) why;
    struct run *run = request;

    if (!run->exchange)
        abort(); /* told twice, or after the answer */
    run->exchange = NULL;
    mix(run, "gone", 4);
}

static const struct http_handler handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_writable = on_writable,
    .on_gone = on_gone,
};

static int run_start(struct run *run)
{
    struct http_front_options options = {
        .ops = &handler,
        .handler = run,
        .limits = { 4096, 16, 4, 4, 60000, 60000, 60000, 0, 60000, 60000 },
    };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    socklen_t size = sizeof(sa_family_t); /* the kernel picks an abstract name */

    run->base = event_base_new();
    options.base = run->base;
    if (!run->base || http_front_new(&options, &run->front) < 0)
        return -1;
    run->listening = socket(AF_UNIX, SOCK_STREAM, 0);
    run->client = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(run->listening, (struct sockaddr *) &address, size) < 0 ||
        listen(run->listening, 1) < 0)
        return -1;
    size = sizeof(address);
    if (getsockname(run->listening, (struct sockaddr *) &address, &size) < 0 ||
        http_front_adopt(run->front, run->listening) < 0 ||
        connect(run->client, (struct sockaddr *) &address, size) < 0)
        return -1;
    return io_set_nonblocking(run->client);
}

static void turn(const struct run *run)
{
    char answers[65536];

    (void) event_base_loop(run->base, EVLOOP_NONBLOCK);
    while (read(run->client, answers, sizeof(answers)) > 0)
        ;
}

static uint64_t feed(const uint8_t *data, size_t size, size_t piece, size_t grant)
{
    struct run run = { .grant = grant, .listening = -1, .client = -1 };
    uint64_t hash;

    if (run_start(&run) < 0)
        abort();
    turn(&run);
    while (size > 0) {
        size_t n = piece < size ? piece : size;
        ssize_t sent = send(run.client, data, n, MSG_NOSIGNAL);

        if (sent < 0)
            break; /* the front has refused the request and closed the connection */
        data += sent;
        size -= (size_t) sent;
        turn(&run);
    }
    for (int i = 0; i < QUIET_TURNS; i++)
        turn(&run);
    hash = run.hash;
    (void) close(run.client);
    for (int i = 0; i < QUIET_TURNS; i++)
        turn(&run);
    if (run.exchange || http_front_connections(run.front) != 0)
        abort();
    (void) http_front_free(run.front);
    event_base_free(run.base);
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t piece;
    size_t grant;

    if (size < 1 || size > INPUT_MAX_BYTES)
        return 0;
    piece = (data[0] & 0x7f) + (size_t) 1;
    grant = data[0] & 0x80 ? 3 : INPUT_MAX_BYTES;
    if (feed(data + 1, size - 1, INPUT_MAX_BYTES, grant) != feed(data + 1, size - 1, piece, grant))
        abort();
    return 0;
}
