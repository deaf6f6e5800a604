/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces that run through requests, calls and fetches: W3C Trace Context, level 1. Each request, call and fetch is a span, with one line
 * in the access log; while that is off, nothing here is done. Values of headers are strangers'. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "supervisor/calls/calls.h"
#include "supervisor/http/http.h"

#define TRACE_ID_BYTES 16
#define SPAN_ID_BYTES 8
/* Text of an id in hexadecimal, with its NUL. */
#define TRACE_ID_TEXT (2 * TRACE_ID_BYTES + 1)
#define SPAN_ID_TEXT (2 * SPAN_ID_BYTES + 1)
/* "00-", trace, "-", span, "-", flags. */
#define TRACE_PARENT_BYTES 55

/* A span. All zero: none. */
struct trace_span {
    bool is_on, has_parent;
    bool is_foreign; /* the tenant has written the header of the call itself */
    bool is_sampled;
    uint8_t trace[TRACE_ID_BYTES], id[SPAN_ID_BYTES];
    uint8_t parent[SPAN_ID_BYTES]; /* if has_parent */
};

/* Parses a traceparent into trace, id and is_sampled: version 00 exactly, a later one as far as 00 goes. Returns false if it is not
 * valid; *ret is written only on success. */
bool trace_parse(struct http_text value, struct trace_span *ret);
/* Writes a traceparent of the span, with a NUL. */
void trace_write(const struct trace_span *span, char text[static TRACE_PARENT_BYTES + 1]);

/* Room for the texts of trace_log_fields. */
struct trace_texts {
    char trace[TRACE_ID_TEXT], span[SPAN_ID_TEXT], parent[SPAN_ID_TEXT];
};
#define TRACE_LOG_FIELDS 3
/* Makes the fields of the span for an event: trace, span, and parent if there is one. Returns their number. */
size_t trace_log_fields(const struct trace_span *span, struct trace_texts *texts,
                        struct log_field fields[static TRACE_LOG_FIELDS]);

/* Begins the span of a request: within the trace of its one valid traceparent, else of a new trace. Without random bytes
 * the span is none. */
void trace_begin(const struct http_request *head, struct trace_span *ret);

/* Room that trace_call needs. */
struct trace_call {
    struct trace_span span;
    char value[TRACE_PARENT_BYTES + 1];
};

/* Most bytes of the other headers of a call that gets a traceparent, so that none is refused because of it; and of all tracestate. */
#define TRACE_CALL_HEAD_BYTES 8192
#define TRACE_STATE_BYTES 512

/* Begins the span of a call or fetch that the request makes. A tenant's own traceparent stays, and is the span's; otherwise, and if the
 * tenant only passes that of its request on, the call gets one in fields, which has room for HEAD_FIELDS_MAX, with the tracestate of the
 * request. span: the request's. packed: its head, as of ledger_pack_head. room: stays until the call is opened. Returns the
 * number of fields. */
size_t trace_call(const struct trace_span *span, const uint8_t *packed, size_t packed_bytes,
                  struct call_field *fields, size_t n_fields, struct trace_call *room);
