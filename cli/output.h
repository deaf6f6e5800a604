/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The output of verbs: text from tenants made safe for a terminal, tables for people, JSON for
 * scripts. No state.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "config/errors.h"

enum output_style { OUTPUT_PLAIN, OUTPUT_DIM, OUTPUT_BOLD, OUTPUT_YELLOW, OUTPUT_RED };

/* Returns the escape sequence that starts a style (OUTPUT_PLAIN ends it); "" if the file is no
 * terminal, or NO_COLOR is set (https://no-color.org). */
const char *output_style(FILE *file, enum output_style style);

/* Writes "skep WHO: " and the text as one line on standard error, as output_line does. who: the
 * verb; NULL: none. */
void output_error(const char *who, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes each note as a line "note: FILE:LINE: TEXT", which no reader of errors takes for one. */
void output_notes(FILE *file, const struct config_errors *notes);

/* Writes bytes of unknown origin. Newline and tab are kept; other characters that could fool a
 * reader (common/character.h), and bytes that are not UTF-8, are written as \xNN. */
void output_text(FILE *file, const uint8_t *data, size_t size);
/* Returns such bytes as a string, malloc'ed; NULL: out of memory. Newline and tab are escaped
 * too. */
char *output_line(const uint8_t *data, size_t size);

/* A table with columns as wide as their widest cell. */
struct table;

/* Makes a table. A heading that starts with '>' is that of a column of numbers, to the right.
 * headings is borrowed. */
struct table *table_new(const char *const *headings, unsigned n_headings);
struct table *table_free(struct table *table); /* NULL is allowed; returns NULL */
DEFINE_CLEANUP(struct table *, table_free, table_cleanup)
/* Adds the next cell, from left to right, rows one after the other. 0 or -ENOMEM. */
int table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
int table_add_text(struct table *table, const uint8_t *data, size_t size);
void table_print(const struct table *table, FILE *file);

/* Makes JSON: a string in which bytes that are not UTF-8 became U+FFFD; an integer within the range
 * that JSON readers keep. NULL: out of memory. */
json_t *json_text(const uint8_t *data, size_t size);
json_t *json_count(uint64_t count);
/* Prints one document; takes over the reference. NULL (out of memory) is an error. 0 or -errno.
 * Characters that could fool a reader (common/character.h) are written as \uXXXX, which parsers
 * read as the same. */
int json_print(json_t *document);
int json_print_line(json_t *document); /* the same, in one line */

static inline void json_cleanup(json_t **json)
{
    json_decref(*json);
}

/* Writes a number with its unit: "1.4 GiB", "3 h 12 min", "850 us" to "1.25 ms" to "59.9 s" to
 * hours; returns buffer. */
#define OUTPUT_NUMBER_BYTES 32
const char *output_kib(uint64_t kib, char *buffer);
const char *output_duration(uint64_t ms, char *buffer);
const char *output_us(uint64_t us, char *buffer);
