/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite's functions whose time has no bound by the size of their arguments, or the product of two sizes, within one opcode: their
 * arguments are checked, then SQLite's own function runs on a connection in memory where it has not been replaced.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "data/sql_internal.h"

#define SET_PRODUCT_MAX (INT64_C(1) << 24)
#define PATCH_PRODUCT_MAX (INT64_C(1) << 28)
#define ARGUMENTS_MAX 100
#define SUBTYPE_JSON 'J'

typedef bool (*check_fn)(int n, sqlite3_value **arguments);

/* Adds a width or a precision. Returns whether all of a format together may still be the size of a text. */
static bool add_width(uint64_t *sum, uint64_t width)
{
    *sum += width < SQL_VALUE_MAX_BYTES ? width : SQL_VALUE_MAX_BYTES;
    return *sum < SQL_VALUE_MAX_BYTES;
}

/* Adds each argument, of which any may be the width that a star stands for. */
static bool add_star(uint64_t *sum, int n, sqlite3_value **arguments)
{
    bool is_fine = true;

    for (int i = 1; i < n && is_fine; i++) {
        const int64_t width = sqlite3_value_int64(arguments[i]);
        is_fine = add_width(sum, width < 0 ? -(uint64_t) width : (uint64_t) width);
    }
    return is_fine;
}

/* Returns whether the widths and precisions of a format come to less than the largest text: SQLite counts them off one by one, also
 * when the text is too long already. */
static bool check_format(int n, sqlite3_value **arguments)
{
    const char *at = n > 0 ? (const char *) sqlite3_value_text(arguments[0]) : NULL;
    uint64_t sum = 0;

    while (at && (at = strchr(at, '%'))) {
        at += 1 + strspn(at + 1, "-+ #!,");
        for (size_t digits; *at == '*' || *at == '.' || *at == 'l' || (*at >= '0' && *at <= '9');
             at += digits > 0 ? digits : 1) {
            digits = strspn(at, "0123456789");
            if (digits > 0 && !add_width(&sum, strtoul(at, NULL, 10)))
                return false;
            if (*at == '*' && !add_star(&sum, n, arguments))
                return false;
        }
        at += *at != '\0';
    }
    return true;
}

static bool is_product_within(sqlite3_value **arguments, int64_t most)
{
    return (int64_t) sqlite3_value_bytes(arguments[0]) * sqlite3_value_bytes(arguments[1]) <= most;
}

/* Each character of the text is compared with each of the set. */
static bool check_set(int n, sqlite3_value **arguments)
{
    return n < 2 || is_product_within(arguments, SET_PRODUCT_MAX);
}

/* Each key of the patch is looked for among all of the target. */
static bool check_patch(int n, sqlite3_value **arguments)
{
    return n < 2 || is_product_within(arguments, PATCH_PRODUCT_MAX);
}

static const struct function {
    const char *name;
    int arguments; /* -1: any number */
    check_fn check;
    bool is_json;
} functions[] = {
    { "printf", -1, check_format, false }, { "format", -1, check_format, false },
    { "trim", 2, check_set, false },       { "ltrim", 2, check_set, false },
    { "rtrim", 2, check_set, false },      { "json_patch", 2, check_patch, true },
};

/* One function of one connection. */
struct delegate {
    const struct function *function;
    sqlite3 *db; /* borrowed: the sql's connection in memory */
    sqlite3_stmt *statement;
    int n; /* parameters of the statement */
};

static void delegate_free(void *owner)
{
    struct delegate *delegate = owner;

    (void) sqlite3_finalize(delegate->statement);
    free(delegate);
}

/* Prepares "SELECT name(?,…)" unless that is there. */
static int prepare(struct delegate *delegate, int n)
{
    char text[64 + 2 * ARGUMENTS_MAX];

    if (delegate->statement && delegate->n == n)
        return SQLITE_OK;
    if (n > ARGUMENTS_MAX)
        return SQLITE_TOOBIG;
    (void) sqlite3_finalize(delegate->statement);
    delegate->statement = NULL;
    int size = snprintf(text, sizeof text, "SELECT %s(", delegate->function->name);
    for (int i = 0; i < n; i++)
        size += snprintf(text + size, sizeof text - (size_t) size, i == 0 ? "?" : ",?");
    (void) snprintf(text + size, sizeof text - (size_t) size, ")");
    delegate->n = n;
    return sqlite3_prepare_v2(delegate->db, text, -1, &delegate->statement, NULL);
}

static void call(sqlite3_context *context, int n, sqlite3_value **arguments)
{
    struct delegate *delegate = sqlite3_user_data(context);

    if (!delegate->function->check(n, arguments)) {
        sqlite3_result_error_toobig(context);
        return;
    }
    int code = prepare(delegate, n);
    for (int i = 0; code == SQLITE_OK && i < n; i++)
        code = sqlite3_bind_value(delegate->statement, i + 1, arguments[i]);
    if (code == SQLITE_OK)
        code = sqlite3_step(delegate->statement);
    if (code == SQLITE_ROW) {
        sqlite3_result_value(context, sqlite3_column_value(delegate->statement, 0));
        if (delegate->function->is_json)
            sqlite3_result_subtype(context, SUBTYPE_JSON);
    } else {
        if (code == SQLITE_ERROR)
            sqlite3_result_error(context, sqlite3_errmsg(delegate->db), -1);
        else
            sqlite3_result_error_code(context, code);
    }
    (void) sqlite3_reset(delegate->statement);
    if (delegate->statement)
        (void) sqlite3_clear_bindings(delegate->statement);
}

int sql_add_delegated(sqlite3 *db, sqlite3 *memory)
{
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    int code = SQLITE_OK;

    (void) sqlite3_limit(memory, SQLITE_LIMIT_LENGTH, SQL_VALUE_MAX_BYTES);
    for (size_t i = 0; code == SQLITE_OK && i < ARRAY_LEN(functions); i++) {
        struct delegate *delegate = malloc(sizeof *delegate);
        if (!delegate)
            return SQLITE_NOMEM;
        *delegate = (struct delegate){ .function = &functions[i], .db = memory };
        /* Frees the delegate also where it fails. */
        code = sqlite3_create_function_v2(db, functions[i].name, functions[i].arguments, flags,
                                          delegate, call, NULL, NULL, delegate_free);
    }
    return code;
}
