/* SPDX-License-Identifier: Apache-2.0 */
/* `skep data sql`: statements of the operator in a database of a tenant, and their rows. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/storage.h"

#define INPUT_MAX_BYTES ((size_t) 8 << 20)

/* ---- rows as a table */

/* Adds a cell: a text, a number, NULL, or the base64 of a blob. 0 or negative: out of memory. */
static int add_cell(struct table *table, const json_t *cell)
{
    if (json_is_array(cell)) {
        const char *base64 = json_string_value(json_array_get(cell, 0));
        return table_add(table, "base64:%s", base64 ? base64 : "");
    }
    if (json_is_string(cell))
        return table_add_text(table, (const uint8_t *) json_string_value(cell),
                              json_string_length(cell));
    if (json_is_integer(cell))
        return table_add(table, "%" JSON_INTEGER_FORMAT, json_integer_value(cell));
    return json_is_real(cell) ? table_add(table, "%.17g", json_real_value(cell))
                              : table_add(table, "NULL");
}

static int add_rows(struct table *table, const json_t *rows)
{
    const json_t *row, *cell;
    size_t i, k;
    int r = 0;

    json_array_foreach(rows, i, row) json_array_foreach(row, k, cell) r =
        r < 0 ? r : add_cell(table, cell);
    return r;
}

/* Makes the headings, which are names of the tenant. Each is malloc'ed; false: out of memory. */
static bool make_headings(const json_t *columns, char **headings)
{
    const json_t *column;
    bool is_made = true;
    size_t i;

    json_array_foreach(columns, i, column)
    {
        headings[i] =
            output_line((const uint8_t *) json_string_value(column), json_string_length(column));
        is_made &= headings[i] != NULL;
    }
    return is_made;
}

static int print_rows(const json_t *columns, const json_t *rows)
{
    const unsigned n = (unsigned) json_array_size(columns);
    char **headings = calloc(n + 1, sizeof *headings);
    int r = headings && make_headings(columns, headings) ? 0 : -ENOMEM;
    _cleanup_(table_cleanup) struct table *table =
        r == 0 ? table_new((const char *const *) headings, n) : NULL;

    r = table ? add_rows(table, rows) : -ENOMEM;
    if (r == 0)
        table_print(table, stdout);
    for (unsigned i = 0; headings && i < n; i++)
        free(headings[i]);
    free(headings);
    return r;
}

/* Prints the result of one statement. */
static int print_result(const json_t *result)
{
    const json_t *columns = json_object_get(result, "columns");

    if (json_array_size(columns) > 0)
        return print_rows(columns, json_object_get(result, "rows"));
    (void) printf("%" JSON_INTEGER_FORMAT " rows changed\n",
                  json_integer_value(json_object_get(result, "changes")));
    return 0;
}

static int print_results(const json_t *results)
{
    const json_t *result;
    size_t i;
    int r = 0;

    if (json_is_object(results)) {
        (void) printf("%" JSON_INTEGER_FORMAT " statements run\n",
                      json_integer_value(json_object_get(results, "count")));
        return 0;
    }
    json_array_foreach(results, i, result)
    {
        if (i > 0)
            (void) fputc('\n', stdout);
        r = r < 0 ? r : print_result(result);
    }
    return r;
}

static int print(const struct storage *storage)
{
    json_error_t error;
    json_t *results =
        json_loadb((const char *) storage->rest, storage->rest_size, JSON_ALLOW_NUL, &error);

    if (!results)
        return (int) cli_failure(storage->cli,
                                 "the rows have a text that is not UTF-8, or an infinite number, "
                                 "which cannot be shown: %s",
                                 error.text);
    int r = 0;
    if (storage->cli->json) {
        r = json_print(json_incref(results));
    } else {
        r = print_results(results);
        if (r < 0)
            (void) cli_failure(storage->cli, "out of memory");
    }
    json_decref(results);
    return r < 0 ? CLI_FAILED : CLI_DONE;
}

/* ---- statements */

/* Reads standard input. NULL after an error that is printed; malloc'ed. */
static char *read_input(const struct cli *cli, size_t *ret_size)
{
    char *text = malloc(INPUT_MAX_BYTES + 1);
    size_t size = text ? fread(text, 1, INPUT_MAX_BYTES + 1, stdin) : 0;

    if (text && !ferror(stdin) && size <= INPUT_MAX_BYTES) {
        *ret_size = size;
        return text;
    }
    (void) cli_failure(cli, "standard input: %s",
                       !text || ferror(stdin) ? strerror(errno) : "more than 8 MiB");
    free(text);
    return NULL;
}

int data_sql(struct storage *storage, const char *database, char *const *statements, unsigned n,
             bool is_script)
{
    const enum value_kind kind = is_script ? VALUE_TEXT : VALUE_STATEMENT;
    const struct storage_call call = {
        .is_sql = true,
        .space = database,
        .operation = is_script ? "exec" : "query",
    };
    size_t size = 0;
    _cleanup_free_ char *input = n == 0 ? read_input(storage->cli, &size) : NULL;

    if (n == 0 && !input)
        return CLI_FAILED;
    storage_begin(storage);
    if (input)
        storage_add_bytes(storage, kind, input, size);
    for (unsigned i = 0; i < n; i++)
        storage_add_bytes(storage, kind, statements[i], strlen(statements[i]));
    return storage_run(storage, &call) ? print(storage) : CLI_FAILED;
}
