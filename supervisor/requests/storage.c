/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/storage.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "proto/frame.h"
#include "supervisor/helpers/data.h"
#include "supervisor/requests/calling.h"
#include "supervisor/requests/kinds.h"

#define STATUS_UNAVAILABLE 503
#define STORAGE_TEXT_BYTES 512
/* A first part up to here waits for what comes behind it: data sends the end of a short answer with it, and both go to the worker in one frame.
 * The credit that an operation begins with is more, so that such a part never waits for credit. */
#define FIRST_PART_MAX_BYTES (16U << 10)

static struct storages *storages_of(const struct storage *storage)
{
    return storage->parent->ledger->storages;
}

/* ---- memory */

/* Counts the bytes that are kept while the operation waits. */
static void count_kept(struct storage *storage)
{
    size_t bytes = storage->held ? evbuffer_get_length(storage->held) : 0;

    storage->parent->fetch_bytes += bytes;
    storage->parent->fetch_bytes -= storage->kept_bytes;
    storage->kept_bytes = bytes;
}

static void drop_kept(struct storage *storage)
{
    if (storage->held)
        evbuffer_free(storage->held);
    storage->held = NULL;
    count_kept(storage);
}

/* Frees an operation whose call is over. */
static void storage_free(struct storage *storage)
{
    if (storage->open)
        data_cancel(storage->open);
    drop_kept(storage);
    storages_remove(storages_of(storage), storage);
    free(storage);
}

/* Frees an operation whose call has just ended, outside of caller_cancel. */
static void leave(struct storage *storage)
{
    struct request *parent = storage->parent;

    storage_free(storage);
    ledger_count_bytes(parent);
}

/* ---- ends */

/* Ends the call with a status and a text, or breaks the answer off if it has begun; the operation is gone. */
static void answer(struct storage *storage, unsigned status, enum error_code code, const char *text,
                   size_t size)
{
    const struct call_answer head = { .status = status };

    call_count(storage->parent, code);
    if (storage->call->is_head_sent) {
        char line[STORAGE_TEXT_BYTES];
        (void) snprintf(line, sizeof line, "%.*s", (int) size, text);
        call_fail(storage->call, false, line);
    } else {
        (void) call_respond(storage->call, &head, (const uint8_t *) text, size, true);
    }
    leave(storage);
}

static void refuse(struct storage *storage, enum error_code code, const char *text)
{
    answer(storage, code == ERROR_BAD_REQUEST ? 400 : STATUS_UNAVAILABLE, code, text, strlen(text));
}

static bool refuse_for_room(struct storage *storage)
{
    if (!call_is_short(storage->parent))
        return false;
    refuse(storage, ERROR_OVERLOADED, "overloaded: skepd has no room for the answer");
    return true;
}

/* Ends the operation if the call is over, with the answer or (r) without; otherwise counts what waits of the answer. */
static void after_part(struct storage *storage, int r, bool end)
{
    if (r < 0 || end)
        leave(storage);
    else if (call_waiting(storage->call) > 0)
        ledger_count_bytes(storage->parent);
}

/* ---- the answer, from data */

/* Returns the window, as window_of in fetch.c. */
static uint32_t window_of(const struct storage *storage)
{
    bool is_tight = http_front_pressure(storage->parent->ledger->front) > 0;

    return is_tight ? 2 * BODY_GRANT_STEP_BYTES : BODY_WINDOW_BYTES;
}

static void give_credit(struct storage *storage)
{
    size_t used = call_queued(storage->call) + storage->credit;
    uint32_t window = window_of(storage);

    if (!storage->open || used + BODY_GRANT_STEP_BYTES / 2 > window)
        return;
    uint32_t bytes = window - (uint32_t) used;
    storage->credit += bytes;
    data_give_credit(storage->open, bytes);
}

static void on_head(void *owner, unsigned status)
{
    struct storage *storage = owner;

    storage->status = status;
}

static int keep(struct storage *storage, const uint8_t *data, size_t size)
{
    if (!storage->held && !(storage->held = evbuffer_new()))
        return -ENOMEM;
    int r = size > 0 && evbuffer_add(storage->held, data, size) < 0 ? -ENOMEM : 0;
    count_kept(storage);
    return r;
}

/* Sends a part of the answer, with the head if it is the first. Returns whether the operation goes on. */
static bool pass_part(struct storage *storage, const uint8_t *data, size_t size, bool end)
{
    const struct call_answer head = { .status = storage->status };
    int r;

    if (storage->call->is_head_sent) {
        r = call_send_body(storage->call, data, size, end);
    } else {
        call_count(storage->parent, ERROR_NONE);
        r = call_respond(storage->call, &head, data, size, end);
    }
    after_part(storage, r, end);
    return r == 0 && !end;
}

/* Sends the first part, which has waited, or nothing if that is not to be. Returns whether the operation goes on. */
static bool pass_held(struct storage *storage, bool end)
{
    struct evbuffer *held = storage->held;
    size_t size = held ? evbuffer_get_length(held) : 0;

    if (size == 0 && !end)
        return true;
    storage->held = NULL;
    count_kept(storage);
    bool is_open = pass_part(storage, size > 0 ? evbuffer_pullup(held, -1) : NULL, size, end);
    if (held)
        evbuffer_free(held);
    return is_open;
}

static void on_body(void *owner, const uint8_t *data, size_t size)
{
    struct storage *storage = owner;
    bool is_first = !storage->call->is_head_sent && !storage->held;

    storage->credit -= (uint32_t) size;
    if (refuse_for_room(storage))
        return;
    if (is_first && size <= FIRST_PART_MAX_BYTES && keep(storage, data, size) == 0)
        ledger_count_bytes(storage->parent);
    else if (pass_held(storage, false))
        (void) pass_part(storage, data, size, false);
}

static void on_data_credit(void *owner, uint32_t bytes)
{
    const struct storage *storage = owner;

    call_grant(storage->call, bytes);
}

static void on_end(void *owner, const struct data_result *result)
{
    static const char no_reason[] = "the storage process gave no reason";
    struct storage *storage = owner;

    storage->open = NULL;
    if (result->end == DATA_COMPLETE)
        (void) pass_held(storage, true);
    else if (result->text.size > 0)
        answer(storage, STATUS_UNAVAILABLE, ERROR_OVERLOADED, result->text.data, result->text.size);
    else
        refuse(storage, ERROR_OVERLOADED, no_reason);
}

static const struct data_ops data_ops = {
    .on_head = on_head,
    .on_body = on_body,
    .on_credit = on_data_credit,
    .on_end = on_end,
};

/* ---- the request, to data */

static int open_at_data(struct storage *storage)
{
    const struct call *call = storage->call;
    const struct data_request request = {
        .tenant = storage->parent->attempt.tenant->name,
        .kind = call->binding->kind == BINDING_KV ? DATA_KV : DATA_SQL,
        .space = call->binding->target,
        .operation = storage->operation,
        .has_body = storage->held || !call->is_body_ended,
        .credit = window_of(storage),
        .limits = &storage->parent->attempt.version->limits,
    };

    storage->credit = request.credit;
    return data_open(storages_of(storage)->data, storages_cordon(storage), &request, &data_ops,
                     storage, &storage->open);
}

static_assert(DATA_WINDOW_BYTES == CALL_WINDOW_BYTES,
              "what the worker may send at once, data takes");

static void send_held(struct storage *storage)
{
    size_t size = storage->held ? evbuffer_get_length(storage->held) : 0;

    if (size > 0 || (storage->held && storage->call->is_body_ended))
        data_send_body(storage->open, size > 0 ? evbuffer_pullup(storage->held, -1) : NULL, size,
                       storage->call->is_body_ended);
}

int storage_begin(struct storage *storage)
{
    /* Bytes that wait are in one piece before the request is at data. */
    if (storage->held && evbuffer_get_length(storage->held) > 0 &&
        !evbuffer_pullup(storage->held, -1)) {
        refuse(storage, ERROR_OVERLOADED, "overloaded: no memory for the call");
        return 0;
    }
    int r = open_at_data(storage);
    if (r == -EAGAIN || (r == -EPIPE && storages_await(storage->gate)))
        return -EAGAIN;
    if (r < 0) {
        refuse(storage, ERROR_OVERLOADED,
               r == -EPIPE ? "the storage process is not running; nothing was done"
                           : "overloaded: no memory for the call");
        return 0;
    }
    storages_note_open(storage);
    send_held(storage);
    drop_kept(storage);
    ledger_count_bytes(storage->parent);
    call_grant(storage->call, DATA_WINDOW_BYTES);
    return 0;
}

void storage_give_up_waiting(struct storage *storage)
{
    refuse(storage, ERROR_OVERLOADED,
           "the operation has waited for 30 s behind others; nothing was done");
}

/* ---- the kinds */

/* Copies the name of the operation. Returns whether it is one. */
static bool take_operation(struct storage *storage, struct call_text method)
{
    if (method.size == 0 || method.size > DATA_OPERATION_NAME_MAX)
        return false;
    for (size_t i = 0; i < method.size; i++)
        if (method.data[i] != '-' && (method.data[i] < 'a' || method.data[i] > 'z'))
            return false;
    memcpy(storage->operation, method.data, method.size);
    return true;
}

/* Has the operation wait for its turn. 0: it waits, or is over. */
static int start(struct storage *storage, const struct call_head *from)
{
    bool has_body = from->body_size > 0 || !from->end;

    if (!take_operation(storage, from->method)) {
        refuse(storage, ERROR_BAD_REQUEST, "there is no such operation of storage");
        return 0;
    }
    if (!storages_of(storage)->data) {
        refuse(storage, ERROR_OVERLOADED, "skepd has no storage; nothing was done");
        return 0;
    }
    int r = has_body ? keep(storage, from->body, from->body_size) : 0;
    if (r == 0)
        r = storages_add(storages_of(storage), storage);
    if (r != -ENOBUFS)
        return r;
    refuse(storage, ERROR_OVERLOADED, "overloaded: skepd has no room for calls that wait");
    return 0;
}

static int open_call(struct call *call, const struct call_head *from)
{
    struct storage *storage = calloc(1, sizeof *storage);
    struct request *parent = call_parent(call);

    if (!storage)
        return -ENOMEM;
    call->object = storage;
    storage->call = call;
    storage->parent = parent;
    int r = start(storage, from);
    if (r < 0)
        storage_free(storage);
    ledger_count_bytes(parent);
    return r;
}

static void on_call_body(struct call *call, const uint8_t *data, size_t size, bool end)
{
    struct storage *storage = call->object;

    if (storage->open)
        data_send_body(storage->open, data, size, end);
    else if (keep(storage, data, size) < 0)
        refuse(storage, ERROR_OVERLOADED, "overloaded: no memory for the call");
    else
        ledger_count_bytes(storage->parent);
}

static void on_call_credit(struct call *call)
{
    give_credit(call->object);
}

static void on_cancel(struct call *call)
{
    storage_free(call->object);
}

#define STORAGE_CALL_KIND                                                        \
    {                                                                            \
        .open = open_call, .on_body = on_call_body, .on_credit = on_call_credit, \
        .cancel = on_cancel, .is_from_outside = true, .is_queued = true,         \
    }

const struct call_kind kv_call_kind = STORAGE_CALL_KIND;
const struct call_kind sql_call_kind = STORAGE_CALL_KIND;
