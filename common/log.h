/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's log: one line for each event on standard error.
 * Any process; one thread. A reader that has stopped loses lines, and is told how many; it never
 * stops the process.
 */
#pragma once

#include <stddef.h>

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

enum log_format {
    LOG_FORMAT_AUTO,    /* human on a terminal, journal if standard error is its stream, else JSON */
    LOG_FORMAT_HUMAN,   /* "TIME NAME LEVEL: text" */
    LOG_FORMAT_JSON,    /* an object for each line */
    LOG_FORMAT_JOURNAL, /* to journald, with fields */
};

/* Sets the name that starts each line ("skepd") and the least important level that is
 * written. name is borrowed and must outlive all calls. Call once, before threads. */
void log_init(const char *name, enum log_level max_level);

/* No line is written from now on: the process may not write any more. */
void log_silence(void);

enum log_level log_get_level(void);

/* "error", "warning", "info" or "debug" to a level; -EINVAL for anything else. */
int log_level_parse(const char *text, enum log_level *ret_level);

/* Writes one line; longer than 8 KiB is cut. Control characters are escaped, so that no
 * text that came from a peer can forge a line. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Like log_write, followed by ": " and the text of -error. Returns error (negative). */
int log_write_errno(enum log_level level, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Copies at most size - 1 bytes of text, with control characters and what is not UTF-8
 * escaped as \xNN, and ends it with NUL. Returns the length written. */
size_t log_escape(const char *text, size_t length, char *buffer, size_t size);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                               \
    do {                                             \
        if (log_get_level() >= LOG_LEVEL_DEBUG)      \
            log_write(LOG_LEVEL_DEBUG, __VA_ARGS__); \
    } while (0)
#define log_error_errno(error, ...) log_write_errno(LOG_LEVEL_ERROR, (error), __VA_ARGS__)
#define log_warning_errno(error, ...) log_write_errno(LOG_LEVEL_WARNING, (error), __VA_ARGS__)
