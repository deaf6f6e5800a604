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

void answer_begin(struct answer_head *head)
{
    head->n_texts = 0;
    head->n_bytes = 0;
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

int answer_add_line(struct answer_head *head, const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size), *end = line + size;

    /* A line that begins with a blank, the continuation of old, has no token before its colon. */
    if (!colon)
        return -EPROTO;
    if (head->n_texts == 2 * EGRESS_FIELDS_MAX)
        return -EMSGSIZE;
    const char *value = colon + 1;
    while (value < end && is_blank(*value))
        value++;
    while (end > value && is_blank(end[-1]))
        end--;
    const struct head_text name = { line, (size_t) (colon - line) };
    const struct head_text text = { value, (size_t) (end - value) };
    if (!target_is_token(name) || !target_is_value(text))
        return -EPROTO;
    int r = add_text(head, name);
    return r < 0 ? r : add_text(head, text);
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
