/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of deploys: their checks, and the requests to the store. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"
#include "supervisor/deploy/internal.h"
#include "supervisor/record/failure.h"
#include "supervisor/record/totals.h"
#include "supervisor/versions/versions.h"

#define DEPLOYS_MAX 4  /* each holds a bundle in memory while it loads */
#define WAITING_MAX 32 /* most of each other kind, with requests whose client has gone */
#define UPLOAD_S 300
#define LEAVE_S 10

/* ---- requests to the store */

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

int deploy_send(struct deploy *deploy, Skep__Store__Request__MessageCase kind, void *message)
{
    Skep__Store__Request request = SKEP__STORE__REQUEST__INIT;

    request.message_case = kind;
    request.begin = message; /* any member of the union: all are pointers */
    return helper_ask(store_helper(deploy->deploys->with.store), deploy->id, &request.base);
}

static int send_begin(struct deploy *deploy)
{
    Skep__Store__Begin begin = SKEP__STORE__BEGIN__INIT;

    begin.id = deploy->id;
    begin.tenant = bytes_of(deploy->tenant);
    begin.uid = deploy->asker.uid;
    begin.max_bytes = config_files_bytes(deploy->deploys->with.config);
    deploy->state = DEPLOY_SENDING;
    return deploy_send(deploy, SKEP__STORE__REQUEST__MESSAGE_BEGIN, &begin);
}

static int send_list(struct deploy *deploy)
{
    Skep__Store__List list = SKEP__STORE__LIST__INIT;

    list.id = deploy->id;
    list.tenant = bytes_of(deploy->tenant);
    deploy->state = deploy->kind == DEPLOY_LIST ? DEPLOY_LISTING : DEPLOY_CHOOSING;
    return deploy_send(deploy, SKEP__STORE__REQUEST__MESSAGE_LIST, &list);
}

int deploy_send_part(struct deploy *deploy, const struct deploy_part *from)
{
    Skep__Store__Part part = SKEP__STORE__PART__INIT;

    part.id = deploy->id;
    part.path = from->path;
    part.env = from->env;
    part.data = from->data;
    part.more = from->more;
    deploy->state = DEPLOY_SENDING;
    return deploy_send(deploy, SKEP__STORE__REQUEST__MESSAGE_PART, &part);
}

int deploy_send_seal(struct deploy *deploy)
{
    Skep__Store__Seal seal = SKEP__STORE__SEAL__INIT;

    seal.id = deploy->id;
    deploy->state = DEPLOY_SEALING;
    return deploy_send(deploy, SKEP__STORE__REQUEST__MESSAGE_SEAL, &seal);
}

int deploy_send_commit(struct deploy *deploy, enum store_action action)
{
    Skep__Store__Commit commit = SKEP__STORE__COMMIT__INIT;

    commit.id = deploy->id;
    commit.tenant = bytes_of(deploy->tenant);
    commit.version = bytes_of(deploy->version);
    commit.action = (uint32_t) action;
    commit.reason = bytes_of(deploy->reason);
    commit.uid = deploy->asker.uid;
    commit.keep = deploy->deploys->with.config->deploy.keep;
    deploy->state = DEPLOY_COMMITTING;
    return deploy_send(deploy, SKEP__STORE__REQUEST__MESSAGE_COMMIT, &commit);
}

int deploy_send_remove(struct deploy *deploy)
{
    Skep__Store__Remove remove = SKEP__STORE__REMOVE__INIT;

    remove.id = deploy->id;
    remove.tenant = bytes_of(deploy->tenant);
    deploy->state = DEPLOY_REMOVING;
    return deploy_send(deploy, SKEP__STORE__REQUEST__MESSAGE_REMOVE, &remove);
}

int deploy_send_check(struct deploy *deploy)
{
    Skep__Store__Check check = SKEP__STORE__CHECK__INIT;

    check.id = deploy->id;
    check.tenant = bytes_of(deploy->tenant);
    check.version = bytes_of(deploy->version);
    deploy->state = DEPLOY_CHECKING;
    return deploy_send(deploy, SKEP__STORE__REQUEST__MESSAGE_CHECK, &check);
}

int deploy_send_abort(struct deploy *deploy)
{
    Skep__Store__Abort abort = SKEP__STORE__ABORT__INIT;

    abort.id = deploy->id;
    return deploy_send(deploy, SKEP__STORE__REQUEST__MESSAGE_ABORT, &abort);
}

/* ---- commands */

static bool take_name(ProtobufCBinaryData text, char name[static NAME_MAX_BYTES + 1])
{
    if (text.len == 0 || text.len > NAME_MAX_BYTES)
        return false;
    memcpy(name, text.data, text.len);
    name[text.len] = '\0';
    return strlen(name) == text.len && name_is_valid(name);
}

unsigned deploys_count(const struct deploys *deploys, enum deploy_kind kind)
{
    const struct deploy *deploy;
    unsigned n = 0;

    TAILQ_FOREACH (deploy, &deploys->list, entry)
        n += deploy->kind == kind && deploy->state != DEPLOY_ABANDONED;
    return n;
}

static unsigned count_abandoned(const struct deploys *deploys)
{
    const struct deploy *deploy;
    unsigned n = 0;

    TAILQ_FOREACH (deploy, &deploys->list, entry)
        n += deploy->state == DEPLOY_ABANDONED;
    return n;
}

void deploys_read_total(void *owner, struct total *total)
{
    const struct deploys *deploys = owner;

    total->limit = DEPLOYS_MAX;
    total->used = deploys_count(deploys, DEPLOY_UPLOAD) + deploys_count(deploys, DEPLOY_ROLLBACK);
    total->refused = deploys->refused;
}

int deploy_check(struct deploys *deploys, ProtobufCBinaryData text,
                 char name[static NAME_MAX_BYTES + 1], struct failure *failure)
{
    if (!take_name(text, name))
        return failure_set(failure, -EINVAL, "not the name of a tenant: %s", name_expected);
    if (deploys->with.is_dev)
        return failure_set(failure, -EPERM, "`skep dev` serves one tenant only");
    if (!deploys->with.store)
        return failure_set(
            failure, -EPERM,
            "nothing can be deployed here: name a folder for it as `state` in %.200s, and "
            "restart skepd",
            deploys->with.config->path);
    if (deploys->with.health->of[HELPER_STORE].state == HELPER_GONE)
        return failure_set(failure, -EPIPE, "%s", helper_advice(HELPER_STORE, HELPER_GONE));
    if (!helper_is_ready(store_helper(deploys->with.store)))
        return failure_set(failure, -EPIPE, DEPLOY_STORE_GONE);
    if (deploys_count(deploys, DEPLOY_LIST) >= WAITING_MAX ||
        deploys_count(deploys, DEPLOY_REMOVAL) >= WAITING_MAX ||
        deploys_count(deploys, DEPLOY_SECRET) >= WAITING_MAX ||
        count_abandoned(deploys) >= WAITING_MAX ||
        helper_is_congested(store_helper(deploys->with.store)))
        return failure_set(failure, -EBUSY, "the store is busy: try again");
    return 0;
}

/* Checks the conditions of commands that change something. */
static int check_change(struct deploys *deploys, ProtobufCBinaryData text,
                        char name[static NAME_MAX_BYTES + 1], struct failure *failure)
{
    int r = deploy_check(deploys, text, name, failure);
    const struct tenant *tenant =
        r < 0 ? NULL : tenant_find(deploys->with.tenants, name, strlen(name));

    if (r < 0)
        return r;
    if (deploys->with.life->is_draining || deploys->with.life->is_handing_over)
        return failure_set(failure, -EBUSY, "skepd is about to end: try again");
    if (tenant && tenant->origin == TENANT_FOLDER)
        return failure_set(failure, -EEXIST, "%s is served from %.200s; remove it there first",
                           name, tenant->dir);
    if (deploy_find_change(deploys, name))
        return failure_set(
            failure, -EBUSY,
            "%s is being deployed, rolled back, removed or given a secret by somebody else: try "
            "again",
            name);
    if (deploys_count(deploys, DEPLOY_UPLOAD) + deploys_count(deploys, DEPLOY_ROLLBACK) >=
        DEPLOYS_MAX) {
        deploys->refused++;
        return failure_set(failure, -EBUSY, "too many deploys at a time: try again");
    }
    return 0;
}

int deploy_begun(struct deploy *deploy, int r, struct deploy **ret_deploy, struct failure *failure)
{
    if (r < 0) {
        deploy_free(deploy);
        return failure_set(failure, r, "the store cannot be reached");
    }
    *ret_deploy = deploy;
    return 0;
}

static int no_memory(struct failure *failure)
{
    return failure_set(failure, -ENOMEM, "skepd is out of memory");
}

int deploy_begin(struct deploys *deploys, ProtobufCBinaryData text,
                 const struct deploy_asker *asker, struct deploy **ret_deploy,
                 struct failure *failure)
{
    char name[NAME_MAX_BYTES + 1];

    int r = check_change(deploys, text, name, failure);
    if (r < 0)
        return r;
    struct deploy *deploy = deploy_new(deploys, DEPLOY_UPLOAD, asker, name);
    if (!deploy)
        return no_memory(failure);
    deploy->until_ns = io_now_ns() + UPLOAD_S * NSEC_PER_SEC;
    return deploy_begun(deploy, send_begin(deploy), ret_deploy, failure);
}

int deploy_rollback(struct deploys *deploys, ProtobufCBinaryData text, ProtobufCBinaryData version,
                    const struct deploy_asker *asker, struct deploy **ret_deploy,
                    struct failure *failure)
{
    char name[NAME_MAX_BYTES + 1];

    int r = check_change(deploys, text, name, failure);
    if (r < 0)
        return r;
    if (version.len > VERSION_BYTES)
        return failure_set(failure, -EINVAL, "%s has no such version: `skep versions %s`", name,
                           name);
    struct deploy *deploy = deploy_new(deploys, DEPLOY_ROLLBACK, asker, name);
    if (!deploy)
        return no_memory(failure);
    if (version.len > 0)
        memcpy(deploy->version, version.data, version.len);
    return deploy_begun(deploy, send_list(deploy), ret_deploy, failure);
}

int deploy_remove(struct deploys *deploys, ProtobufCBinaryData text,
                  const struct deploy_asker *asker, struct deploy **ret_deploy,
                  struct failure *failure)
{
    char name[NAME_MAX_BYTES + 1];

    int r = check_change(deploys, text, name, failure);
    if (r < 0)
        return r;
    struct tenant *tenant = tenant_find(deploys->with.tenants, name, strlen(name));
    struct deploy *deploy = deploy_new(deploys, DEPLOY_REMOVAL, asker, name);
    if (!deploy)
        return no_memory(failure);
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = name), "removal is asked for by uid %u",
              asker->uid);
    if (!tenant) /* may still be stored: broken when skepd started */
        return deploy_begun(deploy, deploy_clear(deploy), ret_deploy, failure);
    deploy->leaving_number = tenant->number;
    deploy->state = DEPLOY_LEAVING;
    deploy->until_ns = io_now_ns() + LEAVE_S * NSEC_PER_SEC;
    versions_remove(tenant);
    return deploy_begun(deploy, 0, ret_deploy, failure);
}

int deploy_list(struct deploys *deploys, ProtobufCBinaryData text, const struct deploy_asker *asker,
                struct deploy **ret_deploy, struct failure *failure)
{
    char name[NAME_MAX_BYTES + 1];

    int r = deploy_check(deploys, text, name, failure);
    if (r < 0)
        return r;
    struct deploy *deploy = deploy_new(deploys, DEPLOY_LIST, asker, name);
    if (!deploy)
        return no_memory(failure);
    return deploy_begun(deploy, send_list(deploy), ret_deploy, failure);
}
