/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/fetch_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "egress/program.h"
#include "proto/head.h"
#include "supervisor/http/http.h"
#include "supervisor/requests/service_head.h"

static const char not_as_long[] = "the body is not as long as its Content-Length";

/* ---- the target */

static struct head_text view(struct call_text text)
{
    return (struct head_text){ text.data, text.size };
}

static int check_target(const struct call_head *from, struct target *ret, const char **ret_reason)
{
    *ret = (struct target){
        .method = view(from->method),
        .scheme = view(from->scheme),
        .host = view(from->host),
        .path = view(from->path),
        .port = from->port,
    };
    return target_check(ret, ret_reason);
}

/* ---- headers */

/* Sorts the headers: those that pass come first in fields. Returns their number, or -EINVAL. */
static int sort_fields(const struct call_head *from, const struct call_field **fields,
                       int64_t *length, const char **ret_reason)
{
    int n = 0;

    for (size_t i = 0; i < from->n_fields; i++) {
        const struct call_field *field = &from->fields[i];
        struct head_text name = view(field->name), value = view(field->value);
        const struct http_field as_http = { { name.data, name.size }, { value.data, value.size } };
        const char *reason;
        if (!target_is_token(name) || !target_is_value(value)) {
            *ret_reason = "a header has a name or a value that cannot be sent";
            return -EINVAL;
        }
        if (http_take_length(&as_http, length) < 0) {
            *ret_reason = "its Content-Length is none";
            return -EINVAL;
        }
        if (http_field_passage(&as_http) == HTTP_PASSAGE_FREE &&
            target_check_header(name, value, &reason) == 0)
            fields[n++] = field;
    }
    return n;
}

static size_t packed_size(const struct call_field *const *fields, int n)
{
    size_t size = head_table_bytes(2 * (size_t) n);

    for (int i = 0; i < n; i++)
        size += fields[i]->name.size + fields[i]->value.size;
    return size;
}

/* ---- the copy */

static struct head_text copy(char **at, struct head_text text)
{
    char *to = *at;

    memcpy(to, text.data, text.size);
    *at += text.size;
    return (struct head_text){ to, text.size };
}

static int copy_all(const struct target *from, const struct call_field *const *fields, int n,
                    struct fetch_parts *parts)
{
    struct target *to = &parts->target;

    parts->head_size = packed_size(fields, n);
    parts->memory_bytes = parts->head_size + from->method.size + from->scheme.size +
                          from->host.size + from->path.size;
    char *at = parts->memory = malloc(parts->memory_bytes);
    if (!at)
        return -ENOMEM;
    struct head_writer writer = head_write((uint8_t *) at, 2 * (uint32_t) n);
    parts->head = (const uint8_t *) at;
    for (int i = 0; i < n; i++) {
        (void) head_add(&writer, fields[i]->name.data, fields[i]->name.size);
        (void) head_add(&writer, fields[i]->value.data, fields[i]->value.size);
    }
    at += parts->head_size;
    to->method = copy(&at, from->method);
    to->scheme = copy(&at, from->scheme);
    to->host = copy(&at, from->host);
    to->path = copy(&at, from->path);
    to->port = from->port;
    return 0;
}

int fetch_parts_make(const struct call_head *from, struct fetch_parts *parts,
                     const char **ret_reason)
{
    const struct call_field *fields[EGRESS_FIELDS_MAX];
    struct target target;

    parts->length = -1;
    if (from->n_fields > EGRESS_FIELDS_MAX) {
        *ret_reason = "it has more than 256 headers";
        return -EINVAL;
    }
    int r = check_target(from, &target, ret_reason);
    if (r == 0)
        r = sort_fields(from, fields, &parts->length, ret_reason);
    if (r < 0)
        return r;
    if (packed_size(fields, r) > EGRESS_HEAD_MAX_BYTES) {
        *ret_reason = "its headers are larger than 64 KiB";
        return -EINVAL;
    }
    parts->is_https = target.scheme.size == strlen("https");
    parts->is_head = target_method_is(&target, "HEAD");
    parts->has_body = !from->end || from->body_size > 0;
    if (from->end && parts->length < 0)
        parts->length = (int64_t) from->body_size;
    parts->body_left = parts->length;
    if (!fetch_parts_take(parts, from->body_size, from->end)) {
        *ret_reason = not_as_long;
        return -EINVAL;
    }
    return copy_all(&target, fields, r, parts);
}

bool fetch_parts_take(struct fetch_parts *parts, size_t size, bool end)
{
    return service_take_length(&parts->body_left, size, end);
}

static struct host_text host_view(struct head_text text)
{
    return (struct host_text){ text.data, text.size };
}

struct host_question fetch_parts_question(const struct fetch_parts *parts)
{
    return (struct host_question){
        .is_https = parts->is_https,
        .port = parts->target.port,
        .method = host_view(parts->target.method),
        .host = host_view(parts->target.host),
        .path = host_view(parts->target.path),
    };
}

void fetch_parts_done(struct fetch_parts *parts)
{
    free(parts->memory);
    parts->memory = NULL;
    parts->memory_bytes = parts->head_size = 0;
    parts->head = NULL;
    parts->target = (struct target){ .port = parts->target.port };
}
