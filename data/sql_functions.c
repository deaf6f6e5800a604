/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instr() and replace() in linear time. SQLite's own take the product of the sizes of text and pattern, a minute for two texts of
 * 1 MiB, within one opcode: no progress handler is called, and sqlite3_interrupt has no effect.
 */
#include <limits.h>
#include <string.h>

#include "data/sql_internal.h"

#define IS_CONTINUATION(byte) (((byte) &0xc0) == 0x80)

struct span {
    const uint8_t *data;
    size_t size;
};

static struct span text_of(sqlite3_value *value)
{
    const uint8_t *data = sqlite3_value_text(value);

    return (struct span){ data, (size_t) sqlite3_value_bytes(value) };
}

static struct span blob_of(sqlite3_value *value)
{
    static const uint8_t empty[1];
    const uint8_t *data = sqlite3_value_blob(value);

    return (struct span){ data ? data : empty, (size_t) sqlite3_value_bytes(value) };
}

/* Returns where the needle begins, or NULL. A match within a character is none; only a needle that begins within one can have it. */
static const uint8_t *find(struct span hay, struct span needle, bool is_text)
{
    if (is_text && needle.size > 0 && IS_CONTINUATION(needle.data[0]))
        return hay.size >= needle.size && memcmp(hay.data, needle.data, needle.size) == 0 ? hay.data
                                                                                          : NULL;
    return memmem(hay.data, hay.size, needle.data, needle.size);
}

static int position_of(struct span hay, const uint8_t *at, bool is_text)
{
    int n = 1;

    if (!is_text)
        return (int) (at - hay.data) + 1;
    for (const uint8_t *byte = hay.data + 1; byte <= at; byte++)
        n += !IS_CONTINUATION(*byte);
    return n;
}

static void instr(sqlite3_context *context, int n, sqlite3_value **arguments)
{
    const bool is_text = sqlite3_value_type(arguments[0]) != SQLITE_BLOB ||
                         sqlite3_value_type(arguments[1]) != SQLITE_BLOB;

    (void) n;
    if (sqlite3_value_type(arguments[0]) == SQLITE_NULL ||
        sqlite3_value_type(arguments[1]) == SQLITE_NULL)
        return;
    const struct span hay = is_text ? text_of(arguments[0]) : blob_of(arguments[0]);
    const struct span needle = is_text ? text_of(arguments[1]) : blob_of(arguments[1]);
    if (!hay.data || !needle.data) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (needle.size == 0) {
        sqlite3_result_int(context, 1);
        return;
    }
    const uint8_t *at = find(hay, needle, is_text);
    sqlite3_result_int(context, at ? position_of(hay, at, is_text) : 0);
}

/* Returns the number of places that do not overlap; hay is at most 2 MiB. */
static size_t count(struct span hay, struct span pattern)
{
    size_t n = 0;
    const uint8_t *at;

    while ((at = memmem(hay.data, hay.size, pattern.data, pattern.size))) {
        n++;
        hay.size -= (size_t) (at - hay.data) + pattern.size;
        hay.data = at + pattern.size;
    }
    return n;
}

static void write_replaced(uint8_t *to, struct span hay, struct span pattern, struct span by)
{
    const uint8_t *at;

    while ((at = memmem(hay.data, hay.size, pattern.data, pattern.size))) {
        const size_t before = (size_t) (at - hay.data);
        memcpy(to, hay.data, before);
        memcpy(to + before, by.data, by.size);
        to += before + by.size;
        hay.size -= before + pattern.size;
        hay.data = at + pattern.size;
    }
    memcpy(to, hay.data, hay.size);
}

static void replace(sqlite3_context *context, int n, sqlite3_value **arguments)
{
    for (int i = 0; i < n; i++)
        if (sqlite3_value_type(arguments[i]) == SQLITE_NULL)
            return;
    const struct span hay = text_of(arguments[0]);
    const struct span pattern = text_of(arguments[1]);
    const struct span by = text_of(arguments[2]);
    if (!hay.data || !pattern.data || !by.data) {
        sqlite3_result_error_nomem(context);
        return;
    }
    const size_t places = pattern.size > 0 ? count(hay, pattern) : 0;
    if (places == 0) {
        sqlite3_result_value(context, arguments[0]);
        return;
    }
    const size_t size = hay.size - places * pattern.size + places * by.size;
    const int most = sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LENGTH, -1);
    if (size > (size_t) most) {
        sqlite3_result_error_toobig(context);
        return;
    }
    uint8_t *to = sqlite3_malloc64(size + 1);
    if (!to) {
        sqlite3_result_error_nomem(context);
        return;
    }
    write_replaced(to, hay, pattern, by);
    sqlite3_result_text64(context, (const char *) to, size, sqlite3_free, SQLITE_UTF8);
}

int sql_add_functions(sqlite3 *db)
{
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    int code = sqlite3_create_function_v2(db, "instr", 2, flags, NULL, instr, NULL, NULL, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_create_function_v2(db, "replace", 3, flags, NULL, replace, NULL, NULL, NULL);
    return code;
}
