/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of a complete request head: llhttp splits it, and the parts that decide where the
 * message ends and whom it is for are checked here again and more strictly, whatever version of
 * llhttp is linked. Supervisor, loop thread.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "supervisor/http/internal.h"

#define MAX_CONNECTION_OPTIONS 32

/* A head that is being parsed. */
struct head {
    struct http_connection *connection;
    struct http_field *fields; /* the front's */
    size_t n_fields;
    size_t max_fields;
    struct http_text method;
    struct http_text target;
    const struct http_field *host;
    const struct http_field *content_length;
    const struct http_field *transfer_encoding;
    const struct http_field *expect;
    const struct http_field *upgrade; /* the last one */
    const char *detail;               /* refusal: the missing feature, and the remedy */
    bool has_close;
    bool has_keep_alive;
    struct http_text options[MAX_CONNECTION_OPTIONS]; /* other fields that Connection names */
    size_t n_options;
};

/* --- llhttp. parser->data is the head; NULL behind it, so that trailers are dropped. --- */

/* Extends a text by the piece that follows it in the buffer, or begins it. */
static void extend(struct http_text *text, const char *at, size_t size)
{
    if (!text->data)
        text->data = at;
    text->size = (size_t) (at - text->data) + size;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t size)
{
    struct head *head = parser->data;

    if (head && head->n_fields >= head->max_fields)
        return HPE_USER;
    if (head)
        extend(&head->fields[head->n_fields].name, at, size);
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t size)
{
    struct head *head = parser->data;

    if (head)
        extend(&head->fields[head->n_fields].value, at, size);
    return 0;
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct head *head = parser->data;
    struct http_field *field;

    if (!head)
        return 0;
    field = &head->fields[head->n_fields];
    if (!field->value.data)
        field->value.data = "";
    head->n_fields++;
    head->fields[head->n_fields] = (struct http_field){ 0 }; /* the array has one more element */
    return 0;
}

/* Ends the head, so that llhttp does not take the rest for another protocol. */
static int on_headers_complete(llhttp_t *parser)
{
    parser->upgrade = 0;
    return 0;
}

static int pause_here(llhttp_t *parser)
{
    (void) parser;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = pause_here,
    .on_message_complete = pause_here,
};

/* --- what skepd does not have --- */

/* Refuses the request with that status, and tells the client why. detail: static, as it may stand in a JSON text. */
static unsigned refuse(struct head *head, unsigned status, const char *detail)
{
    head->detail = detail;
    return status;
}

static unsigned refuse_version(struct head *head, unsigned status)
{
    return refuse(
        head, status,
        "skep speaks HTTP/1.1: have the client speak that (curl --http1.1), or put a proxy "
        "in front that speaks other versions");
}

static unsigned refuse_method(struct head *head)
{
    return refuse(
        head, 501,
        "this method is not supported: expected GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS "
        "or one of WebDAV, in upper case");
}

/* --- request line --- */

/* Parses the version, which must be the last 8 bytes of the line: "HTTP/1.1". A higher minor
 * version is answered as 1.1 (RFC 9110 section 2.5), and rewritten to that in place, as llhttp
 * knows none. */
static unsigned parse_version(struct http_text version, bool *ret_is_http10)
{
    if (version.size != 8 || memcmp(version.data, "HTTP/", 5) != 0 || version.data[6] != '.' ||
        version.data[5] < '0' || version.data[5] > '9' || version.data[7] < '0' ||
        version.data[7] > '9')
        return 400;
    if (version.data[5] != '1')
        return 505;
    *ret_is_http10 = version.data[7] == '0';
    if (version.data[7] > '1')
        *(char *) (uintptr_t) &version.data[7] = '1'; /* within the head, which may be changed */
    return 0;
}

/* Parses exactly: method SP target SP version. */
static unsigned parse_request_line(struct head *head, const char *line, size_t size)
{
    const char *method_end = memchr(line, ' ', size);
    const char *target_end;
    struct http_text version;
    unsigned status;

    if (!method_end)
        return 400;
    head->method = (struct http_text){ line, (size_t) (method_end - line) };
    line = method_end + 1;
    size -= head->method.size + 1;
    target_end = memchr(line, ' ', size);
    if (!target_end)
        return 400;
    head->target = (struct http_text){ line, (size_t) (target_end - line) };
    version = (struct http_text){ target_end + 1, size - head->target.size - 1 };
    if (!http_is_token(head->method) || head->target.size == 0)
        return 400;
    if (http_text_is(head->method, "pri")) /* the preface of HTTP/2 */
        return refuse_version(head, 400);
    if (http_text_is(head->method, "connect"))
        return refuse(head, 400,
                      "skep is no proxy and opens no tunnels: ask for the tenant itself");
    if (http_text_is(head->method, "proxy"))
        return refuse(
            head, 400,
            "the PROXY protocol is not supported: have the proxy send X-Forwarded-For, and "
            "name it in http.proxies");
    status = parse_version(version, &head->connection->exchange.is_http10);
    if (status == 505)
        return refuse_version(head, status);
    if (status != 0)
        return status;
    return http_text_is(head->method, "trace") ? refuse_method(head) : 0;
}

/* --- fields --- */

/* Keeps the field if it is the only one with that name. */
static unsigned keep_only(const struct http_field **slot, const struct http_field *field)
{
    if (*slot)
        return 400;
    *slot = field;
    return 0;
}

/* Returns whether the field says whom a message is for or where it ends. Connection names such
 * fields in attacks only. */
static bool is_framing(struct http_text name)
{
    enum http_field_kind kind = http_field_kind(name);

    return kind == HTTP_FIELD_HOST || kind == HTTP_FIELD_CONTENT_LENGTH ||
           kind == HTTP_FIELD_TRANSFER_ENCODING;
}

static unsigned add_connection_options(struct head *head, struct http_text value)
{
    while (value.size > 0) {
        const char *comma = memchr(value.data, ',', value.size);
        size_t size = comma ? (size_t) (comma - value.data) : value.size;
        struct http_text option = http_text_trim((struct http_text){ value.data, size });

        size += comma != NULL;
        value.data += size;
        value.size -= size;
        if (option.size == 0)
            continue;
        if (!http_is_token(option) || head->n_options == MAX_CONNECTION_OPTIONS)
            return 400;
        if (http_text_is(option, "close"))
            head->has_close = true;
        else if (http_text_is(option, "keep-alive"))
            head->has_keep_alive = true;
        else if (is_framing(option))
            return 400;
        else
            head->options[head->n_options++] = option;
    }
    return 0;
}

static unsigned check_field(struct head *head, struct http_field *field)
{
    char *name = (char *) (uintptr_t) field->name.data; /* within the head, which may be changed */

    if (!http_token_to_lower(name, field->name.size))
        return 400;
    field->value = http_text_trim(field->value);
    switch (http_field_kind(field->name)) {
    case HTTP_FIELD_HOST:
        return keep_only(&head->host, field);
    case HTTP_FIELD_CONTENT_LENGTH:
        return keep_only(&head->content_length, field);
    case HTTP_FIELD_TRANSFER_ENCODING:
        return keep_only(&head->transfer_encoding, field);
    case HTTP_FIELD_EXPECT:
        return keep_only(&head->expect, field);
    case HTTP_FIELD_CONNECTION:
        return add_connection_options(head, field->value);
    case HTTP_FIELD_UPGRADE:
        head->upgrade = field;
        return 0;
    default:
        return 0;
    }
}

/* An upgrade is an offer that may be passed over (RFC 9110 section 7.8), as that to HTTP/2 is. The client of a WebSocket
 * handshake has no use for any other answer (RFC 6455 section 4.1). */
static unsigned check_upgrade(struct head *head)
{
    static const char key[] = "sec-websocket-key";

    if (!head->upgrade || !http_text_is(head->upgrade->value, "websocket"))
        return 0;
    for (size_t i = 0; i < head->n_fields; i++)
        if (head->fields[i].name.size == sizeof key - 1 &&
            memcmp(head->fields[i].name.data, key, sizeof key - 1) == 0)
            return refuse(
                head, 501,
                "skep has no WebSocket: stream a Response (server-sent events), or let the "
                "client poll");
    return 0;
}

static bool is_passed_on(const struct head *head, const struct http_field *field)
{
    switch (http_field_kind(field->name)) {
    case HTTP_FIELD_HOP:
    case HTTP_FIELD_UPGRADE:
    case HTTP_FIELD_CONNECTION:
    case HTTP_FIELD_TRANSFER_ENCODING:
    case HTTP_FIELD_EXPECT:
        return false;
    case HTTP_FIELD_HOST:
    case HTTP_FIELD_CONTENT_LENGTH:
        return true;
    default:
        break;
    }
    for (size_t i = 0; i < head->n_options; i++) {
        if (head->options[i].size == field->name.size &&
            strncasecmp(head->options[i].data, field->name.data, field->name.size) == 0)
            return http_is_end_to_end(field->name);
    }
    return true;
}

/* --- the message --- */

static unsigned parse_framing(struct head *head, struct http_request *request)
{
    struct http_exchange *exchange = &head->connection->exchange;
    uint64_t length = 0;

    request->content_length = 0;
    if (head->transfer_encoding) {
        if (head->content_length || exchange->is_http10)
            return 400;
        if (!http_text_is(head->transfer_encoding->value, "chunked"))
            return refuse(head, 501, "the only transfer coding that is supported is chunked");
        exchange->body_mode = HTTP_BODY_CHUNKED;
        request->content_length = -1;
    } else if (head->content_length) {
        if (http_parse_length(head->content_length->value, &length) < 0)
            return 400;
        request->content_length = (int64_t) length;
        exchange->body_mode = length > 0 ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    }
    exchange->body_left = length;
    exchange->body_open = exchange->body_mode != HTTP_BODY_NONE;
    request->has_body = exchange->body_open;
    if (head->expect && !exchange->is_http10) {
        if (!http_text_is(head->expect->value, "100-continue"))
            return refuse(head, 417, "the only expectation that is supported is 100-continue");
        exchange->expects_continue = exchange->body_open;
    }
    return 0;
}

static unsigned parse_destination(struct head *head, struct http_request *request)
{
    struct http_front *front = head->connection->front;
    struct http_text authority;

    if (http_parse_target(&head->target, http_text_is(head->method, "options"), &authority) < 0)
        return 400;
    if (!head->host && !head->connection->exchange.is_http10)
        return 400;
    if (head->host && http_parse_authority(front, head->host->value, request) < 0)
        return 400;
    if (authority.size > 0 && http_parse_authority(front, authority, request) < 0)
        return 400;
    if (!request->host.data)
        http_use_default_host(front, request);
    request->method = head->method;
    request->target = head->target;
    return 0;
}

static void collect_fields(struct head *head, struct http_request *request)
{
    size_t kept = 0;

    for (size_t i = 0; i < head->n_fields; i++) {
        struct http_field field = head->fields[i];

        if (!is_passed_on(head, &field))
            continue;
        if (&head->fields[i] == head->host)
            field.value = request->authority;
        head->fields[kept++] = field;
    }
    request->fields = head->fields;
    request->n_fields = kept;
}

/* Runs llhttp over the head. llhttp must find the end at the same place, or it sees another
 * message. */
static unsigned split(struct head *head, const char *data, size_t size)
{
    llhttp_t *parser = &head->connection->parser;
    llhttp_errno_t result;

    llhttp_init(parser, HTTP_REQUEST, &settings);
    parser->data = head;
    result = llhttp_execute(parser, data, size);
    parser->data = NULL;
    if (result == HPE_PAUSED && llhttp_get_error_pos(parser) == data + size)
        return 0;
    if (result == HPE_OK)
        return 0;
    if (result == HPE_INVALID_METHOD)
        return refuse_method(head);
    return result == HPE_USER ? 431 : 400;
}

bool http_is_idempotent(struct http_text method)
{
    static const char *const methods[] = { "get", "head", "put", "delete", "options" };

    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (http_text_is(method, methods[i]))
            return true;
    }
    return false;
}

static unsigned parse_head(struct head *head, uint8_t *bytes, size_t size,
                           struct http_request *request)
{
    const char *line = (const char *) bytes;
    const char *end;

    while (size > 2 && *line == '\r') { /* empty lines before the request */
        line += 2;
        size -= 2;
    }
    end = memchr(line, '\r', size);
    unsigned status = end ? parse_request_line(head, line, (size_t) (end - line)) : 400;
    if (status != 0)
        return status;
    head->fields[0] = (struct http_field){ 0 };
    status = split(head, line, size);
    for (size_t i = 0; i < head->n_fields && status == 0; i++)
        status = check_field(head, &head->fields[i]);
    if (status == 0)
        status = check_upgrade(head);
    if (status == 0)
        status = parse_framing(head, request);
    return status == 0 ? parse_destination(head, request) : status;
}

unsigned http_parse_head(struct http_connection *connection, uint8_t *bytes, size_t size,
                         struct http_request *ret_request, const char **ret_detail)
{
    struct http_exchange *exchange = &connection->exchange;
    struct http_front *front = connection->front;
    struct head head = {
        .connection = connection,
        .fields = front->fields,
        .max_fields = front->limits.header_count,
    };
    unsigned status = parse_head(&head, bytes, size, ret_request);

    *ret_detail = head.detail;
    if (status != 0)
        return status;
    collect_fields(&head, ret_request);
    ret_request->is_http10 = exchange->is_http10;
    ret_request->client = (struct http_text){ connection->client, strlen(connection->client) };
    ret_request->is_idempotent = http_is_idempotent(head.method);
    exchange->is_head = http_text_is(head.method, "head");
    exchange->keep_alive = !head.has_close && (!exchange->is_http10 || head.has_keep_alive);
    if (exchange->body_mode == HTTP_BODY_CHUNKED)
        connection->scan = (struct http_scan){ .state = HTTP_SCAN_SIZE };
    return 0;
}
