/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an answer: lines from a server that nobody trusts, with bounds, to a packed head. Egress process; pure.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "egress/internal.h"
#include "egress/target.h"

int answer_count(struct answer_head *head, size_t bytes)
{
    if (bytes > EGRESS_HEAD_MAX_BYTES - head->line_bytes)
        return -EMSGSIZE;
    head->line_bytes += bytes;
    return 0;
}

/* Takes the reason phrase, which stands behind the second blank of the line (RFC 9112, section 4). One that has a control
 * character is left out: nothing depends on it. */
static void take_reason(struct answer_head *head, const char *line, size_t size)
{
    const char *at = line, *end = line + size;

    for (unsigned blanks = 0; at < end && blanks < 2; at++)
        blanks += *at == ' ';
    struct head_text reason = { at, (size_t) (end - at) };
    if (reason.size > sizeof head->reason)
        reason.size = sizeof head->reason;
    head->reason_bytes = target_is_value(reason) ? reason.size : 0;
    memcpy(head->reason, reason.data, head->reason_bytes);
}

void answer_begin(struct answer_head *head, const char *line, size_t size)
{
    head->n_texts = 0;
    head->n_bytes = 0;
    take_reason(head, line, size);
}

static int add_text(struct answer_head *head, struct head_text text)
{
    if (head->size - head->n_bytes < text.size) {
        size_t size = 2 * (head->size + text.size);
        char *texts = realloc(head->texts, size);
        if (!texts)
            return -ENOMEM;
        head->texts = texts;
        head->size = size;
    }
    if (text.size > 0)
        memcpy(head->texts + head->n_bytes, text.data, text.size);
    head->n_bytes += text.size;
    head->sizes[head->n_texts++] = (uint32_t) text.size;
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Splits a line into name and value, without the blanks around it. -EPROTO: there is no colon. */
static int split(const char *line, size_t size, struct head_text *ret_name,
                 struct head_text *ret_value)
{
    const char *colon = memchr(line, ':', size), *end = line + size;

    if (!colon)
        return -EPROTO;
    const char *value = colon + 1;
    while (value < end && is_blank(*value))
        value++;
    while (end > value && is_blank(end[-1]))
        end--;
    *ret_name = (struct head_text){ line, (size_t) (colon - line) };
    *ret_value = (struct head_text){ value, (size_t) (end - value) };
    return 0;
}

int answer_add_line(struct answer_head *head, const char *line, size_t size)
{
    struct head_text name, value;

    /* A line that begins with a blank, the continuation of old, has no token before its colon. */
    if (split(line, size, &name, &value) < 0)
        return -EPROTO;
    if (head->n_texts == 2 * EGRESS_FIELDS_MAX)
        return -EMSGSIZE;
    if (!target_is_token(name) || !target_is_value(value))
        return -EPROTO;
    int r = add_text(head, name);
    return r < 0 ? r : add_text(head, value);
}

int answer_check_coding(const char *line, size_t size)
{
    struct head_text name, value;

    if (split(line, size, &name, &value) < 0 || !target_text_is(name, "transfer-encoding"))
        return 0;
    return target_text_is(value, "chunked") ? 0 : -EPROTO;
}

/* Reads a Content-Length: one number, or a list of the same one (RFC 9110, 8.6). */
static bool read_length(struct head_text text, struct head_text *ret_number)
{
    const char *at = text.data, *end = text.data + text.size;

    *ret_number = (struct head_text){ at, 0 };
    for (;;) {
        const char *start = at;
        while (at < end && *at >= '0' && *at <= '9')
            at++;
        const size_t size = (size_t) (at - start);
        if (start == text.data)
            ret_number->size = size;
        if (size == 0 || size != ret_number->size || memcmp(start, text.data, size) != 0)
            return false;
        while (at < end && is_blank(*at))
            at++;
        if (at == end)
            return true;
        if (*at++ != ',')
            return false;
        while (at < end && is_blank(*at))
            at++;
    }
}

/* Removes a header, of which the texts begin at that byte. */
static void remove_header(struct answer_head *head, uint32_t index, size_t at)
{
    size_t size = head->sizes[index] + head->sizes[index + 1];

    memmove(head->texts + at, head->texts + at + size, head->n_bytes - at - size);
    memmove(head->sizes + index, head->sizes + index + 2,
            (head->n_texts - index - 2) * sizeof head->sizes[0]);
    head->n_bytes -= size;
    head->n_texts -= 2;
}

/* Shortens the value of a header, which begins at that byte. */
static void cut_value(struct answer_head *head, uint32_t index, size_t at, size_t size)
{
    size_t cut = head->sizes[index + 1] - size;

    memmove(head->texts + at + size, head->texts + at + size + cut,
            head->n_bytes - at - size - cut);
    head->sizes[index + 1] = (uint32_t) size;
    head->n_bytes -= cut;
}

int answer_settle_length(struct answer_head *head)
{
    struct head_text length = { NULL, 0 };
    bool has_coding = false;
    size_t at = 0;

    for (uint32_t i = 0; i < head->n_texts; i += 2) {
        has_coding |= target_text_is((struct head_text){ head->texts + at, head->sizes[i] },
                                     "transfer-encoding");
        at += head->sizes[i] + head->sizes[i + 1];
    }
    at = 0;
    for (uint32_t i = 0; i < head->n_texts;) {
        const struct head_text name = { head->texts + at, head->sizes[i] };
        const struct head_text value = { name.data + name.size, head->sizes[i + 1] };
        bool is_length = target_text_is(name, "content-length");
        bool is_again = is_length && length.data;
        struct head_text number = value;
        if (is_length && (!read_length(value, &number) ||
                          (is_again && (number.size != length.size ||
                                        memcmp(number.data, length.data, number.size) != 0))))
            return -EPROTO;
        if (is_length && (is_again || has_coding)) {
            remove_header(head, i, at);
            continue;
        }
        if (is_length) {
            cut_value(head, i, at + name.size, number.size);
            length = number;
        }
        at += name.size + number.size;
        i += 2;
    }
    return 0;
}

bool answer_has_body(const struct answer_head *head)
{
    size_t at = 0;

    for (uint32_t i = 0; i < head->n_texts; i += 2) {
        const struct head_text name = { head->texts + at, head->sizes[i] };
        const struct head_text value = { name.data + name.size, head->sizes[i + 1] };
        if (target_text_is(name, "transfer-encoding") ||
            (target_text_is(name, "content-length") && !target_text_is(value, "0")))
            return true;
        at += name.size + value.size;
    }
    return false;
}

int answer_pack(const struct answer_head *head, uint8_t **ret_packed, size_t *ret_size)
{
    const size_t table = head_table_bytes(head->n_texts);
    uint8_t *packed = malloc(table + head->n_bytes);

    if (!packed)
        return -ENOMEM;
    head_put_count(packed, head->n_texts);
    for (uint32_t i = 0; i < head->n_texts; i++)
        head_put_size(packed, i, head->sizes[i]);
    if (head->n_bytes > 0)
        memcpy(packed + table, head->texts, head->n_bytes);
    *ret_packed = packed;
    *ret_size = table + head->n_bytes;
    return 0;
}

void answer_done(struct answer_head *head)
{
    free(head->texts);
    head->texts = NULL;
}
