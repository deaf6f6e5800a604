/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operator does to the service as a whole: drain, upgrade. Who asked for it is logged.
 * Supervisor, loop thread.
 */
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/admin/internal.h"
#include "supervisor/service/drain.h"
#include "supervisor/service/service.h"
#include "supervisor/service/upgrade.h"

int admin_on_drain(void *owner, const ProtobufCMessage *message)
{
    Skep__Admin__Draining draining = SKEP__ADMIN__DRAINING__INIT;
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;
    struct admin_client *client = owner;
    struct server *server = admin_client_server(client);

    (void) message;
    if (!server->service)
        return admin_send_failure(client, "this skepd cannot be drained");
    const struct drain_load load = drain_load(server);
    draining.in_flight = (uint32_t) load.in_flight;
    draining.connections = (uint32_t) load.connections;
    draining.limit_s = server->config->drain_s;
    draining.was_draining = server->is_draining;
    log_info("drain is asked for by uid %u, pid %d", (unsigned) client->peer.who.uid,
             (int) client->peer.who.pid);
    service_end(server, false);
    answer.message_case = SKEP__ADMIN__ANSWER__MESSAGE_DRAINING;
    answer.draining = &draining;
    return admin_client_send(client, &answer);
}

/* Answered when it has ended, see admin_tell_upgrade. */
int admin_on_upgrade(void *owner, const ProtobufCMessage *message)
{
    struct admin_client *client = owner;
    const struct server *server = admin_client_server(client);
    const char *reason = "";

    (void) message;
    log_info("upgrade is asked for by uid %u, pid %d", (unsigned) client->peer.who.uid,
             (int) client->peer.who.pid);
    if (!server_may_upgrade(server, &reason) ||
        upgrade_start(service_upgrade(server->service), &reason) < 0)
        return admin_send_failure(client, reason);
    admin_client_await_upgrade(client);
    return 0;
}

int admin_send_upgraded(struct admin_client *client, const struct upgrade_result *result)
{
    Skep__Admin__Upgraded upgraded = SKEP__ADMIN__UPGRADED__INIT;
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;

    if (result->failure)
        return admin_send_failure(client, result->failure);
    upgraded.old_version = admin_bytes(SKEP_VERSION, strlen(SKEP_VERSION));
    upgraded.old_pid = (uint32_t) getpid();
    upgraded.new_version = admin_bytes(result->version, strlen(result->version));
    upgraded.new_pid = (uint32_t) result->pid;
    answer.message_case = SKEP__ADMIN__ANSWER__MESSAGE_UPGRADED;
    answer.upgraded = &upgraded;
    return admin_client_send(client, &answer);
}
