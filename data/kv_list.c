/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of keys, and cursors. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "data/kv_internal.h"

#define SIZE_BYTES 4
/* Rows that a list passes over because they have expired, beyond its limit. */
#define PASSED_MAX 10000

struct page {
    struct kv_bytes prefix;
    int64_t limit;
    uint8_t from[KV_KEY_MAX_BYTES + 1]; /* the first key, or the cursor's successor */
    size_t from_size;
    uint8_t to[KV_KEY_MAX_BYTES + 1]; /* before this one */
    size_t to_size;
};

/* ---- cursors */

int kv_add_cursor(struct data_operation *operation, const uint8_t *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const size_t head = values_put_bytes(NULL, VALUE_TEXT, NULL, 0);
    uint8_t *to = data_answer_reserve(&operation->answer, head + size * 2);

    if (!to)
        return -errno;
    const uint32_t text_size = (uint32_t) (size * 2);
    to[0] = VALUE_TEXT;
    for (unsigned i = 0; i < 4; i++)
        to[1 + i] = (uint8_t) (text_size >> (8 * i));
    for (size_t i = 0; i < size; i++) {
        to[head + i * 2] = (uint8_t) digits[data[i] >> 4];
        to[head + i * 2 + 1] = (uint8_t) digits[data[i] & 15];
    }
    return 0;
}

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int kv_read_cursor(const struct value *value, uint8_t *to, size_t most, size_t *ret_size)
{
    if (value->size % 2 != 0 || value->size / 2 > most)
        return -EPROTO;
    for (size_t i = 0; i < value->size / 2; i++) {
        const int high = digit(value->data[i * 2]), low = digit(value->data[i * 2 + 1]);
        if (high < 0 || low < 0)
            return -EPROTO;
        to[i] = (uint8_t) (high << 4 | low);
    }
    *ret_size = value->size / 2;
    return 0;
}

/* ---- a page */

/* Writes the first bytes after all that begin with the prefix. */
static void set_end(struct page *page)
{
    size_t size = page->prefix.size;

    while (size > 0 && page->prefix.data[size - 1] == 0xff)
        size--;
    if (size == 0) {
        memset(page->to, 0xff, sizeof page->to);
        page->to_size = sizeof page->to;
        return;
    }
    memcpy(page->to, page->prefix.data, size);
    page->to[size - 1]++;
    page->to_size = size;
}

/* 0, or -EPROTO: the cursor is none of such a list. */
static int set_start(struct page *page, const struct value *cursor)
{
    const struct kv_bytes prefix = page->prefix;

    if (cursor->kind == VALUE_NULL) {
        memcpy(page->from, prefix.data, prefix.size);
        page->from_size = prefix.size;
        return 0;
    }
    if (kv_read_cursor(cursor, page->from, KV_KEY_MAX_BYTES, &page->from_size) < 0 ||
        page->from_size == 0 || page->from_size < prefix.size ||
        memcmp(page->from, prefix.data, prefix.size) != 0)
        return -EPROTO;
    page->from[page->from_size++] = 0;
    return 0;
}

/* Reads the arguments. Returns false if the operation has failed by them. */
static bool take_page(struct data_operation *operation, struct values *values,
                      struct page *ret_page)
{
    struct value prefix, limit, cursor;

    if (values_take(values, VALUE_TEXT, false, &prefix) < 0 ||
        values_take(values, VALUE_INTEGER, false, &limit) < 0 ||
        values_take(values, VALUE_TEXT, true, &cursor) < 0 || values->at != values->end)
        (void) kv_fail_answer(operation, -EPROTO);
    else if (prefix.size > KV_KEY_MAX_BYTES)
        data_fail(operation, 413, "the prefix has %zu bytes: at most %u", prefix.size,
                  KV_KEY_MAX_BYTES);
    else if (limit.integer < 1 || limit.integer > KV_LIST_MAX)
        data_fail(operation, 400, "the limit of a list is 1 to %u", KV_LIST_MAX);
    if (operation->status != 200)
        return false;
    ret_page->prefix = (struct kv_bytes){ prefix.data, prefix.size };
    ret_page->limit = limit.integer;
    set_end(ret_page);
    if (set_start(ret_page, &cursor) < 0)
        data_fail(operation, 400, "the cursor is not one of this list");
    return operation->status == 200;
}

static int bind_page(sqlite3_stmt *statement, struct kv_bytes space, const struct page *page)
{
    int code = sqlite3_bind_blob64(statement, 1, space.data, space.size, SQLITE_STATIC);

    if (code == SQLITE_OK)
        code = sqlite3_bind_blob64(statement, 2, page->from, page->from_size, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_bind_blob64(statement, 3, page->to, page->to_size, SQLITE_STATIC);
    return code;
}

/* ---- the answer */

/* Position of a list: its last row, and the places in the answer that are written at its end. */
struct listing {
    struct kv_keys expired;
    uint8_t last[KV_KEY_MAX_BYTES];
    size_t last_size;
    int64_t n, passed;
};

static int add_row(struct data_operation *operation, const struct kv_entry *entry)
{
    int r = kv_add_bytes(operation, VALUE_TEXT, entry->key);

    if (r == 0)
        r = kv_add_expiration(operation, entry);
    return r == 0 ? kv_add_metadata(operation, entry) : r;
}

/* Adds rows up to the limit. SQLITE_DONE: all there are; SQLITE_ROW: there are more. */
static int add_rows(struct kv *kv, struct data_operation *operation, const struct page *page,
                    struct listing *listing)
{
    sqlite3_stmt *statement = kv->statements[KV_LIST];
    struct kv_entry entry;
    int code;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        if (listing->n == page->limit || listing->passed == PASSED_MAX)
            return SQLITE_ROW;
        code = kv_read_entry(statement, 0, &entry);
        if (code != SQLITE_OK)
            return code;
        memcpy(listing->last, entry.key.data, entry.key.size);
        listing->last_size = entry.key.size;
        if (entry.expires <= kv_now(operation)) {
            kv_remember(&listing->expired, kv_space(operation), entry.key);
            listing->passed++;
            continue;
        }
        const int r = add_row(operation, &entry);
        if (r < 0) {
            (void) kv_fail_answer(operation, r);
            return SQLITE_DONE;
        }
        listing->n++;
    }
    return code;
}

/* Moves the rows behind the values that come first: i complete, t cursor | n. */
static int add_head(struct data_operation *operation, const struct listing *listing, bool has_more)
{
    const size_t rows = operation->answer.size;
    int r = kv_add_integer(operation, !has_more);

    if (r == 0)
        r = has_more ? kv_add_cursor(operation, listing->last, listing->last_size)
                     : kv_add_null(operation);
    if (r < 0)
        return r;
    const size_t head = operation->answer.size - rows;
    _uninitialized_ uint8_t copy[KV_KEY_MAX_BYTES * 2 + 32];
    uint8_t *data = operation->answer.data;
    memcpy(copy, data + rows, head);
    memmove(data + SIZE_BYTES + head, data + SIZE_BYTES, rows - SIZE_BYTES);
    memcpy(data + SIZE_BYTES, copy, head);
    kv_answer_end(operation, operation->answer.size - SIZE_BYTES);
    return 0;
}

int kv_list(struct kv *kv, struct data_operation *operation, struct values values,
            struct kv_bytes rest)
{
    sqlite3_stmt *statement = kv->statements[KV_LIST];
    struct page page = { .limit = 0 };
    _uninitialized_ struct listing listing;

    (void) rest;
    listing.expired.n = listing.last_size = 0;
    listing.n = listing.passed = 0;
    if (!take_page(operation, &values, &page))
        return SQLITE_OK;
    int r = kv_answer_begin(operation);
    if (r < 0)
        return kv_fail_answer(operation, r);
    int code = bind_page(statement, kv_space(operation), &page);
    if (code == SQLITE_OK)
        code = add_rows(kv, operation, &page, &listing);
    (void) sqlite3_reset(statement);
    (void) sqlite3_clear_bindings(statement);
    if (code != SQLITE_DONE && code != SQLITE_ROW)
        return code;
    if (operation->status == 200 && (r = add_head(operation, &listing, code == SQLITE_ROW)) < 0)
        return kv_fail_answer(operation, r);
    return kv->may_forget ? kv_remove_all(kv, &listing.expired) : SQLITE_OK;
}
