/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request bodies: counted by Content-Length or decoded from chunks by llhttp. Not a byte more than
 * granted goes to the handler. llhttp gets framing and data apart, and the framing is also scanned,
 * because some versions of llhttp let a bare LF or CR end a line. Supervisor, loop thread.
 */
#include <errno.h>
#include <string.h>

#include "supervisor/http/internal.h"

static void deliver(struct http_connection *connection, const uint8_t *data, size_t size, bool end)
{
    struct http_exchange *exchange = &connection->exchange;

    exchange->expects_continue = false;
    exchange->body_taken += size;
    if (connection->state != CONNECTION_EXCHANGE) /* is being drained */
        return;
    exchange->grant -= size;
    connection->front->ops->on_body(exchange->request, data, size, end);
}

/* Returns how much of size is within the body or chunk and the grant. */
static size_t allowed(const struct http_connection *connection, size_t size)
{
    const struct http_exchange *exchange = &connection->exchange;

    if (size > exchange->body_left)
        size = (size_t) exchange->body_left;
    if (connection->state == CONNECTION_EXCHANGE && size > exchange->grant)
        size = (size_t) exchange->grant;
    return size;
}

static size_t take_data(struct http_connection *connection, const uint8_t *data, size_t size)
{
    struct http_exchange *exchange = &connection->exchange;
    size_t used = allowed(connection, size);

    if (used == 0)
        return 0;
    exchange->body_left -= used;
    if (exchange->body_mode == HTTP_BODY_CHUNKED) {
        /* Keep llhttp's own count right. */
        if (llhttp_execute(&connection->parser, (const char *) data, used) != HPE_OK)
            return SIZE_MAX;
        deliver(connection, data, used, false);
    } else {
        exchange->body_open = exchange->body_left > 0;
        deliver(connection, data, used, !exchange->body_open);
    }
    return used;
}

/* Returns how many of the bytes belong to a chunk extension, which is checked and thrown away:
 * llhttp does not see it, as its versions differ in what they let pass there. */
static size_t extension_size(const struct http_scan *scan, const uint8_t *data, size_t size)
{
    bool begins = data[0] == ';' || data[0] == ' ' || data[0] == '\t';

    if (scan->state < HTTP_SCAN_EXTENSION_END && !(scan->state == HTTP_SCAN_SIZE && begins))
        return 0;
    const uint8_t *end = memchr(data, '\r', size);
    return end ? (size_t) (end - data) : size;
}

/* Returns how many of the bytes come before an extension. Looks no further than the size line: a read brings thousands of
 * small chunks, with a call for each. */
static size_t size_before_extension(const struct http_scan *scan, const uint8_t *data, size_t size)
{
    bool is_before_size = scan->state == HTTP_SCAN_SIZE || scan->state == HTTP_SCAN_DATA_END ||
                          scan->state == HTTP_SCAN_DATA_END_CR;

    for (size_t i = 1; i < size && is_before_size && data[i] != '\r'; i++)
        if (data[i] == ';' || data[i] == ' ' || data[i] == '\t')
            return i;
    return size;
}

static bool scan_framing(struct http_connection *connection, const uint8_t *data, size_t size)
{
    ssize_t scanned = http_scan_bytes(&connection->scan, data, size);

    return scanned >= 0 && (size_t) scanned == size &&
           connection->scan.bytes <= connection->front->limits.header_bytes;
}

/* Takes size lines and trailers, up to the next chunk's data or the end of the body. llhttp pauses
 * (parse.c) behind a size line and at the end of the message. */
static size_t take_framing(struct http_connection *connection, const uint8_t *data, size_t size)
{
    struct http_exchange *exchange = &connection->exchange;
    llhttp_t *parser = &connection->parser;
    llhttp_errno_t result;
    size_t used = extension_size(&connection->scan, data, size);

    if (used > 0)
        return scan_framing(connection, data, used) ? used : SIZE_MAX;
    used = size = size_before_extension(&connection->scan, data, size);
    result = llhttp_execute(parser, (const char *) data, size);
    if (result == HPE_PAUSED) {
        used = (size_t) (llhttp_get_error_pos(parser) - (const char *) data);
        llhttp_resume(parser);
    } else if (result != HPE_OK) {
        return SIZE_MAX;
    }
    if (!scan_framing(connection, data, used))
        return SIZE_MAX;
    if (result != HPE_PAUSED)
        return used;
    if (connection->scan.state == HTTP_SCAN_DONE) {
        exchange->body_open = false;
        deliver(connection, data, 0, true);
    } else if (connection->scan.state == HTTP_SCAN_NEXT) {
        exchange->body_left = parser->content_length;
        if (exchange->body_left > 0)
            connection->scan = (struct http_scan){ .state = HTTP_SCAN_DATA_END };
    } else {
        return SIZE_MAX;
    }
    return used;
}

size_t http_body_take(struct http_connection *connection, const uint8_t *data, size_t size)
{
    const struct http_exchange *exchange = &connection->exchange;
    bool is_framing = exchange->body_mode == HTTP_BODY_CHUNKED && exchange->body_left == 0;
    size_t used =
        is_framing ? take_framing(connection, data, size) : take_data(connection, data, size);

    if (used == SIZE_MAX) {
        if (connection->state == CONNECTION_DRAIN)
            http_connection_finish(connection);
        else
            http_reject(connection, 400, NULL);
        return 0;
    }
    if (used > 0 &&
        (connection->state == CONNECTION_EXCHANGE || connection->state == CONNECTION_DRAIN)) {
        http_connection_time_body(connection);
        if (exchange->body_open && http_connection_is_late(connection))
            http_connection_on_timeout(connection, HTTP_TIMER_BODY);
    }
    return used;
}

bool http_awaits_body(const struct http_exchange *exchange)
{
    return exchange->body_open && exchange->grant > 0;
}

void http_grant(struct http_exchange *exchange, size_t bytes)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct http_connection *connection = http_exchange_connection(exchange);

    if (!exchange->is_active || !exchange->body_open || bytes == 0)
        return;
    if (bytes > UINT64_MAX - exchange->grant)
        exchange->grant = UINT64_MAX;
    else
        exchange->grant += bytes;
    if (exchange->expects_continue && !exchange->head_sent) {
        struct evbuffer *out = http_connection_output(connection);

        exchange->expects_continue = false;
        if (out)
            (void) evbuffer_add(out, go_on, sizeof(go_on) - 1);
    }
    if (connection->read_timer.kind == HTTP_TIMER_NONE ||
        connection->read_timer.kind == HTTP_TIMER_LOOK)
        http_connection_time_body(connection);
    http_front_queue(connection, HTTP_QUEUE_WORK);
}
