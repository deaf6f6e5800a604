/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed heads: method, URL and headers of a request or a call, the headers of an answer, in one bytes field. See
 * PROTOCOL.md. Pure functions on bytes; used by skepd and skep-worker.
 */
#pragma once

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HEAD_MAX_BYTES (UINT32_C(512) << 10) /* table and texts */
#define HEAD_FIELDS_MAX 256                  /* headers in the head of an answer or a call */
#define HEAD_REQUEST_FIELDS_MAX 1024 /* headers in a request's head; see http.header_count */
#define HEAD_REQUEST_TEXTS 2         /* texts before the headers of a request: method and URL */
/* Texts before the headers of a call: method, scheme, host, path with the query. */
#define HEAD_CALL_TEXTS 4

struct head_text {
    const char *data; /* borrowed: in the packed head; not terminated */
    size_t size;
};

/* The texts that head_next has not returned yet. */
struct head {
    const uint8_t *sizes;
    const char *texts;
    uint32_t n_texts;
};

/* Checks a packed head from another process: n_first texts, then pairs of name and value, at most max_fields of them. 0, or
 * -EPROTO: its numbers do not fit its size, it is larger than HEAD_MAX_BYTES, it has another number of texts, or a NUL in one. *ret_head
 * borrows the bytes, and is written only on success. */
int head_open(const uint8_t *data, size_t size, uint32_t n_first, uint32_t max_fields,
              struct head *ret_head);
/* Returns the next text; there must be one. */
struct head_text head_next(struct head *head);

/* Returns the bytes before the texts of a head with that many. */
static inline size_t head_table_bytes(size_t n_texts)
{
    return (1 + n_texts) * sizeof(uint32_t);
}

static inline void head_put_number(uint8_t *packed, size_t place, uint32_t number)
{
    number = htole32(number);
    memcpy(packed + place * sizeof number, &number, sizeof number);
}

/* Writes the number of texts of the head at packed. */
static inline void head_put_count(uint8_t *packed, uint32_t n_texts)
{
    head_put_number(packed, 0, n_texts);
}

/* Writes the size of the i-th text, from 0. */
static inline void head_put_size(uint8_t *packed, size_t i, uint32_t size)
{
    head_put_number(packed, 1 + i, size);
}

/* Packs texts one after the other into memory of the caller, which holds head_table_bytes and the texts. */
struct head_writer {
    uint8_t *packed;
    uint8_t *at; /* where the next byte goes */
    size_t n_written;
    uint8_t *text; /* where the last text begins */
};

struct head_writer head_write(uint8_t *packed, uint32_t n_texts);
/* Writes a text. Returns the copy. */
struct head_text head_add(struct head_writer *writer, const void *data, size_t size);
/* Appends to the last text. Returns the whole text. */
struct head_text head_extend(struct head_writer *writer, const void *data, size_t size);

#ifdef __cplusplus
}
#endif
