/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds bytes to the front's rule for hosts: as an authority, as a request target, and as a route. An accepted
 * one must have one spelling, which the rule does not change any more, and no byte that a URL gives a meaning to.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/manifest.h"
#include "supervisor/http/internal.h"

#define INPUT_MAX_BYTES 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http_front front;

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_host(struct http_text host)
{
    bool is_literal = host.data[0] == '[';

    require(host.size > 0 && host.size <= HOST_NAME_MAX_BYTES);
    for (size_t i = 0; i < host.size; i++) {
        char c = host.data[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        if (is_literal)
            require(is_plain || c == ':' || (c == '[' && i == 0) ||
                    (c == ']' && i + 1 == host.size));
        else
            require(is_plain || c == '-' || c == '_' || c == '.');
    }
    if (!is_literal)
        require(host.data[0] != '.' && host.data[host.size - 1] != '.');
}

static void try_authority(struct http_text authority)
{
    struct http_request request = { 0 }, again = { 0 };
    char text[sizeof front.host];

    if (http_parse_authority(&front, authority, &request) < 0)
        return;
    check_host(request.host);
    require(request.authority.size >= request.host.size);
    memcpy(text, request.authority.data, request.authority.size);
    struct http_text once = { text, request.authority.size };
    require(http_parse_authority(&front, once, &again) == 0);
    require(again.host.size == request.host.size && again.authority.size == once.size &&
            memcmp(again.authority.data, text, once.size) == 0);
}

static void try_target(struct http_text target)
{
    struct http_text authority;

    if (http_parse_target(&target, true, &authority) < 0)
        return;
    require(target.size > 0 && target.data[0] == '/');
    if (authority.size > 0)
        try_authority(authority);
}

/* Checks that a route's host is one that a request can have. */
static void try_route(const char *text)
{
    struct route_pattern pattern;
    const char *reason;

    if (route_pattern_parse(text, &pattern, &reason) < 0)
        return;
    if (pattern.host[0] != '\0') {
        struct http_text host = { pattern.host, strlen(pattern.host) };
        struct http_request request = { 0 };
        require(http_parse_authority(&front, host, &request) == 0);
        require(request.host.size == host.size &&
                memcmp(request.host.data, pattern.host, host.size) == 0);
    }
    route_pattern_done(&pattern);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX_BYTES)
        return 0;
    _cleanup_free_ char *text = malloc(size + 1);
    require(text);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    try_authority((struct http_text){ text, size });
    try_target((struct http_text){ text, size });
    try_route(text);
    return 0;
}
