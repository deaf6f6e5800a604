/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log_internal.h"

static const char *log_name = "skep";
static enum log_level log_max_level = LOG_LEVEL_INFO;
static enum log_format format_in_use = LOG_FORMAT_HUMAN;
static log_journal_fn send_to_journal;
static bool is_silent;
static bool is_torn; /* the last line on standard error has not all gone */
static uint64_t lines_lost;
static char last_error[512];

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

void log_init(const char *name, enum log_level max_level)
{
    log_name = name;
    log_max_level = max_level;
}

void log_set_level(enum log_level max_level)
{
    log_max_level = max_level;
}

void log_set_journal(log_journal_fn send)
{
    send_to_journal = send;
}

void log_silence(void)
{
    is_silent = true;
}

const char *log_last_error(void)
{
    return last_error;
}

enum log_level log_get_level(void)
{
    return log_max_level;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

/* ---- which format */

/* Returns whether standard error is the stream of $JOURNAL_STREAM, "device:inode"
 * (systemd.exec(5)). Standard error may have been redirected since the process was started. */
static bool is_journal_stream(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char text[48];
    struct stat st;

    if (!stream || fstat(STDERR_FILENO, &st) < 0)
        return false;
    (void) snprintf(text, sizeof text, "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
    return strcmp(text, stream) == 0;
}

void log_set_format(enum log_format format)
{
    if (format == LOG_FORMAT_AUTO)
        format = isatty(STDERR_FILENO)                    ? LOG_FORMAT_HUMAN
                 : send_to_journal && is_journal_stream() ? LOG_FORMAT_JOURNAL
                                                          : LOG_FORMAT_JSON;
    if (format == LOG_FORMAT_JOURNAL && !send_to_journal)
        format = LOG_FORMAT_HUMAN;
    format_in_use = format;
}

enum log_format log_get_format(void)
{
    return format_in_use;
}

/* ---- writing */

/* Writes without ever waiting: a reader of the log that has stopped must not stop this process.
 * poll(2) promises room for PIPE_BUF bytes only. Returns whether all has gone. */
static bool put(const char *text, size_t size)
{
    while (size > 0) {
        struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };
        size_t part = size < PIPE_BUF ? size : PIPE_BUF;

        if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
            return false;
        ssize_t n = write(STDERR_FILENO, text, part);
        if (n <= 0)
            return false;
        is_torn = true;
        text += n;
        size -= (size_t) n;
    }
    is_torn = false;
    return true;
}

static bool put_line(log_line_fn format_line, const struct log_event *event)
{
    char line[LOG_LINE_BYTES];

    if (is_torn && !put("\n", 1))
        return false;
    return put(line, format_line(event, line, sizeof line));
}

/* Writes for people. A tenant's own lines become lines of the log, all with the tag, so that no
 * line can be forged. */
static bool put_human(const struct log_event *event)
{
    const char *text = event->text;
    size_t left = event->size;
    struct log_event part = *event;

    if (!event->context->tenant_level)
        return put_line(log_line_human, event);
    do {
        const char *newline = memchr(text, '\n', left);
        part.text = text;
        part.size = newline ? (size_t) (newline - text) : left;
        if (!put_line(log_line_human, &part))
            return false;
        text += newline ? part.size + 1 : part.size;
        left -= newline ? part.size + 1 : part.size;
    } while (left > 0);
    return true;
}

static bool put_event(const struct log_event *event)
{
    if (format_in_use == LOG_FORMAT_JSON)
        return put_line(log_line_json, event);
    if (format_in_use == LOG_FORMAT_JOURNAL) {
        int r = send_to_journal(event);
        if (r == 0 || r == -EAGAIN)
            return r == 0;
    }
    return put_human(event);
}

/* Returns whether the reader of the log knows of all lines that were lost. */
static bool tell_lost(const struct timespec *now)
{
    struct log_field field = { .name = "lost", .kind = LOG_FIELD_NUMBER, .number = lines_lost };
    char text[64];

    if (lines_lost == 0)
        return true;
    int n = snprintf(text, sizeof text, "%" PRIu64 " log lines were lost: nobody read them",
                     lines_lost);
    const struct log_event event = {
        .level = LOG_LEVEL_WARNING,
        .time = *now,
        .name = log_name,
        .text = text,
        .size = (size_t) n,
        .context = LOG_ABOUT(.fields = &field, .n_fields = 1),
    };
    if (!put_event(&event))
        return false;
    lines_lost = 0;
    return true;
}

void log_text(enum log_level level, const struct log_context *context, const char *text,
              size_t size)
{
    struct log_event event = {
        .level = level,
        .name = log_name,
        .text = text,
        .size = size < LOG_TEXT_BYTES ? size : LOG_TEXT_BYTES,
        .context = context,
    };

    if (is_silent)
        return;
    (void) clock_gettime(CLOCK_REALTIME, &event.time);
    if (!tell_lost(&event.time) || !put_event(&event))
        lines_lost++;
}

/* error: 0, or the error whose text follows the message. */
__attribute__((format(printf, 4, 0))) static void write_event(enum log_level level,
                                                              const struct log_context *context,
                                                              int error, const char *format,
                                                              va_list args)
{
    char text[LOG_TEXT_BYTES];

    if (is_silent || level > log_max_level)
        return;
    int n = vsnprintf(text, sizeof text, format, args);
    if (n < 0)
        return;
    size_t length = (size_t) n < sizeof text ? (size_t) n : sizeof text - 1;
    if (error) {
        n = snprintf(text + length, sizeof text - length, ": %s",
                     strerrordesc_np(error < 0 ? -error : error));
        length = length + (size_t) n < sizeof text ? length + (size_t) n : sizeof text - 1;
    }
    if (level == LOG_LEVEL_ERROR)
        (void) log_escape(text, length, last_error, sizeof last_error);
    log_text(level, context, text, length);
}

void log_write(enum log_level level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_event(level, LOG_ABOUT(0), 0, format, args);
    va_end(args);
}

void log_event(enum log_level level, const struct log_context *context, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_event(level, context, 0, format, args);
    va_end(args);
}

int log_write_errno(enum log_level level, int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_event(level, LOG_ABOUT(0), error, format, args);
    va_end(args);
    return error;
}

int log_event_errno(enum log_level level, const struct log_context *context, int error,
                    const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_event(level, context, error, format, args);
    va_end(args);
    return error;
}
