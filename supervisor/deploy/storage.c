/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removal of what a tenant has stored. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

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
