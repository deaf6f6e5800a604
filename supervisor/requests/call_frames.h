/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of calls, between a worker and the calls of its requests (proto/worker.proto). Supervisor, loop thread.
 */
#pragma once

#include "supervisor/requests/ledger.h"
#include "supervisor/workers/link.h"

struct call_part { /* a part of a body */
    const uint8_t *data;
    size_t size;
    bool end;
};

/* Handlers, for the table in supervisor/frames.c. Each is a channel_handler_fn; owner: struct worker. */
int requests_on_call_frame(void *owner, const ProtobufCMessage *message);
int requests_on_call_body_frame(void *owner, const ProtobufCMessage *message);
int requests_on_call_credit_frame(void *owner, const ProtobufCMessage *message);
int requests_on_call_cancel_frame(void *owner, const ProtobufCMessage *message);

/* Each sends to the request's worker. A frame that cannot be sent is lost with the worker. */
void call_frames_send_head(struct request *request, uint32_t id, const struct call_answer *answer,
                           const struct call_part *part);
void call_frames_send_body(struct request *request, uint32_t id, const struct call_part *part);
void call_frames_send_credit(struct request *request, uint32_t id, uint32_t bytes);
void call_frames_send_failure(struct request *request, uint32_t id, bool is_limit,
                              const char *text);
