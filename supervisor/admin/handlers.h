/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handlers of commands that admin/ has itself, for the table in supervisor/commands.c. Each is a
 * channel_handler_fn; owner: struct admin_client. Each command has exactly one answer; log lines may come
 * between. Supervisor, loop thread.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

int admin_on_stats(void *owner, const ProtobufCMessage *message);
int admin_on_workers(void *owner, const ProtobufCMessage *message);
int admin_on_tenants(void *owner, const ProtobufCMessage *message);
int admin_on_incidents(void *owner, const ProtobufCMessage *message);
int admin_on_status(void *owner, const ProtobufCMessage *message);
int admin_on_jail_report(void *owner, const ProtobufCMessage *message);
int admin_on_reload(void *owner, const ProtobufCMessage *message);
int admin_on_load(void *owner, const ProtobufCMessage *message);
int admin_on_quarantine(void *owner, const ProtobufCMessage *message);
int admin_on_release(void *owner, const ProtobufCMessage *message);
int admin_on_retire(void *owner, const ProtobufCMessage *message);
int admin_on_kill_worker(void *owner, const ProtobufCMessage *message);
int admin_on_logs(void *owner, const ProtobufCMessage *message);
int admin_on_log_tail(void *owner, const ProtobufCMessage *message);
int admin_on_config_reload(void *owner, const ProtobufCMessage *message);
int admin_on_explain(void *owner, const ProtobufCMessage *message);
int admin_on_top(void *owner, const ProtobufCMessage *message);
int admin_on_deploy(void *owner, const ProtobufCMessage *message);
int admin_on_deploy_part(void *owner, const ProtobufCMessage *message);
int admin_on_rollback(void *owner, const ProtobufCMessage *message);
int admin_on_versions(void *owner, const ProtobufCMessage *message);
int admin_on_remove(void *owner, const ProtobufCMessage *message);
