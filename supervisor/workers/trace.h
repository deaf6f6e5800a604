/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line in the log for each frame between skepd and its workers that is about a request, with its time since the first one:
 * what `skep dev --trace` shows. Supervisor, loop thread.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

struct trace;

/* NULL: out of memory. */
struct trace *trace_new(void);
struct trace *trace_free(struct trace *trace); /* NULL is allowed. Returns NULL. */

/* message: of an envelope of worker.proto, on its way to a worker or (is_from_worker) from one. At most
 * TRACE_FRAMES_MAX frames of one request are shown. trace: NULL is allowed. */
#define TRACE_FRAMES_MAX 100
void trace_frame(struct trace *trace, bool is_from_worker, const ProtobufCMessage *message);
