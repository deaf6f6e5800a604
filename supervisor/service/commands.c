/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands of the operator for the whole service: drain, upgrade. The log says who gave them.
 * Supervisor, loop thread.
 */
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "supervisor/admin/client.h"
#include "supervisor/record/failure.h"
#include "supervisor/service/commands.h"
#include "supervisor/service/drain.h"
#include "supervisor/service/service.h"
#include "supervisor/service/upgrade.h"

int service_on_drain(void *owner, const ProtobufCMessage *message)
{
    Skep__Admin__Draining draining = SKEP__ADMIN__DRAINING__INIT;
    struct admin_client *client = owner;
    struct service *service = admin_client_above(client);

    (void) message;
    if (!service)
        return admin_send_failure(client, "this skepd cannot be drained");
    const struct drain_state state = drain_state(service_drain(service));
    draining.in_flight = (uint32_t) state.in_flight;
    draining.connections = (uint32_t) state.connections;
    draining.limit_s = state.limit_s;
    draining.was_draining = state.is_draining;
    log_info("drain is asked for by uid %u, pid %d", (unsigned) admin_client_uid(client),
             (int) admin_client_pid(client));
    service_end(service, false);
    return admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_DRAINING, &draining);
}

static void send_upgraded(struct admin_client *client, const void *what)
{
    const struct upgrade_result *result = what;
    Skep__Admin__Upgraded upgraded = SKEP__ADMIN__UPGRADED__INIT;

    if (result->failure) {
        (void) admin_send_refusal(client, result->failure);
        return;
    }
    upgraded.old_version = admin_bytes(SKEP_VERSION, strlen(SKEP_VERSION));
    upgraded.old_pid = (uint32_t) getpid();
    upgraded.new_version = admin_bytes(result->version, strlen(result->version));
    upgraded.new_pid = (uint32_t) result->pid;
    (void) admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_UPGRADED, &upgraded);
}

void service_tell_upgrade(struct admin *admin, const struct upgrade_result *result)
{
    admin_answer_waiting(admin, send_upgraded, result);
}

int service_on_upgrade(void *owner, const ProtobufCMessage *message)
{
    struct admin_client *client = owner;
    const struct service *service = admin_client_above(client);
    _cleanup_(failure_done) struct failure failure = { 0 };

    (void) message;
    log_info("upgrade is asked for by uid %u, pid %d", (unsigned) admin_client_uid(client),
             (int) admin_client_pid(client));
    if (!service)
        return admin_send_failure(client, "this skepd cannot be upgraded");
    if (upgrade_start(service_upgrade(service), &failure) < 0)
        return admin_send_refusal(client, &failure);
    admin_client_await_answer(client, send_upgraded);
    return 0;
}
