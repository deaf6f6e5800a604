/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One budget for all bytes that skepd keeps for clients, both ways: what connections have queued or not used
 * yet, and what the handler keeps of request bodies. As it fills, windows shrink; above it, the slowest
 * clients are cut off. Supervisor, loop thread.
 */
#include "supervisor/http/internal.h"

#define LOOKS 64 /* how many of those that have waited for longest are compared */

void http_buffers_note(struct http_connection *connection)
{
    size_t bytes = connection->input.capacity + http_connection_queued(connection);

    if (connection->state == CONNECTION_CLOSED)
        bytes = 0; /* freed by the work event of this turn */
    connection->front->buffered += bytes;
    connection->front->buffered -= connection->noted_bytes;
    connection->noted_bytes = bytes;
}

void http_front_note_kept(struct http_front *front, size_t before, size_t now)
{
    front->buffered += now;
    front->buffered -= before;
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

/* The one that moves fewest bytes. */
static struct http_connection *find_slowest(struct http_front *front, enum http_timer_kind kind)
{
    struct http_connection *slowest = NULL;
    const struct http_timer *timer;
    uint64_t least = 0;
    int looks = LOOKS;

    TAILQ_FOREACH (timer, &front->timers[kind], link) {
        struct http_connection *connection = timer->connection;
        uint64_t moved =
            kind == HTTP_TIMER_WRITE ? connection->period_sent : connection->exchange.body_taken;

        if (looks-- == 0)
            break;
        if (!slowest || moved < least) {
            slowest = connection;
            least = moved;
        }
    }
    return slowest;
}

void http_buffers_shed(struct http_front *front)
{
    while (front->limits.buffer_bytes > 0 && front->buffered > front->limits.buffer_bytes) {
        enum http_timer_kind kind = HTTP_TIMER_WRITE;
        struct http_connection *connection = find_slowest(front, kind);

        if (!connection) {
            kind = HTTP_TIMER_BODY;
            connection = find_slowest(front, kind);
        }
        if (!connection)
            return;
        http_cap_met(front, HTTP_CAP_BUFFERS, connection->client);
        http_connection_cut(connection, kind == HTTP_TIMER_WRITE ? HTTP_GONE_SLOW : HTTP_GONE_LATE);
    }
}
