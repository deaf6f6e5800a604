/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/storage.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"

#define SIZE_BYTES sizeof(uint32_t)
#define PART_BYTES ((size_t) 256 << 10)
#define ANSWER_MAX_BYTES ((size_t) 64 << 20)
/* A database is checked and written over as one operation of up to ten minutes. */
#define TIMEOUT_MS 660000

/* ---- bytes */

uint8_t *bytes_add(struct bytes *bytes, size_t size)
{
    size_t need = bytes->size + size;

    if (need > bytes->room) {
        size_t room = need > 2 * bytes->room ? need : 2 * bytes->room;
        uint8_t *data = realloc(bytes->data, room);
        if (!data)
            return NULL;
        bytes->data = data;
        bytes->room = room;
    }
    bytes->size = need;
    return bytes->data + need - size;
}

void bytes_done(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){ 0 };
}

void storage_done(struct storage *storage)
{
    storage->client = client_free(storage->client);
    bytes_done(&storage->arguments);
    bytes_done(&storage->answer);
}

/* ---- arguments */

/* Arguments that there was no memory for are none at all. */
static uint8_t *add(struct storage *storage, size_t size)
{
    uint8_t *to = storage->arguments.size > 0 ? bytes_add(&storage->arguments, size) : NULL;

    if (!to)
        storage->arguments.size = 0;
    return to;
}

void storage_begin(struct storage *storage)
{
    storage->arguments.size = 0;
    (void) bytes_add(&storage->arguments, SIZE_BYTES);
}

void storage_add_integer(struct storage *storage, int64_t integer)
{
    uint8_t *to = add(storage, values_put_integer(NULL, integer));

    if (to)
        (void) values_put_integer(to, integer);
}

void storage_add_null(struct storage *storage)
{
    uint8_t *to = add(storage, values_put_null(NULL));

    if (to)
        (void) values_put_null(to);
}

void storage_add_bytes(struct storage *storage, enum value_kind kind, const void *data, size_t size)
{
    uint8_t *to = add(storage, values_put_bytes(NULL, kind, data, size));

    if (to)
        (void) values_put_bytes(to, kind, data, size);
}

/* ---- one operation */

static const Skep__Admin__DataAnswer *ask(const struct storage *storage,
                                          Skep__Admin__Command__MessageCase kind, void *message)
{
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;

    command.message_case = kind;
    command.stats = message; /* any member will do: all are pointers */
    const Skep__Admin__Answer *answer = client_ask_for(
        storage->cli, storage->client, &command, SKEP__ADMIN__ANSWER__MESSAGE_DATA, TIMEOUT_MS);
    return answer ? answer->data : NULL;
}

/* Sends the request part by part, up to the first part of the answer. */
static const Skep__Admin__DataAnswer *send_request(const struct storage *storage,
                                                   const struct storage_call *call,
                                                   ProtobufCBinaryData whole)
{
    Skep__Admin__DataRequest first = SKEP__ADMIN__DATA_REQUEST__INIT;
    size_t at = whole.len < PART_BYTES ? whole.len : PART_BYTES;

    first.tenant = client_text(storage->tenant);
    first.sql = call->is_sql;
    first.space = client_text(call->space);
    first.operation = client_text(call->operation);
    first.data = (ProtobufCBinaryData){ .data = whole.data, .len = at };
    first.more = at < whole.len;
    const Skep__Admin__DataAnswer *answer =
        ask(storage, SKEP__ADMIN__COMMAND__MESSAGE_DATA, &first);
    while (answer && answer->status == 0 && at < whole.len) {
        Skep__Admin__DataPart part = SKEP__ADMIN__DATA_PART__INIT;
        size_t left = whole.len - at;
        part.data.data = whole.data + at;
        part.data.len = left < PART_BYTES ? left : PART_BYTES;
        part.more = left > PART_BYTES;
        answer = ask(storage, SKEP__ADMIN__COMMAND__MESSAGE_DATA_PART, &part);
        at += part.data.len;
    }
    return answer;
}

/* Gathers the answer, of which the first part has come. Returns its status; 0 after an error that is printed. */
static uint32_t gather(struct storage *storage, const Skep__Admin__DataAnswer *part)
{
    Skep__Admin__DataReadRequest next = SKEP__ADMIN__DATA_READ_REQUEST__INIT;

    for (storage->answer.size = 0; part;
         part = ask(storage, SKEP__ADMIN__COMMAND__MESSAGE_DATA_READ, &next)) {
        uint8_t *to = storage->answer.size + part->data.len <= ANSWER_MAX_BYTES
                          ? bytes_add(&storage->answer, part->data.len)
                          : NULL;
        if (!to) {
            (void) cli_failure(storage->cli, "the answer is too large");
            return 0;
        }
        if (part->data.len > 0)
            memcpy(to, part->data.data, part->data.len);
        if (!part->more)
            return part->status;
    }
    return 0;
}

/* Finds values and rest in the answer. */
static bool open_answer(struct storage *storage)
{
    uint32_t size = 0;

    if (storage->answer.size >= SIZE_BYTES)
        memcpy(&size, storage->answer.data, SIZE_BYTES);
    size = le32toh(size);
    if (storage->answer.size < SIZE_BYTES || size > storage->answer.size - SIZE_BYTES) {
        (void) cli_failure(storage->cli, "the answer has not the form of one");
        return false;
    }
    storage->values = values_open(storage->answer.data + SIZE_BYTES, size);
    storage->rest = storage->values.end;
    storage->rest_size = storage->answer.size - SIZE_BYTES - size;
    return true;
}

static void print_text(const struct storage *storage)
{
    (void) fprintf(stderr, "skep %s: ", storage->cli->verb->name);
    output_text(stderr, storage->answer.data, storage->answer.size);
    (void) fputc('\n', stderr);
}

/* Writes the size of the arguments, and adds the rest. Returns false without memory. */
static bool close_arguments(struct bytes *arguments, const struct storage_call *call)
{
    const uint32_t values = htole32((uint32_t) (arguments->size - SIZE_BYTES));

    if (arguments->size < SIZE_BYTES)
        return false;
    memcpy(arguments->data, &values, SIZE_BYTES);
    uint8_t *to = bytes_add(arguments, call->rest_size);
    if (to && call->rest_size > 0)
        memcpy(to, call->rest, call->rest_size);
    return to != NULL;
}

bool storage_run(struct storage *storage, const struct storage_call *call)
{
    if (!close_arguments(&storage->arguments, call)) {
        (void) cli_failure(storage->cli, "out of memory");
        return false;
    }
    const ProtobufCBinaryData whole = { .data = storage->arguments.data,
                                        .len = storage->arguments.size };
    const uint32_t status = gather(storage, send_request(storage, call, whole));
    if (status == 200)
        return open_answer(storage);
    if (status != 0)
        print_text(storage);
    return false;
}

bool storage_take(struct storage *storage, enum value_kind kind, bool or_null,
                  struct value *ret_value)
{
    if (values_take(&storage->values, kind, or_null, ret_value) == 0)
        return true;
    (void) cli_failure(storage->cli, "the answer has not the values that it should have");
    return false;
}
