/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/events/deploys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "supervisor/deploy/deploy.h"
#include "supervisor/record/failure.h"
#include "tests/events/asks.h"
#include "tests/events/world.h"
#include "tests/played/store.h"

#define TENANT "late"
#define VERSIONS 3
#define VERSION_SIZE PLAYED_VERSION_BYTES

static struct {
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

/* ---- the store */

void deploys_store_dies(void)
{
    played_store_dies();
}

bool deploys_store_answers(bool is_failure)
{
    if (played_store_is_lost()) {
        played_store_returns();
        return true;
    }
    return is_failure ? played_store_says_no("the disk is full") : played_store_answers();
}

/* ---- deploys */

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

static void on_failed(void *owner, const struct failure *failure)
{
    (void) owner;
    HOLD(failure->code < 0);
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

static void note_begun(int r, struct deploy *deploy, struct failure *failure)
{
    HOLD(r == failure->code);
    failure_done(failure);
    if (r < 0) {
        state.is_asked = false;
        return;
    }
    state.deploy = state.is_asked ? deploy : NULL;
}

void deploys_begin(unsigned variant)
{
    struct failure failure = { 0 };
    char version[VERSION_SIZE + 1];
    struct deploy *deploy = NULL;

    if (state.is_asked)
        return;
    name_version(variant, version);
    played_store_seal_as(version);
    state.parts = variant % 3;
    state.is_asked = true;
    int r = deploy_begin(world.heart.deploys, bytes_of(TENANT), &asker, &deploy, &failure);
    note_begun(r, deploy, &failure);
}

void deploys_roll_back(void)
{
    struct failure failure = { 0 };
    struct deploy *deploy = NULL;

    if (state.is_asked)
        return;
    state.is_asked = true;
    int r = deploy_rollback(world.heart.deploys, bytes_of(TENANT), bytes_of(""), &asker, &deploy,
                            &failure);
    note_begun(r, deploy, &failure);
}

void deploys_remove(void)
{
    struct failure failure = { 0 };
    struct deploy *deploy = NULL;

    if (state.is_asked)
        return;
    state.is_asked = true;
    int r = deploy_remove(world.heart.deploys, bytes_of(TENANT), &asker, &deploy, &failure);
    note_begun(r, deploy, &failure);
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

/* ---- the stored versions */

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
    played_store_reset();
    for (unsigned i = 0; !is_written && i < VERSIONS; i++)
        write_version(folder, i);
    is_written = true;
}
