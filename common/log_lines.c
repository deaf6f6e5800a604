/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One event as a line: for people, and as a JSON object. Pure functions. Whatever an event holds,
 * the line is whole and has one newline, at its end.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log_internal.h"

#define STAMP_BYTES 40

/* RFC 3339, in UTC, with milliseconds. */
static void write_stamp(const struct timespec *time, char stamp[static STAMP_BYTES])
{
    struct tm tm = { 0 };
    char seconds[24];

    (void) gmtime_r(&time->tv_sec, &tm);
    (void) strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &tm);
    (void) snprintf(stamp, STAMP_BYTES, "%s.%03dZ", seconds, (int) (time->tv_nsec / 1000000));
}

size_t log_line_human(const struct log_event *event, char *line, size_t size)
{
    const struct log_context *context = event->context;
    char text[LOG_MESSAGE_BYTES], stamp[STAMP_BYTES];

    (void) log_escape(event->text, event->size, text, sizeof text);
    write_stamp(&event->time, stamp);
    int n = snprintf(line, size, "%s %s %s: %s%s%s%s%s%s\n", stamp, event->name,
                     log_level_name(event->level), context->tenant ? "[" : "",
                     context->tenant ? context->tenant : "", context->tenant ? "] " : "",
                     context->tenant_level ? context->tenant_level : "",
                     context->tenant_level ? ": " : "", text);
    if (n <= 0)
        return 0;
    size_t total = (size_t) n < size ? (size_t) n : size - 1;
    line[total - 1] = '\n';
    return total;
}

/* ---- JSON */

struct writer {
    char *line;
    size_t size, at;
    bool is_full;
};

/* Appends all of the text or nothing. */
__attribute__((format(printf, 2, 3))) static void put(struct writer *writer, const char *format,
                                                      ...)
{
    size_t room = writer->size - writer->at;
    va_list args;

    va_start(args, format);
    int n = vsnprintf(writer->line + writer->at, room, format, args);
    va_end(args);
    if (n < 0 || (size_t) n >= room)
        writer->is_full = true;
    else
        writer->at += (size_t) n;
}

/* Writes a member. One that does not fit is left out, so that the result is an object. */
static void put_text(struct writer *writer, const char *name, const char *text, size_t length,
                     size_t most)
{
    size_t before = writer->at, room;

    put(writer, "%s\"%s\":\"", before > 1 ? "," : "", name);
    room = writer->size - writer->at;
    if (!writer->is_full)
        writer->at +=
            log_escape_json(text, length, writer->line + writer->at, room < most ? room : most);
    put(writer, "\"");
    if (writer->is_full)
        writer->at = before;
    writer->is_full = false;
}

static void put_name(struct writer *writer, const char *name, const char *text)
{
    if (text)
        put_text(writer, name, text, strlen(text), LOG_VALUE_BYTES);
}

static void put_number(struct writer *writer, const char *name, uint64_t number)
{
    put(writer, ",\"%s\":%" PRIu64, name, number);
    writer->is_full = false;
}

static void put_field(struct writer *writer, const struct log_field *field)
{
    switch (field->kind) {
    case LOG_FIELD_TEXT:
        put_text(writer, field->name, field->text,
                 field->size < LOG_VALUE_BYTES ? field->size : LOG_VALUE_BYTES,
                 6 * LOG_VALUE_BYTES + 1);
        break;
    case LOG_FIELD_NUMBER:
        put_number(writer, field->name, field->number);
        break;
    case LOG_FIELD_MILLI:
        put(writer, ",\"%s\":%" PRIu64 ".%03u", field->name, field->number / 1000,
            (unsigned) (field->number % 1000));
        writer->is_full = false;
        break;
    }
}

size_t log_line_json(const struct log_event *event, char *line, size_t size)
{
    struct writer writer = { .line = line, .size = size - sizeof "}\n" };
    const struct log_context *context = event->context;
    char stamp[STAMP_BYTES];

    write_stamp(&event->time, stamp);
    put(&writer, "{");
    put_name(&writer, "time", stamp);
    put_name(&writer, "level", log_level_name(event->level));
    put_name(&writer, "program", context->tenant_level ? LOG_TENANT_PROGRAM : event->name);
    put_text(&writer, "message", event->text, event->size, LOG_MESSAGE_BYTES);
    put_name(&writer, "tenant", context->tenant);
    put_name(&writer, "tenant_level", context->tenant_level);
    put_name(&writer, "cordon", context->cordon);
    if (context->request > 0)
        put_number(&writer, "request", context->request);
    put_name(&writer, "code", context->code);
    if (context->worker_pid > 0) {
        put_number(&writer, "worker", context->worker);
        put_number(&writer, "worker_pid", (uint64_t) context->worker_pid);
    }
    for (size_t i = 0; i < context->n_fields; i++)
        put_field(&writer, &context->fields[i]);
    memcpy(line + writer.at, "}\n", sizeof "}\n");
    return writer.at + 2;
}
