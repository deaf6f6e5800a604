/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep data export`: all that a tenant stores as lines of JSON. Each database is the bytes of its file, because those restore exactly: blobs, row
 * ids, AUTOINCREMENT and the tables of FTS5. The last line says that the copy is complete.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/storage.h"
#include "config/names.h"

struct export
{
    struct storage *storage;
    FILE *file;
    char(*databases)[NAME_MAX_BYTES + 1]; /* also those that no binding names any more */
    unsigned n_databases;
    uint64_t n_keys;
};

/* ---- lines */

/* Writes one line; takes the reference. False after an error that is printed. */
static bool write_line(const struct export *export, json_t *line)
{
    const bool is_done = line && json_dumpf(line, export->file, JSON_COMPACT) == 0 &&
                         fputc('\n', export->file) != EOF;

    json_decref(line);
    if (!is_done)
        (void) cli_failure(export->storage->cli, "cannot write: %s", strerror(errno));
    return is_done;
}

static json_t *base64(const uint8_t *data, size_t size)
{
    char *text = malloc((size + 2) / 3 * 4 + 1);
    int length = text ? EVP_EncodeBlock((unsigned char *) text, data, (int) size) : 0;
    json_t *json = text ? json_stringn_nocheck(text, (size_t) length) : NULL;

    free(text);
    return json;
}

/* Sets a member that is text, or (name64) base64 of what is not UTF-8. False: out of memory. */
static bool set_text(json_t *line, const char *name, const char *name64, const struct value *value)
{
    json_t *text = json_stringn((const char *) value->data, value->size);

    return text ? json_object_set_new(line, name, text) == 0
                : json_object_set_new(line, name64, base64(value->data, value->size)) == 0;
}

static bool write_head(const struct export *export)
{
    char now[32];
    time_t seconds = time(NULL);
    struct tm utc;
    json_t *names = json_array();

    if (!gmtime_r(&seconds, &utc) || strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        now[0] = '\0';
    for (unsigned i = 0; i < export->n_databases; i++)
        (void) json_array_append_new(names, json_string(export->databases[i]));
    return write_line(export, json_pack("{s:i, s:s, s:s, s:s, s:o}", DATA_FORMAT_KEY,
                                        DATA_FORMAT_VERSION, "skep", SKEP_VERSION, "tenant",
                                        export->storage->tenant, "time", now, "databases", names));
}

/* ---- databases */

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool add_database(struct export *export, const struct value *name)
{
    void *more =
        reallocarray(export->databases, export->n_databases + 1, sizeof export->databases[0]);

    if (!more || name->size > NAME_MAX_BYTES) {
        export->databases = more ? more : export->databases;
        (void) cli_failure(export->storage->cli,
                           more ? "a database has no valid name" : "out of memory");
        return false;
    }
    export->databases = more;
    char *to = export->databases[export->n_databases++];
    memcpy(to, name->data, name->size);
    to[name->size] = '\0';
    return true;
}

static bool find_databases(struct export *export)
{
    struct storage *storage = export->storage;
    struct value name;

    storage_begin(storage);
    if (!storage_run(storage, &(const struct storage_call){ .space = DATA_ANY_SPACE,
                                                            .operation = "databases" }))
        return false;
    while (values_next(&storage->values, &name) == 1 && name.kind == VALUE_TEXT)
        if (!add_database(export, &name))
            return false;
    if (export->n_databases > 0)
        qsort(export->databases, export->n_databases, sizeof export->databases[0], compare_names);
    return true;
}

/* Runs an operation of one copy. */
static bool run_copy(struct storage *storage, const char *database, const char *operation,
                     int64_t copy, int64_t offset)
{
    storage_begin(storage);
    if (copy > 0)
        storage_add_integer(storage, copy);
    if (offset >= 0)
        storage_add_integer(storage, offset);
    return storage_run(storage, &(const struct storage_call){
                                    .is_sql = true, .space = database, .operation = operation });
}

/* Has data make the copy, step by step. */
static bool make_copy(struct storage *storage, const char *database, int64_t *ret_copy,
                      int64_t *ret_size)
{
    struct value number, is_done, size;

    if (!run_copy(storage, database, "copy-begin", 0, -1) ||
        !storage_take(storage, VALUE_INTEGER, false, &number))
        return false;
    do {
        if (!run_copy(storage, database, "copy-step", number.integer, -1) ||
            !storage_take(storage, VALUE_INTEGER, false, &is_done) ||
            !storage_take(storage, VALUE_INTEGER, false, &size))
            return false;
    } while (is_done.integer == 0);
    *ret_copy = number.integer;
    *ret_size = size.integer;
    return true;
}

static bool write_database(const struct export *export, const char *database)
{
    struct storage *storage = export->storage;
    int64_t copy, size, at = 0;

    if (!make_copy(storage, database, &copy, &size))
        return false;
    while (at < size) {
        if (!run_copy(storage, database, "copy-read", copy, at))
            return false;
        if (storage->rest_size == 0) {
            (void) cli_failure(storage->cli, "the copy of %s ends too early", database);
            return false;
        }
        if (!write_line(export,
                        json_pack("{s:s, s:I, s:o}", "sql", database, "offset", (json_int_t) at,
                                  "data", base64(storage->rest, storage->rest_size))))
            return false;
        at += (int64_t) storage->rest_size;
    }
    return run_copy(storage, database, "copy-end", copy, -1) &&
           write_line(export, json_pack("{s:s, s:I}", "sql", database, "size", (json_int_t) size));
}

/* ---- namespaces */

/* Writes one entry: t namespace, t key, i expiration | n, t metadata | n, b value. 1; 0: there is none; negative after an error that is
 * printed. */
static int write_entry(const struct export *export, struct values *entries)
{
    struct value space, key, expiration, metadata, value;

    if (entries->at == entries->end)
        return 0;
    if (values_take(entries, VALUE_TEXT, false, &space) < 0 ||
        values_take(entries, VALUE_TEXT, false, &key) < 0 ||
        values_take(entries, VALUE_INTEGER, true, &expiration) < 0 ||
        values_take(entries, VALUE_TEXT, true, &metadata) < 0 ||
        values_take(entries, VALUE_BYTES, false, &value) < 0) {
        (void) cli_failure(export->storage->cli, "the answer has an entry that is none");
        return -EPROTO;
    }
    json_t *line = json_object();
    bool is_made = line && set_text(line, "kv", "kv64", &space) &&
                   set_text(line, "key", "key64", &key) &&
                   json_object_set_new(line, "value", base64(value.data, value.size)) == 0;
    if (is_made && metadata.kind == VALUE_TEXT)
        is_made = set_text(line, "metadata", "metadata64", &metadata);
    if (is_made && expiration.kind == VALUE_INTEGER)
        is_made = json_object_set_new(line, "expiration", json_integer(expiration.integer)) == 0;
    if (!is_made) {
        json_decref(line);
        line = NULL;
        errno = ENOMEM;
    }
    return write_line(export, line) ? 1 : -EIO;
}

/* Keeps the cursor of the answer for the next page. */
static bool take_cursor(struct storage *storage, struct bytes *cursor)
{
    struct value value;

    if (!storage_take(storage, VALUE_TEXT, true, &value))
        return false;
    cursor->size = 0;
    if (value.kind == VALUE_NULL)
        return true;
    uint8_t *to = bytes_add(cursor, value.size);
    if (to)
        memcpy(to, value.data, value.size);
    else
        (void) cli_failure(storage->cli, "out of memory");
    return to != NULL;
}

static bool write_page(struct export *export, struct bytes *cursor)
{
    struct storage *storage = export->storage;
    int r;

    storage_begin(storage);
    if (cursor->size > 0)
        storage_add_bytes(storage, VALUE_TEXT, cursor->data, cursor->size);
    else
        storage_add_null(storage);
    if (!storage_run(storage, &(const struct storage_call){ .space = DATA_ANY_SPACE,
                                                            .operation = "export" }) ||
        !take_cursor(storage, cursor))
        return false;
    struct values entries = values_open(storage->rest, storage->rest_size);
    while ((r = write_entry(export, &entries)) > 0)
        export->n_keys++;
    return r == 0;
}

static bool write_namespaces(struct export *export)
{
    struct bytes cursor = { 0 };
    bool is_right;

    do
        is_right = write_page(export, &cursor);
    while (is_right && cursor.size > 0);
    bytes_done(&cursor);
    return is_right;
}

/* ---- all */

/* Databases come first: an import that may not replace one of them is refused before it has changed anything. */
static bool write_all(struct export *export)
{
    bool is_right = find_databases(export) && write_head(export);

    for (unsigned i = 0; i < export->n_databases && is_right; i++)
        is_right = write_database(export, export->databases[i]);
    return is_right && write_namespaces(export) &&
           write_line(export,
                      json_pack("{s:b, s:I, s:I}", "end", 1, "keys", (json_int_t) export->n_keys,
                                "databases", (json_int_t) export->n_databases));
}

/* Writes into a file beside the one that is wanted, so that a file of that name is a complete copy. */
static int export_to_file(struct export *export, const char *output)
{
    const struct cli *cli = export->storage->cli;
    char *partial = NULL;

    if (asprintf(&partial, "%s.partial", output) < 0)
        return (int) cli_failure(cli, "out of memory");
    _cleanup_free_ char *path = partial;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    export->file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!export->file)
        return (int) cli_failure(cli, "%s: %s", path, strerror(errno));
    bool is_right = write_all(export);
    bool is_kept = fflush(export->file) == 0 && fsync(fd) == 0;
    is_kept &= fclose(export->file) == 0;
    if (is_right && is_kept && rename(path, output) == 0)
        return CLI_DONE;
    if (is_right)
        (void) cli_failure(cli, "%s: %s", output, strerror(errno));
    (void) unlink(path);
    return CLI_FAILED;
}

int data_export(struct storage *storage, const char *output)
{
    struct export *export = calloc(1, sizeof *export);
    int status;

    if (!export)
        return (int) cli_failure(storage->cli, "out of memory");
    export->storage = storage;
    export->file = stdout;
    if (output)
        status = export_to_file(export, output);
    else
        status = write_all(export) ? CLI_DONE : CLI_FAILED;
    if (status == CLI_DONE && output)
        (void) fprintf(stderr, "%s: %" PRIu64 " keys, %u databases\n", output, export->n_keys,
                       export->n_databases);
    free(export->databases);
    free(export);
    return status;
}
