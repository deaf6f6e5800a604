/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key-value: what is put is there, in its order, until its time or a quota says otherwise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "rig.h"

#define MIB ((size_t) 1 << 20)

static void put_init(struct call *call, const char *key, int64_t expires, const char *metadata,
                     const void *data, size_t size)
{
    call_init(call, "put");
    call_text(call, key);
    if (expires)
        call_integer(call, expires);
    else
        call_null(call);
    if (metadata)
        call_text(call, metadata);
    else
        call_null(call);
    call_rest(call, data, size);
}

static unsigned put_until(struct kv *kv, const char *key, int64_t expires)
{
    struct call call;

    put_init(&call, key, expires, NULL, "x", 1);
    const unsigned status = call_kv(&call, kv);
    call_done(&call);
    return status;
}

static unsigned get_at(struct kv *kv, const char *key, int64_t now_ms)
{
    struct call call;

    call_init(&call, "get");
    call.operation.now_ms = now_ms;
    call_text(&call, key);
    const unsigned status = call_kv(&call, kv);
    call_done(&call);
    return status;
}

static unsigned delete (struct kv *kv, const char *key)
{
    struct call call;

    call_init(&call, "delete");
    call_text(&call, key);
    const unsigned status = call_kv(&call, kv);
    call_done(&call);
    return status;
}

/* ---- values */

static void check_get(struct kv *kv, const char *key, const void *data, size_t size)
{
    struct call call;
    struct value value;
    size_t got;

    call_init(&call, "get");
    call_text(&call, key);
    assert_int_equal(call_kv(&call, kv), 200);
    struct values values = call_values(&call);
    assert_int_equal(values_take(&values, VALUE_INTEGER, false, &value), 0);
    assert_int_equal(value.integer, size);
    const uint8_t *rest = call_answer_rest(&call, &got);
    assert_int_equal(got, size);
    assert_memory_equal(rest, data, size);
    call_done(&call);
}

static void test_values_of_all_sizes_come_back(void **state)
{
    static const size_t sizes[] = { 0,   1,       100,   511,      512,
                                    513, 4000,    65535, 64 << 10, (64 << 10) + 1,
                                    MIB, 25 * MIB };
    _cleanup_free_ uint8_t *data = malloc(25 * MIB);

    (void) state;
    assert_non_null(data);
    for (size_t i = 0; i < 25 * MIB; i++)
        data[i] = (uint8_t) (i * 2654435761U >> 24);
    struct kv *kv = rig_open_kv("values");
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            assert_int_equal(rig_put(kv, "key", data, sizes[i]), 200);
            check_get(kv, "key", data, sizes[i]);
        }
        kv = kv_close(kv);
        kv = rig_open_kv("values");
        check_get(kv, "key", data, 25 * MIB);
    }
    assert_int_equal(delete (kv, "key"), 200);
    assert_int_equal(get_at(kv, "key", RIG_NOW_MS), 404);
    assert_int_equal(delete (kv, "key"), 200);
    (void) kv_close(kv);
}

static void test_metadata_and_expiration_come_back(void **state)
{
    struct kv *kv = rig_open_kv("metadata");
    struct call call;
    struct value value;

    (void) state;
    put_init(&call, "key", RIG_NOW + 60, "{\"a\":1}", "x", 1);
    assert_int_equal(call_kv(&call, kv), 200);
    assert_true(call.operation.is_changed);
    call_done(&call);
    call_init(&call, "get");
    call_text(&call, "key");
    assert_int_equal(call_kv(&call, kv), 200);
    assert_false(call.operation.is_changed);
    struct values values = call_values(&call);
    assert_int_equal(values_take(&values, VALUE_INTEGER, false, &value), 0);
    assert_int_equal(values_take(&values, VALUE_TEXT, false, &value), 0);
    assert_int_equal(value.size, 7);
    assert_memory_equal(value.data, "{\"a\":1}", 7);
    assert_int_equal(values_take(&values, VALUE_INTEGER, false, &value), 0);
    assert_int_equal(value.integer, RIG_NOW + 60);
    assert_int_equal(values_next(&values, &value), 0);
    call_done(&call);
    (void) kv_close(kv);
}

static void test_get_many_has_an_answer_for_each_key(void **state)
{
    struct kv *kv = rig_open_kv("many");
    struct call call;
    struct value value;
    char key[16];

    (void) state;
    assert_int_equal(rig_put(kv, "a", "1", 1), 200);
    assert_int_equal(rig_put(kv, "b", "", 0), 200);
    call_init(&call, "get-many");
    call_text(&call, "b");
    call_text(&call, "none");
    call_text(&call, "a");
    assert_int_equal(call_kv(&call, kv), 200);
    struct values values = call_values(&call);
    static const char kinds[] = "bnnnbnn";
    for (const char *kind = kinds; *kind; kind++) {
        assert_int_equal(values_next(&values, &value), 1);
        assert_int_equal(value.kind, *kind);
    }
    assert_int_equal(values_next(&values, &value), 0);
    call_done(&call);
    for (unsigned n = 99; n <= 101; n++) {
        call_init(&call, "get-many");
        for (unsigned i = 0; i < n; i++) {
            (void) snprintf(key, sizeof key, "%u", i);
            call_text(&call, key);
        }
        assert_int_equal(call_kv(&call, kv), n <= KV_GET_MANY_MAX ? 200 : 400);
        call_done(&call);
    }
    (void) kv_close(kv);
}

/* ---- bad arguments */

static void test_keys_out_of_bounds_are_refused(void **state)
{
    struct kv *kv = rig_open_kv("keys");
    char key[KV_KEY_MAX_BYTES + 2];

    (void) state;
    memset(key, 'k', sizeof key);
    key[KV_KEY_MAX_BYTES + 1] = '\0';
    assert_int_equal(rig_put(kv, key, "x", 1), 413);
    key[KV_KEY_MAX_BYTES] = '\0';
    assert_int_equal(rig_put(kv, key, "x", 1), 200);
    check_get(kv, key, "x", 1);
    assert_int_equal(rig_put(kv, "", "x", 1), 400);
    assert_int_equal(rig_put(kv, ".", "x", 1), 400);
    assert_int_equal(rig_put(kv, "..", "x", 1), 400);
    assert_int_equal(rig_put(kv, "...", "x", 1), 200);
    (void) kv_close(kv);
}

static void test_puts_out_of_bounds_are_refused(void **state)
{
    struct kv *kv = rig_open_kv("puts");
    _cleanup_free_ char *large = calloc(1, 2 * MIB);
    struct call call;

    (void) state;
    assert_int_equal(put_until(kv, "key", RIG_NOW + 49), 400);
    assert_int_equal(put_until(kv, "key", -1), 400);
    assert_int_equal(put_until(kv, "key", INT64_MIN), 400);
    assert_int_equal(put_until(kv, "key", RIG_NOW + 60), 200);
    memset(large, 'm', KV_METADATA_MAX_BYTES + 1);
    put_init(&call, "key", 0, large, "x", 1);
    assert_int_equal(call_kv(&call, kv), 413);
    call_done(&call);
    put_init(&call, "key", 0, NULL, large, MIB + 1);
    call.operation.limits.kv_value_mib = 1;
    assert_int_equal(call_kv(&call, kv), 413);
    call_done(&call);
    put_init(&call, "key", 0, NULL, large, MIB);
    call.operation.limits.kv_value_mib = 1;
    assert_int_equal(call_kv(&call, kv), 200);
    call_done(&call);
    (void) kv_close(kv);
}

static void test_bodies_that_are_no_arguments_are_refused(void **state)
{
    static const char *const names[] = { "get",  "get-many", "put",    "delete",
                                         "list", "export",   "import", "nothing" };
    static const struct {
        const char *data;
        size_t size;
    } bodies[] = {
        { "", 0 },
        { "\0\0\0", 3 },
        { "\1\0\0\0", 4 },
        { "\377\377\377\377", 4 },
        { "\1\0\0\0x", 5 },
        { "\5\0\0\0t\377\377\377\377", 9 },
        { "\11\0\0\0i\1\0\0\0\0\0\0\0", 13 },
        { "\2\0\0\0nn", 6 },
    };
    struct kv *kv = rig_open_kv("bodies");

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        for (size_t k = 0; k < ARRAY_LEN(bodies); k++) {
            struct call call;
            call_init(&call, names[i]);
            struct data_operation *operation = &call.operation;
            operation->is_operator = true;
            operation->request = (const uint8_t *) bodies[k].data;
            operation->request_size = bodies[k].size;
            assert_int_equal(kv_run(kv, &operation, 1), 0);
            assert_int_equal(operation->status, 400);
            call_done(&call);
        }
    (void) kv_close(kv);
}

static void test_only_the_operator_may_export_and_import(void **state)
{
    static const char *const names[] = { "export", "import" };
    struct kv *kv = rig_open_kv("operator");
    struct call call;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        call_init(&call, names[i]);
        if (i == 0)
            call_null(&call);
        assert_int_equal(call_kv(&call, kv), 400);
        call.operation.is_operator = true;
        assert_int_equal(call_kv(&call, kv), 200);
        call_done(&call);
    }
    (void) kv_close(kv);
}

/* ---- lists */

/* Lists into keys, separated by blanks; returns whether the list is complete. The cursor is both, of at least 1100 bytes. */
static bool list(struct kv *kv, const char *prefix, int64_t limit, char *cursor, char *keys)
{
    struct call call;
    struct value value;

    call_init(&call, "list");
    call_text(&call, prefix);
    call_integer(&call, limit);
    if (cursor[0])
        call_text(&call, cursor);
    else
        call_null(&call);
    assert_int_equal(call_kv(&call, kv), 200);
    struct values values = call_values(&call);
    assert_int_equal(values_take(&values, VALUE_INTEGER, false, &value), 0);
    const bool is_complete = value.integer == 1;
    assert_int_equal(values_take(&values, VALUE_TEXT, true, &value), 0);
    assert_true(is_complete == (value.kind == VALUE_NULL));
    (void) sprintf(cursor, "%.*s", (int) value.size,
                   value.kind == VALUE_NULL ? "" : (const char *) value.data);
    keys[0] = '\0';
    while (values.at != values.end) {
        assert_int_equal(values_take(&values, VALUE_TEXT, false, &value), 0);
        (void) sprintf(keys + strlen(keys), "%.*s ", (int) value.size, (const char *) value.data);
        assert_int_equal(values_take(&values, VALUE_INTEGER, true, &value), 0);
        assert_int_equal(values_take(&values, VALUE_TEXT, true, &value), 0);
    }
    call_done(&call);
    return is_complete;
}

static void test_lists_are_in_order_and_in_pages(void **state)
{
    static const char *const keys[] = {
        "b", "a:2", "a:1", "a", "a:\xff", "a:10", "\xff\xff", "a;"
    };
    struct kv *kv = rig_open_kv("list");
    char cursor[1100] = "", got[256];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        assert_int_equal(rig_put(kv, keys[i], "x", 1), 200);
    assert_true(list(kv, "", 1000, cursor, got));
    assert_string_equal(got, "a a:1 a:10 a:2 a:\xff a; b \xff\xff ");
    assert_true(list(kv, "a:", 4, cursor, got));
    assert_string_equal(got, "a:1 a:10 a:2 a:\xff ");
    assert_true(list(kv, "\xff", 4, cursor, got));
    assert_string_equal(got, "\xff\xff ");
    assert_true(list(kv, "nothing", 4, cursor, got));
    assert_string_equal(got, "");
    assert_false(list(kv, "a:", 3, cursor, got));
    assert_string_equal(got, "a:1 a:10 a:2 ");
    assert_int_equal(rig_put(kv, "a:3", "x", 1), 200);
    assert_int_equal(delete (kv, "a:2"), 200);
    assert_true(list(kv, "a:", 3, cursor, got));
    assert_string_equal(got, "a:3 a:\xff ");
    (void) kv_close(kv);
}

static void test_lists_with_bad_arguments_are_refused(void **state)
{
    static const struct {
        const char *prefix, *cursor;
        int64_t limit;
    } rows[] = {
        { "a", NULL, 0 }, { "a", NULL, 1001 }, { "a", NULL, -1 }, { "a", "6", 1 },
        { "a", "zz", 1 }, { "a", "62", 1 },    { "a", "", 1 },    { "", "6A", 1 },
    };
    struct kv *kv = rig_open_kv("lists");
    struct call call;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        call_init(&call, "list");
        call_text(&call, rows[i].prefix);
        call_integer(&call, rows[i].limit);
        if (rows[i].cursor)
            call_text(&call, rows[i].cursor);
        else
            call_null(&call);
        assert_int_equal(call_kv(&call, kv), 400);
        call_done(&call);
    }
    (void) kv_close(kv);
}

static void test_namespaces_do_not_see_each_other(void **state)
{
    struct kv *kv = rig_open_kv("spaces");
    char cursor[1100] = "", got[256];
    struct call call;

    (void) state;
    assert_int_equal(rig_put(kv, "key", "x", 1), 200);
    call_init(&call, "get");
    call.operation.space = "other";
    call_text(&call, "key");
    assert_int_equal(call_kv(&call, kv), 404);
    call_done(&call);
    put_init(&call, "another", 0, NULL, "x", 1);
    call.operation.space = "other";
    assert_int_equal(call_kv(&call, kv), 200);
    call_done(&call);
    assert_true(list(kv, "", 10, cursor, got));
    assert_string_equal(got, "key ");
    (void) kv_close(kv);
}

/* ---- expiration */

static void test_expired_keys_are_gone_whatever_the_clock_does(void **state)
{
    struct kv *kv = rig_open_kv("expired");
    char cursor[1100] = "", got[256];

    (void) state;
    assert_int_equal(put_until(kv, "a", RIG_NOW + 100), 200);
    assert_int_equal(put_until(kv, "b", RIG_NOW + 200), 200);
    assert_int_equal(get_at(kv, "a", RIG_NOW_MS + 99999), 200);
    assert_int_equal(get_at(kv, "a", RIG_NOW_MS + 100000), 404);
    assert_int_equal(get_at(kv, "a", RIG_NOW_MS), 404);
    kv = kv_close(kv);
    kv = rig_open_kv("expired");
    assert_int_equal(get_at(kv, "a", RIG_NOW_MS), 404);
    assert_true(list(kv, "", 10, cursor, got));
    assert_string_equal(got, "b ");
    (void) kv_close(kv);
}

static void test_lists_forget_what_has_expired(void **state)
{
    struct kv *kv = rig_open_kv("forget");
    char cursor[1100] = "", got[256];
    struct call call;

    (void) state;
    assert_int_equal(put_until(kv, "a", RIG_NOW + 100), 200);
    assert_int_equal(rig_put(kv, "b", "x", 1), 200);
    call_init(&call, "list");
    call.operation.now_ms = RIG_NOW_MS + 200000;
    call_text(&call, "");
    call_integer(&call, 10);
    call_null(&call);
    assert_int_equal(call_kv(&call, kv), 200);
    call_done(&call);
    assert_true(list(kv, "", 10, cursor, got));
    assert_string_equal(got, "b ");
    (void) kv_close(kv);
}

/* ---- quotas */

static unsigned put_within(struct kv *kv, const char *key, size_t size, uint32_t mib, uint32_t keys,
                           int64_t now_ms, int64_t expires)
{
    _cleanup_free_ char *data = calloc(1, size + 1);
    struct call call;

    put_init(&call, key, expires, NULL, data, size);
    call.operation.now_ms = now_ms;
    call.operation.limits.kv_mib = mib;
    call.operation.limits.kv_keys = keys;
    const unsigned status = call_kv(&call, kv);
    call_done(&call);
    return status;
}

static void test_bytes_are_counted_exactly(void **state)
{
    struct kv *kv = rig_open_kv("bytes");

    (void) state;
    /* One byte of key each. */
    assert_int_equal(put_within(kv, "a", MIB - 1, 1, 10, RIG_NOW_MS, 0), 200);
    assert_int_equal(put_within(kv, "b", 0, 1, 10, RIG_NOW_MS, 0), 507);
    assert_int_equal(put_within(kv, "a", MIB, 1, 10, RIG_NOW_MS, 0), 507);
    assert_int_equal(put_within(kv, "a", MIB - 2, 1, 10, RIG_NOW_MS, 0), 200);
    assert_int_equal(put_within(kv, "b", 1, 1, 10, RIG_NOW_MS, 0), 507);
    assert_int_equal(put_within(kv, "b", 0, 1, 10, RIG_NOW_MS, 0), 200);
    assert_int_equal(delete (kv, "b"), 200);
    assert_int_equal(delete (kv, "b"), 200);
    assert_int_equal(put_within(kv, "a", MIB - 1, 1, 10, RIG_NOW_MS, 0), 200);
    /* A quota that has become smaller refuses what adds, and nothing else. */
    assert_int_equal(put_within(kv, "a", 10, 0, 10, RIG_NOW_MS, 0), 200);
    assert_int_equal(put_within(kv, "a", 11, 0, 10, RIG_NOW_MS, 0), 507);
    (void) kv_close(kv);
}

static void test_keys_are_counted_exactly(void **state)
{
    struct kv *kv = rig_open_kv("counted");

    (void) state;
    assert_int_equal(put_within(kv, "a", 1, 1, 2, RIG_NOW_MS, 0), 200);
    assert_int_equal(put_within(kv, "b", 1, 1, 2, RIG_NOW_MS, RIG_NOW + 100), 200);
    assert_int_equal(put_within(kv, "c", 1, 1, 2, RIG_NOW_MS, 0), 507);
    assert_int_equal(put_within(kv, "a", 2, 1, 2, RIG_NOW_MS, 0), 200);
    kv = kv_close(kv);
    kv = rig_open_kv("counted");
    assert_int_equal(put_within(kv, "c", 1, 1, 2, RIG_NOW_MS, 0), 507);
    /* Expired entries make room, also for their own keys. */
    assert_int_equal(put_within(kv, "c", 1, 1, 2, RIG_NOW_MS + 200000, 0), 200);
    assert_int_equal(put_within(kv, "b", 1, 1, 2, RIG_NOW_MS + 200000, 0), 507);
    assert_int_equal(delete (kv, "a"), 200);
    assert_int_equal(put_within(kv, "b", 1, 1, 2, RIG_NOW_MS + 200000, 0), 200);
    (void) kv_close(kv);
}

static void test_many_expired_keys_make_room_at_once(void **state)
{
    struct kv *kv = rig_open_kv("sweeps");
    char key[16];

    (void) state;
    for (unsigned i = 0; i < 1000; i++) {
        (void) snprintf(key, sizeof key, "%u", i);
        assert_int_equal(put_within(kv, key, 1, 1, 1000, RIG_NOW_MS, RIG_NOW + 100), 200);
    }
    assert_int_equal(put_within(kv, "a", MIB - 1, 1, 1000, RIG_NOW_MS, 0), 507);
    assert_int_equal(put_within(kv, "a", MIB - 1, 1, 1000, RIG_NOW_MS + 200000, 0), 200);
    (void) kv_close(kv);
}

/* ---- together */

static void test_operations_together_see_those_before_them(void **state)
{
    struct kv *kv = rig_open_kv("together");
    struct call calls[6];
    struct data_operation *operations[ARRAY_LEN(calls)];
    static const unsigned expected[] = { 404, 200, 200, 507, 200, 404 };

    (void) state;
    call_init(&calls[0], "get");
    put_init(&calls[1], "a", 0, NULL, "x", 1);
    call_init(&calls[2], "get");
    put_init(&calls[3], "b", 0, NULL, "x", 1);
    calls[3].operation.limits.kv_keys = 1;
    call_init(&calls[4], "delete");
    call_init(&calls[5], "get");
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        if (i % 2 == 0 || i == 5)
            call_text(&calls[i], "a");
        operations[i] = call_ready(&calls[i]);
    }
    assert_int_equal(kv_run(kv, operations, ARRAY_LEN(calls)), 0);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        assert_int_equal(calls[i].operation.status, expected[i]);
        assert_int_equal(calls[i].operation.is_changed, i == 1 || i == 4);
        call_done(&calls[i]);
    }
    (void) kv_close(kv);
}

static void test_cancelled_operations_are_not_done(void **state)
{
    struct kv *kv = rig_open_kv("cancelled");
    struct call call;

    (void) state;
    put_init(&call, "a", 0, NULL, "x", 1);
    atomic_store(&call.operation.is_cancelled, true);
    assert_int_equal(call_kv(&call, kv), 503);
    call_done(&call);
    assert_int_equal(get_at(kv, "a", RIG_NOW_MS), 404);
    (void) kv_close(kv);
}

/* ---- copies */

/* Exports a page of at most so many bytes into call; returns whether there are more. The cursor is both. */
static bool export_most(struct kv *kv, char *cursor, size_t most, struct call *call)
{
    struct value value;

    call_init(call, "export");
    call->operation.is_operator = true;
    if (most > 0)
        call->operation.answer.most = most;
    if (cursor[0])
        call_text(call, cursor);
    else
        call_null(call);
    assert_int_equal(call_kv(call, kv), 200);
    struct values values = call_values(call);
    assert_int_equal(values_take(&values, VALUE_TEXT, true, &value), 0);
    assert_true(values.at == values.end);
    (void) sprintf(cursor, "%.*s", (int) value.size,
                   value.kind == VALUE_NULL ? "" : (const char *) value.data);
    return value.kind == VALUE_TEXT;
}

static bool export(struct kv *kv, char *cursor, struct call *call)
{
    return export_most(kv, cursor, 0, call);
}

static void import(struct kv *kv, const struct call *page, int64_t *ret_n)
{
    struct call call;
    struct value value;
    size_t size;
    const uint8_t *rest = call_answer_rest(page, &size);

    call_init(&call, "import");
    call.operation.is_operator = true;
    call_rest(&call, rest, size);
    assert_int_equal(call_kv(&call, kv), 200);
    struct values values = call_values(&call);
    assert_int_equal(values_take(&values, VALUE_INTEGER, false, &value), 0);
    *ret_n += value.integer;
    call_done(&call);
}

static void test_copies_are_complete(void **state)
{
    static const size_t sizes[] = { 10, 1000, 7 * MIB, 7 * MIB, 20 * MIB, 5 };
    struct kv *from = rig_open_kv("from"), *to = rig_open_kv("to");
    _cleanup_free_ uint8_t *data = calloc(1, 20 * MIB);
    char cursor[1300] = "", key[16];
    struct call page;
    unsigned pages = 0;
    int64_t n = 0;

    (void) state;
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        struct call call;
        (void) snprintf(key, sizeof key, "%u", i);
        put_init(&call, key, i == 1 ? RIG_NOW + 100 : 0, i == 2 ? "{}" : NULL, data, sizes[i]);
        call.operation.space = i == 5 ? "other" : "main";
        assert_int_equal(call_kv(&call, from), 200);
        call_done(&call);
    }
    for (bool has_more = true; has_more; pages++) {
        has_more = export(from, cursor, &page);
        import(to, &page, &n);
        call_done(&page);
    }
    assert_int_equal(n, ARRAY_LEN(sizes));
    assert_int_equal(pages, 3);
    for (unsigned i = 0; i < ARRAY_LEN(sizes) - 1; i++) {
        (void) snprintf(key, sizeof key, "%u", i);
        check_get(to, key, data, sizes[i]);
    }
    (void) kv_close(from);
    (void) kv_close(to);
}

/* The cursor of a long key is longer than the entry, and is at the end of a page. */
static void test_pages_have_room_for_their_cursors(void **state)
{
    struct kv *from = rig_open_kv("long"), *to = rig_open_kv("long-to");
    char cursor[1300] = "", key[KV_KEY_MAX_BYTES + 1] = "";
    struct call page;
    unsigned pages = 0;
    int64_t n = 0;

    (void) state;
    memset(key, 'k', KV_KEY_MAX_BYTES);
    for (unsigned i = 100; i < 200; i++) {
        (void) snprintf(key, sizeof key, "%u", i);
        key[3] = 'k';
        assert_int_equal(rig_put(from, key, "values", i % 7), 200);
    }
    for (bool has_more = true; has_more; pages++) {
        has_more = export_most(from, cursor, 10000, &page);
        import(to, &page, &n);
        call_done(&page);
    }
    assert_int_equal(n, 100);
    assert_true(pages > 5);
    (void) kv_close(from);
    (void) kv_close(to);
}

static void test_import_that_fails_does_nothing(void **state)
{
    struct kv *kv = rig_open_kv("imports");
    struct call entries, call;

    (void) state;
    call_init(&entries, "");
    for (unsigned i = 0; i < 2; i++) {
        call_text(&entries, "main");
        call_text(&entries, i == 0 ? "a" : "b");
        call_null(&entries);
        call_null(&entries);
        call_add(&entries, VALUE_BYTES, "x", 1);
    }
    call_init(&call, "import");
    call.operation.is_operator = true;
    call.operation.limits.kv_keys = 1;
    call_rest(&call, entries.body + 4, entries.size - 4);
    assert_int_equal(call_kv(&call, kv), 507);
    assert_int_equal(get_at(kv, "a", RIG_NOW_MS), 404);
    call.operation.limits.kv_keys = 2;
    call.size--;
    assert_int_equal(call_kv(&call, kv), 400);
    assert_int_equal(get_at(kv, "a", RIG_NOW_MS), 404);
    call.size++;
    assert_int_equal(call_kv(&call, kv), 200);
    assert_int_equal(get_at(kv, "b", RIG_NOW_MS), 200);
    call_done(&call);
    call_done(&entries);
    (void) kv_close(kv);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_all_sizes_come_back),
        cmocka_unit_test(test_metadata_and_expiration_come_back),
        cmocka_unit_test(test_get_many_has_an_answer_for_each_key),
        cmocka_unit_test(test_keys_out_of_bounds_are_refused),
        cmocka_unit_test(test_puts_out_of_bounds_are_refused),
        cmocka_unit_test(test_bodies_that_are_no_arguments_are_refused),
        cmocka_unit_test(test_only_the_operator_may_export_and_import),
        cmocka_unit_test(test_lists_are_in_order_and_in_pages),
        cmocka_unit_test(test_lists_with_bad_arguments_are_refused),
        cmocka_unit_test(test_namespaces_do_not_see_each_other),
        cmocka_unit_test(test_expired_keys_are_gone_whatever_the_clock_does),
        cmocka_unit_test(test_lists_forget_what_has_expired),
        cmocka_unit_test(test_bytes_are_counted_exactly),
        cmocka_unit_test(test_keys_are_counted_exactly),
        cmocka_unit_test(test_many_expired_keys_make_room_at_once),
        cmocka_unit_test(test_operations_together_see_those_before_them),
        cmocka_unit_test(test_cancelled_operations_are_not_done),
        cmocka_unit_test(test_copies_are_complete),
        cmocka_unit_test(test_pages_have_room_for_their_cursors),
        cmocka_unit_test(test_import_that_fails_does_nothing),
    };

    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
