/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/service_head.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define METHOD_MAX_BYTES 32

void service_head_done(struct service_head *parsed)
{
    free(parsed->names);
}

bool service_take_length(int64_t *left, size_t size, bool end)
{
    if (*left < 0)
        return true;
    if (size > (uint64_t) *left || (end && size < (uint64_t) *left))
        return false;
    *left -= (int64_t) size;
    return true;
}

static bool is_text(struct call_text text, const char *other)
{
    return text.size == strlen(other) && memcmp(text.data, other, text.size) == 0;
}

/* Takes host and port into the authority as a URL shows it. */
static int parse_authority(const struct call_head *from, unsigned usual_port,
                           struct service_head *parsed)
{
    const char *reason;
    size_t size;

    if (from->port == 0 || from->port > UINT16_MAX ||
        host_name_parse(from->host.data, from->host.size, parsed->authority, &size, &reason) < 0)
        return -EBADMSG;
    parsed->head.host = (struct http_text){ parsed->authority, size };
    if (from->port != usual_port)
        size += (size_t) snprintf(parsed->authority + size, SERVICE_AUTHORITY_BYTES - size, ":%u",
                                  from->port);
    parsed->head.authority = (struct http_text){ parsed->authority, size };
    return 0;
}

/* Takes the parts of the URL, which nothing puts together before they are checked. */
static int parse_target(const struct call_head *from, struct service_head *parsed)
{
    bool is_https = is_text(from->scheme, "https");

    if ((!is_https && !is_text(from->scheme, "http")) || from->path.size == 0 ||
        from->path.data[0] != '/')
        return -EBADMSG;
    for (size_t i = 0; i < from->path.size; i++)
        if (from->path.data[i] <= 0x20 || from->path.data[i] >= 0x7f || from->path.data[i] == '#')
            return -EBADMSG;
    parsed->scheme =
        is_https ? (struct http_text){ "https://", 8 } : (struct http_text){ "http://", 7 };
    parsed->head.target = (struct http_text){ from->path.data, from->path.size };
    return parse_authority(from, is_https ? 443 : 80, parsed);
}

static void add_field(struct service_head *parsed, const char *name, struct http_text value)
{
    parsed->fields[parsed->head.n_fields++] = (struct http_field){ { name, strlen(name) }, value };
}

/* Makes the fields: the URL's host, the length if it is known, and fields of the call that pass. */
static int parse_fields(const struct call_head *from, struct service_head *parsed)
{
    size_t size = 0;

    for (size_t i = 0; i < from->n_fields; i++)
        size += from->fields[i].name.size;
    char *at = parsed->names = malloc(size + 1);
    if (!at)
        return -ENOMEM;
    add_field(parsed, "host", parsed->head.authority);
    for (size_t i = 0; i < from->n_fields; i++) {
        const struct call_field *field = &from->fields[i];
        struct http_field *to = &parsed->fields[parsed->head.n_fields];
        for (size_t k = 0; k < field->name.size; k++)
            at[k] = field->name.data[k] >= 'A' && field->name.data[k] <= 'Z'
                        ? (char) (field->name.data[k] | 0x20)
                        : field->name.data[k];
        *to = (struct http_field){ { at, field->name.size },
                                   { field->value.data, field->value.size } };
        at += field->name.size;
        enum http_passage passage = http_field_passage(to);
        if (passage == HTTP_PASSAGE_REFUSED || http_take_length(to, &parsed->body_left) < 0)
            return -EBADMSG;
        parsed->head.n_fields += passage == HTTP_PASSAGE_FREE;
    }
    parsed->head.fields = parsed->fields;
    return 0;
}

/* Takes the body's length, as it is announced or, of a whole body, as it is. */
static int parse_length(const struct call_head *from, struct service_head *parsed)
{
    struct http_request *head = &parsed->head;

    head->has_body = !from->end || from->body_size > 0;
    if (from->end && parsed->body_left < 0)
        parsed->body_left = (int64_t) from->body_size;
    head->content_length = parsed->body_left;
    if (head->has_body && parsed->body_left >= 0) {
        int n = snprintf(parsed->length, sizeof parsed->length, "%" PRId64, parsed->body_left);
        add_field(parsed, "content-length", (struct http_text){ parsed->length, (size_t) n });
    }
    return service_take_length(&parsed->body_left, from->body_size, from->end) ? 0 : -EBADMSG;
}

static bool is_head_too_large(const struct http_config *limits, const struct call_head *head)
{
    size_t size = head->method.size + head->host.size + head->path.size;

    for (size_t i = 0; i < head->n_fields; i++)
        size += head->fields[i].name.size + head->fields[i].value.size + 4;
    return size > limits->header_bytes || head->n_fields > limits->header_count;
}

enum error_code service_head_parse(const struct http_config *limits, const struct call_head *from,
                                   struct service_head *parsed)
{
    struct http_request *head = &parsed->head;

    if (is_head_too_large(limits, from))
        return ERROR_HEADER_TOO_LARGE;
    parsed->body_left = -1;
    head->method = (struct http_text){ from->method.data, from->method.size };
    head->client = (struct http_text){ "call", 4 };
    head->is_idempotent = http_is_idempotent(head->method);
    if (head->method.size > METHOD_MAX_BYTES || !http_is_token(head->method))
        return ERROR_BAD_REQUEST;
    int r = parse_target(from, parsed);
    if (r == 0)
        r = parse_fields(from, parsed);
    if (r == 0)
        r = parse_length(from, parsed);
    return r == 0 ? ERROR_NONE : r == -ENOMEM ? ERROR_OVERLOADED : ERROR_BAD_REQUEST;
}
