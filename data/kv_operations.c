/* SPDX-License-Identifier: Apache-2.0 */
/* Key-value operations on single keys, and the parts of answers that all operations share. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "data/kv_internal.h"

#define SIZE_BYTES 4
#define VALUES_MAX_BYTES (1U << 20)
#define MIB ((size_t) 1 << 20)
/* Time that a put may be under way until its expiration is compared with the clock. */
#define TTL_LATE_S 10

/* ---- answers */

int64_t kv_now(const struct data_operation *operation)
{
    return operation->now_ms / 1000;
}

struct kv_bytes kv_space(const struct data_operation *operation)
{
    return (struct kv_bytes){ (const uint8_t *) operation->space, strlen(operation->space) };
}

int kv_answer_begin(struct data_operation *operation)
{
    return data_answer_reserve(&operation->answer, SIZE_BYTES) ? 0 : -errno;
}

void kv_answer_end(struct data_operation *operation, size_t values)
{
    const uint32_t size = htole32((uint32_t) values);

    memcpy(operation->answer.data, &size, SIZE_BYTES);
}

int kv_add_null(struct data_operation *operation)
{
    uint8_t *to = data_answer_reserve(&operation->answer, values_put_null(NULL));

    if (!to)
        return -errno;
    (void) values_put_null(to);
    return 0;
}

int kv_add_integer(struct data_operation *operation, int64_t integer)
{
    uint8_t *to = data_answer_reserve(&operation->answer, values_put_integer(NULL, integer));

    if (!to)
        return -errno;
    (void) values_put_integer(to, integer);
    return 0;
}

int kv_add_bytes(struct data_operation *operation, enum value_kind kind, struct kv_bytes bytes)
{
    uint8_t *to =
        data_answer_reserve(&operation->answer, values_put_bytes(NULL, kind, NULL, bytes.size));

    if (!to)
        return -errno;
    (void) values_put_bytes(to, kind, bytes.data, bytes.size);
    return 0;
}

int kv_add_metadata(struct data_operation *operation, const struct kv_entry *entry)
{
    return entry->metadata.data ? kv_add_bytes(operation, VALUE_TEXT, entry->metadata)
                                : kv_add_null(operation);
}

int kv_add_expiration(struct data_operation *operation, const struct kv_entry *entry)
{
    return entry->expires == KV_NEVER ? kv_add_null(operation)
                                      : kv_add_integer(operation, entry->expires);
}

int kv_fail_answer(struct data_operation *operation, int error)
{
    if (error == -EPROTO)
        data_fail(operation, 400, "the arguments are not those of %s", operation->name);
    else if (error == -EFBIG)
        data_fail(operation, 413, "the answer is over its limit");
    else
        data_fail(operation, 503, "out of memory");
    return SQLITE_OK;
}

/* ---- arguments */

bool kv_check_key(struct data_operation *operation, struct kv_bytes key)
{
    const bool is_dots =
        (key.size == 1 && key.data[0] == '.') || (key.size == 2 && memcmp(key.data, "..", 2) == 0);

    if (key.size > KV_KEY_MAX_BYTES)
        data_fail(operation, 413, "a key has %zu bytes: at most %u", key.size, KV_KEY_MAX_BYTES);
    else if (key.size == 0)
        data_fail(operation, 400, "a key is empty");
    else if (is_dots)
        data_fail(operation, 400, "a key is neither \".\" nor \"..\"");
    return operation->status == 200;
}

/* Reads the next value, which is a key. Returns false if it is none; then the operation has failed. */
static bool take_key(struct data_operation *operation, struct values *values,
                     struct kv_bytes *ret_key)
{
    struct value value;

    if (values_take(values, VALUE_TEXT, false, &value) < 0) {
        (void) kv_fail_answer(operation, -EPROTO);
        return false;
    }
    *ret_key = (struct kv_bytes){ value.data, value.size };
    return kv_check_key(operation, *ret_key);
}

static bool is_end(struct data_operation *operation, struct values values)
{
    if (values.at != values.end)
        (void) kv_fail_answer(operation, -EPROTO);
    return values.at == values.end;
}

static int answer_none(struct data_operation *operation)
{
    const int r = kv_answer_begin(operation);

    if (r < 0)
        return kv_fail_answer(operation, r);
    kv_answer_end(operation, 0);
    return SQLITE_OK;
}

/* ---- reading */

/* Finds an entry that has not expired; removes one that has. As kv_find. */
static int find_live(struct kv *kv, struct data_operation *operation, struct kv_bytes key,
                     struct kv_entry *ret_entry)
{
    int code = kv_find(kv, kv_space(operation), key, ret_entry);

    if (code != SQLITE_ROW || ret_entry->expires > kv_now(operation))
        return code;
    kv_let_go(kv);
    if (kv->may_forget)
        code = kv_remove(kv, kv_space(operation), key);
    else
        code = SQLITE_OK;
    return code == SQLITE_OK ? SQLITE_DONE : code;
}

/* Adds the head and the value of get. 0 or -errno; ret_to is the value's place. */
static int answer_get(struct data_operation *operation, const struct kv_entry *entry,
                      uint8_t **ret_to)
{
    int r = kv_answer_begin(operation);

    if (r == 0)
        r = kv_add_integer(operation, (int64_t) entry->value.size);
    if (r == 0)
        r = kv_add_metadata(operation, entry);
    if (r == 0)
        r = kv_add_expiration(operation, entry);
    if (r < 0)
        return r;
    kv_answer_end(operation, operation->answer.size - SIZE_BYTES);
    *ret_to = data_answer_reserve(&operation->answer, entry->value.size);
    return *ret_to ? 0 : -errno;
}

static int get(struct kv *kv, struct data_operation *operation, struct values values,
               struct kv_bytes rest)
{
    struct kv_bytes key;
    struct kv_entry entry;
    uint8_t *to = NULL;

    (void) rest;
    if (!take_key(operation, &values, &key) || !is_end(operation, values))
        return SQLITE_OK;
    int code = find_live(kv, operation, key, &entry);
    if (code == SQLITE_DONE) {
        data_fail(operation, 404, "there is no such key");
        return SQLITE_OK;
    }
    if (code != SQLITE_ROW)
        return code;
    const int r = answer_get(operation, &entry, &to);
    code = r < 0 ? kv_fail_answer(operation, r) : kv_read_value(kv, &entry, to);
    kv_let_go(kv);
    return code;
}

/* Adds b value, metadata and expiration. */
static int add_found(struct kv *kv, struct data_operation *operation, const struct kv_entry *entry)
{
    const size_t head = values_put_bytes(NULL, VALUE_BYTES, NULL, 0);
    const uint32_t size = htole32((uint32_t) entry->value.size);
    uint8_t *to = data_answer_reserve(&operation->answer, head + entry->value.size);

    if (!to)
        return kv_fail_answer(operation, -errno);
    to[0] = VALUE_BYTES;
    memcpy(to + 1, &size, sizeof size);
    const int code = kv_read_value(kv, entry, to + head);
    int r = kv_add_metadata(operation, entry);
    if (r == 0)
        r = kv_add_expiration(operation, entry);
    if (code == SQLITE_OK && r < 0)
        return kv_fail_answer(operation, r);
    return code;
}

static int add_one(struct kv *kv, struct data_operation *operation, struct kv_bytes key)
{
    struct kv_entry entry;
    int code = find_live(kv, operation, key, &entry);

    if (code == SQLITE_ROW) {
        code = add_found(kv, operation, &entry);
        kv_let_go(kv);
        return code;
    }
    if (code != SQLITE_DONE)
        return code;
    const int r = kv_add_null(operation);
    return r < 0 ? kv_fail_answer(operation, r) : SQLITE_OK;
}

static int get_many(struct kv *kv, struct data_operation *operation, struct values values,
                    struct kv_bytes rest)
{
    struct kv_bytes key;
    unsigned n = 0;
    int code = SQLITE_OK;
    const int r = kv_answer_begin(operation);

    (void) rest;
    if (r < 0)
        return kv_fail_answer(operation, r);
    while (code == SQLITE_OK && operation->status == 200 && values.at != values.end) {
        if (!take_key(operation, &values, &key))
            return SQLITE_OK;
        if (++n > KV_GET_MANY_MAX) {
            data_fail(operation, 400, "get-many takes at most %u keys", KV_GET_MANY_MAX);
            return SQLITE_OK;
        }
        code = add_one(kv, operation, key);
    }
    if (operation->status == 200 && n == 0)
        return kv_fail_answer(operation, -EPROTO);
    if (operation->status == 200)
        kv_answer_end(operation, operation->answer.size - SIZE_BYTES);
    return code;
}

/* ---- writing */

/* Reads key, expiration and metadata of a put. Returns false if the operation has failed by them. */
static bool take_entry(struct data_operation *operation, struct values *values,
                       struct kv_bytes rest, struct kv_entry *ret_entry)
{
    struct kv_entry entry = { .expires = KV_NEVER, .value = rest };
    struct value expires, metadata;

    if (!take_key(operation, values, &entry.key))
        return false;
    if (values_take(values, VALUE_INTEGER, true, &expires) < 0 ||
        values_take(values, VALUE_TEXT, true, &metadata) < 0) {
        (void) kv_fail_answer(operation, -EPROTO);
        return false;
    }
    if (expires.kind == VALUE_INTEGER)
        entry.expires = expires.integer;
    if (metadata.kind == VALUE_TEXT)
        entry.metadata = (struct kv_bytes){ metadata.data, metadata.size };
    *ret_entry = entry;
    return is_end(operation, *values);
}

static bool check_entry(struct data_operation *operation, const struct kv_entry *entry)
{
    const uint32_t most = operation->limits.kv_value_mib;

    if (entry->metadata.size > KV_METADATA_MAX_BYTES)
        data_fail(operation, 413, "the metadata has %zu bytes: at most %u", entry->metadata.size,
                  KV_METADATA_MAX_BYTES);
    else if (entry->value.size > INT32_MAX ||
             (most != UINT32_MAX && entry->value.size > most * MIB))
        data_fail(operation, 413, "the value has %zu bytes: kv_value_mib is %u", entry->value.size,
                  most);
    else if (entry->expires < kv_now(operation) + KV_TTL_LEAST_S - TTL_LATE_S)
        data_fail(operation, 400, "the expiration is less than %u seconds ahead", KV_TTL_LEAST_S);
    return operation->status == 200;
}

static int put(struct kv *kv, struct data_operation *operation, struct values values,
               struct kv_bytes rest)
{
    struct kv_entry entry;
    bool fits = false;

    if (!take_entry(operation, &values, rest, &entry) || !check_entry(operation, &entry))
        return SQLITE_OK;
    int code = kv_make_room(kv, operation, kv_space(operation), &entry, &fits);
    if (code == SQLITE_OK && fits)
        code = kv_put(kv, kv_space(operation), &entry);
    return code == SQLITE_OK && fits ? answer_none(operation) : code;
}

static int delete (struct kv *kv, struct data_operation *operation, struct values values,
                   struct kv_bytes rest)
{
    struct kv_bytes key;

    (void) rest;
    if (!take_key(operation, &values, &key) || !is_end(operation, values))
        return SQLITE_OK;
    const int code = kv_remove(kv, kv_space(operation), key);
    return code == SQLITE_OK ? answer_none(operation) : code;
}

/* ---- all */

static const struct kv_verb verbs[] = {
    { "get", get, .is_read = true },
    { "get-many", get_many, .is_read = true },
    { "put", put, .is_read = false },
    { "delete", delete, .is_read = false },
    { "list", kv_list, .is_read = true },
    { "export", kv_export, .is_read = true, .is_operators = true },
    { "databases", kv_databases, .is_read = true, .is_operators = true },
    { "import", kv_import, .is_alone = true, .is_operators = true },
};

const struct kv_verb *kv_verb_find(const struct data_operation *operation)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].name, operation->name) == 0 &&
            (!verbs[i].is_operators || operation->is_operator))
            return &verbs[i];
    return NULL;
}

int kv_run_one(struct kv *kv, const struct kv_verb *verb, struct data_operation *operation)
{
    const uint8_t *request = operation->request;
    uint32_t size;

    if (operation->request_size < SIZE_BYTES)
        return kv_fail_answer(operation, -EPROTO);
    memcpy(&size, request, SIZE_BYTES);
    size = le32toh(size);
    if (size > VALUES_MAX_BYTES || size > operation->request_size - SIZE_BYTES)
        return kv_fail_answer(operation, -EPROTO);
    request += SIZE_BYTES;
    return verb->run(
        kv, operation, values_open(request, size),
        (struct kv_bytes){ request + size, operation->request_size - SIZE_BYTES - size });
}
