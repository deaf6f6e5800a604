/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings a version from the store to serving: reads, checks, loads and switches to it.
 * Supervisor, loop thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "config/tenant_files.h"
#include "supervisor/deploy/internal.h"
#include "supervisor/host/reader.h"
#include "supervisor/placement/placement.h"
#include "supervisor/record/failure.h"
#include "supervisor/versions/versions.h"

#define BOOT_S 60
#define FOLDER_NAME_BYTES 128
#define ENV_MAX_BYTES ((size_t) TENANT_ENV_MAX * (TENANT_ENV_VALUE_MAX + (64U << 10)))

DEFINE_CLEANUP(struct manifest *, manifest_free, manifest_cleanup)

/* ---- reading */

static int read_env(const char *folder, struct manifest *manifest, struct config_errors *errors)
{
    _cleanup_fd_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_free_ char *env = NULL;
    size_t size = 0;

    int r = fd < 0 ? -errno : tenant_file_read(fd, "env", ENV_MAX_BYTES, &env, &size);
    if (r < 0) {
        config_errors_add(errors, "env", 0, "cannot be read: %s", strerrordesc_np(-r));
        return r;
    }
    return manifest_override_env(manifest, env, size, errors);
}

int deploy_read(const char *state, const char *tenant, const char *folder, uint32_t max_bytes,
                struct manifest **ret_manifest, char **ret_dir, struct config_errors *errors)
{
    _cleanup_(manifest_cleanup) struct manifest *manifest = NULL;
    _cleanup_free_ char *top = NULL, *dir = NULL;

    if (asprintf(&top, "%s/tenants/%s/versions/%s", state, tenant, folder) < 0)
        top = NULL;
    if (!top || asprintf(&dir, "%s/bundle", top) < 0) {
        dir = NULL;
        return -ENOMEM;
    }
    int r = manifest_read(dir, max_bytes, &manifest, errors);
    if (r == 0)
        r = read_env(top, manifest, errors);
    if (r == 0 && strcmp(manifest->name, tenant) != 0) {
        config_errors_add(errors, manifest->file, manifest->lines.name,
                          "name: \"%s\": expected \"%s\", as it was deployed", manifest->name,
                          tenant);
        r = -EINVAL;
    }
    if (r < 0)
        return r;
    *ret_manifest = TAKE_PTR(manifest);
    *ret_dir = TAKE_PTR(dir);
    return 0;
}

/* ---- loading */

#define BEHIND_FOLDER \
    "/bundle/" /* paths are shown without the store's folder, which nobody who deploys knows */

/* Returns whether the name is another tenant's by now. */
static bool is_of_folder(const struct tenant *tenant)
{
    return tenant && tenant->origin == TENANT_FOLDER;
}

static int stage(struct deploy *deploy, struct manifest *manifest, const char *dir,
                 struct failure *failure)
{
    _cleanup_(config_errors_done) struct config_errors errors = { 0 };
    const struct deploys_options *with = &deploy->deploys->with;
    const struct tenant *tenant =
        tenant_find(with->tenants, deploy->tenant, strlen(deploy->tenant));

    int r = manifest_check(manifest, with->config, &errors);
    if (r < 0)
        return failure_set_errors(failure, r, &errors, BEHIND_FOLDER);
    if (is_of_folder(tenant))
        return failure_set(failure, -EEXIST,
                           "%s is served from %.200s by now; remove it there first", deploy->tenant,
                           tenant->dir);
    r = versions_stage(with->versions, manifest, dir, &deploy_of_version, deploy, &deploy->staged,
                       failure);
    failure_shorten_place(failure, BEHIND_FOLDER);
    return r;
}

void deploy_stage(struct deploy *deploy, struct manifest *read, const char *dir)
{
    _cleanup_(failure_done) struct failure failure = { 0 };
    _cleanup_(manifest_cleanup) struct manifest *manifest = read;

    if (stage(deploy, manifest, dir, &failure) < 0) {
        deploy_fail_with(deploy, &failure);
        return;
    }
    (void) TAKE_PTR(manifest);
    deploy->state = DEPLOY_BOOTING;
    deploy->boot_from_ns = io_now_ns();
    deploy->until_ns = deploy->boot_from_ns + BOOT_S * NSEC_PER_SEC;
    (void) placement_preload(deploy->staged->tenant); /* otherwise the tick does it */
    deploy_want_tick(deploy->deploys);
}

/* ---- in the reader: a version that was stored long ago may be on a cold disk */

struct boot_reading {
    struct reader_job job;
    struct deploys *deploys; /* borrowed; used in the loop only */
    uint64_t id;             /* id of the deploy, which may be over by then */
    char *state;
    char tenant[NAME_MAX_BYTES + 1];
    char folder[FOLDER_NAME_BYTES];
    uint32_t max_bytes; /* a reload may exchange the config meanwhile */
    struct manifest *manifest;
    char *dir;
    struct config_errors errors;
    int error;
};

static struct boot_reading *reading_free(struct boot_reading *reading)
{
    if (!reading)
        return NULL;
    if (reading->manifest)
        tenants_dispose(reading->deploys->with.tenants, reading->manifest);
    config_errors_done(&reading->errors);
    free(reading->dir);
    free(reading->state);
    free(reading);
    return NULL;
}
DEFINE_CLEANUP(struct boot_reading *, reading_free, reading_cleanup)

static void read_version(struct reader_job *job)
{
    struct boot_reading *reading = (struct boot_reading *) job;

    reading->error =
        deploy_read(reading->state, reading->tenant, reading->folder, reading->max_bytes,
                    &reading->manifest, &reading->dir, &reading->errors);
}

static void on_read(struct reader_job *job, bool is_end)
{
    _cleanup_(reading_cleanup) struct boot_reading *reading = (struct boot_reading *) job;
    struct deploy *deploy = is_end ? NULL : deploy_find(reading->deploys, reading->id);
    _cleanup_(failure_done) struct failure failure = { 0 };
    const struct deploy_news news = {
        .manifest = &reading->manifest,
        .dir = reading->dir,
        .failure = &failure,
    };

    if (!deploy)
        return;
    if (reading->error < 0)
        (void) failure_set_errors(&failure, reading->error, &reading->errors, BEHIND_FOLDER);
    (void) deploy_on_event(deploy, reading->error < 0 ? DEPLOY_ON_UNREADABLE : DEPLOY_ON_READ,
                           &news);
}

_Static_assert(offsetof(struct boot_reading, job) == 0, "the job is the first member");

void deploy_boot(struct deploy *deploy, const char *folder)
{
    const struct deploys_options *with = &deploy->deploys->with;
    struct boot_reading *reading = calloc(1, sizeof *reading);

    if (!reading || !(reading->state = strdup(with->config->state))) {
        (void) reading_free(reading);
        deploy_fail(deploy, -ENOMEM, "skepd is out of memory");
        return;
    }
    reading->job = (struct reader_job){ .work = read_version, .done = on_read };
    reading->deploys = deploy->deploys;
    reading->id = deploy->id;
    (void) snprintf(reading->tenant, sizeof reading->tenant, "%s", deploy->tenant);
    (void) snprintf(reading->folder, sizeof reading->folder, "%s", folder);
    reading->max_bytes = config_files_bytes(with->config);
    deploy->state = DEPLOY_READING;
    reader_run(with->reader, &reading->job);
}

/* ---- the switch */

/* Reverts the store, because the durable version cannot be served. */
static void revert(struct deploy *deploy, const char *previous, const char *reason)
{
    static const struct deploy_asker nobody = { 0 };
    struct deploy *back = deploy_new(deploy->deploys, DEPLOY_WATCH, &nobody, deploy->tenant);

    if (!back)
        return;
    (void) snprintf(back->reason, sizeof back->reason, "%s", reason);
    (void) snprintf(back->version, sizeof back->version, "%s", previous);
    deploy_send_back(back);
}

/* Takes the new path: the store has given the folder of the upload the version's name by now. */
static void take_name(const struct deploy *deploy, struct tenant *tenant)
{
    struct manifest *manifest = tenant->version->manifest;
    char *file = NULL;

    if (asprintf(&file, "%s/tenants/%s/versions/%s/bundle/skep.yaml",
                 deploy->deploys->with.config->state, tenant->name, deploy->version) < 0)
        return;
    free(manifest->file);
    manifest->file = file;
    _cleanup_free_ char *dir = strndup(file, strlen(file) - strlen("/skep.yaml"));
    if (dir)
        tenant_set_dir(tenant, dir);
}

void deploy_switch(struct deploy *deploy, const char *previous)
{
    const struct config *config = deploy->deploys->with.config;
    bool is_watched = deploy->kind == DEPLOY_UPLOAD && config->deploy.watch_s > 0;

    struct tenant *tenant = deploy->staged ? deploy->staged->tenant : NULL;
    int r = tenant ? versions_serve_staged(deploy->staged, deploy->version, is_watched) : -ESTALE;
    if (r < 0) { /* another change came while the disk was busy */
        const char *reason = r == -ESTALE ? "another version took its place meanwhile"
                                          : "its routes were taken meanwhile";
        revert(deploy, previous, reason);
        deploy_fail(deploy, r, "%s: try again", reason);
        return;
    }
    deploy->staged = NULL;
    take_name(deploy, tenant);
    if (is_watched)
        deploy_begin_watch(deploy->deploys, tenant);
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = deploy->tenant),
              "%s to version %.12s%s%.12s is done, for uid %u",
              deploy->kind == DEPLOY_UPLOAD ? "deploy" : "rollback", deploy->version,
              previous[0] ? " from " : "", previous, deploy->asker.uid);
    const struct deploy_result result = {
        .tenant = deploy->tenant,
        .version = deploy->version,
        .previous = previous,
        .manifest = tenant->version->manifest,
        .files = deploy->files,
        .bytes = deploy->bytes,
        .boot_us = deploy->boot_us,
        .migrations = deploy->migrated.names,
        .n_migrations = deploy->migrated.n,
    };
    deploy_succeed(deploy, &result);
}
