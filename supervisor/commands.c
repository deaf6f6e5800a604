/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/commands.h"

#include <stddef.h>

#include "admin.pb-c.h"
#include "common/cleanup.h"
#include "supervisor/admin/handlers.h"
#include "supervisor/service/commands.h"

#define RULE(message, name, right) \
    [SKEP__ADMIN__COMMAND__MESSAGE_##message] = { ADMIN_PHASE_OPEN, admin_on_##name },
#define RIGHT(message, name, right) [SKEP__ADMIN__COMMAND__MESSAGE_##message] = right,

/* clang-format off */
static const struct channel_rule rules[] = {
    ADMIN_COMMANDS(RULE)
    [SKEP__ADMIN__COMMAND__MESSAGE_DRAIN] = { ADMIN_PHASE_OPEN, service_on_drain },
    [SKEP__ADMIN__COMMAND__MESSAGE_UPGRADE] = { ADMIN_PHASE_OPEN, service_on_upgrade },
};

/* A command without a row needs the right to write. */
static const enum admin_right rights[ARRAY_LEN(rules)] = { ADMIN_COMMANDS(RIGHT) };
/* clang-format on */

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
