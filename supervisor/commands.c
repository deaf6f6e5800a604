/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/commands.h"

#include <stddef.h>

#include "admin.pb-c.h"
#include "common/cleanup.h"
#include "supervisor/admin/handlers.h"
#include "supervisor/service/commands.h"

static const struct channel_rule rules[] = {
    [SKEP__ADMIN__COMMAND__MESSAGE_STATS] = { ADMIN_PHASE_OPEN, admin_on_stats },
    [SKEP__ADMIN__COMMAND__MESSAGE_WORKERS] = { ADMIN_PHASE_OPEN, admin_on_workers },
    [SKEP__ADMIN__COMMAND__MESSAGE_TENANTS] = { ADMIN_PHASE_OPEN, admin_on_tenants },
    [SKEP__ADMIN__COMMAND__MESSAGE_RELOAD] = { ADMIN_PHASE_OPEN, admin_on_reload },
    [SKEP__ADMIN__COMMAND__MESSAGE_LOGS] = { ADMIN_PHASE_OPEN, admin_on_logs },
    [SKEP__ADMIN__COMMAND__MESSAGE_LOAD] = { ADMIN_PHASE_OPEN, admin_on_load },
    [SKEP__ADMIN__COMMAND__MESSAGE_INCIDENTS] = { ADMIN_PHASE_OPEN, admin_on_incidents },
    [SKEP__ADMIN__COMMAND__MESSAGE_QUARANTINE] = { ADMIN_PHASE_OPEN, admin_on_quarantine },
    [SKEP__ADMIN__COMMAND__MESSAGE_RELEASE] = { ADMIN_PHASE_OPEN, admin_on_release },
    [SKEP__ADMIN__COMMAND__MESSAGE_RETIRE] = { ADMIN_PHASE_OPEN, admin_on_retire },
    [SKEP__ADMIN__COMMAND__MESSAGE_DRAIN] = { ADMIN_PHASE_OPEN, service_on_drain },
    [SKEP__ADMIN__COMMAND__MESSAGE_UPGRADE] = { ADMIN_PHASE_OPEN, service_on_upgrade },
    [SKEP__ADMIN__COMMAND__MESSAGE_STATUS] = { ADMIN_PHASE_OPEN, admin_on_status },
    [SKEP__ADMIN__COMMAND__MESSAGE_JAIL_REPORT] = { ADMIN_PHASE_OPEN, admin_on_jail_report },
    [SKEP__ADMIN__COMMAND__MESSAGE_CONFIG_RELOAD] = { ADMIN_PHASE_OPEN, admin_on_config_reload },
    [SKEP__ADMIN__COMMAND__MESSAGE_KILL_WORKER] = { ADMIN_PHASE_OPEN, admin_on_kill_worker },
    [SKEP__ADMIN__COMMAND__MESSAGE_LOG_TAIL] = { ADMIN_PHASE_OPEN, admin_on_log_tail },
    [SKEP__ADMIN__COMMAND__MESSAGE_EXPLAIN] = { ADMIN_PHASE_OPEN, admin_on_explain },
    [SKEP__ADMIN__COMMAND__MESSAGE_TOP] = { ADMIN_PHASE_OPEN, admin_on_top },
    [SKEP__ADMIN__COMMAND__MESSAGE_DEPLOY] = { ADMIN_PHASE_OPEN, admin_on_deploy },
    [SKEP__ADMIN__COMMAND__MESSAGE_DEPLOY_PART] = { ADMIN_PHASE_OPEN, admin_on_deploy_part },
    [SKEP__ADMIN__COMMAND__MESSAGE_ROLLBACK] = { ADMIN_PHASE_OPEN, admin_on_rollback },
    [SKEP__ADMIN__COMMAND__MESSAGE_VERSIONS] = { ADMIN_PHASE_OPEN, admin_on_versions },
    [SKEP__ADMIN__COMMAND__MESSAGE_REMOVE] = { ADMIN_PHASE_OPEN, admin_on_remove },
};

/* A command that is not here needs the right to write. */
static const enum admin_right rights[ARRAY_LEN(rules)] = {
    [SKEP__ADMIN__COMMAND__MESSAGE_STATS] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_WORKERS] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_TENANTS] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_LOGS] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_INCIDENTS] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_STATUS] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_JAIL_REPORT] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_LOG_TAIL] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_EXPLAIN] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_TOP] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_VERSIONS] = ADMIN_MAY_READ,
};

const struct admin_commands commands = {
    .table = {
        .envelope = &skep__admin__command__descriptor,
        .case_offset = offsetof(Skep__Admin__Command, message_case),
        .value_offset = offsetof(Skep__Admin__Command, stats),
        .rules = rules,
        .n_rules = ARRAY_LEN(rules),
    },
    .rights = rights,
    .n_rights = ARRAY_LEN(rights),
};
