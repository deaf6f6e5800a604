/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches a new version for a while: if it fails far more often than the one before, that one
 * serves again, at once and without an operator. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"
#include "supervisor/deploy/internal.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/versions/versions.h"

/* Returns whether the version before failed less than half as often. Without counts it is thought to be good, because it
 * served without a rollback. */
static bool was_before_better(const struct tenant *tenant)
{
    const struct version_counts *now = &tenant->version->counts;
    const struct version_counts *before = &tenant->deployed.standby->counts;

    return (uint64_t) before->failed * now->answered * 2 <
           (uint64_t) now->failed * (before->answered > 0 ? before->answered : 1);
}

void deploy_begin_watch(struct deploys *deploys, struct tenant *tenant)
{
    const struct deploy_config *config = &tenant->tenants->config->deploy;

    if (!tenant->deployed.standby)
        return;
    tenant->deployed.watched_until_ns = io_now_ns() + config->watch_s * NSEC_PER_SEC;
    deploy_want_tick(deploys);
}

void deploy_send_back(struct deploy *deploy)
{
    int r = deploy->version[0] ? deploy_send_commit(deploy, STORE_AUTO_ROLLBACK)
                               : deploy_send_remove(deploy);

    deploy->state = r == -EPIPE ? DEPLOY_POSTPONED : DEPLOY_RETURNING;
    if (r < 0 && r != -EPIPE)
        deploy_free(deploy);
}

/* Rolls back, the routes first, because the disk may take long. */
static void roll_back(struct deploys *deploys, struct tenant *tenant)
{
    static const struct deploy_asker nobody = { .uid = 0 };
    const struct version_counts bad = tenant->version->counts;
    char from[VERSION_BYTES + 1], reason[DEPLOY_REASON_MAX];

    memcpy(from, tenant->deployed.serving, sizeof from);
    int r = versions_serve_standby(tenant);
    if (r < 0) {
        (void) log_event_errno(LOG_LEVEL_ERROR, LOG_ABOUT(.tenant = tenant->name), r,
                               "cannot go back to the version before");
        versions_drop_standby(tenant);
        return;
    }
    (void) snprintf(reason, sizeof reason, "%u of %u requests failed", bad.failed, bad.answered);
    log_event(LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = tenant->name),
              "version %.12s is rolled back to %.12s: %s", from, tenant->deployed.serving, reason);
    tenant_log(tenant, TENANT_ERROR, reason, strlen(reason));
    if (!tenant->conduct.is_by_operator)
        seclude_release(tenant);
    ledger_pump(tenant);
    struct deploy *deploy = deploy_new(deploys, DEPLOY_WATCH, &nobody, tenant->name);
    if (!deploy)
        return;
    (void) snprintf(deploy->version, sizeof deploy->version, "%s", tenant->deployed.serving);
    (void) snprintf(deploy->reason, sizeof deploy->reason, "%s", reason);
    deploy_send_back(deploy);
}

/* Returns whether a version that takes over from the watched one is about to be durable. A rollback now would be
 * undone in memory, and done on the disk. */
static bool is_succeeded(const struct deploys *deploys, const struct tenant *tenant)
{
    const struct deploy *deploy;

    TAILQ_FOREACH (deploy, &deploys->list, entry)
        if (deploy->state == DEPLOY_COMMITTING && strcmp(deploy->tenant, tenant->name) == 0)
            return true;
    return false;
}

bool deploy_check_watches(struct deploys *deploys)
{
    const struct deploys_options *with = &deploys->with;
    /* The next skepd may have read by now which version serves. */
    bool is_upgrading = with->life->is_handing_over;
    struct tenant *tenant, *next;
    uint64_t now = io_now_ns();
    bool is_any_left = false;

    for (tenant = TAILQ_FIRST(&with->tenants->watched); tenant; tenant = next) {
        next = TAILQ_NEXT(tenant, watched); /* this one may leave the list */
        if (with->life->is_draining) {      /* another skepd may serve, and write */
            versions_drop_standby(tenant);
            continue;
        }
        if (is_upgrading || is_succeeded(deploys, tenant)) { /* the next tick looks again */
            is_any_left = true;
            continue;
        }
        if (tenant_is_failing(tenant) && was_before_better(tenant))
            roll_back(deploys, tenant);
        else if (now >= tenant->deployed.watched_until_ns)
            versions_drop_standby(tenant);
        is_any_left = is_any_left || tenant->deployed.standby;
    }
    return is_any_left;
}
