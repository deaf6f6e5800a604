/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers of the store's answers. The store is our own process, but checked like any other: an
 * answer that cannot be ends the connection to it. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "supervisor/deploy/internal.h"
#include "supervisor/record/failure.h"
#include "supervisor/tenants/unserved.h"

#define FOLDER_MAX_BYTES 80

/* Passes an answer to its deploy. Returns 0, too, if the deploy is over already, and the answer has
 * no use. */
static int tell(void *owner, uint64_t id, enum deploy_event event, const ProtobufCMessage *answer)
{
    struct deploy *deploy = deploy_find(owner, id);

    return deploy ? deploy_on_event(deploy, event, &(const struct deploy_news){ .answer = answer })
                  : 0;
}

static bool take_version(ProtobufCBinaryData text, char version[static VERSION_BYTES + 1])
{
    if (text.len != VERSION_BYTES)
        return false;
    memcpy(version, text.data, VERSION_BYTES);
    version[VERSION_BYTES] = '\0';
    return version_is_valid(version);
}

/* Returns whether that version serves, not only by the store's claim. */
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

int deploy_take_seal(struct deploy *deploy, const struct deploy_news *news)
{
    const Skep__Store__Sealed *sealed = (const Skep__Store__Sealed *) news->answer;
    char folder[FOLDER_MAX_BYTES + 1];

    if (!take_version(sealed->version, deploy->version) || sealed->folder.len == 0 ||
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

int deploy_take_commit(struct deploy *deploy, const struct deploy_news *news)
{
    const Skep__Store__Committed *committed = (const Skep__Store__Committed *) news->answer;
    char previous[VERSION_BYTES + 1] = "";

    if (committed->previous.len > 0 && !take_version(committed->previous, previous))
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

/* Chooses the version that was asked for by the beginning of its name, else the one before. NULL: the deploy has
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
            deploy_fail(deploy, -EINVAL, "several versions begin with that: say more of it");
            return NULL;
        }
        chosen = version;
    }
    if (!chosen && size > 0)
        deploy_fail(deploy, -ENOENT, "%s has no such version: `skep versions %s` lists them",
                    deploy->tenant, deploy->tenant);
    else if (!chosen)
        deploy_fail(deploy, -ENOENT,
                    "no version of %s served before, but for those that were rolled back: name "
                    "one of `skep versions %s`",
                    deploy->tenant, deploy->tenant);
    return chosen;
}

int deploy_choose(struct deploy *deploy, const struct deploy_news *news)
{
    const Skep__Store__Version *chosen =
        choose(deploy, (const Skep__Store__Versions *) news->answer);

    if (!chosen)
        return 0;
    if (!take_version(chosen->version, deploy->version))
        return -EPROTO;
    deploy->files = chosen->files;
    deploy->bytes = chosen->bytes;
    if (is_serving(deploy->deploys, deploy->tenant, deploy->version)) {
        deploy_fail(deploy, -EALREADY, "%s serves that version already", deploy->tenant);
        return 0;
    }
    int r = deploy_send_check(deploy); /* the version is then read, and loads */
    if (r < 0)
        deploy_fail(deploy, r, "the store cannot be reached");
    return 0;
}

int deploy_show(struct deploy *deploy, const struct deploy_news *news)
{
    if (deploy->asker.listener)
        deploy->asker.listener->versions(deploy->asker.owner, deploy->tenant,
                                         (const Skep__Store__Versions *) news->answer);
    deploy_free(deploy);
    return 0;
}

/* ---- the end */

int deploy_take_removal(struct deploy *deploy, const struct deploy_news *news)
{
    const Skep__Store__Removed *removed = (const Skep__Store__Removed *) news->answer;
    const struct tenant *leaving = deploy_find_leaving(deploy);
    const struct deploy_result result = {
        .tenant = deploy->tenant,
        .version = "",
        .previous = "",
        .versions = removed->versions,
        .in_flight = leaving ? leaving->n_in_flight + leaving->n_queued : 0,
    };

    unserved_forget(deploy->deploys->with.tenants, deploy->tenant);
    callers_on_removed(deploy->deploys->with.tenants, deploy->tenant);
    secrets_forget_tenant(deploy->deploys->with.tenants->secrets, deploy->tenant);
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = deploy->tenant), "is removed, with %u versions",
              removed->versions);
    deploy_succeed(deploy, &result);
    return 0;
}

/* ---- messages. owner: struct deploys */

static int on_accepted(void *owner, const ProtobufCMessage *message)
{
    uint64_t id = ((const Skep__Store__Accepted *) message)->id;

    return deploy_callers_take_answer(owner, id, NULL, 0)
               ? 0
               : tell(owner, id, DEPLOY_ON_ACCEPTED, message);
}

static int on_sealed(void *owner, const ProtobufCMessage *message)
{
    return tell(owner, ((const Skep__Store__Sealed *) message)->id, DEPLOY_ON_SEALED, message);
}

static int on_committed(void *owner, const ProtobufCMessage *message)
{
    return tell(owner, ((const Skep__Store__Committed *) message)->id, DEPLOY_ON_COMMITTED,
                message);
}

static int on_versions(void *owner, const ProtobufCMessage *message)
{
    return tell(owner, ((const Skep__Store__Versions *) message)->id, DEPLOY_ON_VERSIONS, message);
}

static int on_removed(void *owner, const ProtobufCMessage *message)
{
    return tell(owner, ((const Skep__Store__Removed *) message)->id, DEPLOY_ON_REMOVED, message);
}

static int on_failed(void *owner, const ProtobufCMessage *message)
{
    const Skep__Store__Failed *failed = (const Skep__Store__Failed *) message;
    struct deploy *deploy = deploy_find(owner, failed->id);
    _cleanup_(failure_done) struct failure failure = { 0 };

    if (deploy_callers_take_answer(owner, failed->id, (const char *) failed->text.data,
                                   failed->text.len) ||
        !deploy)
        return 0;
    (void) failure_set_text(&failure, -EREMOTEIO, (const char *) failed->text.data,
                            failed->text.len);
    return deploy_on_event(deploy, DEPLOY_ON_DENIED,
                           &(const struct deploy_news){ .failure = &failure });
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
