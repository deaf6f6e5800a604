/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command explain: a closer look at the limits of one tenant.
 * Supervisor, loop thread.
 */
#include "common/cleanup.h"
#include "supervisor/admin/internal.h"

#define INSPECT_ARENA_BYTES (4U << 20)

int admin_on_explain(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__ExplainRequest *request = (const Skep__Admin__ExplainRequest *) message;
    Skep__Admin__Explained explained = SKEP__ADMIN__EXPLAINED__INIT;
    _cleanup_(arena_done) struct arena arena = { 0 };
    const struct tenant *tenant = admin_find_tenant(owner, request->name);

    if (!tenant)
        return admin_send_failure(owner, ADMIN_NO_TENANT);
    int r = arena_init(&arena, INSPECT_ARENA_BYTES);
    if (r == 0)
        r = admin_report_explained(tenant, &arena, &explained);
    return admin_send_report(owner, r, SKEP__ADMIN__ANSWER__MESSAGE_EXPLAINED, &explained);
}
