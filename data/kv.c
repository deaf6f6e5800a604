/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions of the key-value engine. Operations run together as far as they go well: after an error of SQLite all of a transaction is undone
 * and each of its operations runs again in one of its own, so that each fails or not by itself.
 */
#include "data/kv_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "data/database_disk.h"

#define TRANSACTION_MAX_BYTES ((size_t) 32 << 20)

static void kv_cleanup(struct kv **kv)
{
    *kv = kv_close(*kv);
}

int kv_open(const char *path, struct kv **ret_kv, char notice[static 512])
{
    _cleanup_(kv_cleanup) struct kv *kv = calloc(1, sizeof *kv);

    if (!kv)
        return -ENOMEM;
    const int r = database_open(path, NULL, kv_setup, NULL, &kv->db, notice);
    if (r < 0)
        return r;
    const int code = database_prepare(kv->db, kv_statements, KV_STATEMENTS, kv->statements);
    if (code != SQLITE_OK)
        return database_errno(code);
    *ret_kv = TAKE_PTR(kv);
    return 0;
}

struct kv *kv_close(struct kv *kv)
{
    if (!kv)
        return NULL;
    database_finalize(kv->statements, KV_STATEMENTS);
    (void) database_close(kv->db);
    free(kv);
    return NULL;
}

static int begin(struct kv *kv)
{
    kv->is_written = false;
    const int code = database_run(kv->statements[KV_BEGIN]);
    return code == SQLITE_OK ? kv_read_total(kv) : code;
}

static void roll_back(struct kv *kv)
{
    /* An error may have ended the transaction by itself. */
    if (!sqlite3_get_autocommit(kv->db))
        (void) database_run(kv->statements[KV_ROLLBACK]);
}

/* Ends a transaction; `now` is the clock's seconds. */
static int commit(struct kv *kv, int64_t now)
{
    int code = kv->is_written ? kv_sweep(kv, now, NULL) : SQLITE_OK;

    if (code == SQLITE_OK)
        code = kv_write_total(kv);
    return code == SQLITE_OK ? database_run(kv->statements[KV_COMMIT]) : code;
}

static void start_operation(struct data_operation *operation)
{
    operation->status = 200;
    operation->answer.size = 0;
    operation->is_changed = false;
    operation->notice[0] = '\0';
}

static bool is_alone(const struct data_operation *operation)
{
    const struct kv_verb *verb = kv_verb_find(operation);

    return verb && verb->is_alone;
}

/* Runs one operation, whose transaction is open; is_changed may be said of it once that is committed. */
static int run_one(struct kv *kv, struct data_operation *operation)
{
    const struct kv_verb *verb = kv_verb_find(operation);

    start_operation(operation);
    if (atomic_load(&operation->is_cancelled)) {
        data_fail(operation, 503, "cancelled");
        return SQLITE_OK;
    }
    if (!verb) {
        data_fail(operation, 400, "there is no such operation");
        return SQLITE_OK;
    }
    const int code = kv_run_one(kv, verb, operation);
    operation->is_changed = !verb->is_read && operation->status == 200;
    return code;
}

/* Returns how many of the operations go into one transaction: up to one that wants to be alone, or to as many bytes as a WAL should hold. */
static size_t take(struct data_operation *const *operations, size_t n)
{
    size_t bytes = 0;

    if (is_alone(operations[0]))
        return 1;
    for (size_t i = 0; i < n; i++) {
        bytes += operations[i]->request_size;
        if (i > 0 && (bytes > TRANSACTION_MAX_BYTES || is_alone(operations[i])))
            return i;
    }
    return n;
}

static int run_together(struct kv *kv, struct data_operation *const *operations, size_t n)
{
    int code = begin(kv);

    for (size_t i = 0; code == SQLITE_OK && i < n; i++)
        code = run_one(kv, operations[i]);
    const bool is_refused = n == 1 && operations[0]->status >= 400 && is_alone(operations[0]);
    if (code == SQLITE_OK && !is_refused)
        code = commit(kv, kv_now(operations[0]));
    return code;
}

/* 0 or -EUCLEAN. */
static int run_part(struct kv *kv, struct data_operation *const *operations, size_t n)
{
    const bool is_last_try = n == 1 && !kv->may_forget;
    const int code = run_together(kv, operations, n);
    int r = 0;

    if (code != SQLITE_OK && is_last_try) {
        start_operation(operations[0]);
        (void) database_fail(kv->db, code, "", operations[0]);
    }
    roll_back(kv);
    if (database_is_corrupt(code))
        return -EUCLEAN;
    if (code == SQLITE_OK || is_last_try)
        return 0;
    kv->may_forget = false;
    for (size_t i = 0; i < n && r == 0; i++)
        r = run_part(kv, operations + i, 1);
    return r;
}

int kv_run(struct kv *kv, struct data_operation *const *operations, size_t n)
{
    int r = 0;

    database_disk_begin();
    for (size_t i = 0, part; i < n && r == 0; i += part) {
        part = take(operations + i, n - i);
        kv->may_forget = true;
        r = run_part(kv, operations + i, part);
    }
    /* Those before are in the file that is put aside. */
    for (size_t i = 0; i < n && r < 0; i++) {
        start_operation(operations[i]);
        data_fail(operations[i], 503, "the file is corrupt");
    }
    if (r < 0)
        database_condemn(kv->db, operations[0]->notice);
    return r;
}
