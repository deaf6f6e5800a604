/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the log share: log.c (levels, where it goes), log_text.c (escaping),
 * log_lines.c (what a line looks like). No other includes this, but their unit test.
 */
#pragma once

#include "common/log.h"

#define LOG_LINE_BYTES 32768    /* of any format, with its newline */
#define LOG_TEXT_BYTES 8192     /* of an event, before it is escaped */
#define LOG_MESSAGE_BYTES 16128 /* the same, escaped */
#define LOG_VALUE_BYTES 1024    /* of a field, before it is escaped */

/* Each writes one line, newline included, and returns its size; size: LOG_LINE_BYTES. */
typedef size_t (*log_line_fn)(const struct log_event *event, char *line, size_t size);
size_t log_line_human(const struct log_event *event, char *line, size_t size);
size_t log_line_json(const struct log_event *event, char *line, size_t size);

/* The inside of a JSON string (RFC 8259): as log_escape, but with escapes of JSON; what is not UTF-8
 * becomes U+FFFD. */
size_t log_escape_json(const char *text, size_t length, char *buffer, size_t size);
