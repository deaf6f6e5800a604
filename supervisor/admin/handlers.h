/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handlers of commands that are in admin/, for the table in supervisor/commands.c. Each is a
 * channel_handler_fn; owner: struct admin_client. Each command has exactly one answer; log lines may come
 * between. Supervisor, loop thread.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

/* A row for each: its message in admin.proto, its handler admin_on_NAME, and the right that it needs. */
/* clang-format off */
#define ADMIN_COMMANDS(X) \
    X(STATS, stats, ADMIN_MAY_READ) \
    X(WORKERS, workers, ADMIN_MAY_READ) \
    X(TENANTS, tenants, ADMIN_MAY_READ) \
    X(RELOAD, reload, ADMIN_MAY_WRITE) \
    X(LOGS, logs, ADMIN_MAY_READ) \
    X(LOAD, load, ADMIN_MAY_WRITE) \
    X(INCIDENTS, incidents, ADMIN_MAY_READ) \
    X(QUARANTINE, quarantine, ADMIN_MAY_WRITE) \
    X(RELEASE, release, ADMIN_MAY_WRITE) \
    X(RETIRE, retire, ADMIN_MAY_WRITE) \
    X(STATUS, status, ADMIN_MAY_READ) \
    X(JAIL_REPORT, jail_report, ADMIN_MAY_READ) \
    X(CONFIG_RELOAD, config_reload, ADMIN_MAY_WRITE) \
    X(KILL_WORKER, kill_worker, ADMIN_MAY_WRITE) \
    X(LOG_TAIL, log_tail, ADMIN_MAY_READ) \
    X(EXPLAIN, explain, ADMIN_MAY_READ) \
    X(TOP, top, ADMIN_MAY_READ) \
    X(DEPLOY, deploy, ADMIN_MAY_WRITE) \
    X(DEPLOY_PART, deploy_part, ADMIN_MAY_WRITE) \
    X(ROLLBACK, rollback, ADMIN_MAY_WRITE) \
    X(VERSIONS, versions, ADMIN_MAY_READ) \
    X(REMOVE, remove, ADMIN_MAY_WRITE) \
    X(SECRET_SET, secret_set, ADMIN_MAY_WRITE) \
    X(SECRET_REMOVE, secret_remove, ADMIN_MAY_WRITE) \
    X(SECRETS, secrets, ADMIN_MAY_READ) \
    X(EGRESS, egress, ADMIN_MAY_READ) \
    X(DATA, data, ADMIN_MAY_WRITE) \
    X(DATA_PART, data_part, ADMIN_MAY_WRITE) \
    X(DATA_READ, data_read, ADMIN_MAY_WRITE)
/* clang-format on */

#define ADMIN_DECLARE_HANDLER(case_name, name, right) \
    int admin_on_##name(void *owner, const ProtobufCMessage *message);
ADMIN_COMMANDS(ADMIN_DECLARE_HANDLER)
#undef ADMIN_DECLARE_HANDLER
