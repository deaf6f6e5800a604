/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be asked for, and what the store is asked for then. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"
#include "supervisor/deploy/internal.h"
#include "supervisor/record/totals.h"
#include "supervisor/versions/versions.h"

#define DEPLOYS_MAX 4  /* each holds a bundle in memory, while it boots */
#define WAITING_MAX 32 /* of each other kind: requests whose client is gone wait, too */
#define UPLOAD_S 300
#define LEAVE_S 10

/* ---- requests to the store */

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

/* message: of the kind; its first field after the base is the id. */
static int send_request(struct deploy *deploy, Skep__Store__Request__MessageCase kind,
                        void *message)
{
    Skep__Store__Request request = SKEP__STORE__REQUEST__INIT;

    request.message_case = kind;
    request.begin = message; /* any member: all are pointers */
    return helper_ask(store_helper(deploy->deploys->with.store), deploy->id, &request.base);
}

static int send_begin(struct deploy *deploy)
{
    Skep__Store__Begin begin = SKEP__STORE__BEGIN__INIT;

    begin.id = deploy->id;
    begin.tenant = bytes_of(deploy->tenant);
    begin.uid = deploy->asker.uid;
    return send_request(deploy, SKEP__STORE__REQUEST__MESSAGE_BEGIN, &begin);
}

static int send_list(struct deploy *deploy)
{
    Skep__Store__List list = SKEP__STORE__LIST__INIT;

    list.id = deploy->id;
    list.tenant = bytes_of(deploy->tenant);
    return send_request(deploy, SKEP__STORE__REQUEST__MESSAGE_LIST, &list);
}

int deploy_send_seal(struct deploy *deploy)
{
    Skep__Store__Seal seal = SKEP__STORE__SEAL__INIT;

    seal.id = deploy->id;
    deploy->state = DEPLOY_IN_STORE;
    return send_request(deploy, SKEP__STORE__REQUEST__MESSAGE_SEAL, &seal);
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
    return send_request(deploy, SKEP__STORE__REQUEST__MESSAGE_COMMIT, &commit);
}

int deploy_send_remove(struct deploy *deploy)
{
    Skep__Store__Remove remove = SKEP__STORE__REMOVE__INIT;

    remove.id = deploy->id;
    remove.tenant = bytes_of(deploy->tenant);
    deploy->state = DEPLOY_IN_STORE;
    return send_request(deploy, SKEP__STORE__REQUEST__MESSAGE_REMOVE, &remove);
}

int deploy_send_check(struct deploy *deploy)
{
    Skep__Store__Check check = SKEP__STORE__CHECK__INIT;

    check.id = deploy->id;
    check.tenant = bytes_of(deploy->tenant);
    check.version = bytes_of(deploy->version);
    return send_request(deploy, SKEP__STORE__REQUEST__MESSAGE_CHECK, &check);
}

int deploy_send_abort(struct deploy *deploy)
{
    Skep__Store__Abort abort = SKEP__STORE__ABORT__INIT;

    abort.id = deploy->id;
    return send_request(deploy, SKEP__STORE__REQUEST__MESSAGE_ABORT, &abort);
}

/* ---- what may be asked for */

static int __attribute__((format(printf, 4, 5)))
refuse(struct deploys *deploys, int error, const char **ret_reason, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void) vsnprintf(deploys->reason, sizeof deploys->reason, format, args);
    va_end(args);
    *ret_reason = deploys->reason;
    return error;
}

static bool take_name(ProtobufCBinaryData text, char name[static NAME_MAX_BYTES + 1])
{
    if (text.len == 0 || text.len > NAME_MAX_BYTES)
        return false;
    memcpy(name, text.data, text.len);
    name[text.len] = '\0';
    return strlen(name) == text.len && name_is_valid(name);
}

static unsigned count(const struct deploys *deploys, enum deploy_kind kind)
{
    const struct deploy *deploy;
    unsigned n = 0;

    TAILQ_FOREACH (deploy, &deploys->list, entry)
        n += deploy->kind == kind;
    return n;
}

void deploys_read_total(void *owner, struct total *total)
{
    const struct deploys *deploys = owner;

    total->limit = DEPLOYS_MAX;
    total->used = count(deploys, DEPLOY_UPLOAD) + count(deploys, DEPLOY_ROLLBACK);
    total->refused = deploys->refused;
}

/* What holds for all of them. */
static int check(struct deploys *deploys, ProtobufCBinaryData text,
                 char name[static NAME_MAX_BYTES + 1], const char **ret_reason)
{
    if (!take_name(text, name))
        return refuse(deploys, -EINVAL, ret_reason, "not the name of a tenant: %s", name_expected);
    if (deploys->with.is_dev)
        return refuse(deploys, -EPERM, ret_reason, "`skep dev` serves one tenant only");
    if (!deploys->with.store)
        return refuse(
            deploys, -EPERM, ret_reason,
            "nothing can be deployed here: name a folder for it as `state` in %.200s, and "
            "restart skepd",
            deploys->with.config->path);
    if (deploys->with.health->of[HELPER_STORE].state == HELPER_GONE)
        return refuse(deploys, -EPIPE, ret_reason, "%s", helper_advice(HELPER_STORE, HELPER_GONE));
    if (!helper_is_ready(store_helper(deploys->with.store)))
        return refuse(deploys, -EPIPE, ret_reason, DEPLOY_STORE_GONE);
    if (count(deploys, DEPLOY_LIST) >= WAITING_MAX ||
        count(deploys, DEPLOY_REMOVAL) >= WAITING_MAX ||
        count(deploys, DEPLOY_ABORT) >= WAITING_MAX ||
        helper_is_congested(store_helper(deploys->with.store)))
        return refuse(deploys, -EBUSY, ret_reason, "the store is busy: try again");
    return 0;
}

/* What holds for those that change something. */
static int check_change(struct deploys *deploys, ProtobufCBinaryData text,
                        char name[static NAME_MAX_BYTES + 1], const char **ret_reason)
{
    int r = check(deploys, text, name, ret_reason);
    const struct tenant *tenant =
        r < 0 ? NULL : tenant_find(deploys->with.tenants, name, strlen(name));

    if (r < 0)
        return r;
    if (deploys->with.life->is_draining || deploys->with.life->is_handing_over)
        return refuse(deploys, -EBUSY, ret_reason, "skepd is about to end: try again");
    if (tenant && tenant->origin == TENANT_FOLDER)
        return refuse(deploys, -EEXIST, ret_reason,
                      "%s is served from %.200s; remove it there first", name, tenant->dir);
    if (deploy_find_change(deploys, name))
        return refuse(deploys, -EBUSY, ret_reason,
                      "%s is being deployed, rolled back or removed by somebody else: try again",
                      name);
    if (count(deploys, DEPLOY_UPLOAD) + count(deploys, DEPLOY_ROLLBACK) >= DEPLOYS_MAX) {
        deploys->refused++;
        return refuse(deploys, -EBUSY, ret_reason, "too many deploys at a time: try again");
    }
    return 0;
}

/* r: of its first request to the store. */
static int begun(struct deploy *deploy, int r, struct deploy **ret_deploy, const char **ret_reason)
{
    if (r < 0) {
        *ret_reason = "the store cannot be reached";
        deploy_free(deploy);
        return r;
    }
    *ret_deploy = deploy;
    return 0;
}

static int no_memory(const char **ret_reason)
{
    *ret_reason = "skepd is out of memory";
    return -ENOMEM;
}

int deploy_begin(struct deploys *deploys, ProtobufCBinaryData text,
                 const struct deploy_asker *asker, struct deploy **ret_deploy,
                 const char **ret_reason)
{
    char name[NAME_MAX_BYTES + 1];

    int r = check_change(deploys, text, name, ret_reason);
    if (r < 0)
        return r;
    struct deploy *deploy = deploy_new(deploys, DEPLOY_UPLOAD, asker, name);
    if (!deploy)
        return no_memory(ret_reason);
    deploy->until_ns = io_now_ns() + UPLOAD_S * NSEC_PER_SEC;
    return begun(deploy, send_begin(deploy), ret_deploy, ret_reason);
}

int deploy_take_part(struct deploy *deploy, const struct deploy_part *from)
{
    Skep__Store__Part part = SKEP__STORE__PART__INIT;

    if (deploy->kind != DEPLOY_UPLOAD || deploy->state != DEPLOY_UPLOADING ||
        from->data.len > DEPLOY_PART_MAX_BYTES || from->path.len > TENANT_PATH_MAX ||
        from->env.len > DEPLOY_PART_MAX_BYTES)
        return -EPROTO;
    if (from->end) {
        if (from->path.len > 0 || from->env.len > 0 || from->data.len > 0 || from->more)
            return -EPROTO;
        if (deploy_send_seal(deploy) < 0)
            deploy_fail(deploy, "the store cannot be reached");
        return 0;
    }
    if ((from->path.len > 0) == (from->env.len > 0) || (from->more && from->path.len == 0))
        return -EPROTO;
    part.id = deploy->id;
    part.path = from->path;
    part.env = from->env;
    part.data = from->data;
    part.more = from->more;
    deploy->state = DEPLOY_IN_STORE;
    if (send_request(deploy, SKEP__STORE__REQUEST__MESSAGE_PART, &part) < 0)
        deploy_fail(deploy, "the store cannot be reached");
    return 0;
}

int deploy_rollback(struct deploys *deploys, ProtobufCBinaryData text, ProtobufCBinaryData version,
                    const struct deploy_asker *asker, struct deploy **ret_deploy,
                    const char **ret_reason)
{
    char name[NAME_MAX_BYTES + 1];

    int r = check_change(deploys, text, name, ret_reason);
    if (r < 0)
        return r;
    if (version.len > VERSION_BYTES)
        return refuse(deploys, -EINVAL, ret_reason, "%s has no such version: `skep versions %s`",
                      name, name);
    struct deploy *deploy = deploy_new(deploys, DEPLOY_ROLLBACK, asker, name);
    if (!deploy)
        return no_memory(ret_reason);
    if (version.len > 0)
        memcpy(deploy->version, version.data, version.len);
    return begun(deploy, send_list(deploy), ret_deploy, ret_reason);
}

int deploy_remove(struct deploys *deploys, ProtobufCBinaryData text,
                  const struct deploy_asker *asker, struct deploy **ret_deploy,
                  const char **ret_reason)
{
    char name[NAME_MAX_BYTES + 1];

    int r = check_change(deploys, text, name, ret_reason);
    if (r < 0)
        return r;
    struct tenant *tenant = tenant_find(deploys->with.tenants, name, strlen(name));
    struct deploy *deploy = deploy_new(deploys, DEPLOY_REMOVAL, asker, name);
    if (!deploy)
        return no_memory(ret_reason);
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = name), "removal is asked for by uid %u",
              asker->uid);
    if (!tenant) /* it may be stored all the same: one that was broken when skepd started */
        return begun(deploy, deploy_send_remove(deploy), ret_deploy, ret_reason);
    deploy->leaving_number = tenant->number;
    deploy->state = DEPLOY_LEAVING;
    deploy->until_ns = io_now_ns() + LEAVE_S * NSEC_PER_SEC;
    versions_remove(tenant);
    return begun(deploy, 0, ret_deploy, ret_reason);
}

int deploy_list(struct deploys *deploys, ProtobufCBinaryData text, const struct deploy_asker *asker,
                struct deploy **ret_deploy, const char **ret_reason)
{
    char name[NAME_MAX_BYTES + 1];

    int r = check(deploys, text, name, ret_reason);
    if (r < 0)
        return r;
    struct deploy *deploy = deploy_new(deploys, DEPLOY_LIST, asker, name);
    if (!deploy)
        return no_memory(ret_reason);
    return begun(deploy, send_list(deploy), ret_deploy, ret_reason);
}
