/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/heart.h"

#include "supervisor/admin/admin.h"
#include "supervisor/commands.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/reload/reload.h"

static int make_reload(struct heart *heart)
{
    const struct reload_options options = {
        .base = heart->base,
        .config = heart->config,
        .life = &heart->life,
        .front = heart->front,
        .tenants = heart->tenants,
        .placements = heart->placements,
        .versions = heart->versions,
        .max_files = heart->max_files,
    };

    return reload_new(&options, &heart->reload);
}

static int make_deploys(struct heart *heart)
{
    const struct deploys_options options = {
        .base = heart->base,
        .config = heart->config,
        .life = &heart->life,
        .health = &heart->health,
        .record = &heart->record,
        .tenants = heart->tenants,
        .versions = heart->versions,
        .store = heart->store,
    };

    return deploys_new(&options, &heart->deploys);
}

int heart_make(struct heart *heart)
{
    struct http_limits limits;

    if (!heart->limits) {
        reload_http_limits(heart->config, &limits);
        heart->limits = &limits;
    }
    int r = heart_make_floors(heart);
    if (heart->limits == &limits)
        heart->limits = NULL;
    if (r == 0)
        r = make_reload(heart);
    return r == 0 ? make_deploys(heart) : r;
}

/* In the order of tear_down in main.c. */
void heart_free(struct heart *heart)
{
    heart->reload = reload_free(heart->reload);
    heart_stop_requests(heart);
    heart->deploys = deploys_free(heart->deploys);
    heart_free_floors(heart);
}

int heart_open_admin(struct heart *heart, const char *path, struct admin **ret_admin)
{
    const struct admin_options options = {
        .commands = &commands,
        .socket_path = path,
        .base = heart->base,
        .config = heart->config,
        .life = &heart->life,
        .health = &heart->health,
        .jail = &heart->jail,
        .record = &heart->record,
        .tenants = heart->tenants,
        .slots = heart->slots,
        .ledger = heart->ledger,
        .front = heart->front,
        .reload = heart->reload,
        .deploys = heart->deploys,
    };

    return admin_new(&options, ret_admin);
}
