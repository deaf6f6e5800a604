/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a request: packed once, when it comes in, as JavaScript gets it, and sent with each attempt. Supervisor, loop
 * thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/head.h"
#include "supervisor/requests/access.h"
#include "supervisor/requests/internal.h"

static bool is_cookie(const struct http_field *field)
{
    return field->name.size == 6 && memcmp(field->name.data, "cookie", 6) == 0;
}

/* Returns how many fields are passed on; *ret_bytes: most bytes that their texts take. */
static size_t count_fields(const struct http_request *head, size_t *ret_bytes)
{
    size_t bytes = 0, n_cookies = 0;

    for (size_t i = 0; i < head->n_fields; i++) {
        bytes += head->fields[i].name.size + head->fields[i].value.size;
        n_cookies += is_cookie(&head->fields[i]);
    }
    *ret_bytes = bytes;
    return head->n_fields - (n_cookies > 1 ? n_cookies - 1 : 0);
}

/* Packs fields; those of the name Cookie become one, in the place of the first: RFC 9113 section 8.2.3, as no list with
 * commas can be made of them. Needs no more room than all of them apart. */
static void pack_fields(struct head_writer *to, const struct http_request *head)
{
    bool has_cookie = false;

    for (size_t i = 0; i < head->n_fields; i++) {
        const struct http_field *field = &head->fields[i];

        if (has_cookie && is_cookie(field))
            continue;
        (void) head_add(to, field->name.data, field->name.size);
        (void) head_add(to, field->value.data, field->value.size);
        if (!is_cookie(field))
            continue;
        has_cookie = true;
        for (size_t k = i + 1; k < head->n_fields; k++) {
            if (!is_cookie(&head->fields[k]))
                continue;
            (void) head_extend(to, "; ", 2);
            (void) head_extend(to, head->fields[k].value.data, head->fields[k].value.size);
        }
    }
}

static struct http_text copy_text(char **at, struct http_text text)
{
    struct http_text copy = { .data = *at, .size = text.size };

    if (text.size > 0)
        memcpy(*at, text.data, text.size);
    *at += text.size;
    return copy;
}

static struct http_text view(struct head_text text)
{
    return (struct http_text){ .data = text.data, .size = text.size };
}

int ledger_pack_head(struct request *request, const struct http_request *head,
                     const struct request_origin *origin)
{
    struct http_text authority = head->authority.size > 0 ? head->authority : head->host;
    size_t url_size = origin->scheme.size + authority.size + head->target.size, fields_size;
    uint32_t n_texts = HEAD_REQUEST_TEXTS + 2 * (uint32_t) count_fields(head, &fields_size);
    size_t size = head_table_bytes(n_texts) + head->method.size + url_size + fields_size +
                  origin->caller.size;

    request->span = access_span(request->ledger, head, origin);
    if (access_is_on(request->ledger))
        size += head->client.size;
    request->head_memory = malloc(size + 1);
    if (!request->head_memory)
        return -ENOMEM;
    request->head_bytes = size;
    struct head_writer to = head_write((uint8_t *) request->head_memory, n_texts);
    request->method = view(head_add(&to, head->method.data, head->method.size));
    (void) head_add(&to, origin->scheme.data, origin->scheme.size);
    (void) head_extend(&to, authority.data, authority.size);
    request->url = view(head_extend(&to, head->target.data, head->target.size));
    pack_fields(&to, head);
    request->packed_bytes = (size_t) (to.at - to.packed);
    char *at = (char *) to.at;
    if (access_is_on(request->ledger))
        request->address = copy_text(&at, head->client);
    request->caller = copy_text(&at, origin->caller);
    return 0;
}

int ledger_send_request(struct worker *worker, struct request *request)
{
    Skep__Worker__Request frame = SKEP__WORKER__REQUEST__INIT;

    frame.id = request->attempt.id;
    frame.placement = request->attempt.placement->id;
    frame.row = (uint32_t) (request->attempt.id % SCOREBOARD_REQUESTS);
    frame.head = link_bytes(request->head_memory, request->packed_bytes);
    frame.end = !request->body;
    frame.caller = link_bytes(request->caller.data, request->caller.size);
    return link_send(worker, SKEP__WORKER__TO_WORKER__MESSAGE_REQUEST, &frame);
}
