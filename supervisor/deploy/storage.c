/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage of tenants in deploys: migrations before a version serves, and the removal of what a tenant has stored. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/deploy/internal.h"
#include "supervisor/helpers/data.h"

static void on_cleared(void *owner, int error)
{
    struct deploy *deploy = owner;

    deploy->clear_error = error < 0 ? error : deploy->clear_error;
    if (--deploy->n_clearing == 0)
        (void) deploy_on_event(
            deploy, deploy->clear_error < 0 ? DEPLOY_ON_UNCLEARED : DEPLOY_ON_CLEARED, NULL);
}

static int clear_in(struct deploy *deploy, const char *cordon)
{
    int r = data_close_tenant(deploy->deploys->with.data, cordon, deploy->tenant, true, on_cleared,
                              deploy);

    deploy->n_clearing += r == 0;
    return r;
}

/* Earlier versions may have been in other cordons, and of a tenant that was broken when skepd started none is known. */
int deploy_clear(struct deploy *deploy)
{
    const struct deploys_options *with = &deploy->deploys->with;
    int r = 0;

    if (!with->data)
        return deploy_send_remove(deploy);
    deploy->state = DEPLOY_CLEARING;
    for (unsigned i = 0; i < with->config->n_cordons && r == 0; i++)
        r = clear_in(deploy, with->config->cordons[i]->name);
    return r;
}

/* ---- migrations */

static void on_migrated(void *owner, struct migrated *migrated)
{
    struct deploy *deploy = owner;

    deploy->migration = NULL;
    deploy->migrated = *migrated;
    *migrated = (struct migrated){ 0 };
    for (unsigned i = 0; i < deploy->migrated.n; i++)
        log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = deploy->tenant), "migration %s is applied",
                  deploy->migrated.names[i]);
    (void) deploy_on_event(deploy, DEPLOY_ON_MIGRATED, NULL);
}

static void on_unmigrated(void *owner, const struct failure *failure)
{
    struct deploy *deploy = owner;

    deploy->migration = NULL;
    (void) deploy_on_event(deploy, DEPLOY_ON_UNMIGRATED,
                           &(const struct deploy_news){ .failure = failure });
}

static const struct migration_ops migration_ops = { .done = on_migrated, .failed = on_unmigrated };

void deploy_migrate(struct deploy *deploy)
{
    deploy->state = DEPLOY_MIGRATING;
    deploy->until_ns = UINT64_MAX; /* each database has a time of its own */
    int r = migration_begin(deploy->deploys->with.versions, deploy->staged, &migration_ops, deploy,
                            &deploy->migration);
    if (r < 0)
        deploy_fail(deploy, r, "its migrations cannot be applied: %s", strerrordesc_np(-r));
}
