/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries in the file. An entry's row is in a B-tree ordered by namespace and key, with a value of up to INLINE_MAX_BYTES; a larger value has a
 * row of its own in `content`. SQLite compares keys of such a tree with all of a row that overflows its page: a value of 25 MiB there would be
 * read with each key beside it, and a list would read all of them.
 */
#include <limits.h>
#include <string.h>

#include "common/cleanup.h"
#include "data/kv_internal.h"

#define INLINE_MAX_BYTES 512
#define STREAMED_MIN_BYTES (64 << 10)
#define FILLED_MIN_BYTES (1 << 20)
#define MIB (INT64_C(1) << 20)
#define SWEEPS_FOR_ROOM 64

/* An entry's columns, as kv_read_entry reads them. */
#define COLUMNS "key, expires, metadata, size, content, value"

const char *const kv_statements[KV_STATEMENTS] = {
    [KV_BEGIN] = "BEGIN",
    [KV_COMMIT] = "COMMIT",
    [KV_ROLLBACK] = "ROLLBACK",
    [KV_FIND] = "SELECT " COLUMNS " FROM entry WHERE space = ?1 AND key = ?2",
    [KV_PUT] = "REPLACE INTO entry(space, key, expires, metadata, size, content, value) "
               "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [KV_DELETE] = "DELETE FROM entry WHERE space = ?1 AND key = ?2",
    [KV_CONTENT_FIND] = "SELECT value FROM content WHERE id = ?1",
    [KV_CONTENT_PUT] = "INSERT INTO content(value) VALUES(?1)",
    [KV_CONTENT_DELETE] = "DELETE FROM content WHERE id = ?1",
    [KV_LIST] =
        "SELECT " COLUMNS " FROM entry WHERE space = ?1 AND key >= ?2 AND key < ?3 ORDER BY key",
    [KV_EXPIRED] =
        "SELECT space, key FROM entry WHERE expires IS NOT NULL AND expires <= ?1 LIMIT ?2",
    [KV_EXPORT] =
        "SELECT " COLUMNS ", space FROM entry WHERE (space, key) > (?1, ?2) ORDER BY space, key",
    [KV_TOTAL_FIND] = "SELECT bytes, keys FROM total WHERE id = 1",
    [KV_TOTAL_PUT] = "REPLACE INTO total(id, bytes, keys) VALUES(1, ?1, ?2)",
};

/* ---- sums */

int kv_read_total(struct kv *kv)
{
    sqlite3_stmt *statement = kv->statements[KV_TOTAL_FIND];
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW) {
        kv->bytes = sqlite3_column_int64(statement, 0);
        kv->keys = sqlite3_column_int64(statement, 1);
    }
    (void) sqlite3_reset(statement);
    kv->is_total_changed = false;
    if (code == SQLITE_DONE || (code == SQLITE_ROW && (kv->bytes < 0 || kv->keys < 0)))
        return SQLITE_CORRUPT;
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

int kv_write_total(struct kv *kv)
{
    sqlite3_stmt *statement = kv->statements[KV_TOTAL_PUT];

    if (!kv->is_total_changed)
        return SQLITE_OK;
    int code = sqlite3_bind_int64(statement, 1, kv->bytes);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int64(statement, 2, kv->keys);
    if (code == SQLITE_OK)
        code = database_run(statement);
    if (code == SQLITE_OK)
        kv->is_total_changed = false;
    return code;
}

static int count(struct kv *kv, int64_t bytes, int64_t keys)
{
    kv->is_written = kv->is_total_changed = true;
    kv->bytes += bytes;
    kv->keys += keys;
    return kv->bytes < 0 || kv->keys < 0 ? SQLITE_CORRUPT : SQLITE_OK;
}

int64_t kv_cost(const struct kv_entry *entry)
{
    return (int64_t) (entry->key.size + entry->metadata.size + entry->value.size);
}

/* ---- reading */

static int bind_bytes(sqlite3_stmt *statement, int at, struct kv_bytes bytes)
{
    static const uint8_t none[1];

    return sqlite3_bind_blob64(statement, at, bytes.data ? bytes.data : none, bytes.size,
                               SQLITE_STATIC);
}

static int bind_key(sqlite3_stmt *statement, struct kv_bytes space, struct kv_bytes key)
{
    const int code = bind_bytes(statement, 1, space);

    return code == SQLITE_OK ? bind_bytes(statement, 2, key) : code;
}

static struct kv_bytes column(sqlite3_stmt *statement, int at)
{
    const uint8_t *data = sqlite3_column_blob(statement, at);

    return (struct kv_bytes){ data, (size_t) sqlite3_column_bytes(statement, at) };
}

int kv_read_entry(sqlite3_stmt *statement, int first, struct kv_entry *ret_entry)
{
    static const uint8_t empty[1];
    struct kv_entry entry = { .key = column(statement, first), .expires = KV_NEVER };
    const int64_t size = sqlite3_column_int64(statement, first + 3);

    if (sqlite3_column_type(statement, first + 1) == SQLITE_INTEGER)
        entry.expires = sqlite3_column_int64(statement, first + 1);
    entry.metadata = column(statement, first + 2);
    if (sqlite3_column_type(statement, first + 4) == SQLITE_INTEGER)
        entry.content = sqlite3_column_int64(statement, first + 4);
    else
        entry.value = column(statement, first + 5);
    if (entry.content == 0 && !entry.value.data)
        entry.value.data = empty;
    if (entry.key.size == 0 || entry.key.size > KV_KEY_MAX_BYTES || size < 0 || size > INT_MAX ||
        entry.metadata.size > KV_METADATA_MAX_BYTES ||
        (entry.content == 0 && entry.value.size != (size_t) size))
        return SQLITE_CORRUPT;
    entry.value.size = (size_t) size;
    *ret_entry = entry;
    return SQLITE_OK;
}

int kv_find(struct kv *kv, struct kv_bytes space, struct kv_bytes key, struct kv_entry *ret_entry)
{
    sqlite3_stmt *statement = kv->statements[KV_FIND];
    int code = bind_key(statement, space, key);

    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW && kv_read_entry(statement, 0, ret_entry) != SQLITE_OK)
        code = SQLITE_CORRUPT;
    if (code != SQLITE_ROW)
        (void) sqlite3_reset(statement);
    return code;
}

void kv_let_go(struct kv *kv)
{
    (void) sqlite3_reset(kv->statements[KV_FIND]);
}

/* Copies from pages to their place, without a copy in between. */
static int stream_value(struct kv *kv, const struct kv_entry *entry, uint8_t *to)
{
    sqlite3_blob *blob = NULL;
    int code = sqlite3_blob_open(kv->db, "main", "content", "value", entry->content, 0, &blob);

    if (code == SQLITE_ERROR) /* no such row, or another type */
        code = SQLITE_CORRUPT;
    if (code == SQLITE_OK && (size_t) sqlite3_blob_bytes(blob) != entry->value.size)
        code = SQLITE_CORRUPT;
    if (code == SQLITE_OK)
        code = sqlite3_blob_read(blob, to, (int) entry->value.size, 0);
    (void) sqlite3_blob_close(blob);
    return code;
}

static int read_content(struct kv *kv, const struct kv_entry *entry, uint8_t *to)
{
    sqlite3_stmt *statement = kv->statements[KV_CONTENT_FIND];
    int code = sqlite3_bind_int64(statement, 1, entry->content);

    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        const struct kv_bytes bytes = column(statement, 0);
        code = bytes.size == entry->value.size ? SQLITE_OK : SQLITE_CORRUPT;
        if (code == SQLITE_OK)
            memcpy(to, bytes.data, bytes.size);
    }
    (void) sqlite3_reset(statement);
    return code == SQLITE_DONE ? SQLITE_CORRUPT : code;
}

int kv_read_value(struct kv *kv, const struct kv_entry *entry, uint8_t *to)
{
    if (entry->content == 0) {
        memcpy(to, entry->value.data, entry->value.size);
        return SQLITE_OK;
    }
    return entry->value.size >= STREAMED_MIN_BYTES ? stream_value(kv, entry, to)
                                                   : read_content(kv, entry, to);
}

/* ---- writing */

/* Writes a value over the zeros that its row has. */
static int fill_content(struct kv *kv, int64_t content, struct kv_bytes value)
{
    sqlite3_blob *blob = NULL;
    int code = sqlite3_blob_open(kv->db, "main", "content", "value", content, 1, &blob);

    if (code == SQLITE_OK)
        code = sqlite3_blob_write(blob, value.data, (int) value.size, 0);
    const int closed = sqlite3_blob_close(blob);
    return code == SQLITE_OK ? closed : code;
}

/* An insert copies the whole value into the heap, which all connections share; so a large one goes into its pages piece by piece. */
static int put_content(struct kv *kv, struct kv_bytes value, int64_t *ret_content)
{
    sqlite3_stmt *statement = kv->statements[KV_CONTENT_PUT];
    const bool is_filled = value.size >= FILLED_MIN_BYTES;
    int code = is_filled ? sqlite3_bind_zeroblob64(statement, 1, value.size)
                         : bind_bytes(statement, 1, value);

    if (code == SQLITE_OK)
        code = database_run(statement);
    (void) sqlite3_clear_bindings(statement);
    *ret_content = sqlite3_last_insert_rowid(kv->db);
    return code == SQLITE_OK && is_filled ? fill_content(kv, *ret_content, value) : code;
}

static int remove_content(struct kv *kv, int64_t content)
{
    sqlite3_stmt *statement = kv->statements[KV_CONTENT_DELETE];
    const int code = sqlite3_bind_int64(statement, 1, content);

    return code == SQLITE_OK ? database_run(statement) : code;
}

static int put_row(struct kv *kv, struct kv_bytes space, const struct kv_entry *entry,
                   int64_t content)
{
    sqlite3_stmt *statement = kv->statements[KV_PUT];
    int code = bind_key(statement, space, entry->key);

    if (code == SQLITE_OK)
        code = entry->expires == KV_NEVER ? sqlite3_bind_null(statement, 3)
                                          : sqlite3_bind_int64(statement, 3, entry->expires);
    if (code == SQLITE_OK)
        code = entry->metadata.data ? bind_bytes(statement, 4, entry->metadata)
                                    : sqlite3_bind_null(statement, 4);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int64(statement, 5, (int64_t) entry->value.size);
    if (code == SQLITE_OK)
        code =
            content ? sqlite3_bind_int64(statement, 6, content) : sqlite3_bind_null(statement, 6);
    if (code == SQLITE_OK)
        code = content ? sqlite3_bind_null(statement, 7) : bind_bytes(statement, 7, entry->value);
    if (code == SQLITE_OK)
        code = database_run(statement);
    (void) sqlite3_clear_bindings(statement);
    return code;
}

/* Removes the large value that a key has, if any, and uncounts the entry. The row itself stays. */
static int release(struct kv *kv, struct kv_bytes space, struct kv_bytes key, bool *ret_is_there)
{
    struct kv_entry entry;
    int code = kv_find(kv, space, key, &entry);

    *ret_is_there = code == SQLITE_ROW;
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? SQLITE_OK : code;
    code = count(kv, -kv_cost(&entry), -1);
    kv_let_go(kv);
    if (code == SQLITE_OK && entry.content)
        code = remove_content(kv, entry.content);
    return code;
}

int kv_put(struct kv *kv, struct kv_bytes space, const struct kv_entry *entry)
{
    int64_t content = 0;
    bool is_there;
    int code = release(kv, space, entry->key, &is_there);

    if (code == SQLITE_OK && entry->value.size > INLINE_MAX_BYTES)
        code = put_content(kv, entry->value, &content);
    if (code == SQLITE_OK)
        code = put_row(kv, space, entry, content);
    return code == SQLITE_OK ? count(kv, kv_cost(entry), 1) : code;
}

int kv_remove(struct kv *kv, struct kv_bytes space, struct kv_bytes key)
{
    sqlite3_stmt *statement = kv->statements[KV_DELETE];
    bool is_there;
    int code = release(kv, space, key, &is_there);

    if (code != SQLITE_OK || !is_there)
        return code;
    code = bind_key(statement, space, key);
    return code == SQLITE_OK ? database_run(statement) : code;
}

/* ---- expiration and quotas */

void kv_remember(struct kv_keys *keys, struct kv_bytes space, struct kv_bytes key)
{
    if (keys->n == KV_SWEEP_MAX || space.size > KV_SPACE_MAX_BYTES || key.size > KV_KEY_MAX_BYTES)
        return;
    memcpy(keys->keys[keys->n].space, space.data, space.size);
    memcpy(keys->keys[keys->n].key, key.data, key.size);
    keys->keys[keys->n].space_size = space.size;
    keys->keys[keys->n].key_size = key.size;
    keys->n++;
}

int kv_remove_all(struct kv *kv, const struct kv_keys *keys)
{
    int code = SQLITE_OK;

    for (size_t i = 0; code == SQLITE_OK && i < keys->n; i++)
        code = kv_remove(kv, (struct kv_bytes){ keys->keys[i].space, keys->keys[i].space_size },
                         (struct kv_bytes){ keys->keys[i].key, keys->keys[i].key_size });
    return code;
}

int kv_sweep(struct kv *kv, int64_t now, size_t *ret_n)
{
    sqlite3_stmt *statement = kv->statements[KV_EXPIRED];
    _uninitialized_ struct kv_keys keys;
    int code = sqlite3_bind_int64(statement, 1, now);

    keys.n = 0;
    if (code == SQLITE_OK)
        code = sqlite3_bind_int(statement, 2, KV_SWEEP_MAX);
    while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        kv_remember(&keys, column(statement, 0), column(statement, 1));
        code = SQLITE_OK;
    }
    (void) sqlite3_reset(statement);
    if (code == SQLITE_DONE)
        code = kv_remove_all(kv, &keys);
    if (ret_n)
        *ret_n = keys.n;
    return code;
}

static bool is_over(int64_t n, uint32_t quota, int64_t unit)
{
    return quota != UINT32_MAX && n > (int64_t) quota * unit;
}

int kv_make_room(struct kv *kv, struct data_operation *operation, struct kv_bytes space,
                 const struct kv_entry *entry, bool *ret_fits)
{
    const struct data_limits *limits = &operation->limits;
    struct kv_entry old;
    size_t swept = KV_SWEEP_MAX;

    *ret_fits = false;
    for (unsigned sweeps = 0;; sweeps++) {
        int code = kv_find(kv, space, entry->key, &old);
        const bool is_there = code == SQLITE_ROW;
        if (is_there)
            kv_let_go(kv);
        else if (code != SQLITE_DONE)
            return code;
        const int64_t more = kv_cost(entry) - (is_there ? kv_cost(&old) : 0);
        const bool has_more_keys = !is_there && is_over(kv->keys + 1, limits->kv_keys, 1);
        const bool has_more_bytes = more > 0 && is_over(kv->bytes + more, limits->kv_mib, MIB);
        *ret_fits = !has_more_keys && !has_more_bytes;
        if (*ret_fits)
            return SQLITE_OK;
        if (swept < KV_SWEEP_MAX || sweeps == SWEEPS_FOR_ROOM) {
            data_fail(operation, 507, "over the quota: %s is %u",
                      has_more_keys ? "kv_keys" : "kv_mib",
                      has_more_keys ? limits->kv_keys : limits->kv_mib);
            return SQLITE_OK;
        }
        code = kv_sweep(kv, kv_now(operation), &swept);
        if (code != SQLITE_OK)
            return code;
    }
}
