/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Export and import of all namespaces of a tenant, for the operator. A page of an export is made in one transaction; what is written between two
 * pages is in the copy if its key comes after the cursor. Besides, the names of the tenant's databases, whose files are beside that of the namespaces.
 */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/names.h"
#include "data/database_aside.h"
#include "data/kv_internal.h"

#define DATABASE_START "sql-"
#define DATABASE_END ".db"

#define PAGE_MAX_BYTES ((size_t) 16 << 20)
#define CURSOR_MAX_BYTES (KV_SPACE_MAX_BYTES + 1 + KV_KEY_MAX_BYTES)
#define ENTRY_ROOM 128                          /* bytes that kv_cost leaves out */
#define CURSOR_ROOM (CURSOR_MAX_BYTES * 2 + 16) /* as a value in hexadecimal */
#define COLUMN_SPACE 6

/* The last entry of a page: namespace, a zero byte, key. */
struct cursor {
    uint8_t data[CURSOR_MAX_BYTES];
    size_t size;
};

/* ---- export */

static int bind_after(sqlite3_stmt *statement, const struct cursor *cursor)
{
    const uint8_t *zero = memchr(cursor->data, 0, cursor->size);
    const size_t space = zero ? (size_t) (zero - cursor->data) : 0;
    const size_t key = zero ? cursor->size - space - 1 : 0;
    int code = sqlite3_bind_blob64(statement, 1, cursor->data, space, SQLITE_STATIC);

    if (code == SQLITE_OK)
        code =
            sqlite3_bind_blob64(statement, 2, zero ? zero + 1 : cursor->data, key, SQLITE_STATIC);
    return code;
}

static int set_cursor(struct cursor *cursor, struct kv_bytes space, struct kv_bytes key)
{
    if (space.size == 0 || space.size > KV_SPACE_MAX_BYTES)
        return SQLITE_CORRUPT;
    memcpy(cursor->data, space.data, space.size);
    cursor->data[space.size] = 0;
    memcpy(cursor->data + space.size + 1, key.data, key.size);
    cursor->size = space.size + 1 + key.size;
    return SQLITE_OK;
}

/* Adds t space, t key, i expiration | n, t metadata | n, b value. SQLite's code; ret_error: -errno of the answer. */
static int add_entry(struct kv *kv, struct data_operation *operation, struct kv_bytes space,
                     const struct kv_entry *entry, int *ret_error)
{
    const size_t head = values_put_bytes(NULL, VALUE_BYTES, NULL, 0);
    const uint32_t size = htole32((uint32_t) entry->value.size);
    int r = kv_add_bytes(operation, VALUE_TEXT, space);

    if (r == 0)
        r = kv_add_bytes(operation, VALUE_TEXT, entry->key);
    if (r == 0)
        r = kv_add_expiration(operation, entry);
    if (r == 0)
        r = kv_add_metadata(operation, entry);
    uint8_t *to = r == 0 ? data_answer_reserve(&operation->answer, head + entry->value.size) : NULL;
    if (r == 0 && !to)
        r = -errno;
    *ret_error = r;
    if (r < 0)
        return SQLITE_OK;
    to[0] = VALUE_BYTES;
    memcpy(to + 1, &size, sizeof size);
    return kv_read_value(kv, entry, to + head);
}

/* Returns the most bytes of a page with more than one entry: the cursor, which comes last, has room. */
static size_t page_most(const struct data_operation *operation)
{
    const size_t most =
        operation->answer.most < PAGE_MAX_BYTES ? operation->answer.most : PAGE_MAX_BYTES;

    return most > CURSOR_ROOM ? most - CURSOR_ROOM : 0;
}

/* Adds entries up to the size of a page, but at least one. SQLITE_ROW: there are more. */
static int add_entries(struct kv *kv, struct data_operation *operation, struct cursor *cursor)
{
    sqlite3_stmt *statement = kv->statements[KV_EXPORT];
    struct kv_entry entry;
    size_t n = 0;
    int code, r = 0;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        const struct kv_bytes space = { sqlite3_column_blob(statement, COLUMN_SPACE),
                                        (size_t) sqlite3_column_bytes(statement, COLUMN_SPACE) };
        code = kv_read_entry(statement, 0, &entry);
        if (code != SQLITE_OK)
            return code;
        const size_t size = operation->answer.size;
        if (n > 0 && size + ENTRY_ROOM + (size_t) kv_cost(&entry) > page_most(operation))
            return SQLITE_ROW;
        if (entry.expires > kv_now(operation)) {
            code = add_entry(kv, operation, space, &entry, &r);
            n++;
        }
        if (r == -EFBIG && n > 1) {
            operation->answer.size = size;
            return SQLITE_ROW;
        }
        if (r < 0)
            return kv_fail_answer(operation, r);
        if (code == SQLITE_OK)
            code = set_cursor(cursor, space, entry.key);
        if (code != SQLITE_OK)
            return code;
    }
    return code;
}

/* Reads t cursor | n. Returns false if the operation has failed by it. */
static bool take_cursor(struct data_operation *operation, struct values *values,
                        struct cursor *ret_cursor)
{
    struct value value;

    ret_cursor->size = 0;
    if (values_take(values, VALUE_TEXT, true, &value) < 0 || values->at != values->end)
        (void) kv_fail_answer(operation, -EPROTO);
    else if (value.kind == VALUE_TEXT &&
             (kv_read_cursor(&value, ret_cursor->data, CURSOR_MAX_BYTES, &ret_cursor->size) < 0 ||
              !memchr(ret_cursor->data, 0, ret_cursor->size)))
        data_fail(operation, 400, "the cursor is not one of an export");
    return operation->status == 200;
}

/* Leaves room for the longest head, which is written once the last entry is known. */
static int reserve_head(struct data_operation *operation, size_t *ret_size)
{
    *ret_size = values_put_bytes(NULL, VALUE_TEXT, NULL, CURSOR_MAX_BYTES * 2);
    int r = kv_answer_begin(operation);
    if (r == 0 && !data_answer_reserve(&operation->answer, *ret_size))
        r = -errno;
    return r;
}

/* Writes the head at its place, and moves the entries up to it. */
static int write_head(struct data_operation *operation, size_t room, const struct cursor *cursor)
{
    struct data_answer *answer = &operation->answer;
    const size_t all = answer->size;
    int r = cursor ? kv_add_cursor(operation, cursor->data, cursor->size) : kv_add_null(operation);

    if (r < 0)
        return r;
    const size_t head = answer->size - all;
    uint8_t *start = answer->data + sizeof(uint32_t);
    memcpy(start, answer->data + all, head);
    memmove(start + head, start + room, all - sizeof(uint32_t) - room);
    answer->size = all - room + head;
    kv_answer_end(operation, head);
    return 0;
}

int kv_export(struct kv *kv, struct data_operation *operation, struct values values,
              struct kv_bytes rest)
{
    sqlite3_stmt *statement = kv->statements[KV_EXPORT];
    struct cursor cursor, after;
    size_t room = 0;

    (void) rest;
    if (!take_cursor(operation, &values, &cursor))
        return SQLITE_OK;
    int r = reserve_head(operation, &room);
    if (r < 0)
        return kv_fail_answer(operation, r);
    after = cursor;
    int code = bind_after(statement, &cursor);
    if (code == SQLITE_OK)
        code = add_entries(kv, operation, &after);
    (void) sqlite3_reset(statement);
    (void) sqlite3_clear_bindings(statement);
    if (operation->status != 200 || (code != SQLITE_ROW && code != SQLITE_DONE))
        return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
    r = write_head(operation, room, code == SQLITE_ROW ? &after : NULL);
    return r < 0 ? kv_fail_answer(operation, r) : SQLITE_OK;
}

/* ---- import */

/* Reads one entry of five values. Returns false if the operation has failed by it. */
static bool take_entry(struct data_operation *operation, struct values *values,
                       struct kv_bytes *ret_space, struct kv_entry *ret_entry)
{
    struct value space, key, expires, metadata, value;
    char name[KV_SPACE_MAX_BYTES + 1] = "";

    if (values_take(values, VALUE_TEXT, false, &space) < 0 ||
        values_take(values, VALUE_TEXT, false, &key) < 0 ||
        values_take(values, VALUE_INTEGER, true, &expires) < 0 ||
        values_take(values, VALUE_TEXT, true, &metadata) < 0 ||
        values_take(values, VALUE_BYTES, false, &value) < 0 ||
        metadata.size > KV_METADATA_MAX_BYTES || space.size > KV_SPACE_MAX_BYTES) {
        (void) kv_fail_answer(operation, -EPROTO);
        return false;
    }
    memcpy(name, space.data, space.size);
    if (!name_is_valid(name) || strlen(name) != space.size)
        data_fail(operation, 400, "a namespace has no valid name");
    *ret_space = (struct kv_bytes){ space.data, space.size };
    *ret_entry = (struct kv_entry){
        .key = { key.data, key.size },
        .expires = expires.kind == VALUE_NULL ? KV_NEVER : expires.integer,
        .metadata = { metadata.data, metadata.size },
        .value = { value.data, value.size },
    };
    return operation->status == 200 && kv_check_key(operation, ret_entry->key);
}

static int answer_count(struct data_operation *operation, int64_t n)
{
    int r = kv_answer_begin(operation);

    if (r == 0)
        r = kv_add_integer(operation, n);
    if (r < 0)
        return kv_fail_answer(operation, r);
    kv_answer_end(operation, values_put_integer(NULL, n));
    return SQLITE_OK;
}

int kv_import(struct kv *kv, struct data_operation *operation, struct values values,
              struct kv_bytes rest)
{
    struct values entries = values_open(rest.data, rest.size);
    struct kv_bytes space;
    struct kv_entry entry;
    int64_t n = 0;

    if (values.at != values.end)
        return kv_fail_answer(operation, -EPROTO);
    while (entries.at != entries.end) {
        bool fits = false;
        if (!take_entry(operation, &entries, &space, &entry))
            return SQLITE_OK;
        if (entry.expires <= kv_now(operation))
            continue;
        int code = kv_make_room(kv, operation, space, &entry, &fits);
        if (code != SQLITE_OK || !fits)
            return code;
        code = kv_put(kv, space, &entry);
        if (code != SQLITE_OK)
            return code;
        n++;
    }
    return answer_count(operation, n);
}

/* ---- databases */

static void close_folder(DIR **folder)
{
    if (*folder)
        (void) closedir(*folder);
}

/* Returns the folder of the tenant's files, or NULL (errno). */
static DIR *open_folder(const struct kv *kv)
{
    const char *path = sqlite3_db_filename(kv->db, "main"), *end = strrchr(path, '/');
    char folder[DATABASE_PATH_BYTES];

    (void) snprintf(folder, sizeof folder, "%.*s", end ? (int) (end - path) : 1, end ? path : ".");
    return opendir(folder);
}

/* Returns the database's name in that of its file, or none. */
static struct kv_bytes find_database(const char *file)
{
    const size_t size = strlen(file), frame = strlen(DATABASE_START) + strlen(DATABASE_END);
    const bool is_one = size > frame &&
                        strncmp(file, DATABASE_START, strlen(DATABASE_START)) == 0 &&
                        strcmp(file + size - strlen(DATABASE_END), DATABASE_END) == 0;

    return is_one
               ? (struct kv_bytes){ (const uint8_t *) file + strlen(DATABASE_START), size - frame }
               : (struct kv_bytes){ NULL, 0 };
}

int kv_databases(struct kv *kv, struct data_operation *operation, struct values values,
                 struct kv_bytes rest)
{
    _cleanup_(close_folder) DIR *folder = open_folder(kv);
    const struct dirent *entry;

    (void) rest;
    if (values.at != values.end)
        return kv_fail_answer(operation, -EPROTO);
    if (!folder)
        return SQLITE_CANTOPEN;
    int r = kv_answer_begin(operation);
    const size_t start = operation->answer.size;
    while (r == 0 && (entry = readdir(folder))) {
        const struct kv_bytes name = find_database(entry->d_name);
        if (name.size > 0)
            r = kv_add_bytes(operation, VALUE_TEXT, name);
    }
    if (r < 0)
        return kv_fail_answer(operation, r);
    kv_answer_end(operation, operation->answer.size - start);
    return SQLITE_OK;
}
