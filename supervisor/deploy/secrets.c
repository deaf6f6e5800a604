/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets that skep keeps: sealed here, written by the store, and in use once they are on the disk. A change is a deploy of its
 * own kind, so that it and a deploy or removal of the same tenant wait for each other. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/deploy/internal.h"
#include "supervisor/record/failure.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/versions/versions.h"

/* ---- requests to the store */

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

static int send_set(struct deploy *deploy)
{
    Skep__Store__SecretSet set = SKEP__STORE__SECRET_SET__INIT;

    set.id = deploy->id;
    set.tenant = bytes_of(deploy->tenant);
    set.name = bytes_of(deploy->secret);
    set.owner =
        (ProtobufCBinaryData){ .data = deploy->sealed.owner, .len = sizeof deploy->sealed.owner };
    set.sealed = (ProtobufCBinaryData){ .data = deploy->sealed.data, .len = deploy->sealed.size };
    deploy->state = DEPLOY_KEEPING;
    return deploy_send(deploy, SKEP__STORE__REQUEST__MESSAGE_SECRET_SET, &set);
}

static int send_remove(struct deploy *deploy)
{
    Skep__Store__SecretRemove remove = SKEP__STORE__SECRET_REMOVE__INIT;

    remove.id = deploy->id;
    remove.tenant = bytes_of(deploy->tenant);
    remove.name = bytes_of(deploy->secret);
    deploy->state = DEPLOY_KEEPING;
    return deploy_send(deploy, SKEP__STORE__REQUEST__MESSAGE_SECRET_REMOVE, &remove);
}

/* ---- answers */

/* Loads the tenant's next isolates with the new value; those that run end their requests. Connections on which the former value
 * was sent are not used again. */
static void renew(const struct deploy *deploy)
{
    struct tenant *tenant =
        tenant_find(deploy->deploys->with.tenants, deploy->tenant, strlen(deploy->tenant));

    if (tenant)
        ledger_forget_hosts(tenant);
    if (tenant && versions_renew_limits(tenant) < 0)
        log_event(LOG_LEVEL_ERROR, LOG_ABOUT(.tenant = deploy->tenant),
                  "isolates keep the former value of the secret %s: out of memory", deploy->secret);
}

int deploy_take_secret(struct deploy *deploy, const struct deploy_news *news)
{
    struct secrets *secrets = deploy->deploys->with.tenants->secrets;
    bool had_it = secrets_has_kept(secrets, deploy->tenant, deploy->secret);
    bool is_set = deploy->sealed.data != NULL;

    (void) news;
    if (!is_set) {
        secrets_forget(secrets, deploy->tenant, deploy->secret);
    } else if (secrets_keep(secrets, deploy->tenant, deploy->secret, &deploy->sealed) < 0) {
        deploy_fail(deploy, -ENOMEM, "it is stored, and counts after a restart: out of memory");
        return 0;
    }
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = deploy->tenant), "the secret %s is %s by uid %u",
              deploy->secret, is_set ? "set" : "removed", deploy->asker.uid);
    if (is_set)
        renew(deploy);
    if (deploy->asker.listener)
        deploy->asker.listener->secret(deploy->asker.owner, deploy->tenant, deploy->secret, had_it);
    deploy_free(deploy);
    return 0;
}

int deploy_lose_secret(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy_fail(deploy, -EPIPE,
                "the store has ended while it wrote this: run this once more, so that what is used "
                "is what is stored");
    return 0;
}

/* ---- commands */

static bool take_secret(ProtobufCBinaryData text, char name[static SECRET_NAME_MAX_BYTES + 1])
{
    if (text.len == 0 || text.len > SECRET_NAME_MAX_BYTES)
        return false;
    memcpy(name, text.data, text.len);
    name[text.len] = '\0';
    return strlen(name) == text.len && secret_name_is_valid(name);
}

static int check(struct deploys *deploys, ProtobufCBinaryData text, ProtobufCBinaryData secret,
                 char tenant[static NAME_MAX_BYTES + 1],
                 char name[static SECRET_NAME_MAX_BYTES + 1], struct failure *failure)
{
    if (!deploys->with.store && !deploys->with.is_dev)
        return failure_set(failure, -EPERM,
                           "no secret can be kept here: name a folder for it as `state` in %.200s, "
                           "and restart skepd",
                           deploys->with.config->path);
    int r = deploy_check(deploys, text, tenant, failure);
    if (r < 0)
        return r;
    if (!take_secret(secret, name))
        return failure_set(failure, -EINVAL, "not the name of a secret: %s", secret_name_expected);
    if (deploys->with.life->is_draining || deploys->with.life->is_handing_over)
        return failure_set(failure, -EBUSY, "skepd is about to end: try again");
    if (deploy_find_change(deploys, tenant))
        return failure_set(failure, -EBUSY,
                           "%s is being deployed, rolled back, removed or given a secret by "
                           "somebody else: try again",
                           tenant);
    return 0;
}

/* Returns the version that uses the secret, of those that may still serve the one that is nearest to it; NULL: there is none. */
static const struct version *find_user(const struct tenant *tenant, const char *name)
{
    const struct version *const versions[] = {
        tenant ? tenant->version : NULL,
        tenant ? tenant->candidate : NULL,
        tenant ? tenant->deployed.standby : NULL,
    };

    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++)
        if (versions[i] && manifest_find_secret(versions[i]->manifest, name))
            return versions[i];
    return NULL;
}

/* 0 if the secret may be removed; or -EBUSY, which failure has, too. */
static int refuse_used(const struct tenant *tenant, const char *name, struct failure *failure)
{
    const struct version *user = find_user(tenant, name);

    if (!user)
        return 0;
    if (user == tenant->deployed.standby)
        return failure_set(failure, -EBUSY,
                           "version %.12s, to which rollback goes, uses %s: deploy once more, or "
                           "remove it later",
                           tenant->deployed.standby_name, name);
    return failure_set(failure, -EBUSY,
                       "%s uses %s: deploy a version without it first, or set another value",
                       tenant->name, name);
}

int deploy_set_secret(struct deploys *deploys, ProtobufCBinaryData text, ProtobufCBinaryData secret,
                      ProtobufCBinaryData bytes, const struct deploy_asker *asker,
                      struct deploy **ret_deploy, struct failure *failure)
{
    const struct secret_value value = { (char *) bytes.data, bytes.len };
    char name[NAME_MAX_BYTES + 1], secret_name[SECRET_NAME_MAX_BYTES + 1];
    struct secrets *secrets = deploys->with.tenants->secrets;
    struct sealed_secret sealed = { 0 };

    int r = check(deploys, text, secret, name, secret_name, failure);
    if (r < 0)
        return r;
    r = secrets_seal(secrets, name, secret_name, &value, asker->uid, &sealed, failure);
    const struct version *user =
        r < 0 ? NULL
              : find_user(tenant_find(deploys->with.tenants, name, strlen(name)), secret_name);
    if (user)
        r = secrets_check(secrets, user->manifest, secret_name, &value, failure);
    struct deploy *deploy = r < 0 ? NULL : deploy_new(deploys, DEPLOY_SECRET, asker, name);
    if (!deploy) {
        sealed_secret_done(&sealed);
        return r < 0 ? r : failure_set(failure, -ENOMEM, "skepd is out of memory");
    }
    (void) snprintf(deploy->secret, sizeof deploy->secret, "%s", secret_name);
    deploy->sealed = sealed;
    return deploy_begun(deploy, send_set(deploy), ret_deploy, failure);
}

int deploy_remove_secret(struct deploys *deploys, ProtobufCBinaryData text,
                         ProtobufCBinaryData secret, const struct deploy_asker *asker,
                         struct deploy **ret_deploy, struct failure *failure)
{
    char name[NAME_MAX_BYTES + 1], secret_name[SECRET_NAME_MAX_BYTES + 1];

    int r = check(deploys, text, secret, name, secret_name, failure);
    if (r < 0)
        return r;
    if (!secrets_has_kept(deploys->with.tenants->secrets, name, secret_name))
        return failure_set(failure, -ENOENT,
                           "%s has no secret %s that skep keeps: `skep secrets list %s`", name,
                           secret_name, name);
    r = refuse_used(tenant_find(deploys->with.tenants, name, strlen(name)), secret_name, failure);
    if (r < 0)
        return r;
    struct deploy *deploy = deploy_new(deploys, DEPLOY_SECRET, asker, name);
    if (!deploy)
        return failure_set(failure, -ENOMEM, "skepd is out of memory");
    (void) snprintf(deploy->secret, sizeof deploy->secret, "%s", secret_name);
    return deploy_begun(deploy, send_remove(deploy), ret_deploy, failure);
}
