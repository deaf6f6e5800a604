/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The internals that the files of the log share: log.c (levels, destinations), log_text.c
 * (escaping), log_lines.c (the form of a line). Included by these and their unit test only.
 */
#pragma once

#include "common/log.h"

#define LOG_LINE_BYTES 32768    /* a line of any format, with its newline */
#define LOG_TEXT_BYTES 8192     /* text of an event, before it is escaped */
#define LOG_MESSAGE_BYTES 16128 /* the same, escaped */
#define LOG_VALUE_BYTES 1024    /* value of a field, before it is escaped */

/* Writes one line, newline included, and returns its size; size: LOG_LINE_BYTES. */
typedef size_t (*log_line_fn)(const struct log_event *event, char *line, size_t size);
size_t log_line_human(const struct log_event *event, char *line, size_t size);
size_t log_line_json(const struct log_event *event, char *line, size_t size);

/* Writes the inside of a JSON string (RFC 8259): as log_escape, but with escapes of JSON; bytes
 * that are not UTF-8 become U+FFFD. */
size_t log_escape_json(const char *text, size_t length, char *buffer, size_t size);
