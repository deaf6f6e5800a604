/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The errors in a file, for people: collected while it is read, shown by skepd's log, `skep check`
 * and `skep dev`. Bounded, and safe to print whatever the file holds.
 */
#pragma once

#include <stddef.h>

/* Most errors that are kept; the others are only counted. */
#define CONFIG_ERRORS_MAX 100

struct config_error {
    char *file;
    unsigned line;   /* 0: the file as a whole */
    unsigned column; /* 0: unknown, or the line as a whole */
    char *text;      /* "the error: what was expected" */
};

/* Starts as { 0 }. */
struct config_errors {
    char *text; /* owned; all of them, each "FILE:LINE:COLUMN: the error\n"; NULL if none */
    size_t size;
    unsigned count;             /* errors, kept or not */
    struct config_error *items; /* owned */
    unsigned n_items;
};

/* Adds an error. Control characters in it are escaped; a line longer than 1 KiB is cut. */
void config_errors_add(struct config_errors *errors, const char *file, unsigned line,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The same with a column. */
void config_errors_add_at(struct config_errors *errors, const char *file, unsigned line,
                          unsigned column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Puts those that were added since there were `first` items into the order of their lines. */
void config_errors_sort(struct config_errors *errors, unsigned first);
void config_errors_done(struct config_errors *errors);
