/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request targets and authorities: which forms are accepted, and which host they name. A host has
 * only one spelling behind this point (config/host_name.h), so that routing cannot be fooled, and
 * request.url names the host that was routed on. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/host_name.h"
#include "supervisor/http/internal.h"

#define HTTP_DEFAULT_PORT 80 /* URLs of http: leave the port out, and so does the authority */

/* Parses ":", then at most five digits that fit; both may be missing (RFC 3986 section 3.2.3). */
static int parse_port(const char *data, size_t size, uint16_t *ret_port)
{
    unsigned port = 0;

    if (size > 0 && (data[0] != ':' || size > 6))
        return -EBADMSG;
    for (size_t i = 1; i < size; i++) {
        if (data[i] < '0' || data[i] > '9')
            return -EBADMSG;
        port = port * 10 + (unsigned) (data[i] - '0');
    }
    if (port > UINT16_MAX)
        return -EBADMSG;
    *ret_port = size > 1 ? (uint16_t) port : HTTP_DEFAULT_PORT;
    return 0;
}

int http_parse_authority(struct http_front *front, struct http_text authority,
                         struct http_request *request)
{
    bool is_literal = authority.size > 0 && authority.data[0] == '[';
    const char *end =
        authority.size > 0 ? memchr(authority.data, is_literal ? ']' : ':', authority.size) : NULL;
    size_t host_size = end ? (size_t) (end - authority.data) + is_literal : authority.size;
    const char *reason;
    uint16_t port;
    size_t size;

    if (parse_port(authority.data + host_size, authority.size - host_size, &port) < 0)
        return -EBADMSG;
    if (host_name_parse(authority.data, host_size, front->host, &size, &reason) < 0)
        return -EBADMSG;
    request->host = request->authority = (struct http_text){ front->host, size };
    if (port != HTTP_DEFAULT_PORT)
        request->authority.size +=
            (size_t) snprintf(front->host + size, HTTP_PORT_BYTES, ":%u", port);
    return 0;
}

void http_use_default_host(const struct http_front *front, struct http_request *request)
{
    const char *host = front->limits.default_host;

    if (host[0] == '\0')
        host = HTTP_DEFAULT_HOST;
    request->host = request->authority = (struct http_text){ host, strlen(host) };
}

/* Returns the length of "http://" or "https://" at the start; 0: another form. */
static size_t scheme_size(struct http_text target)
{
    if (target.size > 7 && strncasecmp(target.data, "http://", 7) == 0)
        return 7;
    if (target.size > 8 && strncasecmp(target.data, "https://", 8) == 0)
        return 8;
    return 0;
}

int http_parse_target(struct http_text *target, bool is_options, struct http_text *ret_authority)
{
    size_t scheme = scheme_size(*target);
    size_t end = scheme;

    for (size_t i = 0; i < target->size; i++) {
        uint8_t byte = (uint8_t) target->data[i];

        if (byte <= 0x20 || byte >= 0x7f || byte == '#')
            return -EBADMSG;
    }
    *ret_authority = (struct http_text){ 0 };
    if (target->size == 1 && target->data[0] == '*') {
        /* The URL of "*" has an empty path, RFC 9112 section 3.3. */
        *target = (struct http_text){ "/", 1 };
        return is_options ? 0 : -EBADMSG;
    }
    if (target->size > 0 && target->data[0] == '/')
        return 0;
    if (scheme == 0)
        return -EBADMSG;
    while (end < target->size && target->data[end] != '/' && target->data[end] != '?')
        end++;
    *ret_authority = (struct http_text){ target->data + scheme, end - scheme };
    if (end == scheme)
        return -EBADMSG;
    if (end < target->size && target->data[end] == '?')
        return -EBADMSG; /* no client sends such a target, and the path would have to be made up */
    if (end == target->size)
        *target = (struct http_text){ "/", 1 };
    else
        *target = (struct http_text){ target->data + end, target->size - end };
    return 0;
}
