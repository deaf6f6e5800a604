/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of the HTTP front: a state for each phase, the meaning of bytes in it, whether it
 * reads, which timer runs, and how it ends. io.c moves the bytes. Supervisor, loop thread.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "supervisor/http/internal.h"

static size_t take_head(struct http_connection *connection, uint8_t *data, size_t size);
static size_t take_body(struct http_connection *connection, uint8_t *data, size_t size);
static size_t take_nothing_more(struct http_connection *connection, uint8_t *data, size_t size);
static bool has_room(const struct http_connection *connection);
static bool wants_body(const struct http_connection *connection);
static bool is_true(const struct http_connection *connection);
static bool is_false(const struct http_connection *connection);
static void end_by_client(struct http_connection *connection);

/* The states: what each does with bytes, whether it reads, and what the client's FIN means in it.
 * take returns how many bytes it used; 0: no more can be used now. */
static const struct {
    size_t (*take)(struct http_connection *connection, uint8_t *data, size_t size);
    bool (*may_read)(const struct http_connection *connection);
    void (*on_end)(struct http_connection *connection);
} states[CONNECTION_STATES] = {
    [CONNECTION_IDLE] = { take_head, has_room, end_by_client },
    [CONNECTION_HEAD] = { take_head, has_room, end_by_client },
    [CONNECTION_EXCHANGE] = { take_body, wants_body, end_by_client },
    [CONNECTION_DRAIN] = { take_body, is_true, end_by_client },
    [CONNECTION_FLUSH] = { take_nothing_more, is_false, end_by_client },
    [CONNECTION_LINGER] = { take_nothing_more, is_true, http_connection_close },
    [CONNECTION_CLOSED] = { take_nothing_more, is_false, http_connection_close },
};

static bool is_true(const struct http_connection *connection)
{
    (void) connection;
    return true;
}

static bool is_false(const struct http_connection *connection)
{
    (void) connection;
    return false;
}

/* Returns whether there is room for another answer. Answers to pipelined requests must not pile up
 * for a client that does not read them; nor may requests that are answered at once hold the
 * loop. */
static bool has_room(const struct http_connection *connection)
{
    return http_connection_queued(connection) <= HTTP_OUTPUT_LOW_BYTES &&
           connection->turn_heads < HTTP_HEADS_PER_TURN;
}

/* Returns whether the body is wanted. The framing between chunks needs no grant: the end of the
 * body may be in it. */
static bool wants_body(const struct http_connection *connection)
{
    const struct http_exchange *exchange = &connection->exchange;
    bool at_framing = exchange->body_mode == HTTP_BODY_CHUNKED && exchange->body_left == 0;

    return exchange->body_open && (exchange->grant > 0 || at_framing);
}

struct http_connection *http_exchange_connection(const struct http_exchange *exchange)
{
    const char *p = (const char *) exchange - offsetof(struct http_connection, exchange);

    return (struct http_connection *) (uintptr_t) p;
}

size_t http_connection_queued(const struct http_connection *connection)
{
    return connection->out ? evbuffer_get_length(connection->out) : 0;
}

struct evbuffer *http_connection_output(struct http_connection *connection)
{
    struct http_front *front = connection->front;

    if (!connection->out)
        connection->out = front->n_spare > 0 ? front->spare[--front->n_spare] : evbuffer_new();
    return connection->out;
}

void http_connection_release_output(struct http_connection *connection)
{
    struct http_front *front = connection->front;
    struct evbuffer *out = TAKE_PTR(connection->out);

    if (out && evbuffer_get_length(out) == 0 && front->n_spare < HTTP_SPARE_BUFFERS)
        front->spare[front->n_spare++] = out;
    else if (out)
        evbuffer_free(out);
}

/* --- ends --- */

void http_connection_close(struct http_connection *connection)
{
    static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
    struct http_front *front = connection->front;

    if (connection->state == CONNECTION_CLOSED)
        return;
    connection->state = CONNECTION_CLOSED;
    connection->exchange.is_active = false;
    connection->exchange.request = NULL;
    (void) event_del(&connection->event);
    http_timer_set(&connection->read_timer, HTTP_TIMER_NONE);
    http_timer_set(&connection->write_timer, HTTP_TIMER_NONE);
    if (connection->reset_on_close)
        (void) setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    (void) close(connection->fd);
    connection->fd = -1;
    LIST_REMOVE(connection, link);
    http_front_count_connection(front, -1);
    http_buffers_note(connection);
    http_buffers_forget_kept(connection);
    http_peer_leave(front->peers, TAKE_PTR(connection->peer));
    http_front_queue(connection, HTTP_QUEUE_WORK);
    http_listeners_resume(front);
}

void http_connection_free(struct http_connection *connection)
{
    assert(connection->state == CONNECTION_CLOSED && connection->queue != HTTP_QUEUE_LATER);
    http_connection_release_output(connection);
    free(connection->input.data);
    free(connection);
}

void http_connection_forget_exchange(struct http_connection *connection, enum http_gone why)
{
    struct http_exchange *exchange = &connection->exchange;
    void *request = TAKE_PTR(exchange->request);

    http_buffers_forget_kept(connection);
    exchange->is_active = false;
    if (request)
        connection->front->ops->on_gone(request, why);
}

void http_connection_finish(struct http_connection *connection)
{
    if (connection->state == CONNECTION_CLOSED)
        return;
    connection->state = CONNECTION_FLUSH;
    connection->input.start = connection->input.end = 0;
    http_timer_set(&connection->read_timer, HTTP_TIMER_NONE);
    http_front_queue(connection, HTTP_QUEUE_WORK);
}

/* Ends the connection's input: no more of a request can come, or nobody waits for its answer. A
 * request that is still with the handler is abandoned; answers to earlier ones still go out. */
static void end_by_client(struct http_connection *connection)
{
    struct http_exchange *exchange = &connection->exchange;
    bool is_cut = exchange->is_active && exchange->head_sent;

    connection->no_linger = true;
    if (exchange->is_active)
        http_connection_forget_exchange(connection, HTTP_GONE_LEFT);
    if (is_cut || http_connection_queued(connection) == 0)
        http_connection_close(connection);
    else
        http_connection_finish(connection);
}

static void fail(struct http_connection *connection, enum http_gone why)
{
    if (connection->exchange.is_active)
        http_connection_forget_exchange(connection, why);
    http_connection_close(connection);
}

void http_connection_fail(struct http_connection *connection)
{
    fail(connection, HTTP_GONE_LEFT);
}

void http_connection_on_fin(struct http_connection *connection)
{
    if (connection->state != CONNECTION_EXCHANGE || connection->read_timer.kind == HTTP_TIMER_HALF)
        return;
    if (connection->front->limits.half_close_ms == 0)
        end_by_client(connection);
    else
        http_connection_time_body(connection);
}

/* Closes after all output is in the kernel: FIN, and wait for the client's, because closing with
 * input unread would reset the connection and may destroy the answer on its way. */
void http_connection_linger(struct http_connection *connection)
{
    if (connection->no_linger || connection->reset_on_close || connection->is_read_out ||
        shutdown(connection->fd, SHUT_WR) < 0) {
        http_connection_close(connection);
        return;
    }
    connection->state = CONNECTION_LINGER;
    http_timer_set(&connection->read_timer, HTTP_TIMER_LINGER);
}

/* --- phases --- */

static void become_idle(struct http_connection *connection)
{
    connection->state = CONNECTION_IDLE;
    connection->scan = (struct http_scan){ .state = HTTP_SCAN_START };
    http_timer_set(&connection->read_timer, HTTP_TIMER_KEEPALIVE);
    if (connection->front->is_closing_idle)
        http_front_queue(connection, HTTP_QUEUE_WORK); /* closes the connection */
}

/* Adds up the time of waiting for the request body. */
static void clock_body(struct http_connection *connection, bool is_due)
{
    struct http_exchange *exchange = &connection->exchange;
    uint64_t now = http_front_now_ms();

    if (exchange->body_since_ms > 0)
        exchange->body_wait_ms += now - exchange->body_since_ms;
    exchange->body_since_ms = is_due ? now : 0;
}

void http_connection_time_body(struct http_connection *connection)
{
    const struct http_exchange *exchange = &connection->exchange;
    bool is_exchange = connection->state == CONNECTION_EXCHANGE;
    bool is_due = connection->state == CONNECTION_DRAIN ||
                  (is_exchange && exchange->body_open && exchange->grant > 0);
    enum http_timer_kind kind = is_due        ? HTTP_TIMER_BODY
                                : is_exchange ? HTTP_TIMER_LOOK
                                              : HTTP_TIMER_NONE;

    if (is_due || exchange->body_since_ms > 0)
        clock_body(connection, is_due);
    if (connection->peer_closed && is_exchange)
        kind = HTTP_TIMER_HALF;
    if (kind != HTTP_TIMER_NONE || connection->read_timer.kind != HTTP_TIMER_NONE)
        http_timer_set(&connection->read_timer, kind);
}

bool http_connection_is_late(struct http_connection *connection)
{
    const struct http_exchange *exchange = &connection->exchange;
    const struct http_limits *limits = &connection->front->limits;

    return limits->min_bytes_per_s > 0 &&
           exchange->body_wait_ms >
               limits->body_idle_ms + exchange->body_taken * 1000 / limits->min_bytes_per_s;
}

bool http_connection_can_drain_body(const struct http_connection *connection)
{
    const struct http_exchange *exchange = &connection->exchange;

    return exchange->body_mode == HTTP_BODY_LENGTH && !exchange->expects_continue &&
           exchange->body_left <= HTTP_DRAIN_MAX_BYTES;
}

void http_connection_end_exchange(struct http_connection *connection)
{
    struct http_exchange *exchange = &connection->exchange;

    http_buffers_forget_kept(connection);
    exchange->is_active = false;
    exchange->request = NULL;
    /* Goes on also while the front drains: a response without Connection: close may be followed by
     * a request, which is on its way. */
    if (!exchange->keep_alive ||
        (exchange->body_open && !http_connection_can_drain_body(connection))) {
        http_connection_finish(connection);
    } else if (exchange->body_open) {
        connection->state = CONNECTION_DRAIN;
        http_connection_time_body(connection);
    } else {
        become_idle(connection);
    }
    http_front_queue(connection, HTTP_QUEUE_WORK);
}

void http_connection_end_sent(struct http_connection *connection)
{
    struct http_exchange *exchange = &connection->exchange;

    http_buffers_forget_kept(connection);
    exchange->is_active = false;
    exchange->request = NULL;
    become_idle(connection);
    http_buffers_note(connection);
}

static void dispatch(struct http_connection *connection, const struct http_request *request)
{
    struct http_front *front = connection->front;
    struct http_exchange *exchange = &connection->exchange;
    void *handle;

    connection->state = CONNECTION_EXCHANGE;
    http_timer_set(&connection->read_timer, HTTP_TIMER_LOOK);
    exchange->is_active = true;
    handle = front->ops->on_request(front->handler, exchange, request);
    if (!exchange->is_active)
        return;
    if (handle)
        exchange->request = handle;
    else
        http_fail(exchange, ERROR_OVERLOADED, 1);
}

static size_t take_head(struct http_connection *connection, uint8_t *data, size_t size)
{
    const struct http_limits *limits = &connection->front->limits;
    struct http_scan *scan = &connection->scan;
    struct http_request request = { 0 };
    const char *detail = NULL;
    unsigned status;
    ssize_t scanned;

    if (!has_room(connection))
        return 0;
    if (connection->state == CONNECTION_IDLE) {
        connection->state = CONNECTION_HEAD;
        if (connection->read_timer.kind != HTTP_TIMER_HEAD)
            http_timer_set(&connection->read_timer, HTTP_TIMER_HEAD);
    }
    scanned = http_scan_bytes(scan, data + scan->bytes, size - scan->bytes);
    if (scanned < 0) {
        http_reject(connection, 400, NULL);
        return 0;
    }
    if (scan->bytes > limits->header_bytes || scan->lines > limits->header_count + 1) {
        http_reject(connection, 431, NULL);
        return 0;
    }
    if (scan->state != HTTP_SCAN_DONE)
        return 0;
    size = scan->bytes;
    connection->turn_heads++;
    connection->exchange = (struct http_exchange){ 0 };
    status = http_parse_head(connection, data, size, &request, &detail);
    if (status != 0) {
        http_reject(connection, status, detail);
        return 0;
    }
    dispatch(connection, &request);
    return size;
}

static size_t take_body(struct http_connection *connection, uint8_t *data, size_t size)
{
    size_t used = connection->exchange.body_open ? http_body_take(connection, data, size) : 0;

    if (connection->state == CONNECTION_DRAIN && !connection->exchange.body_open)
        become_idle(connection);
    return used;
}

static size_t take_nothing_more(struct http_connection *connection, uint8_t *data, size_t size)
{
    (void) data;
    connection->lingered_bytes += (uint32_t) size;
    if (connection->state == CONNECTION_LINGER &&
        connection->lingered_bytes > HTTP_LINGER_MAX_BYTES)
        http_connection_close(connection);
    return size;
}

/* Handles a timeout after FIN. The client may have gone for good, or wait for an answer that is
 * long in coming: only bytes that are sent show which. As long as some wait to be sent, the write
 * timer looks after them. */
static void on_half_timeout(struct http_connection *connection)
{
    if (http_connection_queued(connection) > 0)
        http_timer_set(&connection->read_timer, HTTP_TIMER_HALF);
    else
        end_by_client(connection);
}

/* Handles a timeout of writing. A client that took enough since the timer was set has as much time
 * again. */
static void on_write_timeout(struct http_connection *connection)
{
    const struct http_limits *limits = &connection->front->limits;
    uint64_t least = (uint64_t) limits->min_bytes_per_s * limits->write_idle_ms / 1000;

    if (connection->period_sent > 0 && connection->period_sent >= least) {
        connection->period_sent = 0;
        http_timer_set(&connection->write_timer, HTTP_TIMER_WRITE);
    } else {
        fail(connection, HTTP_GONE_SLOW);
    }
}

void http_connection_on_timeout(struct http_connection *connection, enum http_timer_kind kind)
{
    switch (kind) {
    case HTTP_TIMER_HALF:
        on_half_timeout(connection);
        break;
    case HTTP_TIMER_LOOK:
        if (http_connection_has_failed(connection))
            http_connection_fail(connection);
        break;
    case HTTP_TIMER_HEAD:
    case HTTP_TIMER_BODY:
        if (connection->state == CONNECTION_DRAIN)
            http_connection_finish(connection);
        else if (connection->state == CONNECTION_IDLE)
            end_by_client(connection);
        else
            http_reject(connection, 408, NULL);
        break;
    case HTTP_TIMER_KEEPALIVE:
        end_by_client(connection);
        break;
    case HTTP_TIMER_WRITE:
        on_write_timeout(connection);
        break;
    case HTTP_TIMER_LINGER:
    case HTTP_TIMER_NONE:
    case HTTP_TIMER_KINDS:
        http_connection_fail(connection);
        break;
    }
}

/* --- room for others --- */

/* Time without a first request after which a connection may give way. */
#define PATIENCE_MS 1000

/* Returns whether a connection may give way. A request that has arrived keeps it, even if its event
 * has not been looked at. */
static bool may_give_way(const struct http_connection *connection)
{
    int unread = 0;

    return connection->state != CONNECTION_IDLE ||
           (http_connection_queued(connection) == 0 &&
            ioctl(connection->fd, FIONREAD, &unread) == 0 && unread == 0);
}

/* Finds the connection that has waited longest. The lists are in the order of their timers'
 * start. */
static struct http_connection *find_oldest(struct http_front *front, enum http_timer_kind kind,
                                           uint64_t patience_ms)
{
    uint64_t due_ms = http_front_now_ms() + front->timer_ms[kind];
    const struct http_timer *timer;
    int looks = 64; /* the other ones can wait for the next connection */

    TAILQ_FOREACH (timer, &front->timers[kind], link) {
        if (timer->due_ms + patience_ms > due_ms || looks-- == 0)
            return NULL;
        if (may_give_way(timer->connection) &&
            (kind != HTTP_TIMER_WRITE || !http_buffers_moves(timer->connection)))
            return timer->connection;
    }
    return NULL;
}

void http_connection_cut(struct http_connection *connection, enum http_gone why)
{
    if (why == HTTP_GONE_SLOW)
        fail(connection, why);
    else
        http_connection_on_timeout(connection, HTTP_TIMER_BODY);
}

uint64_t http_client_key(const struct http_exchange *exchange)
{
    const struct http_peer *peer = http_exchange_connection(exchange)->peer;

    return peer ? http_peer_id(peer) : 0;
}

void http_client_note_slow(struct http_exchange *exchange)
{
    struct http_peer *peer = http_exchange_connection(exchange)->peer;

    if (peer)
        *http_peer_slow_ms(peer) = http_front_now_ms();
}

bool http_client_is_slow(const struct http_exchange *exchange)
{
    struct http_peer *peer = http_exchange_connection(exchange)->peer;
    uint64_t slow_ms = peer ? *http_peer_slow_ms(peer) : 0;

    return slow_ms != 0 && http_front_now_ms() < slow_ms + HTTP_SLOW_MS;
}

/* Makes room for a connection. Connections give way in this order: without any request, between
 * requests, in the middle of a head for a second at least, and those whose client only has to
 * close. */
bool http_connection_make_room(struct http_front *front)
{
    static const struct {
        enum http_timer_kind kind;
        uint64_t patience_ms;
    } candidates[] = {
        { HTTP_TIMER_HEAD, PATIENCE_MS },   { HTTP_TIMER_KEEPALIVE, 0 },
        { HTTP_TIMER_BODY, PATIENCE_MS },   { HTTP_TIMER_WRITE, PATIENCE_MS },
        { HTTP_TIMER_LINGER, PATIENCE_MS },
    };

    for (size_t i = 0; i < ARRAY_LEN(candidates); i++) {
        struct http_connection *connection =
            find_oldest(front, candidates[i].kind, candidates[i].patience_ms);
        if (!connection)
            continue;
        http_cap_met(front, HTTP_CAP_IDLE, connection->client);
        fail(connection, HTTP_GONE_SLOW);
        return true;
    }
    return false;
}

/* --- for io.c --- */

size_t http_connection_take(struct http_connection *connection, uint8_t *data, size_t size)
{
    size_t used = 0;

    while (used < size) {
        size_t n = states[connection->state].take(connection, data + used, size - used);

        if (n == 0)
            break;
        used += n;
    }
    return used;
}

bool http_connection_may_read(const struct http_connection *connection)
{
    return states[connection->state].may_read(connection);
}

void http_connection_on_end(struct http_connection *connection)
{
    connection->peer_closed = connection->is_read_out = true;
    states[connection->state].on_end(connection);
}

/* --- life --- */

void http_client_name(const struct sockaddr *address, char name[HTTP_CLIENT_MAX_BYTES])
{
    const void *bytes = NULL;
    struct sockaddr_in6 in6;
    struct sockaddr_in in;
    int family = address->sa_family;

    if (family == AF_INET) {
        memcpy(&in, address, sizeof(in));
        bytes = &in.sin_addr;
    } else if (family == AF_INET6) {
        memcpy(&in6, address, sizeof(in6));
        bytes = &in6.sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
            family = AF_INET;
            bytes = &in6.sin6_addr.s6_addr[12];
        }
    }
    if (!bytes || !inet_ntop(family, bytes, name, HTTP_CLIENT_MAX_BYTES))
        memcpy(name, "unix", sizeof("unix"));
}

int http_connection_new(struct http_front *front, int fd, const struct sockaddr *address)
{
    _cleanup_free_ struct http_connection *connection = calloc(1, sizeof(*connection));
    short what = (short) (EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST);
    struct http_peer *peer = NULL;
    int r;

    if (!connection)
        return -ENOMEM;
    r = http_peer_enter(front->peers, address, &peer);
    if (r < 0)
        return r;
    if (event_assign(&connection->event, front->base, fd, what, http_connection_on_event,
                     connection) < 0 ||
        event_add(&connection->event, NULL) < 0) {
        http_peer_leave(front->peers, peer);
        return -ENOMEM;
    }
    connection->front = front;
    connection->peer = peer;
    connection->fd = fd;
    connection->can_write = true;
    connection->read_timer.connection = connection;
    connection->write_timer.connection = connection;
    http_client_name(address, connection->client);
    LIST_INSERT_HEAD(&front->connections, connection, link);
    http_front_count_connection(front, 1);
    become_idle(connection);
    http_timer_set(&connection->read_timer,
                   HTTP_TIMER_HEAD); /* the first head has no idle time before it */
    (void) TAKE_PTR(connection);
    return 0;
}
