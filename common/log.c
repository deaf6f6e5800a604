/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
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
static bool is_silent;
static unsigned long long lines_lost;

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

void log_silence(void)
{
    is_silent = true;
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

/* Bytes of the UTF-8 character at text that is safe to show, 0 if there is none: a control
 * character (C0, DEL, C1: terminals obey them all) or not UTF-8 (RFC 3629). */
static size_t measure_plain(const unsigned char *text, size_t length)
{
    static const struct {
        unsigned char least, most, second_least, second_most;
        size_t size;
    } kinds[] = {
        { 0xc2, 0xc2, 0xa0, 0xbf, 2 }, { 0xc3, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };

    if (text[0] < 0x80)
        return text[0] >= 0x20 && text[0] != 0x7f;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (text[0] < kinds[i].least || text[0] > kinds[i].most)
            continue;
        if (length < kinds[i].size || text[1] < kinds[i].second_least ||
            text[1] > kinds[i].second_most)
            return 0;
        for (size_t at = 2; at < kinds[i].size; at++)
            if ((text[at] & 0xc0) != 0x80)
                return 0;
        return kinds[i].size;
    }
    return 0;
}

size_t log_escape(const char *text, size_t length, char *buffer, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *at = (const unsigned char *) text, *end = at + length;
    size_t n = 0;

    while (at < end) {
        size_t plain = measure_plain(at, (size_t) (end - at));
        if (n + (plain ? plain : 4) >= size)
            break;
        if (plain) {
            memcpy(buffer + n, at, plain);
            n += plain;
            at += plain;
        } else {
            buffer[n++] = '\\';
            buffer[n++] = 'x';
            buffer[n++] = hex[*at >> 4];
            buffer[n++] = hex[*at & 15];
            at++;
        }
    }
    if (size > 0)
        buffer[n] = '\0';
    return n;
}

/* Writes without ever waiting: whoever reads the log may have stopped, and must not stop us by
 * that. poll(2) promises room for PIPE_BUF bytes only. Returns whether all has gone. */
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
        text += n;
        size -= (size_t) n;
    }
    return true;
}

static void put_line(const char *line, size_t size)
{
    char note[64];

    if (lines_lost > 0) {
        int n = snprintf(note, sizeof note, "\n(%llu log lines were lost: nobody read them)\n",
                         lines_lost);
        if (!put(note, (size_t) n)) {
            lines_lost++;
            return;
        }
        lines_lost = 0;
    }
    if (!put(line, size))
        lines_lost++;
}

__attribute__((format(printf, 3, 0))) static void write_line(enum log_level level, int error,
                                                             const char *format, va_list args)
{
    char text[LINE_MAX_BYTES / 2];
    char escaped[LINE_MAX_BYTES - 256];
    char line[LINE_MAX_BYTES];
    struct timespec now = { 0 };
    struct tm tm = { 0 };

    if (is_silent || level > log_max_level)
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
    put_line(line, total);
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
