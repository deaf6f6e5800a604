/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the admin socket, as the handler of a command sees it. Supervisor, loop thread.
 */
#pragma once

#include "admin.pb-c.h"
#include "supervisor/admin/admin.h"

struct admin_client;

/* Returns `above` of admin_options, for the handlers of the floors above. */
void *admin_client_above(const struct admin_client *client);
/* Return the client's user and process, for the log. */
uid_t admin_client_uid(const struct admin_client *client);
pid_t admin_client_pid(const struct admin_client *client);

/* Queues an answer. message: one of the kind. Returns 0 or -errno of channel_send. */
int admin_client_send(struct admin_client *client, Skep__Admin__Answer__MessageCase kind,
                      void *message);
/* Does the same with a message that was filled with the result r; a failure if that is negative. */
int admin_send_report(struct admin_client *client, int r, Skep__Admin__Answer__MessageCase kind,
                      void *message);
int admin_send_failure(struct admin_client *client, const char *reason);
/* Does the same for a failure from below; with -EBUSY it says that the same command may succeed
 * soon. */
int admin_send_refusal(struct admin_client *client, const struct failure *failure);
/* Reads nothing more from the client until admin_answer_waiting with the same function. */
void admin_client_await_answer(struct admin_client *client, admin_answer_fn answer);

#define ADMIN_NO_MEMORY "skepd is out of memory"
#define ADMIN_NO_TENANT "no such tenant: `skep tenants` lists them"
/* Returns NULL if there is none of that name. */
struct tenant *admin_find_tenant(const struct admin_client *client, ProtobufCBinaryData name);
#define ADMIN_NO_CORDON "no such cordon: `skep workers` lists them"
/* Returns NULL if there is none of that name. */
const struct cordon_config *admin_find_cordon(const struct config *config,
                                              ProtobufCBinaryData name);
static inline ProtobufCBinaryData admin_bytes(const void *data, size_t size)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
}
