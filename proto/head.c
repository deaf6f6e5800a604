/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/head.h"

#include <errno.h>

static uint32_t read_number(const uint8_t *data)
{
    uint32_t number;

    memcpy(&number, data, sizeof number);
    return le32toh(number);
}

int head_open(const uint8_t *data, size_t size, uint32_t n_first, uint32_t max_fields,
              struct head *ret_head)
{
    if (size < head_table_bytes(n_first) || size > HEAD_MAX_BYTES)
        return -EPROTO;
    uint32_t n = read_number(data);
    if (n < n_first || n - n_first > 2 * max_fields || (n - n_first) % 2 != 0 ||
        head_table_bytes(n) > size)
        return -EPROTO;
    const uint8_t *sizes = data + head_table_bytes(0), *texts = data + head_table_bytes(n);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += read_number(sizes + i * sizeof(uint32_t));
    size_t left = size - head_table_bytes(n);
    if (sum != left || memchr(texts, '\0', left))
        return -EPROTO;
    *ret_head = (struct head){ sizes, (const char *) texts, n };
    return 0;
}

struct head_text head_next(struct head *head)
{
    struct head_text text = { head->texts, read_number(head->sizes) };

    head->sizes += sizeof(uint32_t);
    head->texts += text.size;
    head->n_texts--;
    return text;
}

struct head_writer head_write(uint8_t *packed, uint32_t n_texts)
{
    uint8_t *texts = packed + head_table_bytes(n_texts);

    head_put_count(packed, n_texts);
    return (struct head_writer){ .packed = packed, .at = texts, .text = texts };
}

static struct head_text put(struct head_writer *writer, const void *data, size_t size)
{
    if (size > 0)
        memcpy(writer->at, data, size);
    writer->at += size;
    size_t whole = (size_t) (writer->at - writer->text);
    head_put_size(writer->packed, writer->n_written - 1, (uint32_t) whole);
    return (struct head_text){ (const char *) writer->text, whole };
}

struct head_text head_add(struct head_writer *writer, const void *data, size_t size)
{
    writer->text = writer->at;
    writer->n_written++;
    return put(writer, data, size);
}

struct head_text head_extend(struct head_writer *writer, const void *data, size_t size)
{
    return put(writer, data, size);
}
