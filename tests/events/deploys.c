/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/events/deploys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/channel.h"
#include "store.pb-c.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/helpers/store.h"
#include "tests/events/asks.h"
#include "tests/events/world.h"

#define TENANT "late"
#define VERSIONS 3
#define VERSION_SIZE 64
#define WAITING 64

struct question {
    Skep__Store__Request__MessageCase which;
    uint64_t id;
    char version[VERSION_SIZE + 1];
};

static struct {
    const struct channel_table *answers;
    const struct helper_ops *ops;
    void *owner;
    bool is_lost; /* the store, until its next step */
    struct question waiting[WAITING];
    unsigned n_waiting;
    char current[VERSION_SIZE + 1], previous[VERSION_SIZE + 1];
    unsigned variant; /* what the next upload comes to */
    /* One deploy at a time. */
    struct deploy *deploy;
    bool is_asked, may_go_on;
    unsigned parts;
} state;

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

static void name_version(unsigned variant, char name[static VERSION_SIZE + 1])
{
    memset(name, "abc"[variant % VERSIONS], VERSION_SIZE);
    name[VERSION_SIZE] = '\0';
}

/* ---- the client of the store, as the supervisor calls it */

struct helper *__wrap_store_helper(const struct store *store);
void __wrap_helper_listen(struct helper *helper, const struct channel_table *answers,
                          const struct helper_ops *ops, void *owner);
int __wrap_helper_ask(struct helper *helper, uint64_t id, const ProtobufCMessage *message);
bool __wrap_helper_is_ready(const struct helper *helper);
bool __wrap_helper_is_congested(const struct helper *helper);

struct helper *__wrap_store_helper(const struct store *store)
{
    return (struct helper *) (uintptr_t) store; /* only the wrapped functions see it */
}

void __wrap_helper_listen(struct helper *helper, const struct channel_table *answers,
                          const struct helper_ops *ops, void *owner)
{
    (void) helper;
    state.answers = answers;
    state.ops = ops;
    state.owner = owner;
}

bool __wrap_helper_is_ready(const struct helper *helper)
{
    (void) helper;
    return !state.is_lost;
}

bool __wrap_helper_is_congested(const struct helper *helper)
{
    (void) helper;
    return state.n_waiting > WAITING / 2;
}

int __wrap_helper_ask(struct helper *helper, uint64_t id, const ProtobufCMessage *message)
{
    const Skep__Store__Request *request = (const Skep__Store__Request *) message;
    struct question *question = &state.waiting[state.n_waiting];

    (void) helper;
    if (state.n_waiting == WAITING || state.is_lost)
        return -EPIPE;
    state.n_waiting++;
    *question = (struct question){ .which = request->message_case };
    /* Each message has its id first. */
    HOLD(request->begin->id == id);
    question->id = id;
    if (request->message_case == SKEP__STORE__REQUEST__MESSAGE_COMMIT) {
        HOLD(request->commit->version.len == VERSION_SIZE);
        memcpy(question->version, request->commit->version.data, VERSION_SIZE);
    }
    return 0;
}

/* ---- its answers */

static void answer(Skep__Store__Answer__MessageCase which, const void *message)
{
    const struct channel_table *table = state.answers;

    HOLD((size_t) which < table->n_rules && table->rules[which].handle);
    if (table->rules[which].handle(state.owner, message) < 0)
        events_fail("an honest answer of the store (%d) is refused", (int) which);
}

static void answer_accepted(uint64_t id)
{
    Skep__Store__Accepted accepted = SKEP__STORE__ACCEPTED__INIT;

    accepted.id = id;
    answer(SKEP__STORE__ANSWER__MESSAGE_ACCEPTED, &accepted);
}

static void answer_sealed(uint64_t id)
{
    Skep__Store__Sealed sealed = SKEP__STORE__SEALED__INIT;
    char version[VERSION_SIZE + 1];

    name_version(state.variant, version);
    sealed.id = id;
    sealed.version = sealed.folder = bytes_of(version);
    sealed.files = 1;
    sealed.bytes = 10;
    sealed.current = strcmp(version, state.current) == 0;
    answer(SKEP__STORE__ANSWER__MESSAGE_SEALED, &sealed);
}

static void answer_committed(const struct question *question)
{
    Skep__Store__Committed committed = SKEP__STORE__COMMITTED__INIT;

    (void) snprintf(state.previous, sizeof state.previous, "%s", state.current);
    (void) snprintf(state.current, sizeof state.current, "%s", question->version);
    committed.id = question->id;
    committed.previous = bytes_of(state.previous);
    answer(SKEP__STORE__ANSWER__MESSAGE_COMMITTED, &committed);
}

static void answer_versions(uint64_t id)
{
    Skep__Store__Versions versions = SKEP__STORE__VERSIONS__INIT;
    Skep__Store__Version serving = SKEP__STORE__VERSION__INIT;
    Skep__Store__Version previous = SKEP__STORE__VERSION__INIT;
    Skep__Store__Version *list[] = { &serving, &previous };

    serving.version = bytes_of(state.current);
    serving.state = bytes_of("serving");
    previous.version = bytes_of(state.previous);
    previous.state = bytes_of("previous");
    versions.id = id;
    versions.versions = list;
    versions.n_versions = state.previous[0] ? 2 : state.current[0] ? 1 : 0;
    answer(SKEP__STORE__ANSWER__MESSAGE_VERSIONS, &versions);
}

static void answer_removed(uint64_t id)
{
    Skep__Store__Removed removed = SKEP__STORE__REMOVED__INIT;

    state.current[0] = state.previous[0] = '\0';
    removed.id = id;
    answer(SKEP__STORE__ANSWER__MESSAGE_REMOVED, &removed);
}

static void answer_failed(uint64_t id)
{
    Skep__Store__Failed failed = SKEP__STORE__FAILED__INIT;

    failed.id = id;
    failed.text = bytes_of("the disk is full");
    answer(SKEP__STORE__ANSWER__MESSAGE_FAILED, &failed);
}

void deploys_store_dies(void)
{
    struct question waiting[WAITING];
    unsigned n = state.n_waiting;

    if (state.is_lost)
        return;
    memcpy(waiting, state.waiting, sizeof waiting);
    state.n_waiting = 0;
    state.is_lost = true;
    for (unsigned i = 0; i < n; i++)
        state.ops->on_failed(state.owner, waiting[i].id);
    state.ops->on_lost(state.owner);
}

bool deploys_store_answers(bool is_failure)
{
    if (state.is_lost) {
        state.is_lost = false;
        state.ops->on_ready(state.owner);
        return true;
    }
    if (state.n_waiting == 0)
        return false;
    struct question question = state.waiting[0];
    memmove(state.waiting, state.waiting + 1, --state.n_waiting * sizeof question);
    if (is_failure && question.which != SKEP__STORE__REQUEST__MESSAGE_ABORT)
        answer_failed(question.id);
    else if (question.which == SKEP__STORE__REQUEST__MESSAGE_SEAL)
        answer_sealed(question.id);
    else if (question.which == SKEP__STORE__REQUEST__MESSAGE_COMMIT)
        answer_committed(&question);
    else if (question.which == SKEP__STORE__REQUEST__MESSAGE_LIST)
        answer_versions(question.id);
    else if (question.which == SKEP__STORE__REQUEST__MESSAGE_REMOVE)
        answer_removed(question.id);
    else
        answer_accepted(question.id);
    return true;
}

/* ---- who asks */

static void on_accepted(void *owner)
{
    (void) owner;
    HOLD(state.is_asked);
    state.may_go_on = true;
}

static void note_end(void)
{
    if (!state.is_asked)
        events_fail("a deploy ended twice");
    state.is_asked = state.may_go_on = false;
    state.deploy = NULL;
}

static void on_failed(void *owner, const char *text, size_t size)
{
    (void) owner;
    (void) text;
    (void) size;
    note_end();
}

static void on_done(void *owner, const struct deploy_result *result)
{
    (void) owner;
    HOLD(strcmp(result->tenant, TENANT) == 0);
    note_end();
}

static void on_versions(void *owner, const char *tenant, const Skep__Store__Versions *versions)
{
    (void) owner;
    (void) tenant;
    (void) versions;
    note_end();
}

static const struct deploy_listener listener = {
    .accepted = on_accepted,
    .failed = on_failed,
    .done = on_done,
    .versions = on_versions,
};
static const struct deploy_asker asker = { .listener = &listener };

static void note_begun(int r, struct deploy *deploy)
{
    if (r < 0) {
        state.is_asked = false;
        return;
    }
    state.deploy = state.is_asked ? deploy : NULL;
}

void deploys_begin(unsigned variant)
{
    const char *reason;
    struct deploy *deploy = NULL;

    if (state.is_asked)
        return;
    state.variant = variant;
    state.parts = variant % 3;
    state.is_asked = true;
    int r = deploy_begin(world.heart.deploys, bytes_of(TENANT), &asker, &deploy, &reason);
    note_begun(r, deploy);
}

void deploys_roll_back(void)
{
    const char *reason;
    struct deploy *deploy = NULL;

    if (state.is_asked)
        return;
    state.is_asked = true;
    int r = deploy_rollback(world.heart.deploys, bytes_of(TENANT), bytes_of(""), &asker, &deploy,
                            &reason);
    note_begun(r, deploy);
}

void deploys_remove(void)
{
    const char *reason;
    struct deploy *deploy = NULL;

    if (state.is_asked)
        return;
    state.is_asked = true;
    int r = deploy_remove(world.heart.deploys, bytes_of(TENANT), &asker, &deploy, &reason);
    note_begun(r, deploy);
}

void deploys_go_on(void)
{
    struct deploy_part part = { .end = state.parts == 0 };

    if (!state.may_go_on)
        return;
    state.may_go_on = false;
    if (!part.end) {
        part.path = bytes_of("a.js");
        part.data = bytes_of("export default {}");
        state.parts--;
    }
    HOLD(deploy_take_part(state.deploy, &part) == 0);
}

void deploys_asker_leaves(void)
{
    struct deploy *deploy = state.deploy;

    if (!state.is_asked || !deploy)
        return;
    state.is_asked = state.may_go_on = false;
    state.deploy = NULL;
    deploy_leave(deploy);
}

bool deploys_are_under_way(void)
{
    return state.is_asked || deploys_are_busy(world.heart.deploys);
}

/* ---- what is stored */

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[512];

    (void) snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    HOLD(file);
    (void) fputs(text, file);
    HOLD(fclose(file) == 0);
}

static void make_folder(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void) mkdir(path, 0700);
        *slash = '/';
    }
}

static void write_version(const char *folder, unsigned variant)
{
    char name[VERSION_SIZE + 1], path[256], text[256];

    name_version(variant, name);
    (void) snprintf(path, sizeof path, "%s/tenants/%s/versions/%s/bundle/", folder, TENANT, name);
    make_folder(path);
    (void) snprintf(text, sizeof text,
                    "name: %s\nmain: a.js\ncordon: %s\nlimits: { concurrency: %u, queue: 3 }\n",
                    TENANT, variant == 2 ? "one" : "many", 2 + variant);
    write_file(path, "skep.yaml", text);
    write_file(path, "a.js", "export default {}\n");
    (void) snprintf(path, sizeof path, "%s/tenants/%s/versions/%s", folder, TENANT, name);
    write_file(path, "env", "");
}

void deploys_reset(const char *folder)
{
    static bool is_written;

    memset(&state, 0, sizeof state);
    for (unsigned i = 0; !is_written && i < VERSIONS; i++)
        write_version(folder, i);
    is_written = true;
}
