/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses. A worker's frames are not trusted: status, names, values and length are checked before
 * a byte is sent, and fields that only the front may write are dropped. Supervisor, loop thread.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "supervisor/http/internal.h"

#define HEAD_OWN_MAX_BYTES 448 /* status line and the fields that the front adds */
#define COPY_MAX_BYTES 16384   /* a first body part up to this goes into the head's memory */
#define CHUNK_FRAME_MAX_BYTES 24
#define WRITE_MIN_BYTES 16384 /* a part of a body from this size on is written from where it lies */
#define DIRECT_MAX_BYTES 2048 /* an answer up to this may be written as soon as it is known */

/* A response head that has passed the checks. */
struct plan {
    const struct http_response *response;
    enum http_body_mode mode;
    size_t head_bytes; /* upper bound */
    uint64_t length;
    bool has_length;
    bool has_date;
    bool has_upgrade;
    bool is_ours; /* made by http_send_problem: may have Skep-Error and the like */
};

static bool may_have_body(const struct http_exchange *exchange, unsigned status)
{
    return !exchange->is_head && status != 204 && status != 205 && status != 304;
}

/* Returns whether the answer may have Upgrade: only with 426 does a client learn the protocol to
 * upgrade to (RFC 9110 section 15.5.22). */
static bool may_have_upgrade(const struct plan *plan)
{
    return plan->response->status == 426;
}

static int check_field(struct plan *plan, const struct http_field *field)
{
    uint64_t length;

    if (!http_is_token(field->name) || !http_is_field_value(field->value))
        return -EBADMSG;
    plan->head_bytes += field->name.size + field->value.size + 4;
    switch (http_field_kind(field->name)) {
    case HTTP_FIELD_CONTENT_LENGTH:
        if (plan->has_length || http_parse_length(http_text_trim(field->value), &length) < 0)
            return -EBADMSG;
        plan->has_length = true;
        plan->length = length;
        return 0;
    case HTTP_FIELD_DATE:
        if (plan->has_date)
            return -EBADMSG;
        plan->has_date = true;
        return 0;
    case HTTP_FIELD_UPGRADE:
        plan->has_upgrade |= may_have_upgrade(plan);
        return 0;
    default:
        return 0;
    }
}

static bool is_sent(const struct plan *plan, const struct http_field *field)
{
    switch (http_field_kind(field->name)) {
    case HTTP_FIELD_PLAIN:
    case HTTP_FIELD_DATE:
    case HTTP_FIELD_HOST:
    case HTTP_FIELD_EXPECT:
        return true;
    case HTTP_FIELD_SKEP:
        return plan->is_ours;
    case HTTP_FIELD_UPGRADE:
        return may_have_upgrade(plan);
    case HTTP_FIELD_HOP:
    case HTTP_FIELD_CONNECTION:
    case HTTP_FIELD_CONTENT_LENGTH: /* written from the plan */
    case HTTP_FIELD_TRANSFER_ENCODING:
        break;
    }
    return false;
}

/* Plans how the client finds the end of the body, RFC 9112 section 6.3. */
static int plan_body(struct plan *plan, const struct http_exchange *exchange, size_t size, bool end)
{
    if (!may_have_body(exchange, plan->response->status)) {
        plan->mode = HTTP_BODY_NONE;
        if (plan->response->status == 204) {
            plan->has_length = false;
            /* Section 15.3.6: no content, and announced so. */
        } else if (plan->response->status == 205) {
            plan->has_length = true;
            plan->length = 0;
        } else if (exchange->is_head && end && size > 0 && !plan->has_length) {
            plan->has_length = true;
            plan->length = size;
        }
        return 0;
    }
    if (end && !plan->has_length) {
        plan->has_length = true;
        plan->length = size;
    }
    if (plan->has_length) {
        plan->mode = HTTP_BODY_LENGTH;
        return size > plan->length || (end && size != plan->length) ? -EBADMSG : 0;
    }
    plan->mode = exchange->is_http10 ? HTTP_BODY_CLOSE : HTTP_BODY_CHUNKED;
    return 0;
}

static int make_plan(struct plan *plan, const struct http_exchange *exchange, size_t size, bool end)
{
    const struct http_response *response = plan->response;

    if (response->status < 200 || response->status > 599)
        return -EBADMSG;
    plan->head_bytes = HEAD_OWN_MAX_BYTES;
    for (size_t i = 0; i < response->n_fields; i++) {
        int r = check_field(plan, &response->fields[i]);

        if (r < 0)
            return r;
    }
    if (plan->head_bytes > HTTP_RESPONSE_HEAD_MAX_BYTES)
        return -EBADMSG;
    return plan_body(plan, exchange, size, end);
}

/* --- writing --- */

static char *put(char *p, const void *data, size_t size)
{
    if (size > 0)
        memcpy(p, data, size);
    return p + size;
}

#define PUT_LITERAL(p, text) put((p), "" text, sizeof(text) - 1)

static char *put_number(char *p, uint64_t number)
{
    char digits[20];
    size_t i = sizeof(digits);

    do {
        digits[--i] = (char) ('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put(p, digits + i, sizeof(digits) - i);
}

static char *put_chunk_size(char *p, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    char digits[2 * sizeof(size)];
    size_t i = sizeof(digits);

    do {
        digits[--i] = hex[size & 15];
        size >>= 4;
    } while (size > 0);
    p = put(p, digits + i, sizeof(digits) - i);
    return PUT_LITERAL(p, "\r\n");
}

/* Writes microseconds, as milliseconds with three decimals. */
static char *put_milli(char *p, uint64_t us)
{
    unsigned rest = (unsigned) (us % 1000);
    const char decimals[] = { '.', (char) ('0' + rest / 100), (char) ('0' + rest / 10 % 10),
                              (char) ('0' + rest % 10) };

    p = put_number(p, us / 1000);
    return put(p, decimals, sizeof(decimals));
}

static char *put_timing(char *p, const struct http_exchange *exchange)
{
    p = PUT_LITERAL(p, "Server-Timing: queue;dur=");
    p = put_milli(p, exchange->queue_us);
    p = PUT_LITERAL(p, ", total;dur=");
    p = put_milli(p, exchange->total_us);
    if (exchange->is_cold)
        p = PUT_LITERAL(p, ", cold");
    return PUT_LITERAL(p, "\r\n");
}

static char *put_connection(char *p, const struct plan *plan, const struct http_exchange *exchange)
{
    const char *option = !exchange->keep_alive ? "close" : exchange->is_http10 ? "keep-alive" : "";

    if (*option == '\0' && !plan->has_upgrade)
        return p;
    p = PUT_LITERAL(p, "Connection: ");
    p = put(p, option, strlen(option));
    if (plan->has_upgrade)
        p = *option ? PUT_LITERAL(p, ", upgrade") : PUT_LITERAL(p, "upgrade");
    return PUT_LITERAL(p, "\r\n");
}

static char *put_head(char *p, const struct plan *plan, struct http_connection *connection)
{
    const struct http_response *response = plan->response;
    const struct http_exchange *exchange = &connection->exchange;
    const char *text = http_status_text(response->status);

    p = PUT_LITERAL(p, "HTTP/1.1 ");
    p = put_number(p, response->status);
    *p++ = ' ';
    p = put(p, text, strlen(text));
    p = PUT_LITERAL(p, "\r\n");
    for (size_t i = 0; i < response->n_fields; i++) {
        const struct http_field *field = &response->fields[i];

        if (!is_sent(plan, field))
            continue;
        p = put(p, field->name.data, field->name.size);
        p = PUT_LITERAL(p, ": ");
        p = put(p, field->value.data, field->value.size);
        p = PUT_LITERAL(p, "\r\n");
    }
    if (!plan->has_date) {
        const char *date = http_date(connection->front);

        p = PUT_LITERAL(p, "Date: ");
        p = put(p, date, strlen(date));
        p = PUT_LITERAL(p, "\r\n");
    }
    if (exchange->has_timing && !plan->is_ours)
        p = put_timing(p, exchange);
    if (plan->has_length) {
        p = PUT_LITERAL(p, "Content-Length: ");
        p = put_number(p, plan->length);
        p = PUT_LITERAL(p, "\r\n");
    }
    if (plan->mode == HTTP_BODY_CHUNKED)
        p = PUT_LITERAL(p, "Transfer-Encoding: chunked\r\n");
    p = put_connection(p, plan, exchange);
    return PUT_LITERAL(p, "\r\n");
}

/* A part of the body as it is sent, with the chunk's lines around it if the body is chunked. */
struct part {
    struct iovec pieces[3];
    char before[CHUNK_FRAME_MAX_BYTES], after[CHUNK_FRAME_MAX_BYTES];
};

static void frame_part(struct part *part, const struct http_exchange *exchange, const uint8_t *data,
                       size_t size, bool end)
{
    char *before = part->before, *after = part->after;

    if (exchange->response_mode == HTTP_BODY_CHUNKED && size > 0) {
        before = put_chunk_size(before, size);
        after = PUT_LITERAL(after, "\r\n");
    }
    if (exchange->response_mode == HTTP_BODY_CHUNKED && end)
        after = PUT_LITERAL(after, "0\r\n\r\n");
    part->pieces[0] = (struct iovec){ part->before, (size_t) (before - part->before) };
    part->pieces[1] = (struct iovec){ (void *) (uintptr_t) data, size };
    part->pieces[2] = (struct iovec){ part->after, (size_t) (after - part->after) };
}

/* Writes queued bytes, if they are few, such as a head. Returns whether none are left. */
static bool write_queued(struct http_connection *connection)
{
    size_t queued = http_connection_queued(connection);

    if (queued == 0)
        return true;
    return queued < WRITE_MIN_BYTES &&
           evbuffer_write(connection->out, connection->fd) == (int) queued;
}

/* Writes a large part from where it lies, if hardly anything waits before it. Returns how much of the part the socket took; an error shows
 * again when the rest is written. */
static size_t write_part(struct http_connection *connection, const struct part *part)
{
    if (part->pieces[1].iov_len < WRITE_MIN_BYTES || !connection->can_write ||
        connection->state != CONNECTION_EXCHANGE || !write_queued(connection))
        return 0;
    ssize_t n = writev(connection->fd, part->pieces, ARRAY_LEN(part->pieces));
    return n > 0 ? (size_t) n : 0;
}

/* Sends or queues one part of the body. */
static int add_body(struct http_connection *connection, const uint8_t *data, size_t size, bool end)
{
    struct http_exchange *exchange = &connection->exchange;
    struct part part;

    if (exchange->response_mode == HTTP_BODY_NONE)
        return 0;
    frame_part(&part, exchange, data, size, end);
    size_t done = write_part(connection, &part);
    for (size_t i = 0; i < ARRAY_LEN(part.pieces); i++) {
        const struct iovec *piece = &part.pieces[i];
        size_t skip = done < piece->iov_len ? done : piece->iov_len;
        done -= skip;
        if (skip == piece->iov_len)
            continue;
        struct evbuffer *out = http_connection_output(connection);
        if (!out ||
            evbuffer_add(out, (const char *) piece->iov_base + skip, piece->iov_len - skip) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Returns whether the answer may be written at once: it is whole and small, and the only thing that
 * is due on the connection. */
static bool may_write_now(const struct http_connection *connection, const struct plan *plan,
                          size_t size, bool end)
{
    const struct http_exchange *exchange = &connection->exchange;

    return end && plan->mode == HTTP_BODY_LENGTH && exchange->keep_alive && !exchange->body_open &&
           plan->head_bytes + size <= DIRECT_MAX_BYTES &&
           connection->state == CONNECTION_EXCHANGE && connection->queue == HTTP_QUEUE_NONE &&
           connection->can_write && !connection->can_read && !connection->peer_closed &&
           connection->input.start == connection->input.end &&
           http_connection_queued(connection) == 0;
}

/* Writes head and body. Bytes that the socket does not take, also because it is broken, are queued; the error shows when
 * these are written. Returns 1 if all is written, 0 if not, or -ENOMEM. */
static int write_now(struct http_connection *connection, const struct plan *plan,
                     const uint8_t *body, size_t size)
{
    _uninitialized_ char answer[DIRECT_MAX_BYTES];
    const char *end = put(put_head(answer, plan, connection), body, size);
    size_t whole = (size_t) (end - answer);
    ssize_t n = write(connection->fd, answer, whole);
    size_t done = n > 0 ? (size_t) n : 0;

    if (done == whole)
        return 1;
    struct evbuffer *out = http_connection_output(connection);
    return !out || evbuffer_add(out, answer + done, whole - done) < 0 ? -ENOMEM : 0;
}

static int write_head(struct http_connection *connection, const struct plan *plan,
                      const uint8_t *body, size_t size, bool end)
{
    struct evbuffer *out = http_connection_output(connection);
    /* A complete small body, the usual case, is copied behind its head: one piece of memory. */
    bool is_together = plan->mode == HTTP_BODY_LENGTH && size <= COPY_MAX_BYTES;
    size_t reserve = plan->head_bytes + (is_together ? size : 0);
    struct evbuffer_iovec space;
    char *p;

    if (!out || evbuffer_reserve_space(out, (ssize_t) reserve, &space, 1) < 1)
        return -ENOMEM;
    p = put_head(space.iov_base, plan, connection);
    if (is_together)
        p = put(p, body, size);
    space.iov_len = (size_t) (p - (char *) space.iov_base);
    if (evbuffer_commit_space(out, &space, 1) < 0)
        return -ENOMEM;
    return is_together ? 0 : add_body(connection, body, size, end);
}

static void note_queued(struct http_connection *connection)
{
    if (http_connection_queued(connection) > http_front_low_bytes(connection->front))
        connection->exchange.has_been_full = true;
    http_front_queue(connection, HTTP_QUEUE_WORK);
}

static int respond(struct http_connection *connection, struct plan *plan, const uint8_t *body,
                   size_t size, bool end)
{
    struct http_exchange *exchange = &connection->exchange;
    int r = make_plan(plan, exchange, size, end);

    if (r < 0)
        return r;
    /* The head has to say whether another request may follow. None does behind a body whose rest may be too much to be
     * thrown away, even if the handler should still take it. */
    if (plan->mode == HTTP_BODY_CLOSE || connection->front->is_draining ||
        (exchange->body_open && !http_connection_can_drain_body(connection)))
        exchange->keep_alive = false;
    exchange->response_mode = plan->mode;
    exchange->response_left = plan->mode == HTTP_BODY_LENGTH ? plan->length - size : 0;
    exchange->head_sent = true;
    r = may_write_now(connection, plan, size, end) ? write_now(connection, plan, body, size)
                                                   : write_head(connection, plan, body, size, end);
    if (r < 0)
        return r; /* part of the answer may be queued: head_sent makes http_fail cut it off */
    if (r > 0)
        http_connection_end_sent(connection);
    else if (end)
        http_connection_end_exchange(connection);
    else
        note_queued(connection);
    return 0;
}

int http_respond(struct http_exchange *exchange, const struct http_response *response,
                 const uint8_t *body, size_t size, bool end)
{
    struct plan plan = { .response = response };

    assert(exchange->is_active);
    if (exchange->head_sent)
        return -EALREADY;
    return respond(http_exchange_connection(exchange), &plan, body, size, end);
}

/* --- failures --- */

/* Cuts the connection off after a head: the client has to see that the body is incomplete. */
static void cut_off(struct http_connection *connection)
{
    struct http_exchange *exchange = &connection->exchange;

    connection->reset_on_close = exchange->response_mode == HTTP_BODY_CLOSE;
    connection->no_linger = true;
    http_buffers_forget_kept(connection);
    exchange->is_active = false;
    exchange->request = NULL;
    http_connection_finish(connection);
}

int http_send_body(struct http_exchange *exchange, const uint8_t *data, size_t size, bool end)
{
    struct http_connection *connection = http_exchange_connection(exchange);
    int r;

    assert(exchange->is_active);
    if (!exchange->head_sent)
        return -EINVAL;
    if (exchange->response_mode == HTTP_BODY_LENGTH) {
        if (size > exchange->response_left || (end && size != exchange->response_left)) {
            cut_off(connection);
            return -EBADMSG;
        }
        exchange->response_left -= size;
    }
    r = add_body(connection, data, size, end);
    if (r < 0) {
        cut_off(connection);
        return r;
    }
    if (end)
        http_connection_end_exchange(connection);
    else
        note_queued(connection);
    return 0;
}

/* Sends problem+json with another status than the code's own (0: the code's own); the connection goes
 * on to its next phase. detail: more text for the client (static), NULL: none. No head may have
 * been sent. */
static void http_send_problem(struct http_connection *connection, enum error_code code,
                              unsigned status, const char *detail, unsigned retry_after_s)
{
    const struct error_info *info = error_info(code);
    uint64_t request_id = connection->exchange.request_id;
    char retry_after[16], id[24];
    char body[ERROR_PROBLEM_BYTES];
    struct http_field fields[4] = {
        { { "Content-Type", 12 }, { "application/problem+json", 24 } },
        { { "Skep-Error", 10 }, { info->code, strlen(info->code) } },
    };
    struct http_response response = {
        .status = status != 0 ? status : info->status,
        .fields = fields,
        .n_fields = 2,
    };
    struct plan plan = { .response = &response, .is_ours = true };
    if (request_id > 0)
        fields[response.n_fields++] = (struct http_field){
            { "Skep-Request-Id", 15 },
            { id, (size_t) snprintf(id, sizeof(id), "%" PRIu64, request_id) },
        };
    if (retry_after_s > 0)
        fields[response.n_fields++] = (struct http_field){
            { "Retry-After", 11 },
            { retry_after,
              (size_t) snprintf(retry_after, sizeof(retry_after), "%u", retry_after_s) },
        };
    size_t size = error_write_problem(code, response.status, detail, body);
    if (respond(connection, &plan, (const uint8_t *) body, size, true) < 0)
        http_connection_close(connection);
}

void http_set_timing(struct http_exchange *exchange, uint64_t queue_us, uint64_t total_us,
                     bool is_cold)
{
    exchange->has_timing = true;
    exchange->queue_us = queue_us;
    exchange->total_us = total_us;
    exchange->is_cold = is_cold;
}

void http_set_request_id(struct http_exchange *exchange, uint64_t id)
{
    exchange->request_id = id;
}

void http_fail(struct http_exchange *exchange, enum error_code code, unsigned retry_after_s)
{
    struct http_connection *connection = http_exchange_connection(exchange);

    assert(exchange->is_active);
    if (exchange->head_sent) {
        cut_off(connection);
        return;
    }
    if (code == ERROR_BAD_REQUEST || code == ERROR_REQUEST_TIMEOUT ||
        code == ERROR_HEADER_TOO_LARGE || code == ERROR_BODY_TOO_LARGE)
        exchange->keep_alive = false;
    http_send_problem(connection, code, 0, NULL, retry_after_s);
}

void http_reject(struct http_connection *connection, unsigned status, const char *detail)
{
    struct http_exchange *exchange = &connection->exchange;
    const struct http_handler *ops = connection->front->ops;
    struct http_text client = { connection->client, strlen(connection->client) };
    enum error_code code = ERROR_BAD_REQUEST;

    if (status == 408)
        code = ERROR_REQUEST_TIMEOUT;
    else if (status == 431)
        code = ERROR_HEADER_TOO_LARGE;
    if (connection->state != CONNECTION_EXCHANGE) {
        *exchange = (struct http_exchange){ 0 }; /* the head was never understood */
        if (ops->on_rejected)
            ops->on_rejected(connection->front->handler, client, code, status);
    }
    http_connection_forget_exchange(connection,
                                    status == 408 ? HTTP_GONE_LATE : HTTP_GONE_MALFORMED);
    if (exchange->head_sent) {
        cut_off(connection);
        return;
    }
    exchange->keep_alive = false;
    http_send_problem(connection, code, status, detail, 0);
}

bool http_head_sent(const struct http_exchange *exchange)
{
    return exchange->head_sent;
}

size_t http_queued_bytes(const struct http_exchange *exchange)
{
    return http_connection_queued(http_exchange_connection(exchange));
}
