/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skep-store, the store process: the only one that writes below the state folder. The process does
 * one request of skepd after the other, blocking, so that skepd's loop never waits for a write or a
 * sync. Files that skepd reads itself, when a version loads, were written just now or, for a
 * rollback, some time ago. A helper (helper/helper.h): executed by the spawner with the state
 * folder as its folder, confined to it before the first request is read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "helper/helper.h"
#include "sandbox-policy/policy.h"
#include "store/internal.h"
#include "store/program.h"

static struct store_state *state_of(const struct helper_client *client)
{
    return helper_owner(client);
}

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

/* ---- answers */

static int send_failed(struct helper_client *client, uint64_t id)
{
    Skep__Store__Failed failed = SKEP__STORE__FAILED__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;

    failed.id = id;
    failed.text = bytes_of(state_of(client)->text);
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_FAILED;
    answer.failed = &failed;
    return helper_answer(client, &answer.base);
}

static int send_accepted(struct helper_client *client, uint64_t id)
{
    Skep__Store__Accepted accepted = SKEP__STORE__ACCEPTED__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;

    accepted.id = id;
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_ACCEPTED;
    answer.accepted = &accepted;
    return helper_answer(client, &answer.base);
}

/* ---- requests */

static int on_begin(void *client, const ProtobufCMessage *message)
{
    const Skep__Store__Begin *begin = (const Skep__Store__Begin *) message;
    return upload_begin(state_of(client), begin) < 0 ? send_failed(client, begin->id)
                                                     : send_accepted(client, begin->id);
}

static int on_part(void *client, const ProtobufCMessage *message)
{
    const Skep__Store__Part *part = (const Skep__Store__Part *) message;
    struct upload *upload = upload_find(state_of(client), part->id);

    if (!upload)
        (void) store_fail(state_of(client), -ENOENT, "there is no such upload");
    if (!upload || upload_part(state_of(client), upload, part) < 0)
        return send_failed(client, part->id);
    return send_accepted(client, part->id);
}

static int on_seal(void *client, const ProtobufCMessage *message)
{
    const Skep__Store__Seal *seal = (const Skep__Store__Seal *) message;
    Skep__Store__Sealed sealed = SKEP__STORE__SEALED__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;
    struct upload *upload = upload_find(state_of(client), seal->id);
    char current[VERSION_BYTES + 1];

    if (!upload)
        (void) store_fail(state_of(client), -ENOENT, "there is no such upload");
    if (!upload || upload_seal(state_of(client), upload) < 0)
        return send_failed(client, seal->id);
    version_current(upload->tenant_fd, current);
    sealed.id = seal->id;
    sealed.version = bytes_of(upload->version);
    sealed.folder = bytes_of(upload->is_stored ? upload->version : upload->folder);
    sealed.files = upload->n_files;
    sealed.bytes = upload->bytes;
    sealed.current = strcmp(current, upload->version) == 0 && !upload->has_damaged;
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_SEALED;
    answer.sealed = &sealed;
    return helper_answer(client, &answer.base);
}

static int on_abort(void *client, const ProtobufCMessage *message)
{
    const Skep__Store__Abort *abort = (const Skep__Store__Abort *) message;
    struct upload *upload = upload_find(state_of(client), abort->id);

    if (upload)
        upload_free(state_of(client), upload);
    return send_accepted(client, abort->id);
}

static int on_commit(void *client, const ProtobufCMessage *message)
{
    const Skep__Store__Commit *commit = (const Skep__Store__Commit *) message;
    Skep__Store__Committed committed = SKEP__STORE__COMMITTED__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;
    char previous[VERSION_BYTES + 1] = "";

    if (version_commit(state_of(client), commit, previous) < 0)
        return send_failed(client, commit->id);
    committed.id = commit->id;
    committed.previous = bytes_of(previous);
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_COMMITTED;
    answer.committed = &committed;
    return helper_answer(client, &answer.base);
}

static void fill_version(const struct stored_tenant *tenant, const struct stored_version *version,
                         Skep__Store__Version *ret)
{
    const struct history_entry *rolled_back = history_rollback_of(&tenant->history, version->name);

    skep__store__version__init(ret);
    ret->version = bytes_of(version->name);
    ret->time_ms = version->time_ms;
    ret->uid = version->uid;
    ret->files = version->files;
    ret->bytes = version->bytes;
    ret->state = bytes_of(version->is_current    ? "serving"
                          : rolled_back          ? "rolled_back"
                          : version->is_previous ? "previous"
                                                 : "stored");
    ret->reason = bytes_of(rolled_back ? rolled_back->reason : "");
    for (unsigned i = tenant->history.count; i-- > 0;)
        if (strcmp(tenant->history.records[i].version, version->name) == 0) {
            ret->served_ms = tenant->history.records[i].time_ms;
            break;
        }
}

static int send_versions(struct helper_client *client, const struct stored_tenant *tenant,
                         uint64_t id)
{
    Skep__Store__Versions versions = SKEP__STORE__VERSIONS__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;
    size_t n = tenant->n_versions;
    _cleanup_free_ Skep__Store__Version *items = calloc(n + 1, sizeof *items);
    _cleanup_free_ Skep__Store__Version **list = calloc(n + 1, sizeof(Skep__Store__Version *));

    if (!items || !list)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        list[i] = &items[i];
        fill_version(tenant, &tenant->versions[i], list[i]);
    }
    versions.id = id;
    versions.versions = list;
    versions.n_versions = n;
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_VERSIONS;
    answer.versions = &versions;
    return helper_answer(client, &answer.base);
}

static bool take_name(ProtobufCBinaryData text, char name[static NAME_MAX_BYTES + 1])
{
    if (text.len == 0 || text.len > NAME_MAX_BYTES)
        return false;
    memcpy(name, text.data, text.len);
    name[text.len] = '\0';
    return true;
}

static int on_list(void *client, const ProtobufCMessage *message)
{
    const Skep__Store__List *list = (const Skep__Store__List *) message;
    _cleanup_(stored_tenant_done) struct stored_tenant tenant = { .fd = -1, .versions_fd = -1 };
    char name[NAME_MAX_BYTES + 1] = "";

    (void) take_name(list->tenant, name);
    return stored_tenant_open(state_of(client), name, &tenant) < 0
               ? send_failed(client, list->id)
               : send_versions(client, &tenant, list->id);
}

static int on_check(void *client, const ProtobufCMessage *message)
{
    const Skep__Store__Check *check = (const Skep__Store__Check *) message;
    _cleanup_(stored_tenant_done) struct stored_tenant tenant = { .fd = -1, .versions_fd = -1 };
    char name[NAME_MAX_BYTES + 1] = "", version[VERSION_BYTES + 1] = "";

    (void) take_name(check->tenant, name);
    if (check->version.len == VERSION_BYTES)
        memcpy(version, check->version.data, VERSION_BYTES);
    int r = stored_tenant_open(state_of(client), name, &tenant);
    if (r == 0 && !version_is_valid(version))
        r = store_fail(state_of(client), -EINVAL, "not the name of a version");
    if (r == 0)
        r = version_check(state_of(client), tenant.versions_fd, version);
    return r < 0 ? send_failed(client, check->id) : send_accepted(client, check->id);
}

static int on_remove(void *client, const ProtobufCMessage *message)
{
    const Skep__Store__Remove *remove = (const Skep__Store__Remove *) message;
    Skep__Store__Removed removed = SKEP__STORE__REMOVED__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;
    char name[NAME_MAX_BYTES + 1] = "";

    (void) take_name(remove->tenant, name);
    if (version_remove_tenant(state_of(client), name, &removed.versions) < 0)
        return send_failed(client, remove->id);
    removed.id = remove->id;
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_REMOVED;
    answer.removed = &removed;
    return helper_answer(client, &answer.base);
}

static int on_callers(void *client, const ProtobufCMessage *message)
{
    const Skep__Store__Callers *part = (const Skep__Store__Callers *) message;
    return callers_part(state_of(client), part) < 0 ? send_failed(client, part->id)
                                                    : send_accepted(client, part->id);
}

static int on_secret_set(void *client, const ProtobufCMessage *message)
{
    const Skep__Store__SecretSet *set = (const Skep__Store__SecretSet *) message;
    return secret_set(state_of(client), set) < 0 ? send_failed(client, set->id)
                                                 : send_accepted(client, set->id);
}

static int on_secret_remove(void *client, const ProtobufCMessage *message)
{
    const Skep__Store__SecretRemove *remove = (const Skep__Store__SecretRemove *) message;
    return secret_remove(state_of(client), remove) < 0 ? send_failed(client, remove->id)
                                                       : send_accepted(client, remove->id);
}

static const struct channel_rule rules[] = {
    [SKEP__STORE__REQUEST__MESSAGE_BEGIN] = { 1, on_begin },
    [SKEP__STORE__REQUEST__MESSAGE_PART] = { 1, on_part },
    [SKEP__STORE__REQUEST__MESSAGE_SEAL] = { 1, on_seal },
    [SKEP__STORE__REQUEST__MESSAGE_ABORT] = { 1, on_abort },
    [SKEP__STORE__REQUEST__MESSAGE_COMMIT] = { 1, on_commit },
    [SKEP__STORE__REQUEST__MESSAGE_LIST] = { 1, on_list },
    [SKEP__STORE__REQUEST__MESSAGE_REMOVE] = { 1, on_remove },
    [SKEP__STORE__REQUEST__MESSAGE_CHECK] = { 1, on_check },
    [SKEP__STORE__REQUEST__MESSAGE_CALLERS] = { 1, on_callers },
    [SKEP__STORE__REQUEST__MESSAGE_SECRET_SET] = { 1, on_secret_set },
    [SKEP__STORE__REQUEST__MESSAGE_SECRET_REMOVE] = { 1, on_secret_remove },
};

static const struct channel_table requests = {
    .envelope = &skep__store__request__descriptor,
    .case_offset = offsetof(Skep__Store__Request, message_case),
    .value_offset = offsetof(Skep__Store__Request, begin),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};

/* ---- start */

static int take_error(const struct store_state *state, struct helper_words *ret, int error)
{
    (void) snprintf(ret->error, sizeof ret->error, "%s", state->text);
    return error;
}

static int open_folder(void *owner, struct helper_words *ret)
{
    int r = store_open(owner, ".");

    return r < 0 ? take_error(owner, ret, r) : 0;
}

/* Removes the leftovers of interrupted changes. */
static int recover(void *owner, struct event_base *base, struct helper_words *ret)
{
    struct store_state *state = owner;
    unsigned leftovers = 0;

    (void) base;
    int r = store_recover(state, &leftovers);
    if (r < 0)
        return take_error(state, ret, r);
    (void) snprintf(ret->warning, sizeof ret->warning, "%s", state->text);
    if (leftovers > 0)
        (void) snprintf(ret->info, sizeof ret->info,
                        "%u leftovers of interrupted changes are removed", leftovers);
    return 0;
}

int main(int argc, char **argv)
{
    struct store_state state = { .state_fd = -1, .lock_fd = -1, .tenants_fd = -1 };
    const struct helper_program program = {
        .name = STORE_NAME,
        .version = STORE_VERSION,
        .requests = &requests,
        .calls = &policy_store_table,
        .has_folder = true,
        .folder_use = CONFINE_WRITE,
        .open = open_folder,
        .start = recover,
        .owner = &state,
    };

    TAILQ_INIT(&state.uploads);
    int status = helper_main(argc, argv, &program);
    store_close(&state);
    return status;
}
