/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's log: one line or entry for each event, on standard error or in the journal, with
 * fields that say whom it is about. Any process; one thread. A reader that has stopped loses lines,
 * and is told how many; it never stops the process.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

enum log_format {
    LOG_FORMAT_AUTO,  /* human on a terminal, journal if standard error is its stream, else JSON */
    LOG_FORMAT_HUMAN, /* "TIME NAME LEVEL: text" */
    LOG_FORMAT_JSON,  /* an object for each line */
    LOG_FORMAT_JOURNAL, /* to journald, with fields */
};

enum log_field_kind {
    LOG_FIELD_TEXT,
    LOG_FIELD_NUMBER,
    LOG_FIELD_MILLI, /* number is in thousandths */
};

struct log_field {
    const char *name; /* [a-z_]; of the journal: in capitals */
    enum log_field_kind kind;
    const char *text; /* anything; may hold any byte */
    size_t size;
    uint64_t number;
};

/* Whom an event is about; members that are zero are not written. Texts are borrowed for the
 * call. */
struct log_context {
    const char *tenant, *cordon, *code;
    /* level of a text that is the tenant's own; NULL: the text is skepd's */
    const char *tenant_level;
    uint64_t request;
    unsigned worker; /* the worker's number; counts if worker_pid is set */
    pid_t worker_pid;
    const struct log_field *fields; /* more fields, not for people */
    size_t n_fields;
};
/* The program (journal: SYSLOG_IDENTIFIER) of events whose text is a tenant's own, so that a reader can have
 * skepd's events without them, and apart. */
#define LOG_TENANT_PROGRAM "skep-tenant"
#define LOG_ABOUT(...) (&(const struct log_context){ __VA_ARGS__ })

struct log_event {
    enum log_level level;
    struct timespec time;
    const char *name; /* name of the process */
    const char *text; /* any bytes */
    size_t size;
    const struct log_context *context; /* never NULL */
};

/* Sets the name that starts each line ("skepd") and the least important level that is
 * written. name is borrowed and must outlive all calls. Call once, before threads. Lines are for
 * people until log_set_format. */
void log_init(const char *name, enum log_level max_level);
void log_set_level(enum log_level max_level);

/* Sends an event to the journal. 0, -EAGAIN if it would have to wait (the event is lost), or another
 * -errno: then it goes to standard error instead. */
typedef int (*log_journal_fn)(const struct log_event *event);
/* Sets the function for LOG_FORMAT_JOURNAL, which without one is LOG_FORMAT_HUMAN. Called before
 * log_set_format. */
void log_set_journal(log_journal_fn send);
/* Sets the format. May be called again at any time. */
void log_set_format(enum log_format format);
/* Returns the format in use; never LOG_FORMAT_AUTO. */
enum log_format log_get_format(void);

/* Ends all writing to the log: the process may not write any more. */
void log_silence(void);

enum log_level log_get_level(void);

/* Returns the text of the last error that was logged, for a peer that has to be told the reason; ""
 * if there was none. */
const char *log_last_error(void);

const char *log_level_name(enum log_level level); /* static */

/* Writes one event about somebody; text longer than 8 KiB is cut. All of the text and of the
 * context's texts stays within its value: control characters are escaped, so that no text that came
 * from a peer can forge a line or a field. */
void log_event(enum log_level level, const struct log_context *context, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for ready text of any bytes, whatever the level. For people each line of a tenant's own
 * text is a line of its own, with all that starts one. */
void log_text(enum log_level level, const struct log_context *context, const char *text,
              size_t size);

/* Writes one event about nobody. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Like log_write and log_event, followed by ": " and the text of -error. Return error (negative). */
int log_write_errno(enum log_level level, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int log_event_errno(enum log_level level, const struct log_context *context, int error,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Copies at most size - 1 bytes of text, ended with NUL. Characters that could fool a reader
 * (common/character.h) and bytes that are not UTF-8 are escaped as \xNN. Returns the length
 * written. */
size_t log_escape(const char *text, size_t length, char *buffer, size_t size);
/* The same, but newlines and tabs stay. */
size_t log_escape_lines(const char *text, size_t length, char *buffer, size_t size);

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
