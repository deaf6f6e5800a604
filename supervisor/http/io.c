/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves bytes between the sockets of the HTTP front and its connections: reads while the state
 * wants them, writes once for each loop turn. Bytes that cannot be used yet stay in the kernel or,
 * if they came with others, in the connection's input. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/loop_watch.h"
#include "supervisor/http/internal.h"

#define READS_PER_TURN 4     /* reads of one connection; then the others have their turn */
#define INPUT_ROOM_BYTES 512 /* room for a read behind bytes that wait, at least */
#define INPUT_GROWTH_BYTES 4096

/* --- input --- */

static int input_reserve(struct http_input *input, size_t size)
{
    size_t capacity;
    uint8_t *data;

    if (input->start > 0) {
        memmove(input->data, input->data + input->start, input->end - input->start);
        input->end -= input->start;
        input->start = 0;
    }
    if (input->capacity - input->end >= size)
        return 0;
    capacity = input->end + (size > INPUT_GROWTH_BYTES ? size : INPUT_GROWTH_BYTES);
    data = realloc(input->data, capacity);
    if (!data)
        return -ENOMEM;
    input->data = data;
    input->capacity = capacity;
    return 0;
}

static void take_input(struct http_connection *connection)
{
    struct http_input *input = &connection->input;
    size_t used;

    if (input->start < input->end) {
        used =
            http_connection_take(connection, input->data + input->start, input->end - input->start);
        if (input->end > 0) /* not emptied by http_connection_finish */
            input->start += used;
    }
    if (input->data && input->start == input->end) {
        free(input->data);
        *input = (struct http_input){ 0 };
    }
}

static int keep_rest(struct http_connection *connection, const uint8_t *data, size_t size)
{
    struct http_input *input = &connection->input;
    int r;

    if (size == 0 || connection->state >= CONNECTION_FLUSH)
        return 0;
    r = input_reserve(input, size);
    if (r < 0)
        return r;
    memcpy(input->data + input->end, data, size);
    input->end += size;
    return 0;
}

/* How much to read at once. Input that cannot be used at once is kept: little under pressure, and hardly any of a body. */
static size_t read_size(const struct http_connection *connection)
{
    const struct http_exchange *exchange = &connection->exchange;
    size_t size = HTTP_INPUT_BYTES >> 2 * http_front_pressure(connection->front);

    if (connection->state != CONNECTION_EXCHANGE || exchange->body_mode != HTTP_BODY_LENGTH ||
        exchange->grant >= size)
        return size;
    return exchange->grant > INPUT_GROWTH_BYTES ? (size_t) exchange->grant : INPUT_GROWTH_BYTES;
}

/* Reads once. Returns bytes, 0 at the end of input, -errno. */
static ssize_t read_some(struct http_connection *connection)
{
    struct http_input *input = &connection->input;
    bool is_direct = input->start == input->end;
    uint8_t *data = connection->front->input;
    size_t room = read_size(connection);
    size_t used;
    ssize_t n;
    int r;

    if (!is_direct) {
        r = input_reserve(input, INPUT_ROOM_BYTES);
        if (r < 0)
            return r;
        data = input->data + input->end;
        room = input->capacity - input->end;
    }
    n = recv(connection->fd, data, room, 0); /* costs 0.1 us less than read() */
    if (n <= 0)
        return n < 0 ? -errno : 0;
    if (!is_direct) {
        input->end += (size_t) n;
        return n;
    }
    used = http_connection_take(connection, data, (size_t) n);
    /* epoll(7): a short read means that the stream is empty; later bytes are a new edge. But a
     * reset that came with the last bytes had its edge with them. If an answer follows, its write
     * meets the error; if more input is due, only another read does. */
    connection->can_read =
        (size_t) n == room || connection->peer_closed ||
        (connection->state != CONNECTION_IDLE && http_connection_may_read(connection));
    r = keep_rest(connection, data + used, (size_t) n - used);
    return r < 0 ? r : n;
}

static bool pump_some(struct http_connection *connection)
{
    for (int i = 0; i < READS_PER_TURN; i++) {
        ssize_t n;

        take_input(connection);
        if (!connection->can_read || !http_connection_may_read(connection))
            return false;
        n = read_some(connection);
        if (n > 0 || n == -EINTR)
            continue;
        connection->can_read = false;
        if (n == 0)
            http_connection_on_end(connection);
        else if (n != -EAGAIN)
            http_connection_fail(connection);
        return false;
    }
    take_input(connection);
    return connection->can_read && http_connection_may_read(connection);
}

/* Reads and handles as much as the state allows. Returns whether there may be more. */
static bool pump(struct http_connection *connection)
{
    bool may_be_more;

    connection->turn_heads = 0;
    may_be_more = pump_some(connection);
    may_be_more |= connection->turn_heads == HTTP_HEADS_PER_TURN;
    connection->turn_heads = 0;
    return may_be_more;
}

/* Notices a FIN behind a request that the handler has, without reading it. */
static void check_gone(struct http_connection *connection)
{
    if (connection->peer_closed)
        http_connection_on_fin(connection);
}

/* Returns whether the client has reset the connection. A reset is reported like new input, which is
 * not looked at while the handler is at work. A reset that came with the request has no event of
 * its own: HTTP_TIMER_LOOK finds it. */
bool http_connection_has_failed(const struct http_connection *connection)
{
    int error = 0;
    socklen_t size = sizeof(error);

    return getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0;
}

static void on_ready(struct http_connection *connection, short what)
{
    connection->can_read |= (what & (EV_READ | EV_CLOSED)) != 0;
    connection->can_write |= (what & EV_WRITE) != 0;
    connection->peer_closed |= (what & EV_CLOSED) != 0;
    if ((what & EV_READ) && !http_connection_may_read(connection) &&
        http_connection_has_failed(connection)) {
        http_connection_fail(connection);
        return;
    }
    if (pump(connection))
        http_front_queue(connection, HTTP_QUEUE_LATER);
    check_gone(connection);
    http_buffers_note(connection);
    if ((http_connection_queued(connection) > 0 && connection->can_write) ||
        http_front_pressure(connection->front) > 1)
        http_front_queue(connection, HTTP_QUEUE_WORK);
}

void http_connection_on_event(evutil_socket_t fd, short what, void *connection)
{
    LOOP_EVENT("front: connection");

    on_ready(connection, what);
}

/* --- output --- */

static void flush(struct http_connection *connection)
{
    size_t before = http_connection_queued(connection);
    size_t left = before;

    while (left > 0 && connection->can_write) {
        int n = evbuffer_write(connection->out, connection->fd);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            http_connection_fail(connection);
            return;
        }
        if (n <= 0)
            connection->can_write = false;
        left = evbuffer_get_length(connection->out);
    }
    connection->period_sent += before - left;
    if (left < before && connection->read_timer.kind == HTTP_TIMER_HALF)
        http_timer_set(&connection->read_timer, HTTP_TIMER_HALF);
    if (left > 0) {
        if (connection->write_timer.kind == HTTP_TIMER_NONE) {
            connection->period_sent = 0;
            http_timer_set(&connection->write_timer, HTTP_TIMER_WRITE);
        }
        return;
    }
    http_connection_release_output(connection);
    if (connection->write_timer.kind != HTTP_TIMER_NONE)
        http_timer_set(&connection->write_timer, HTTP_TIMER_NONE);
}

static void after_flush(struct http_connection *connection)
{
    struct http_exchange *exchange = &connection->exchange;
    size_t left = http_connection_queued(connection);

    if (connection->state == CONNECTION_FLUSH && left == 0) {
        http_connection_linger(connection);
    } else if (exchange->is_active && exchange->request && exchange->has_been_full &&
               left <= http_front_low_bytes(connection->front)) {
        exchange->has_been_full = false;
        connection->front->ops->on_writable(exchange->request);
    }
}

/* Returns whether another round can do anything before the next event. */
static bool has_more_work(const struct http_connection *connection)
{
    size_t left = http_connection_queued(connection);
    /* Part of a head waits for the rest of it. */
    bool has_input = connection->can_read || (connection->state != CONNECTION_HEAD &&
                                              connection->input.start < connection->input.end);

    if (left > 0 && connection->can_write)
        return true;
    if (connection->state == CONNECTION_FLUSH)
        return left == 0;
    return has_input && http_connection_may_read(connection);
}

enum http_queue http_connection_work(struct http_connection *connection)
{
    bool more = connection->state != CONNECTION_CLOSED && pump(connection);

    check_gone(connection);
    if (connection->front->is_closing_idle && connection->state == CONNECTION_IDLE)
        http_connection_finish(connection);
    if (connection->state != CONNECTION_CLOSED)
        flush(connection);
    if (connection->state != CONNECTION_CLOSED)
        after_flush(connection);
    http_buffers_note(connection);
    if (connection->state == CONNECTION_CLOSED)
        return HTTP_QUEUE_NONE;
    return more || has_more_work(connection) ? HTTP_QUEUE_LATER : HTTP_QUEUE_NONE;
}
