/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"

#define LINE_MAX_BYTES 16384

static const char *log_name = "skep";
static enum log_level log_max_level = LOG_LEVEL_INFO;

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

enum log_level log_get_level(void)
{
    return log_max_level;
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level) i;
            return 0;
        }
    return -EINVAL;
}

size_t log_escape(const char *text, size_t length, char *buffer, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;

    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char) text[i];
        bool plain = c >= 0x20 && c != 0x7f;
        if (n + (plain ? 1 : 4) >= size)
            break;
        if (plain) {
            buffer[n++] = (char) c;
        } else {
            buffer[n++] = '\\';
            buffer[n++] = 'x';
            buffer[n++] = hex[c >> 4];
            buffer[n++] = hex[c & 15];
        }
    }
    if (size > 0)
        buffer[n] = '\0';
    return n;
}

static void write_line(enum log_level level, int error, const char *format, va_list args)
{
    char text[LINE_MAX_BYTES / 2];
    char escaped[LINE_MAX_BYTES - 256];
    char line[LINE_MAX_BYTES];
    struct timespec now = { 0 };
    struct tm tm = { 0 };

    if (level > log_max_level)
        return;
    int n = vsnprintf(text, sizeof text, format, args);
    if (n < 0)
        return;
    size_t length = (size_t) n < sizeof text ? (size_t) n : sizeof text - 1;
    (void) log_escape(text, length, escaped, sizeof escaped);

    (void) clock_gettime(CLOCK_REALTIME, &now);
    (void) gmtime_r(&now.tv_sec, &tm);
    char stamp[32];
    (void) strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    n = snprintf(line, sizeof line, "%s.%03ldZ %s %s: %s%s%s\n", stamp, now.tv_nsec / 1000000,
                 log_name, level_names[level], escaped, error ? ": " : "",
                 error ? strerrordesc_np(error < 0 ? -error : error) : "");
    if (n <= 0)
        return;
    size_t total = (size_t) n < sizeof line ? (size_t) n : sizeof line - 1;
    line[total - 1] = '\n';
    ssize_t written = write(STDERR_FILENO, line, total);
    (void) written; /* nowhere left to complain */
}

void log_write(enum log_level level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_line(level, 0, format, args);
    va_end(args);
}

int log_write_errno(enum log_level level, int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_line(level, error, format, args);
    va_end(args);
    return error;
}
