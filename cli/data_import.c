/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep data import`: reads what `skep data export` has written, a line at a time. Keys go in batches, each of which is stored whole or not at
 * all; a database is written over the present one when its last line has come. A file that ends without its last line is an error.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/storage.h"
#include "config/names.h"

#define BATCH_BYTES ((size_t) 512 << 10)

struct import {
    struct storage *storage;
    FILE *file;
    const char *name; /* name of the file, for errors */
    uint64_t line;
    struct bytes batch;                /* entries that are not sent yet */
    uint64_t n_keys, n_stored;         /* lines of keys; those that had not expired */
    unsigned n_databases;              /* restored databases */
    char database[NAME_MAX_BYTES + 1]; /* the one that comes in; "": none */
    int64_t number, at;                /* number of the restore, and bytes so far */
    bool has_head, has_end, is_replaced;
};

/* Prints what is wrong with the line. Returns false. */
static bool refuse(const struct import *import, const char *text)
{
    (void) cli_failure(import->storage->cli, "%s:%" PRIu64 ": %s", import->name, import->line,
                       text);
    return false;
}

/* ---- members of a line */

/* Decodes base64. NULL: it is none, or there is no memory; malloc'ed, also without any bytes. */
static uint8_t *decode(const json_t *json, size_t *ret_size)
{
    const char *text = json_string_value(json);
    const size_t length = text ? json_string_length(json) : 1;
    size_t padding = 0;

    if (length % 4 != 0)
        return NULL;
    uint8_t *data = malloc(length / 4 * 3 + 1);
    int size = data ? EVP_DecodeBlock(data, (const unsigned char *) text, (int) length) : -1;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    if (size < 0 || (size_t) size < padding) {
        free(data);
        return NULL;
    }
    *ret_size = (size_t) size - padding;
    return data;
}

/* Adds a packed value to the batch. */
static bool add_value(struct import *import, enum value_kind kind, const void *data, size_t size)
{
    uint8_t *to = bytes_add(&import->batch, values_put_bytes(NULL, kind, data, size));

    if (to)
        (void) values_put_bytes(to, kind, data, size);
    return to != NULL || refuse(import, "out of memory");
}

/* Adds base64 as a value. */
static bool add_decoded(struct import *import, enum value_kind kind, const json_t *json)
{
    size_t size = 0;
    _cleanup_free_ uint8_t *data = decode(json, &size);

    return data ? add_value(import, kind, data, size)
                : refuse(import, "a value is not base64, or there is no memory for it");
}

/* Adds a member that is a text, or by its other name base64 of one. */
static bool add_text(struct import *import, const json_t *line, const char *name,
                     const char *name64)
{
    const json_t *text = json_object_get(line, name);

    return json_is_string(text)
               ? add_value(import, VALUE_TEXT, json_string_value(text), json_string_length(text))
               : add_decoded(import, VALUE_TEXT, json_object_get(line, name64));
}

static bool add_null(struct import *import)
{
    uint8_t *to = bytes_add(&import->batch, values_put_null(NULL));

    if (to)
        (void) values_put_null(to);
    return to != NULL || refuse(import, "out of memory");
}

static bool add_integer(struct import *import, int64_t integer)
{
    uint8_t *to = bytes_add(&import->batch, values_put_integer(NULL, integer));

    if (to)
        (void) values_put_integer(to, integer);
    return to != NULL || refuse(import, "out of memory");
}

/* ---- keys */

static bool send_batch(struct import *import)
{
    struct storage *storage = import->storage;
    const struct storage_call call = {
        .space = DATA_ANY_SPACE,
        .operation = "import",
        .rest = import->batch.data,
        .rest_size = import->batch.size,
    };
    struct value n;

    if (import->batch.size == 0)
        return true;
    storage_begin(storage);
    if (!storage_run(storage, &call) || !storage_take(storage, VALUE_INTEGER, false, &n))
        return false;
    import->n_stored += (uint64_t) n.integer;
    import->batch.size = 0;
    return true;
}

static bool take_key(struct import *import, const json_t *line)
{
    const json_t *expiration = json_object_get(line, "expiration");
    const json_t *value = json_object_get(line, "value");
    const bool has_metadata =
        json_object_get(line, "metadata") || json_object_get(line, "metadata64");

    if (!json_is_string(value))
        return refuse(import, "a key without a value");
    if (import->batch.size + json_string_length(value) > BATCH_BYTES && !send_batch(import))
        return false;
    if (!add_text(import, line, "kv", "kv64") || !add_text(import, line, "key", "key64"))
        return false;
    if (!(json_is_integer(expiration) ? add_integer(import, json_integer_value(expiration))
                                      : add_null(import)) ||
        !(has_metadata ? add_text(import, line, "metadata", "metadata64") : add_null(import)))
        return false;
    import->n_keys++;
    return add_decoded(import, VALUE_BYTES, value);
}

/* ---- databases */

/* Runs an operation of the database that comes in. */
static bool run(struct import *import, const char *operation, const void *rest, size_t rest_size)
{
    return storage_run(import->storage, &(const struct storage_call){
                                            .is_sql = true,
                                            .space = import->database,
                                            .operation = operation,
                                            .rest = rest,
                                            .rest_size = rest_size,
                                        });
}

static bool begin_database(struct import *import, const char *name)
{
    struct value number;

    (void) snprintf(import->database, sizeof import->database, "%s", name);
    storage_begin(import->storage);
    storage_add_integer(import->storage, import->is_replaced);
    if (!run(import, "restore-begin", NULL, 0) ||
        !storage_take(import->storage, VALUE_INTEGER, false, &number)) {
        (void) cli_failure(import->storage->cli,
                           "database %s: nothing of it was changed; --replace writes over a "
                           "database that is not empty",
                           name);
        return false;
    }
    import->number = number.integer;
    import->at = 0;
    return true;
}

static bool end_database(struct import *import, int64_t size)
{
    if (size != import->at)
        return refuse(import, "the database has not as many bytes as this line says");
    storage_begin(import->storage);
    storage_add_integer(import->storage, import->number);
    storage_add_integer(import->storage, size);
    storage_add_integer(import->storage, import->is_replaced);
    if (!run(import, "restore-commit", NULL, 0))
        return false;
    import->database[0] = '\0';
    import->n_databases++;
    return true;
}

static bool take_part(struct import *import, const json_t *line)
{
    size_t size = 0;
    _cleanup_free_ uint8_t *data = decode(json_object_get(line, "data"), &size);

    if (!data || size == 0)
        return refuse(import, "a part of a database is not base64");
    storage_begin(import->storage);
    storage_add_integer(import->storage, import->number);
    storage_add_integer(import->storage, import->at);
    if (!run(import, "restore-write", data, size))
        return false;
    import->at += (int64_t) size;
    return true;
}

static bool take_database(struct import *import, const json_t *line)
{
    const char *name = json_string_value(json_object_get(line, "sql"));
    const json_t *size = json_object_get(line, "size"), *offset = json_object_get(line, "offset");

    if (!name || strlen(name) > NAME_MAX_BYTES || !name_is_valid(name))
        return refuse(import, "a database has no valid name");
    if (import->database[0] == '\0' && !begin_database(import, name))
        return false;
    if (strcmp(name, import->database) != 0)
        return refuse(import, "a database begins before the one before it has ended");
    if (json_is_integer(size))
        return end_database(import, json_integer_value(size));
    if (!json_is_integer(offset) || json_integer_value(offset) != import->at)
        return refuse(import, "a part of a database is missing before this line");
    return take_part(import, line);
}

/* ---- lines */

/* Checks each database of the head, so that one that may not be replaced is refused before anything has changed. */
static bool take_head(struct import *import, const json_t *line)
{
    const json_t *name;
    size_t i;

    import->has_head = true;
    if (json_integer_value(json_object_get(line, DATA_FORMAT_KEY)) != DATA_FORMAT_VERSION)
        return refuse(import, "not an export of a version that this skep knows");
    json_array_foreach(json_object_get(line, "databases"), i, name)
    {
        if (!json_is_string(name) || !name_is_valid(json_string_value(name)))
            return refuse(import, "a database has no valid name");
        if (!begin_database(import, json_string_value(name)))
            return false;
    }
    import->database[0] = '\0';
    return true;
}

static bool take_end(struct import *import, const json_t *line)
{
    import->has_end = true;
    if (import->database[0] != '\0')
        return refuse(import, "a database has no last line");
    if ((uint64_t) json_integer_value(json_object_get(line, "keys")) != import->n_keys ||
        json_integer_value(json_object_get(line, "databases")) != import->n_databases)
        return refuse(import, "the export had more keys or databases than the lines before this");
    return true;
}

static bool take_line(struct import *import, const json_t *line)
{
    if (!import->has_head)
        return json_object_get(line, DATA_FORMAT_KEY)
                   ? take_head(import, line)
                   : refuse(import, "expected the first line of an export");
    if (import->has_end)
        return refuse(import, "there are lines behind the last one");
    if (json_object_get(line, "sql"))
        return take_database(import, line);
    if (json_object_get(line, "kv") || json_object_get(line, "kv64"))
        return take_key(import, line);
    return json_object_get(line, "end") ? take_end(import, line)
                                        : refuse(import, "not a line of an export");
}

static bool take_lines(struct import *import)
{
    _cleanup_free_ char *text = NULL;
    size_t room = 0;
    ssize_t size;
    bool is_right = true;

    while (is_right && (size = getline(&text, &room, import->file)) >= 0) {
        import->line++;
        json_t *line = json_loadb(text, (size_t) size, JSON_ALLOW_NUL, NULL);
        is_right = line ? take_line(import, line) : refuse(import, "not JSON");
        json_decref(line);
    }
    if (is_right && !feof(import->file))
        return refuse(import, strerror(errno));
    if (is_right && !import->has_end)
        return refuse(import, "the export ends too early: it was cut off");
    return is_right && send_batch(import);
}

/* Prints what was done: also after an error, because it stays. */
static void print_result(const struct import *import)
{
    const struct cli *cli = import->storage->cli;

    if (cli->json)
        (void) json_print(json_pack("{s:s, s:I, s:I, s:i}", "tenant", import->storage->tenant,
                                    "keys", (json_int_t) import->n_stored, "expired",
                                    (json_int_t) (import->n_keys - import->n_stored), "databases",
                                    (int) import->n_databases));
    else
        (void) printf("%s: %" PRIu64 " keys, %u databases\n", import->storage->tenant,
                      import->n_stored, import->n_databases);
}

int data_import(struct storage *storage, const char *input, bool is_replaced)
{
    _cleanup_file_ FILE *opened = input ? fopen(input, "re") : NULL;
    struct import import = {
        .storage = storage,
        .file = input ? opened : stdin,
        .name = input ? input : "standard input",
        .is_replaced = is_replaced,
    };

    if (!import.file)
        return (int) cli_failure(storage->cli, "%s: %s", input, strerror(errno));
    bool is_right = take_lines(&import);
    if (is_right)
        print_result(&import);
    else if (import.n_stored > 0 || import.n_databases > 0)
        (void) cli_failure(storage->cli, "%" PRIu64 " keys and %u databases were stored before",
                           import.n_stored, import.n_databases);
    bytes_done(&import.batch);
    return is_right ? CLI_DONE : CLI_FAILED;
}
