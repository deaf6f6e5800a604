/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers of a worker's frames about requests, for the table in supervisor/frames.c. Each is a
 * channel_handler_fn; owner: struct worker. Supervisor, loop thread.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

int requests_on_response_head_frame(void *owner, const ProtobufCMessage *message);
int requests_on_body_frame(void *owner, const ProtobufCMessage *message);
int requests_on_credit_frame(void *owner, const ProtobufCMessage *message);
int requests_on_done_frame(void *owner, const ProtobufCMessage *message);
int requests_on_caught_up_frame(void *owner, const ProtobufCMessage *message);
