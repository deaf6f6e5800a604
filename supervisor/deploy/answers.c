/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store says, and what follows from it. The store is ours, and checked all the same: what it
 * says that cannot be ends the connection to it. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "supervisor/deploy/internal.h"
#include "supervisor/tenants/unserved.h"

#define FOLDER_MAX_BYTES 80

/* NULL if it is over already, and the answer of no use. */
static struct deploy *find(void *owner, uint64_t id)
{
    struct deploy *deploy = deploy_find(owner, id);

    if (!deploy || deploy->kind != DEPLOY_ABORT)
        return deploy;
    deploy_free(deploy); /* the store has come to it; what it was at before may have been meant */
    return NULL;
}

static bool take_version(ProtobufCBinaryData text, char version[static VERSION_BYTES + 1])
{
    if (text.len != VERSION_BYTES)
        return false;
    memcpy(version, text.data, VERSION_BYTES);
    version[VERSION_BYTES] = '\0';
    return version_is_valid(version);
}

static int on_accepted(void *owner, const ProtobufCMessage *message)
{
    const Skep__Store__Accepted *accepted = (const Skep__Store__Accepted *) message;
    struct deploy *deploy = find(owner, accepted->id);

    if (!deploy)
        return 0;
    if (deploy->kind == DEPLOY_ROLLBACK && deploy->state == DEPLOY_IN_STORE &&
        version_is_valid(deploy->version)) {
        deploy_boot(deploy, deploy->version);
        return 0;
    }
    if (deploy->kind != DEPLOY_UPLOAD || deploy->state != DEPLOY_IN_STORE)
        return -EPROTO;
    deploy->state = DEPLOY_UPLOADING;
    deploy->asker.listener->accepted(deploy->asker.owner);
    return 0;
}

/* That version serves, and not only by the store's word. */
static bool is_serving(const struct deploys *deploys, const char *name, const char *version)
{
    const struct tenant *tenant = tenant_find(deploys->with.tenants, name, strlen(name));

    return tenant && !tenant->deployed.is_unrouted && !tenant->candidate &&
           strcmp(tenant->deployed.serving, version) == 0;
}

static void say_unchanged(struct deploy *deploy)
{
    const struct tenant *tenant =
        tenant_find(deploy->deploys->with.tenants, deploy->tenant, strlen(deploy->tenant));
    const struct deploy_result result = {
        .tenant = deploy->tenant,
        .version = deploy->version,
        .previous = "",
        .manifest = tenant->version->manifest,
        .is_unchanged = true,
        .files = deploy->files,
        .bytes = deploy->bytes,
    };

    (void) deploy_send_abort(deploy);
    deploy_succeed(deploy, &result);
}

static int on_sealed(void *owner, const ProtobufCMessage *message)
{
    const Skep__Store__Sealed *sealed = (const Skep__Store__Sealed *) message;
    struct deploy *deploy = find(owner, sealed->id);
    char folder[FOLDER_MAX_BYTES + 1];

    if (!deploy)
        return 0;
    if (deploy->kind != DEPLOY_UPLOAD || deploy->state != DEPLOY_IN_STORE ||
        !take_version(sealed->version, deploy->version) || sealed->folder.len == 0 ||
        sealed->folder.len > FOLDER_MAX_BYTES ||
        memchr(sealed->folder.data, '/', sealed->folder.len))
        return -EPROTO;
    memcpy(folder, sealed->folder.data, sealed->folder.len);
    folder[sealed->folder.len] = '\0';
    deploy->files = sealed->files;
    deploy->bytes = sealed->bytes;
    if (sealed->current && is_serving(deploy->deploys, deploy->tenant, deploy->version))
        say_unchanged(deploy);
    else
        deploy_boot(deploy, folder);
    return 0;
}

static int on_committed(void *owner, const ProtobufCMessage *message)
{
    const Skep__Store__Committed *committed = (const Skep__Store__Committed *) message;
    struct deploy *deploy = find(owner, committed->id);
    char previous[VERSION_BYTES + 1] = "";

    if (!deploy)
        return 0;
    if (committed->previous.len > 0 && !take_version(committed->previous, previous))
        return -EPROTO;
    if (deploy->kind == DEPLOY_WATCH) {
        deploy_free(deploy);
        return 0;
    }
    if (deploy->state != DEPLOY_COMMITTING)
        return -EPROTO;
    deploy_switch(deploy, previous);
    return 0;
}

/* ---- lists */

static bool is_state(const Skep__Store__Version *version, const char *state)
{
    return version->state.len == strlen(state) &&
           memcmp(version->state.data, state, version->state.len) == 0;
}

/* The one that was asked for by the beginning of its name, else the one before. NULL: the deploy has
 * failed. */
static const Skep__Store__Version *choose(struct deploy *deploy, const Skep__Store__Versions *list)
{
    const Skep__Store__Version *chosen = NULL;
    size_t size = strlen(deploy->version);

    for (size_t i = 0; i < list->n_versions; i++) {
        const Skep__Store__Version *version = list->versions[i];
        if (size == 0 ? !is_state(version, "previous")
                      : version->version.len < size ||
                            memcmp(version->version.data, deploy->version, size) != 0)
            continue;
        if (chosen) {
            deploy_fail(deploy, "several versions begin with that: say more of it");
            return NULL;
        }
        chosen = version;
    }
    if (!chosen && size > 0)
        deploy_fail(deploy, "%s has no such version: `skep versions %s` lists them", deploy->tenant,
                    deploy->tenant);
    else if (!chosen)
        deploy_fail(deploy,
                    "no version of %s served before, but for those that were rolled back: name "
                    "one of `skep versions %s`",
                    deploy->tenant, deploy->tenant);
    return chosen;
}

static int roll_back(struct deploy *deploy, const Skep__Store__Versions *list)
{
    const Skep__Store__Version *chosen = choose(deploy, list);

    if (!chosen)
        return 0;
    if (!take_version(chosen->version, deploy->version))
        return -EPROTO;
    deploy->files = chosen->files;
    deploy->bytes = chosen->bytes;
    if (is_serving(deploy->deploys, deploy->tenant, deploy->version))
        deploy_fail(deploy, "%s serves that version already", deploy->tenant);
    else if (deploy_send_check(deploy) < 0) /* then it loads, see on_accepted */
        deploy_fail(deploy, "the store cannot be reached");
    return 0;
}

static int on_versions(void *owner, const ProtobufCMessage *message)
{
    const Skep__Store__Versions *versions = (const Skep__Store__Versions *) message;
    struct deploy *deploy = find(owner, versions->id);

    if (!deploy)
        return 0;
    if (deploy->state != DEPLOY_IN_STORE)
        return -EPROTO;
    if (deploy->kind == DEPLOY_ROLLBACK)
        return roll_back(deploy, versions);
    if (deploy->kind != DEPLOY_LIST)
        return -EPROTO;
    if (deploy->asker.listener)
        deploy->asker.listener->versions(deploy->asker.owner, deploy->tenant, versions);
    deploy_free(deploy);
    return 0;
}

/* ---- the end */

static int on_removed(void *owner, const ProtobufCMessage *message)
{
    const Skep__Store__Removed *removed = (const Skep__Store__Removed *) message;
    struct deploy *deploy = find(owner, removed->id);

    if (!deploy)
        return 0;
    if (deploy->kind == DEPLOY_WATCH) {
        deploy_free(deploy);
        return 0;
    }
    if (deploy->kind != DEPLOY_REMOVAL || deploy->state != DEPLOY_IN_STORE)
        return -EPROTO;
    const struct tenant *leaving = deploy_find_leaving(deploy);
    const struct deploy_result result = {
        .tenant = deploy->tenant,
        .version = "",
        .previous = "",
        .versions = removed->versions,
        .in_flight = leaving ? leaving->n_in_flight + leaving->n_queued : 0,
    };
    unserved_forget(deploy->deploys->with.tenants, deploy->tenant);
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = deploy->tenant), "is removed, with %u versions",
              removed->versions);
    deploy_succeed(deploy, &result);
    return 0;
}

static int on_failed(void *owner, const ProtobufCMessage *message)
{
    const Skep__Store__Failed *failed = (const Skep__Store__Failed *) message;
    struct deploy *deploy = find(owner, failed->id);

    if (!deploy)
        return 0;
    if (deploy->kind == DEPLOY_WATCH) {
        log_event(LOG_LEVEL_ERROR, LOG_ABOUT(.tenant = deploy->tenant),
                  "%.*s: a restart would serve the version that was rolled back",
                  (int) failed->text.len, (const char *) failed->text.data);
        deploy_free(deploy);
        return 0;
    }
    deploy_fail_text(deploy, (const char *) failed->text.data, failed->text.len);
    return 0;
}

static const struct channel_rule rules[] = {
    [SKEP__STORE__ANSWER__MESSAGE_ACCEPTED] = { 1, on_accepted },
    [SKEP__STORE__ANSWER__MESSAGE_SEALED] = { 1, on_sealed },
    [SKEP__STORE__ANSWER__MESSAGE_COMMITTED] = { 1, on_committed },
    [SKEP__STORE__ANSWER__MESSAGE_VERSIONS] = { 1, on_versions },
    [SKEP__STORE__ANSWER__MESSAGE_REMOVED] = { 1, on_removed },
    [SKEP__STORE__ANSWER__MESSAGE_FAILED] = { 1, on_failed },
};

const struct channel_table deploy_answers = {
    .envelope = &skep__store__answer__descriptor,
    .case_offset = offsetof(Skep__Store__Answer, message_case),
    .value_offset = offsetof(Skep__Store__Answer, accepted),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};
