/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands of the operator for the whole service: handlers of the admin socket's commands, each a
 * channel_handler_fn; owner: struct admin_client. Supervisor, loop thread.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

struct admin;
struct upgrade_result;

int service_on_drain(void *owner, const ProtobufCMessage *message);
/* Begins an upgrade. service_tell_upgrade answers when it has ended. */
int service_on_upgrade(void *owner, const ProtobufCMessage *message);
/* Answers the clients that wait for the end of the upgrade. */
void service_tell_upgrade(struct admin *admin, const struct upgrade_result *result);
