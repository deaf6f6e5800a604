/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of the errors in a file. Their texts may be a tenant's own, so they are escaped and
 * bounded here, once. Any process; no state.
 */
#include "config/errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"

#define ERROR_LINE_MAX 1024

static char *printable(const char *text)
{
    char escaped[ERROR_LINE_MAX];

    (void) log_escape(text, strnlen(text, ERROR_LINE_MAX / 2), escaped, sizeof escaped);
    return strdup(escaped);
}

static int append_line(struct config_errors *errors, const struct config_error *error)
{
    char place[32] = "";
    char line[2 * ERROR_LINE_MAX + 32];

    if (error->line > 0 && error->column > 0)
        (void) snprintf(place, sizeof place, ":%u:%u", error->line, error->column);
    else if (error->line > 0)
        (void) snprintf(place, sizeof place, ":%u", error->line);
    int n = snprintf(line, sizeof line, "%s%s: %s\n", error->file, place, error->text);
    if (n < 0)
        return -1;
    char *text = realloc(errors->text, errors->size + (size_t) n + 1);
    if (!text)
        return -1;
    memcpy(text + errors->size, line, (size_t) n + 1);
    errors->text = text;
    errors->size += (size_t) n;
    return 0;
}

static void add(struct config_errors *errors, const char *file, unsigned line, unsigned column,
                const char *text)
{
    errors->count++;
    if (errors->n_items >= CONFIG_ERRORS_MAX)
        return;
    struct config_error *items =
        realloc(errors->items, (errors->n_items + 1) * sizeof *errors->items);
    if (!items)
        return; /* count says that there was an error */
    errors->items = items;
    _cleanup_free_ char *safe_file = printable(file);
    _cleanup_free_ char *safe_text = printable(text);
    struct config_error error = {
        .file = safe_file, .line = line, .column = column, .text = safe_text
    };
    if (!safe_file || !safe_text || append_line(errors, &error) < 0)
        return;
    items[errors->n_items++] = error;
    TAKE_PTR(safe_file);
    TAKE_PTR(safe_text);
}

void config_errors_add(struct config_errors *errors, const char *file, unsigned line,
                       const char *format, ...)
{
    char text[ERROR_LINE_MAX];
    va_list args;

    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add(errors, file, line, 0, text);
}

void config_errors_add_at(struct config_errors *errors, const char *file, unsigned line,
                          unsigned column, const char *format, ...)
{
    char text[ERROR_LINE_MAX];
    va_list args;

    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add(errors, file, line, column, text);
}

/* Stable: one line may have several. */
static void sort_items(struct config_error *items, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        struct config_error item = items[i];
        unsigned at = i;
        for (; at > 0 && items[at - 1].line > item.line; at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

void config_errors_sort(struct config_errors *errors, unsigned first)
{
    if (errors->n_items <= first + 1)
        return;
    sort_items(errors->items + first, errors->n_items - first);
    errors->size = 0; /* the same lines again: there is room for them */
    for (unsigned i = 0; i < errors->n_items; i++)
        (void) append_line(errors, &errors->items[i]);
}

void config_errors_done(struct config_errors *errors)
{
    for (unsigned i = 0; i < errors->n_items; i++) {
        free(errors->items[i].file);
        free(errors->items[i].text);
    }
    free(errors->items);
    free(errors->text);
    *errors = (struct config_errors){ 0 };
}
