/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/record/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define LOG_LINE_BYTES 1024
#define MESSAGE_MAX_BYTES (64U << 10)

void failure_done(struct failure *failure)
{
    free(failure->where.file);
    free(failure->text);
    *failure = (struct failure){ 0 };
}

static int set(struct failure *failure, int code, const char *format, va_list args)
{
    failure->code = code;
    if (vasprintf(&failure->text, format, args) < 0)
        failure->text = NULL;
    return code;
}

int failure_set(struct failure *failure, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int r = set(failure, code, format, args);
    va_end(args);
    return r;
}

int failure_set_at(struct failure *failure, int code, const char *file, unsigned line,
                   const char *format, ...)
{
    va_list args;

    failure->where.file = strdup(file);
    failure->where.line = line;
    va_start(args, format);
    int r = set(failure, code, format, args);
    va_end(args);
    return r;
}

int failure_set_text(struct failure *failure, int code, const char *text, size_t size)
{
    failure->code = code;
    failure->text = strndup(text, size);
    return code;
}

static const char *shorten(const char *file, const char *behind)
{
    const char *part = behind ? strstr(file, behind) : NULL;
    const char *slash = behind ? strrchr(file, '/') : NULL;

    return part ? part + strlen(behind) : slash ? slash + 1 : file;
}

/* The others are lines of their own below the first. */
static void print_rest(FILE *file, const struct config_errors *errors, const char *behind)
{
    for (unsigned i = 1; i < errors->n_items; i++) {
        const struct config_error *item = &errors->items[i];
        (void) fprintf(file, "\n%s", shorten(item->file, behind));
        if (item->line > 0)
            (void) fprintf(file, ":%u", item->line);
        (void) fprintf(file, ": %s", item->text);
    }
}

int failure_set_errors(struct failure *failure, int code, const struct config_errors *errors,
                       const char *behind)
{
    size_t size = 0;

    if (errors->n_items == 0)
        return failure_set(failure, code, "it cannot be read: %s", strerrordesc_np(-code));
    FILE *file = open_memstream(&failure->text, &size);
    failure->code = code;
    failure->where.file = strdup(shorten(errors->items[0].file, behind));
    failure->where.line = errors->items[0].line;
    if (!file)
        return code;
    (void) fputs(errors->items[0].text, file);
    print_rest(file, errors, behind);
    (void) fclose(file);
    if (size > MESSAGE_MAX_BYTES)
        failure->text[MESSAGE_MAX_BYTES] = '\0';
    return code;
}

void failure_shorten_place(struct failure *failure, const char *behind)
{
    char *file = failure->where.file;

    if (!file)
        return;
    const char *rest = shorten(file, behind);
    memmove(file, rest, strlen(rest) + 1);
}

char *failure_message(const struct failure *failure)
{
    const char *file = failure->where.file;
    const char *text = failure->text ? failure->text : strerrordesc_np(-failure->code);
    char line[16] = "", *message;

    if (failure->where.line > 0)
        (void) snprintf(line, sizeof line, ":%u", failure->where.line);
    int n =
        asprintf(&message, "%s%s%s%s", file ? file : "", file ? line : "", file ? ": " : "", text);
    return n < 0 ? NULL : message;
}

void failure_log_event(const struct failure *failure, enum log_level level,
                       const struct log_context *context, const char *what)
{
    _cleanup_free_ char *message = failure_message(failure);
    char line[LOG_LINE_BYTES];

    if (!message)
        (void) snprintf(line, sizeof line, "%s", strerrordesc_np(-failure->code));
    else
        (void) log_escape(message, strlen(message), line, sizeof line);
    log_event(level, context ? context : LOG_ABOUT(.tenant = NULL), "%s: %s", what, line);
}

void failure_add_to(const struct failure *failure, const char *file, struct config_errors *errors)
{
    const char *text = failure->text ? failure->text : strerrordesc_np(-failure->code);

    config_errors_add(errors, failure->where.file ? failure->where.file : file, failure->where.line,
                      "%s", text);
}
