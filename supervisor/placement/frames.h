/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers of a worker's frames about its versions, for the table in supervisor/frames.c. Each is a
 * channel_handler_fn; owner: struct worker. Supervisor, loop thread.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

int placement_on_loaded_frame(void *owner, const ProtobufCMessage *message);
int placement_on_log_frame(void *owner, const ProtobufCMessage *message);
int placement_on_unloaded_frame(void *owner, const ProtobufCMessage *message);
int placement_on_stopped_frame(void *owner, const ProtobufCMessage *message);
int placement_on_exceeded_frame(void *owner, const ProtobufCMessage *message);
