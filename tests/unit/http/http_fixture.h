/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the HTTP tests: a front with a real loop and real sockets, a small handler whose behaviour
 * depends on the target, and clients in the same thread that run the loop while they wait.
 *
 * /hello answers at once; /echo answers with the request body; /big with a large body; anything
 * else is left to the test in fixture->exchange.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "supervisor/http/http.h"

#define DEADLINE_NS (10 * NSEC_PER_SEC)
#define TEXT(literal)                   \
    {                                   \
        "" literal, sizeof(literal) - 1 \
    }

struct fixture {
    struct event_base *base;
    struct http_front *front;
    struct sockaddr_in address;
    struct http_exchange *exchange; /* borrowed: the last one, until answered or gone */
    char *seen;                     /* calls of the handler, one line each */
    size_t seen_size;
    FILE *seen_file;
    uint8_t body[1 << 20];
    size_t body_size;
    bool body_ended;
    size_t grant; /* bytes that the handler grants in on_request */
    unsigned gone;
    enum http_gone why; /* reason of the last gone */
    unsigned writable;
    int answer; /* the result of http_respond in the handler */
    bool is_echo;
};

struct client {
    int fd;
    size_t size;
    bool is_closed;
    bool is_reset;
    char data[1 << 22];
};

static inline void see(struct fixture *fixture, const char *what, struct http_text text)
{
    (void) fprintf(fixture->seen_file, "%s=%.*s\n", what, (int) text.size, text.data);
    (void) fflush(fixture->seen_file);
}

static inline int answer_text(struct http_exchange *exchange, const void *body, size_t size)
{
    static const struct http_field fields[] = {
        { TEXT("Content-Type"), TEXT("text/plain") },
        { TEXT("Date"), TEXT("today") }, /* so that answers can be compared */
    };
    struct http_response response = { 200, fields, ARRAY_LEN(fields) };

    return http_respond(exchange, &response, body, size, true);
}

static inline bool target_is(const struct http_request *request, const char *target)
{
    return request->target.size == strlen(target) &&
           memcmp(request->target.data, target, request->target.size) == 0;
}

static inline void *fixture_on_request(void *handler, struct http_exchange *exchange,
                                       const struct http_request *request)
{
    struct fixture *fixture = handler;

    see(fixture, "method", request->method);
    see(fixture, "host", request->host);
    see(fixture, "authority", request->authority);
    see(fixture, "target", request->target);
    for (size_t i = 0; i < request->n_fields; i++) {
        (void) fprintf(fixture->seen_file, "field %.*s", (int) request->fields[i].name.size,
                       request->fields[i].name.data);
        see(fixture, "", request->fields[i].value);
    }
    fixture->exchange = exchange;
    fixture->body_size = 0;
    fixture->body_ended = false;
    fixture->is_echo = target_is(request, "/echo");
    if (fixture->is_echo && request->has_body) {
        http_grant(exchange, SIZE_MAX);
        return fixture;
    }
    if (fixture->is_echo || target_is(request, "/hello")) {
        fixture->exchange = NULL;
        fixture->answer = answer_text(exchange, "hello", 5);
        return NULL;
    }
    if (target_is(request, "/big")) {
        fixture->exchange = NULL;
        fixture->answer = answer_text(exchange, fixture->body, sizeof(fixture->body));
        return NULL;
    }
    if (target_is(request, "/null"))
        return NULL;
    http_grant(exchange, fixture->grant);
    return fixture;
}

static inline void fixture_on_body(void *request, const uint8_t *data, size_t size, bool end)
{
    struct fixture *fixture = request;

    assert_true(fixture->body_size + size <= sizeof(fixture->body));
    assert_false(fixture->body_ended);
    memcpy(fixture->body + fixture->body_size, data, size);
    fixture->body_size += size;
    fixture->body_ended = end;
    if (end && fixture->is_echo) {
        struct http_exchange *exchange = TAKE_PTR(fixture->exchange);

        see(fixture, "body",
            (struct http_text){ (const char *) fixture->body, fixture->body_size });
        fixture->answer = answer_text(exchange, fixture->body, fixture->body_size);
    }
}

static inline void fixture_on_writable(void *request)
{
    ((struct fixture *) request)->writable++;
}

static inline void fixture_on_gone(void *request, enum http_gone why)
{
    struct fixture *fixture = request;

    fixture->gone++;
    fixture->why = why;
    fixture->exchange = NULL;
}

static const struct http_handler fixture_handler = {
    .on_request = fixture_on_request,
    .on_body = fixture_on_body,
    .on_writable = fixture_on_writable,
    .on_gone = fixture_on_gone,
};

static const struct http_limits fixture_limits = {
    .header_bytes = 8192,
    .header_count = 20,
    .connections = 20,
    .connections_per_ip = 20,
    .header_timeout_ms = 60000,
    .body_idle_ms = 60000,
    .keepalive_ms = 60000,
    .write_idle_ms = 60000,
    .half_close_ms = 60000,
};

static inline struct fixture *fixture_new(const struct http_limits *limits)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    socklen_t size = sizeof(fixture->address);
    struct http_front_options options = { .ops = &fixture_handler, .handler = fixture };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_non_null(fixture);
    fixture->base = event_base_new();
    options.base = fixture->base;
    options.limits = *limits;
    fixture->seen_file = open_memstream(&fixture->seen, &fixture->seen_size);
    fixture->grant = SIZE_MAX;
    assert_int_equal(http_front_new(&options, &fixture->front), 0);
    fixture->address.sin_family = AF_INET;
    fixture->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *) &fixture->address, size), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &fixture->address, &size), 0);
    assert_int_equal(http_front_adopt(fixture->front, fd), 0);
    return fixture;
}

static inline void fixture_free(struct fixture *fixture)
{
    if (!fixture)
        return;
    (void) http_front_free(fixture->front);
    event_base_free(fixture->base);
    (void) fclose(fixture->seen_file);
    free(fixture->seen);
    free(fixture);
}

DEFINE_CLEANUP(struct fixture *, fixture_free, fixture_cleanup)

static inline void fixture_turn(struct fixture *fixture)
{
    (void) event_base_loop(fixture->base, EVLOOP_NONBLOCK);
}

static inline struct client *client_new(const struct fixture *fixture)
{
    struct client *client = calloc(1, sizeof(*client));

    assert_non_null(client);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(
        connect(client->fd, (const struct sockaddr *) &fixture->address, sizeof(fixture->address)),
        0);
    assert_int_equal(io_set_nonblocking(client->fd), 0);
    return client;
}

static inline void client_free(struct client *client)
{
    if (!client)
        return;
    if (client->fd >= 0)
        (void) close(client->fd);
    free(client);
}

DEFINE_CLEANUP(struct client *, client_free, client_cleanup)

static inline void client_read(struct client *client)
{
    ssize_t n =
        read(client->fd, client->data + client->size, sizeof(client->data) - 1 - client->size);

    if (n > 0)
        client->size += (size_t) n;
    client->is_reset |= n < 0 && errno == ECONNRESET;
    client->is_closed |= n == 0 || (n < 0 && errno != EAGAIN);
    client->data[client->size] = '\0';
}

/* Runs the loop and the client's socket until condition holds. */
#define WAIT_UNTIL(fixture, client, condition)          \
    do {                                                \
        uint64_t _deadline = io_now_ns() + DEADLINE_NS; \
        while (!(condition)) {                          \
            fixture_turn(fixture);                      \
            if (client)                                 \
                client_read(client);                    \
            assert_true(io_now_ns() < _deadline);       \
        }                                               \
    } while (0)

static inline void client_send(struct fixture *fixture, struct client *client, const void *data,
                               size_t size)
{
    size_t sent = 0;
    uint64_t deadline = io_now_ns() + DEADLINE_NS;

    while (sent < size) {
        ssize_t n = send(client->fd, (const char *) data + sent, size - sent, MSG_NOSIGNAL);

        if (n > 0)
            sent += (size_t) n;
        else if (errno != EAGAIN)
            return;
        fixture_turn(fixture);
        assert_true(io_now_ns() < deadline);
    }
}

static inline void client_say(struct fixture *fixture, struct client *client, const char *text)
{
    client_send(fixture, client, text, strlen(text));
}

/* Sends text and waits until the server closes. */
static inline struct client *client_talk(struct fixture *fixture, const void *data, size_t size)
{
    struct client *client = client_new(fixture);

    client_send(fixture, client, data, size);
    WAIT_UNTIL(fixture, client, client->is_closed);
    return client;
}

static inline unsigned client_status(const struct client *client)
{
    unsigned status = 0;

    return sscanf(client->data, "HTTP/1.1 %u ", &status) == 1 ? status : 0;
}

static inline size_t client_count(const struct client *client, const char *needle)
{
    size_t count = 0;

    for (const char *p = client->data; (p = strstr(p, needle)); p++)
        count++;
    return count;
}
