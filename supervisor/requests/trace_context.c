/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/trace_context.h"

#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "proto/head.h"

/* Random bytes are taken from the kernel so many at once. */
#define POOL_BYTES 256

/* ---- ids */

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Parses lower-case digits, as the standard asks for. */
static bool parse_hex(const char *text, size_t size, uint8_t *ret)
{
    for (size_t i = 0; i < size; i++) {
        int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t) (high << 4 | low);
    }
    return true;
}

static bool is_zero(const uint8_t *id, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (id[i] != 0)
            return false;
    return true;
}

/* Writes an id in hexadecimal, with a NUL. Returns text. */
static const char *id_text(const uint8_t *id, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    text[2 * size] = '\0';
    return text;
}

/* Makes an id that is not zero. Returns false if the kernel has no random bytes. */
static bool make_id(uint8_t *id, size_t size)
{
    static uint8_t pool[POOL_BYTES];
    static size_t n_left;

    do {
        if (n_left < size) {
            if (getrandom(pool, sizeof pool, GRND_NONBLOCK) != (ssize_t) sizeof pool)
                return false;
            n_left = sizeof pool;
        }
        n_left -= size;
        memcpy(id, pool + n_left, size);
    } while (is_zero(id, size));
    return true;
}

/* ---- the header */

bool trace_parse(struct http_text value, struct trace_span *ret)
{
    const char *text = value.data;
    struct trace_span span = { .is_on = true };
    uint8_t version, flags;

    if (value.size < TRACE_PARENT_BYTES || text[2] != '-' || text[35] != '-' || text[52] != '-' ||
        !parse_hex(text, 1, &version) || !parse_hex(text + 3, TRACE_ID_BYTES, span.trace) ||
        !parse_hex(text + 36, SPAN_ID_BYTES, span.id) || !parse_hex(text + 53, 1, &flags))
        return false;
    if (version == 0xff || is_zero(span.trace, sizeof span.trace) ||
        is_zero(span.id, sizeof span.id))
        return false;
    if (value.size > TRACE_PARENT_BYTES && (version == 0 || text[TRACE_PARENT_BYTES] != '-'))
        return false;
    span.is_sampled = (flags & 1) != 0;
    *ret = span;
    return true;
}

void trace_write(const struct trace_span *span, char text[static TRACE_PARENT_BYTES + 1])
{
    memcpy(text, "00-", 3);
    (void) id_text(span->trace, TRACE_ID_BYTES, text + 3);
    text[35] = '-';
    (void) id_text(span->id, SPAN_ID_BYTES, text + 36);
    memcpy(text + 52, span->is_sampled ? "-01" : "-00", sizeof "-01");
}

static bool is_named(const char *data, size_t size, const char *name)
{
    return size == strlen(name) && strncasecmp(data, name, size) == 0;
}

/* ---- the log */

static struct log_field field_of(const char *name, const char *text)
{
    return (struct log_field){ .name = name, .text = text, .size = strlen(text) };
}

size_t trace_log_fields(const struct trace_span *span, struct trace_texts *texts,
                        struct log_field fields[static TRACE_LOG_FIELDS])
{
    size_t n = 0;

    if (!span->is_on)
        return 0;
    fields[n++] = field_of("trace", id_text(span->trace, TRACE_ID_BYTES, texts->trace));
    fields[n++] = field_of("span", id_text(span->id, SPAN_ID_BYTES, texts->span));
    if (span->has_parent)
        fields[n++] = field_of("parent", id_text(span->parent, SPAN_ID_BYTES, texts->parent));
    return n;
}

/* ---- spans */

/* Makes the span one below its id, which is the parent's. */
static bool descend(struct trace_span *span)
{
    memcpy(span->parent, span->id, sizeof span->parent);
    span->has_parent = true;
    return make_id(span->id, sizeof span->id);
}

void trace_begin(const struct http_request *head, struct trace_span *ret)
{
    struct trace_span span = { .is_on = true, .is_sampled = true };
    const struct http_field *found = NULL;
    unsigned n = 0;

    for (size_t i = 0; i < head->n_fields; i++)
        if (is_named(head->fields[i].name.data, head->fields[i].name.size, "traceparent")) {
            found = &head->fields[i];
            n++;
        }
    bool is_made = n == 1 && trace_parse(found->value, &span)
                       ? descend(&span)
                       : make_id(span.trace, sizeof span.trace) && make_id(span.id, sizeof span.id);
    *ret = is_made ? span : (struct trace_span){ .is_on = false };
}

/* Returns whether a call's header is not the tenant's own, but that of its request, which names the request or whoever asked. */
static bool is_passed_on(const struct trace_span *header, const struct trace_span *span)
{
    return memcmp(header->trace, span->trace, sizeof span->trace) == 0 &&
           (memcmp(header->id, span->id, sizeof span->id) == 0 ||
            (span->has_parent && memcmp(header->id, span->parent, sizeof span->parent) == 0));
}

/* Adds the tracestate of the request, all of it or nothing. */
static size_t add_states(const uint8_t *packed, size_t packed_bytes, struct call_field *fields,
                         size_t n_fields)
{
    size_t n = n_fields, bytes = 0;
    struct head head;

    if (head_open(packed, packed_bytes, HEAD_REQUEST_TEXTS, HEAD_REQUEST_FIELDS_MAX, &head) < 0)
        return n_fields;
    for (unsigned i = 0; i < HEAD_REQUEST_TEXTS; i++)
        (void) head_next(&head);
    while (head.n_texts >= 2) {
        struct head_text name = head_next(&head), value = head_next(&head);
        if (!is_named(name.data, name.size, "tracestate"))
            continue;
        bytes += value.size;
        if (n == HEAD_FIELDS_MAX || bytes > TRACE_STATE_BYTES)
            return n_fields;
        fields[n++] = (struct call_field){ { "tracestate", 10 }, { value.data, value.size } };
    }
    return n;
}

/* The headers of a call that have to do with traces. */
struct found {
    struct call_field *parent; /* the last traceparent; NULL: none */
    size_t n_parents, bytes;   /* bytes of all headers */
    bool has_state;
};

static struct found find(struct call_field *fields, size_t n_fields)
{
    struct found found = { .parent = NULL };

    for (size_t i = 0; i < n_fields; i++) {
        const struct call_text *name = &fields[i].name;
        found.bytes += name->size + fields[i].value.size;
        found.has_state = found.has_state || is_named(name->data, name->size, "tracestate");
        if (is_named(name->data, name->size, "traceparent")) {
            found.parent = &fields[i];
            found.n_parents++;
        }
    }
    return found;
}

/* Returns whether the call has a traceparent that is the tenant's own, and stays; it is the span's, if it is valid. */
static bool take_own(const struct found *found, const struct trace_span *span,
                     struct trace_span *ret)
{
    struct trace_span own;

    if (!found->parent)
        return false;
    const struct call_text *value = &found->parent->value;
    if (found->n_parents > 1 || !trace_parse((struct http_text){ value->data, value->size }, &own))
        return true;
    if (is_passed_on(&own, span))
        return false;
    own.is_foreign = true;
    *ret = own;
    return true;
}

size_t trace_call(const struct trace_span *span, const uint8_t *packed, size_t packed_bytes,
                  struct call_field *fields, size_t n_fields, struct trace_call *room)
{
    room->span = (struct trace_span){ .is_on = false };
    if (!span->is_on)
        return n_fields;
    const struct found found = find(fields, n_fields);
    struct trace_span mine = *span;
    if (take_own(&found, span, &room->span) || !descend(&mine) ||
        (!found.parent && (n_fields == HEAD_FIELDS_MAX || found.bytes > TRACE_CALL_HEAD_BYTES)))
        return n_fields;
    room->span = mine;
    trace_write(&mine, room->value);
    const struct call_text value = { room->value, TRACE_PARENT_BYTES };
    if (found.parent) {
        found.parent->value = value;
        return n_fields;
    }
    fields[n_fields++] = (struct call_field){ { "traceparent", 11 }, value };
    /* A state belongs to the trace of the client, which is the request's if it has a parent. */
    return found.has_state || !span->has_parent
               ? n_fields
               : add_states(packed, packed_bytes, fields, n_fields);
}
