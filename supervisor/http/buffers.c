/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one budget for all bytes that skepd keeps for clients, both ways: bytes that connections have
 * queued or not used yet, and those of requests that the handler keeps. As it fills, windows
 * shrink; above it, the slowest clients are cut off, then those of the address with most of it.
 * Supervisor, loop thread.
 */
#include "supervisor/http/internal.h"

/* Connections that are compared, of those that have waited for longest. */
#define LOOKS 64
#define SHED_LOOKS_MAX 32768 /* in one turn, so that other work has its turn soon */
#define HEAD_START_BYTES 65536
#define FAIR_BYTES_PER_S 16384

static void note(struct http_front *front, struct http_peer *peer, size_t before, size_t now)
{
    front->buffered += now;
    front->buffered -= before;
    if (peer)
        *http_peer_buffered(peer) += now - before;
}

void http_buffers_note(struct http_connection *connection)
{
    size_t bytes = connection->input.capacity + http_connection_queued(connection);

    if (connection->state == CONNECTION_CLOSED)
        bytes = 0; /* freed by the work event of this turn */
    note(connection->front, connection->peer, connection->noted_bytes, bytes);
    connection->noted_bytes = bytes;
}

void http_front_note_kept(struct http_front *front, struct http_exchange *exchange, size_t before,
                          size_t now)
{
    struct http_connection *connection = exchange ? http_exchange_connection(exchange) : NULL;

    note(front, NULL, before, now);
    if (!connection)
        return;
    if (connection->peer)
        *http_peer_buffered(connection->peer) += now - connection->kept_bytes;
    connection->kept_bytes = now;
}

void http_buffers_forget_kept(struct http_connection *connection)
{
    if (connection->peer)
        *http_peer_buffered(connection->peer) -= connection->kept_bytes;
    connection->kept_bytes = 0;
}

uint64_t http_front_buffered(const struct http_front *front)
{
    return front->buffered;
}

unsigned http_front_pressure(const struct http_front *front)
{
    uint64_t most = front->limits.buffer_bytes;

    if (most == 0 || front->buffered < most / 2)
        return 0;
    return front->buffered < most / 4 * 3 ? 1 : 2;
}

size_t http_front_low_bytes(const struct http_front *front)
{
    return HTTP_OUTPUT_LOW_BYTES >> 2 * http_front_pressure(front);
}

bool http_buffers_moves(const struct http_connection *connection)
{
    const struct http_timer *timer = &connection->write_timer;
    uint64_t began_ms = timer->due_ms - connection->front->timer_ms[HTTP_TIMER_WRITE];
    uint64_t now = http_front_now_ms();
    uint64_t ms = now > began_ms ? now - began_ms : 0;

    return connection->period_sent * 1000 >= FAIR_BYTES_PER_S * ms;
}

/* Returns the rate in bytes per second, nearly; clients that have just begun are not slow yet. */
static uint64_t rate(const struct http_connection *connection, enum http_timer_kind kind,
                     const struct http_timer *timer)
{
    const struct http_exchange *exchange = &connection->exchange;
    uint64_t now = http_front_now_ms();
    uint64_t began_ms = timer->due_ms - connection->front->timer_ms[kind];
    uint64_t ms = now > began_ms ? now - began_ms : 0;
    uint64_t moved = connection->period_sent;

    if (kind == HTTP_TIMER_BODY) {
        moved = exchange->body_taken;
        ms = exchange->body_wait_ms +
             (exchange->body_since_ms > 0 ? now - exchange->body_since_ms : 0);
    }
    return (moved + HEAD_START_BYTES) * 1000 / (ms + 1);
}

static size_t kept_of(const struct http_connection *connection)
{
    return connection->noted_bytes + connection->kept_bytes;
}

/* Finds the client that moves fewest bytes of those that move too few; NULL: all are quick
 * enough. */
static struct http_connection *find_slowest(struct http_front *front, enum http_timer_kind kind)
{
    struct http_connection *slowest = NULL;
    const struct http_timer *timer;
    uint64_t least = FAIR_BYTES_PER_S;
    int looks = LOOKS;

    TAILQ_FOREACH (timer, &front->timers[kind], link) {
        uint64_t bytes_per_s = rate(timer->connection, kind, timer);

        if (looks-- == 0)
            break;
        if (bytes_per_s >= least || kept_of(timer->connection) == 0)
            continue;
        slowest = timer->connection;
        least = bytes_per_s;
    }
    return slowest;
}

/* Returns the rate of a connection; 0 if its bytes are only kept, and nobody takes them. */
static uint64_t rate_of(const struct http_connection *connection)
{
    if (connection->write_timer.kind == HTTP_TIMER_WRITE)
        return rate(connection, HTTP_TIMER_WRITE, &connection->write_timer);
    if (connection->read_timer.kind == HTTP_TIMER_BODY)
        return rate(connection, HTTP_TIMER_BODY, &connection->read_timer);
    return 0;
}

/* Returns whether a goes first: its address has more bytes kept; or as many (share), and a moves
 * less, or has more. */
static bool goes_before(const struct http_connection *a, uint64_t share,
                        const struct http_connection *b, uint64_t share_of_b)
{
    uint64_t rate_of_a, rate_of_b;

    if (share != share_of_b)
        return share > share_of_b;
    rate_of_a = rate_of(a);
    rate_of_b = rate_of(b);
    return rate_of_a != rate_of_b ? rate_of_a < rate_of_b : kept_of(a) > kept_of(b);
}

static struct http_connection *find_largest(struct http_front *front, unsigned *looks)
{
    struct http_connection *largest = NULL, *connection;
    uint64_t most = 0;

    LIST_FOREACH (connection, &front->connections, link) {
        uint64_t bytes = kept_of(connection);

        if ((*looks)-- == 1)
            break;
        if (bytes == 0)
            continue;
        if (connection->peer)
            bytes = *http_peer_buffered(connection->peer);
        if (largest && !goes_before(connection, bytes, largest, most))
            continue;
        largest = connection;
        most = bytes;
    }
    return largest;
}

/* Cuts off clients. First the slow ones; then the connections with most bytes: in heads that are
 * not whole, requests behind another, bodies that are not read. */
void http_buffers_shed(struct http_front *front)
{
    unsigned looks = SHED_LOOKS_MAX;

    while (front->limits.buffer_bytes > 0 && front->buffered > front->limits.buffer_bytes) {
        enum http_timer_kind kind = HTTP_TIMER_WRITE;
        struct http_connection *connection = find_slowest(front, kind);

        if (!connection) {
            kind = HTTP_TIMER_BODY;
            connection = find_slowest(front, kind);
        }
        if (!connection && looks > 0) {
            kind = HTTP_TIMER_NONE;
            connection = find_largest(front, &looks);
        }
        if (!connection)
            return;
        http_cap_met(front, HTTP_CAP_BUFFERS, connection->client);
        http_connection_cut(connection, kind == HTTP_TIMER_BODY ? HTTP_GONE_LATE : HTTP_GONE_SLOW);
    }
}
