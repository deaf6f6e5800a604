/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of the key-value engine: entries of the file (kv_entries.c), operations on them (kv_operations.c, kv_list.c, kv_copy.c) and their
 * transactions (kv.c). Functions return SQLite's codes, SQLITE_OK also where the operation has failed with a status of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/database.h"
#include "data/engine.h"
#include "data/kv.h"
#include "proto/values.h"

enum kv_statement {
    KV_BEGIN,
    KV_COMMIT,
    KV_ROLLBACK,
    KV_FIND,
    KV_PUT,
    KV_DELETE,
    KV_CONTENT_FIND,
    KV_CONTENT_PUT,
    KV_CONTENT_DELETE,
    KV_LIST,
    KV_EXPIRED,
    KV_EXPORT,
    KV_TOTAL_FIND,
    KV_TOTAL_PUT,
    KV_STATEMENTS
};

struct kv {
    sqlite3 *db;
    sqlite3_stmt *statements[KV_STATEMENTS];
    int64_t bytes, keys;   /* sums over all entries, as of the open transaction */
    bool is_written;       /* the open transaction has changed something */
    bool is_total_changed; /* bytes or keys are to be written */
    bool may_forget;       /* reads remove the expired entries that they find */
};

struct kv_bytes {
    const uint8_t *data;
    size_t size;
};

struct kv_entry {
    struct kv_bytes key, metadata; /* metadata.data NULL: none */
    int64_t expires;               /* seconds since 1970, INT64_MAX: never */
    int64_t content;               /* row of a large value, 0: the value is inline */
    struct kv_bytes value;         /* data NULL if it is not inline; the size counts always */
};

#define KV_NEVER INT64_MAX
#define KV_SWEEP_MAX 64
#define KV_SPACE_MAX_BYTES 63

/* Keys that are copied, because their rows are to be changed. */
struct kv_keys {
    size_t n;
    struct {
        uint8_t space[KV_SPACE_MAX_BYTES], key[KV_KEY_MAX_BYTES];
        size_t space_size, key_size;
    } keys[KV_SWEEP_MAX];
};

/* ---- kv_tables.c */

/* Creates or checks the tables. */
int kv_setup(sqlite3 *db, void *owner);

/* ---- kv_entries.c */

extern const char *const kv_statements[KV_STATEMENTS];
/* Reads the sums of the file into kv. */
int kv_read_total(struct kv *kv);
/* Writes the sums if they have changed. */
int kv_write_total(struct kv *kv);

/* Reads an entry, whether it has expired or not: SQLITE_ROW, SQLITE_DONE (there is none) or an error. The entry's bytes are borrowed
 * until kv_let_go, which must follow on SQLITE_ROW. */
int kv_find(struct kv *kv, struct kv_bytes space, struct kv_bytes key, struct kv_entry *ret_entry);
void kv_let_go(struct kv *kv);
/* Reads the columns of KV_FIND, KV_LIST or KV_EXPORT from first on. SQLITE_OK, or SQLITE_CORRUPT. */
int kv_read_entry(sqlite3_stmt *statement, int first, struct kv_entry *ret_entry);
/* Copies the value of an entry to a place of its size. */
int kv_read_value(struct kv *kv, const struct kv_entry *entry, uint8_t *to);
/* Replaces or makes an entry; entry->content counts for nothing. Quotas have been checked. */
int kv_put(struct kv *kv, struct kv_bytes space, const struct kv_entry *entry);
/* Removes an entry if it is there. */
int kv_remove(struct kv *kv, struct kv_bytes space, struct kv_bytes key);
/* Returns the bytes that an entry counts for. */
int64_t kv_cost(const struct kv_entry *entry);
/* Adds a copy of a key, unless there is no room: then it stays until the next sweep. */
void kv_remember(struct kv_keys *keys, struct kv_bytes space, struct kv_bytes key);
int kv_remove_all(struct kv *kv, const struct kv_keys *keys);
/* Removes at most KV_SWEEP_MAX entries that have expired. ret_n, which may be NULL, is the number of them. */
int kv_sweep(struct kv *kv, int64_t now, size_t *ret_n);
/* Returns whether an entry fits into the quotas in place of what its key has; removes expired ones for that. Sets the operation's failure
 * if it does not. */
int kv_make_room(struct kv *kv, struct data_operation *operation, struct kv_bytes space,
                 const struct kv_entry *entry, bool *ret_fits);

/* ---- kv_operations.c */

struct kv_verb {
    const char *name;
    int (*run)(struct kv *kv, struct data_operation *operation, struct values values,
               struct kv_bytes rest);
    bool is_read;
    bool is_alone; /* in a transaction of its own */
    bool is_operators;
};

/* Returns the row of an operation's name, or NULL. */
const struct kv_verb *kv_verb_find(const struct data_operation *operation);
/* Runs one operation within the open transaction. */
int kv_run_one(struct kv *kv, const struct kv_verb *verb, struct data_operation *operation);

/* Starts an answer with room for its size of values; then ends it, after `values` bytes of them and any rest. 0 or -errno. */
int kv_answer_begin(struct data_operation *operation);
void kv_answer_end(struct data_operation *operation, size_t values);
/* Adds a value to the answer. 0, -EFBIG or -ENOMEM. */
int kv_add_null(struct data_operation *operation);
int kv_add_integer(struct data_operation *operation, int64_t integer);
int kv_add_bytes(struct data_operation *operation, enum value_kind kind, struct kv_bytes bytes);
/* Adds t metadata | n and i expiration | n, in either order. */
int kv_add_metadata(struct data_operation *operation, const struct kv_entry *entry);
int kv_add_expiration(struct data_operation *operation, const struct kv_entry *entry);
/* Makes the operation fail as an answer that could not be made. Returns SQLITE_OK. */
int kv_fail_answer(struct data_operation *operation, int error);
/* Returns whether the bytes may be a key; if not, the operation fails. */
bool kv_check_key(struct data_operation *operation, struct kv_bytes key);
/* Returns the seconds of the clock at the operation's start. */
int64_t kv_now(const struct data_operation *operation);
/* Returns the namespace's name as the files have it. */
struct kv_bytes kv_space(const struct data_operation *operation);

/* ---- kv_list.c and kv_copy.c */

int kv_list(struct kv *kv, struct data_operation *operation, struct values values,
            struct kv_bytes rest);
int kv_export(struct kv *kv, struct data_operation *operation, struct values values,
              struct kv_bytes rest);
int kv_databases(struct kv *kv, struct data_operation *operation, struct values values,
                 struct kv_bytes rest);
int kv_import(struct kv *kv, struct data_operation *operation, struct values values,
              struct kv_bytes rest);

/* Cursors are bytes in hexadecimal. Adds one as text. 0 or -errno. */
int kv_add_cursor(struct data_operation *operation, const uint8_t *data, size_t size);
/* Reads a cursor into most bytes. 0 or -EPROTO. */
int kv_read_cursor(const struct value *value, uint8_t *to, size_t most, size_t *ret_size);
