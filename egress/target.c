/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/target.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "config/allowed_hosts.h"
#include "config/host_name.h"

static int refuse(const char *reason, const char **ret_reason)
{
    *ret_reason = reason;
    return -EINVAL;
}

bool target_text_is(struct head_text text, const char *name)
{
    return text.size == strlen(name) && strncasecmp(text.data, name, text.size) == 0;
}

bool target_method_is(const struct target *target, const char *method)
{
    return target->method.size == strlen(method) &&
           memcmp(target->method.data, method, target->method.size) == 0;
}

bool target_is_token(struct head_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return text.size > 0;
}

bool target_is_value(struct head_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char) text.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* ---- parts */

static const char *check_method(struct head_text method)
{
    static const char *const forbidden[] = { "CONNECT", "TRACE", "TRACK" };

    if (method.size > TARGET_METHOD_MAX_BYTES || !target_is_token(method))
        return "the method is none";
    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
        if (target_text_is(method, forbidden[i]))
            return "the method is forbidden";
    return NULL;
}

static const char *check_host(struct head_text host)
{
    char name[HOST_NAME_MAX_BYTES + 1];
    const char *reason;
    size_t size = 0;

    if (host_name_parse(host.data, host.size, name, &size, &reason) < 0)
        return "the host is none";
    return size == host.size && memcmp(name, host.data, size) == 0
               ? NULL
               : "the host is not written as a URL shows it";
}

static const char *check_path(struct head_text path)
{
    if (path.size == 0 || path.data[0] != '/' || path.size > TARGET_PATH_MAX_BYTES)
        return "the path is none, or too long";
    for (size_t i = 0; i < path.size; i++)
        if (path.data[i] <= ' ' || path.data[i] > '~' || path.data[i] == '#')
            return "the path has a character that a URL does not have";
    return NULL;
}

int target_check(const struct target *target, const char **ret_reason)
{
    const char *reason = check_method(target->method);

    if (!reason && !(target->scheme.size == 4 && memcmp(target->scheme.data, "http", 4) == 0) &&
        !(target->scheme.size == 5 && memcmp(target->scheme.data, "https", 5) == 0))
        reason = "the scheme is neither http nor https";
    if (!reason)
        reason = check_host(target->host);
    if (!reason && host_port_is_bad(target->port))
        reason = "the port is one that browsers block, too";
    if (!reason)
        reason = check_path(target->path);
    return reason ? refuse(reason, ret_reason) : 0;
}

/* ---- headers */

/* Headers of the connection, which belong to skep. */
static const char *const own_headers[] = {
    "connection", "content-length",    "expect", "host",
    "keep-alive", "http2-settings",    "te",     "trailer",
    "upgrade",    "transfer-encoding",
};

int target_check_header(struct head_text name, struct head_text value, const char **ret_reason)
{
    if (!target_is_token(name))
        return refuse("the name of a header is none", ret_reason);
    if (name.size >= 6 && strncasecmp(name.data, "proxy-", 6) == 0)
        return refuse("a header of proxies is not the tenant's to set", ret_reason);
    for (size_t i = 0; i < ARRAY_LEN(own_headers); i++)
        if (target_text_is(name, own_headers[i]))
            return refuse("a header of the connection is not the tenant's to set", ret_reason);
    if (!target_is_value(value))
        return refuse("the value of a header has a control character", ret_reason);
    return 0;
}
