/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands deploy, rollback, versions and remove: the answer comes when the work is done, and
 * until then the client's next command is not read. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/host_faults.h"
#include "supervisor/admin/internal.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/record/failure.h"
#include "supervisor/tenants/unserved.h"

/* ---- answers */

static void on_accepted(void *owner)
{
    Skep__Admin__DeployReady ready = SKEP__ADMIN__DEPLOY_READY__INIT;

    (void) admin_client_send(owner, SKEP__ADMIN__ANSWER__MESSAGE_DEPLOY_READY, &ready);
}

static void on_failed(void *owner, const struct failure *failure)
{
    struct admin_client *client = owner;

    client->deploy = NULL;
    (void) admin_send_refusal(client, failure);
}

/* Writes what the version's rules do not allow, by the config as it is now. A file's name is the one that the tenant's author
 * knows. Each text is malloc'ed. */
static size_t list_notes(const struct admin_client *client, const struct manifest *manifest,
                         ProtobufCBinaryData *notes, size_t most)
{
    _cleanup_(config_errors_done) struct config_errors faults = { 0 };
    size_t n = 0;

    manifest_note_hosts(manifest, admin_client_options(client)->tenants->config, &faults);
    for (unsigned i = 0; i < faults.n_items && n < most; i++) {
        char *text = NULL;
        if (asprintf(&text, "skep.yaml:%u: %s", faults.items[i].line, faults.items[i].text) >= 0)
            notes[n++] = admin_bytes(text, strlen(text));
    }
    return n;
}

static void send_deployed(struct admin_client *client, const struct deploy_result *result)
{
    Skep__Admin__Deployed deployed = SKEP__ADMIN__DEPLOYED__INIT;
    ProtobufCBinaryData routes[TENANT_ROUTES_MAX], notes[HOST_RULES_MAX];

    deployed.tenant = admin_bytes(result->tenant, strlen(result->tenant));
    deployed.version = admin_bytes(result->version, strlen(result->version));
    deployed.previous = admin_bytes(result->previous, strlen(result->previous));
    deployed.unchanged = result->is_unchanged;
    deployed.routes = routes;
    for (unsigned i = 0; i < result->manifest->n_routes && i < TENANT_ROUTES_MAX; i++) {
        char buffer[ROUTE_TEXT_BYTES];
        char *text = strdup(route_pattern_text(&result->manifest->routes[i], buffer));
        if (text)
            routes[deployed.n_routes++] = admin_bytes(text, strlen(text));
    }
    deployed.files = result->files;
    deployed.bytes = result->bytes;
    deployed.boot_us = result->boot_us;
    deployed.notes = notes;
    _cleanup_free_ ProtobufCBinaryData *migrations =
        calloc(result->n_migrations + 1, sizeof *migrations);
    for (unsigned i = 0; migrations && i < result->n_migrations; i++)
        migrations[i] = admin_bytes(result->migrations[i], strlen(result->migrations[i]));
    deployed.migrations = migrations;
    deployed.n_migrations = migrations ? result->n_migrations : 0;
    deployed.n_notes = list_notes(client, result->manifest, notes, ARRAY_LEN(notes));
    (void) admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_DEPLOYED, &deployed);
    for (size_t i = 0; i < deployed.n_notes; i++)
        free(notes[i].data);
    for (size_t i = 0; i < deployed.n_routes; i++)
        free(routes[i].data);
}

static void send_removed(struct admin_client *client, const struct deploy_result *result)
{
    Skep__Admin__Removed removed = SKEP__ADMIN__REMOVED__INIT;

    removed.tenant = admin_bytes(result->tenant, strlen(result->tenant));
    removed.versions = result->versions;
    removed.in_flight = result->in_flight;
    (void) admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_REMOVED, &removed);
}

static void on_done(void *owner, const struct deploy_result *result)
{
    struct admin_client *client = owner;

    client->deploy = NULL;
    if (result->manifest)
        send_deployed(client, result);
    else
        send_removed(client, result);
}

static void copy_version(const Skep__Store__Version *from, Skep__Admin__StoredVersion *ret)
{
    skep__admin__stored_version__init(ret);
    ret->time_ms = from->time_ms;
    ret->version = from->version;
    ret->state = from->state;
    ret->uid = from->uid;
    ret->files = from->files;
    ret->bytes = from->bytes;
    ret->reason = from->reason;
    ret->served_ms = from->served_ms;
}

static bool is_of_name(ProtobufCBinaryData version, const char *name)
{
    return version.len == strlen(name) && memcmp(version.data, name, version.len) == 0;
}

static void on_list(void *owner, const char *tenant, const Skep__Store__Versions *list)
{
    Skep__Admin__Versions versions = SKEP__ADMIN__VERSIONS__INIT;
    struct admin_client *client = owner;
    size_t n = list->n_versions;
    _cleanup_free_ Skep__Admin__StoredVersion *items = calloc(n + 1, sizeof *items);
    _cleanup_free_ Skep__Admin__StoredVersion **rows =
        calloc(n + 1, sizeof(Skep__Admin__StoredVersion *));

    client->deploy = NULL;
    if (!items || !rows) {
        (void) admin_send_failure(client, ADMIN_NO_MEMORY);
        return;
    }
    const struct unserved *unserved = unserved_find(admin_client_options(client)->tenants, tenant);
    for (size_t i = 0; i < n; i++) {
        rows[i] = &items[i];
        copy_version(list->versions[i], rows[i]);
        if (unserved && is_of_name(rows[i]->version, unserved->version)) {
            rows[i]->state = admin_bytes("unserved", strlen("unserved"));
            rows[i]->reason = admin_bytes(unserved->text, strlen(unserved->text));
        }
    }
    versions.tenant = admin_bytes(tenant, strlen(tenant));
    versions.versions = rows;
    versions.n_versions = n;
    (void) admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_VERSIONS, &versions);
}

static const struct deploy_listener listener = {
    .accepted = on_accepted,
    .failed = on_failed,
    .done = on_done,
    .versions = on_list,
};

void admin_leave_deploy(struct admin_client *client)
{
    struct deploy *deploy = TAKE_PTR(client->deploy);

    if (deploy)
        deploy_leave(deploy);
}

/* ---- commands */

static struct deploy_asker asker_of(struct admin_client *client)
{
    return (
        struct deploy_asker){ .listener = &listener, .owner = client, .uid = client->peer.who.uid };
}

/* r: result of beginning; failure: why it was not begun. */
static int begun(struct admin_client *client, int r, const struct failure *failure)
{
    if (r < 0)
        return admin_send_refusal(client, failure);
    admin_client_wait(client);
    return 0;
}

/* Begins a command that has nothing but the tenant's name. */
static int begin(struct admin_client *client, ProtobufCBinaryData name,
                 int (*how)(struct deploys *deploys, ProtobufCBinaryData name,
                            const struct deploy_asker *asker, struct deploy **ret_deploy,
                            struct failure *failure))
{
    const struct deploy_asker asker = asker_of(client);
    _cleanup_(failure_done) struct failure failure = { 0 };

    if (client->deploy)
        return -EPROTO;
    int r = how(admin_client_options(client)->deploys, name, &asker, &client->deploy, &failure);
    return begun(client, r, &failure);
}

int admin_on_deploy(void *owner, const ProtobufCMessage *message)
{
    return begin(owner, ((const Skep__Admin__DeployRequest *) message)->name, deploy_begin);
}

int admin_on_deploy_part(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__DeployPart *request = (const Skep__Admin__DeployPart *) message;
    struct admin_client *client = owner;
    const struct deploy_part part = {
        .path = request->path,
        .env = request->env,
        .data = request->data,
        .more = request->more,
        .end = request->end,
    };

    if (!client->deploy)
        return admin_send_failure(client, "no deploy is under way that this could be a part of");
    admin_client_wait(client);
    return deploy_take_part(client->deploy, &part);
}

int admin_on_rollback(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__RollbackRequest *request = (const Skep__Admin__RollbackRequest *) message;
    struct admin_client *client = owner;
    const struct deploy_asker asker = asker_of(client);
    _cleanup_(failure_done) struct failure failure = { 0 };

    if (client->deploy)
        return -EPROTO;
    int r = deploy_rollback(admin_client_options(client)->deploys, request->name, request->version,
                            &asker, &client->deploy, &failure);
    return begun(client, r, &failure);
}

int admin_on_versions(void *owner, const ProtobufCMessage *message)
{
    return begin(owner, ((const Skep__Admin__VersionsRequest *) message)->name, deploy_list);
}

int admin_on_remove(void *owner, const ProtobufCMessage *message)
{
    return begin(owner, ((const Skep__Admin__RemoveRequest *) message)->name, deploy_remove);
}
