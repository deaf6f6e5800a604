/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request targets and authorities: which forms are accepted, and which host they name. A host has
 * only one spelling behind this point, so that routing cannot be fooled. Supervisor, loop thread.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "supervisor/http/internal.h"

static bool is_host_byte(char c, bool is_literal)
{
    bool is_digit = c >= '0' && c <= '9';
    bool is_hex = is_digit || (c >= 'a' && c <= 'f');

    if (is_literal)
        return is_hex || c == ':' || c == '.';
    return is_digit || (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '_';
}

/* ":", then at most five digits that fit; both may be missing. */
static bool is_port(const char *data, size_t size)
{
    unsigned port = 0;

    if (size == 0)
        return true;
    if (data[0] != ':' || size > 6)
        return false;
    for (size_t i = 1; i < size; i++) {
        if (data[i] < '0' || data[i] > '9')
            return false;
        port = port * 10 + (unsigned) (data[i] - '0');
    }
    return port <= UINT16_MAX;
}

int http_parse_authority(struct http_front *front, struct http_text authority,
                         struct http_request *request)
{
    bool is_literal = authority.size > 0 && authority.data[0] == '[';
    const char *end = NULL;
    size_t size;

    if (authority.size == 0)
        return -EBADMSG;
    end = memchr(authority.data, is_literal ? ']' : ':', authority.size);
    if (is_literal && !end)
        return -EBADMSG;
    size = end ? (size_t) (end - authority.data) + is_literal : authority.size;
    if (size == 0 || size > HTTP_HOST_MAX_BYTES ||
        !is_port(authority.data + size, authority.size - size))
        return -EBADMSG;
    for (size_t i = 0; i < size; i++) {
        char c = authority.data[i];

        if (c >= 'A' && c <= 'Z')
            c = (char) (c - 'A' + 'a');
        if (!is_host_byte(c, is_literal) && !(is_literal && (i == 0 || i == size - 1)))
            return -EBADMSG;
        front->host[i] = c;
    }
    if (!is_literal && size > 1 && front->host[size - 1] == '.')
        size--; /* the root's dot: example.com. is example.com */
    request->authority = authority;
    request->host = (struct http_text){ front->host, size };
    return 0;
}

/* Length of "http://" or "https://" at the start; 0: another form. */
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
    if (target->size == 1 && target->data[0] == '*')
        return is_options ? 0 : -EBADMSG;
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
        return -EBADMSG; /* no client sends it, and the path would have to be made up */
    if (end == target->size)
        *target = (struct http_text){ "/", 1 };
    else
        *target = (struct http_text){ target->data + end, target->size - end };
    return 0;
}
