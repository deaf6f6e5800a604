/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "data/database.h"

#define FOLDER_BYTES 64
#define PATHS 4
#define SIZE_BYTES 4
#define ANSWER_MAX_BYTES ((size_t) 64 << 20)

static char folder[FOLDER_BYTES];

int rig_setup(void **state)
{
    static bool is_started;

    (void) state;
    (void) snprintf(folder, sizeof folder, "/tmp/skep-data-XXXXXX");
    if (!is_started && database_start() < 0)
        return -1;
    is_started = true;
    return mkdtemp(folder) ? 0 : -1;
}

void rig_remove(const char *name)
{
    _cleanup_dir_ DIR *dir = opendir(folder);
    char path[FOLDER_BYTES + 300];

    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, name, strlen(name)) != 0)
            continue;
        (void) snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        assert_int_equal(remove(path), 0);
    }
}

unsigned rig_count_files(const char *name)
{
    _cleanup_dir_ DIR *dir = opendir(folder);
    unsigned n = 0;

    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.' && strncmp(entry->d_name, name, strlen(name)) == 0;
    return n;
}

int rig_teardown(void **state)
{
    (void) state;
    rig_remove("");
    return rmdir(folder);
}

const char *rig_path(const char *name)
{
    static char paths[PATHS][FOLDER_BYTES + 128];
    static unsigned n;
    char *path = paths[n++ % PATHS];

    (void) snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* ---- requests */

static uint8_t *extend(struct call *call, size_t size)
{
    if (call->size + size > call->room) {
        call->room = (call->size + size) * 2;
        call->body = realloc(call->body, call->room);
        assert_non_null(call->body);
    }
    call->size += size;
    return call->body + call->size - size;
}

void call_init(struct call *call, const char *name)
{
    *call = (struct call){
        .operation = {
            .name = name,
            .space = "main",
            .limits = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX,
                        UINT32_MAX },
            .now_ms = RIG_NOW_MS,
            .deadline_ns = io_now_ns() + 60 * NSEC_PER_SEC,
            .answer.most = ANSWER_MAX_BYTES,
        },
    };
    memset(extend(call, SIZE_BYTES), 0, SIZE_BYTES);
}

void call_done(struct call *call)
{
    data_answer_done(&call->operation.answer);
    free(call->body);
    *call = (struct call){ .size = 0 };
}

void call_add(struct call *call, enum value_kind kind, const void *data, size_t size)
{
    (void) values_put_bytes(extend(call, values_put_bytes(NULL, kind, data, size)), kind, data,
                            size);
}

void call_text(struct call *call, const char *text)
{
    call_add(call, VALUE_TEXT, text, strlen(text));
}

void call_statement(struct call *call, const char *text)
{
    call_add(call, VALUE_STATEMENT, text, strlen(text));
}

void call_integer(struct call *call, int64_t integer)
{
    (void) values_put_integer(extend(call, values_put_integer(NULL, 0)), integer);
}

void call_real(struct call *call, double real)
{
    (void) values_put_real(extend(call, values_put_real(NULL, 0)), real);
}

void call_null(struct call *call)
{
    (void) values_put_null(extend(call, values_put_null(NULL)));
}

static void set_size(struct call *call)
{
    const uint32_t size = (uint32_t) (call->size - SIZE_BYTES);

    if (!call->has_rest)
        memcpy(call->body, &size, SIZE_BYTES);
}

void call_rest(struct call *call, const void *data, size_t size)
{
    set_size(call);
    call->has_rest = true;
    if (size > 0)
        memcpy(extend(call, size), data, size);
}

struct data_operation *call_ready(struct call *call)
{
    set_size(call);
    call->operation.request = call->body;
    call->operation.request_size = call->size;
    return &call->operation;
}

unsigned call_kv(struct call *call, struct kv *kv)
{
    struct data_operation *operation = call_ready(call);

    assert_int_equal(kv_run(kv, &operation, 1), 0);
    return operation->status;
}

unsigned call_sql(struct call *call, struct sql *sql)
{
    assert_int_equal(sql_run(sql, call_ready(call)), 0);
    return call->operation.status;
}

/* ---- answers */

static uint32_t values_size(const struct call *call)
{
    const struct data_answer *answer = &call->operation.answer;
    uint32_t size;

    assert_true(answer->size >= SIZE_BYTES);
    memcpy(&size, answer->data, SIZE_BYTES);
    assert_true(size <= answer->size - SIZE_BYTES);
    return size;
}

struct values call_values(const struct call *call)
{
    return values_open(call->operation.answer.data + SIZE_BYTES, values_size(call));
}

const uint8_t *call_answer_rest(const struct call *call, size_t *ret_size)
{
    const size_t before = SIZE_BYTES + values_size(call);

    *ret_size = call->operation.answer.size - before;
    return call->operation.answer.data + before;
}

const char *call_answer_text(struct call *call)
{
    struct data_answer *answer = &call->operation.answer;
    const size_t before = call->operation.status == 200 ? SIZE_BYTES + values_size(call) : 0;
    uint8_t *end = data_answer_reserve(answer, 1);

    assert_non_null(end);
    *end = '\0';
    answer->size--;
    return (const char *) answer->data + before;
}

/* ---- in one */

struct kv *rig_open_kv(const char *name)
{
    char notice[512];
    struct kv *kv = NULL;

    assert_int_equal(kv_open(rig_path(name), &kv, notice), 0);
    return kv;
}

struct sql *rig_open_sql(const char *name)
{
    char notice[512];
    struct sql *sql = NULL;

    assert_int_equal(sql_open(rig_path(name), &sql, notice), 0);
    return sql;
}

unsigned rig_query(struct sql *sql, const char *statement, char *text, size_t room)
{
    struct call call;

    call_init(&call, "query");
    call_statement(&call, statement);
    const unsigned status = call_sql(&call, sql);
    (void) snprintf(text, room, "%s", call_answer_text(&call));
    call_done(&call);
    return status;
}

unsigned rig_put(struct kv *kv, const char *key, const void *data, size_t size)
{
    struct call call;

    call_init(&call, "put");
    call_text(&call, key);
    call_null(&call);
    call_null(&call);
    call_rest(&call, data, size);
    const unsigned status = call_kv(&call, kv);
    call_done(&call);
    return status;
}

unsigned rig_get_size(struct kv *kv, const char *key, size_t *ret_size)
{
    struct call call;

    call_init(&call, "get");
    call_text(&call, key);
    const unsigned status = call_kv(&call, kv);
    if (status == 200)
        (void) call_answer_rest(&call, ret_size);
    call_done(&call);
    return status;
}
