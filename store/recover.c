/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery: removes the leftovers of an interrupted store, so that each tenant is as it was before
 * or after the change. Store process, at its start.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "store/internal.h"
#include "store/tree.h"

struct recovery {
    struct store_state *state;
    struct stored_tenant *tenant;
    unsigned leftovers;
    char broken[STORE_TEXT_MAX]; /* names and errors */
    bool is_alive;               /* another store holds an upload of the tenant */
};

static bool begins_with(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static int drop(struct recovery *recovery, int dir_fd, const char *name)
{
    recovery->leftovers++;
    return tree_remove(dir_fd, name);
}

/* Removes an upload, unless another process holds it. */
static int recover_upload(void *arg, int dir_fd, const char *name)
{
    struct recovery *recovery = arg;

    if (!begins_with(name, STORE_NEW))
        return 0;
    _cleanup_fd_ int fd = tree_enter(dir_fd, name, false);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        recovery->is_alive = true;
        return 0;
    }
    return drop(recovery, dir_fd, name);
}

static int recover_temporary(void *arg, int dir_fd, const char *name)
{
    return begins_with(name, TREE_TEMPORARY) ? drop(arg, dir_fd, name) : 0;
}

/* Takes back a line of the history whose switch was not made. */
static int recover_history(struct recovery *recovery)
{
    struct history *history = &recovery->tenant->history;
    const struct history_entry *last =
        history->count > 0 ? &history->records[history->count - 1] : NULL;

    if (!last || strcmp(last->version, recovery->tenant->current) == 0 ||
        strcmp(last->from, recovery->tenant->current) != 0)
        return 0;
    recovery->leftovers++;
    history->count--;
    return history_write(recovery->tenant->fd, history);
}

/* Removes versions that got their names and that no line of the history names. */
static int recover_versions(struct recovery *recovery)
{
    const struct stored_tenant *tenant = recovery->tenant;
    bool is_history_whole = tenant->history.count < HISTORY_RECORDS_MAX;
    int r = 0;

    for (unsigned i = 0; i < tenant->n_versions && r == 0; i++) {
        const char *name = tenant->versions[i].name;
        if (!tenant->versions[i].is_current && is_history_whole &&
            history_find(&tenant->history, name) < 0)
            r = drop(recovery, tenant->versions_fd, name);
    }
    return r;
}

/* Returns whether the tenant's first version was still on its way. A tenant that has lost its link
 * otherwise is the operator's to mend. */
static bool is_unborn(const struct stored_tenant *tenant)
{
    const struct history *history = &tenant->history;

    return faccessat(tenant->fd, STORE_CURRENT, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
           (history->count == 0 ||
            (history->count == 1 && strcmp(history->records[0].from, "-") == 0));
}

static int recover_folder(struct recovery *recovery, const char *name)
{
    _cleanup_(stored_tenant_done) struct stored_tenant tenant;

    int r = stored_tenant_open(recovery->state, name, &tenant);
    if (r == -ENOTDIR || r == -ELOOP)
        return 0; /* none of the store's folders */
    if (r == -ENOENT && tenant.fd >= 0)
        return drop(recovery, recovery->state->tenants_fd, name); /* a folder without versions/ */
    if (r < 0)
        return r;
    recovery->tenant = &tenant;
    recovery->is_alive = false;
    r = tree_each(tenant.versions_fd, recover_upload, recovery);
    if (r == 0)
        r = tree_each(tenant.fd, recover_temporary, recovery);
    if (r == 0 && is_unborn(&tenant))
        return recovery->is_alive ? 0 : drop(recovery, recovery->state->tenants_fd, name);
    if (r == 0 && tenant.current[0])
        r = recover_history(recovery);
    if (r == 0 && tenant.current[0])
        r = recover_versions(recovery);
    return r;
}

/* Recovers a tenant. One that cannot be read keeps no other from being served. */
static int recover_tenant(void *arg, int dir_fd, const char *name)
{
    struct recovery *recovery = arg;
    int r = 0;

    if (begins_with(name, STORE_TRASH))
        r = drop(recovery, dir_fd, name);
    else if (name_is_valid(name))
        r = recover_folder(recovery, name);
    if (r >= 0 || r == -ENOMEM)
        return r;
    size_t at = strlen(recovery->broken);
    (void) snprintf(recovery->broken + at, sizeof recovery->broken - at, "%s%s (%s)",
                    at > 0 ? ", " : "left as they are, for they cannot be read: ", name,
                    strerrordesc_np(-r));
    return 0;
}

int store_recover(struct store_state *state, unsigned *ret_leftovers)
{
    struct recovery recovery = { .state = state };

    int r = store_lock(state);
    if (r < 0)
        return r;
    r = tree_each(state->tenants_fd, recover_tenant, &recovery);
    if (r == 0)
        r = secrets_recover(state, &recovery.leftovers);
    if (r == 0 && recovery.leftovers > 0)
        r = tree_sync_folders(state->tenants_fd);
    if (recovery.broken[0] && r != -ENOMEM)
        r = 0; /* an unreadable folder cannot be synced */
    store_unlock(state);
    if (r < 0)
        return store_fail(state, r, "cannot remove the leftovers of an interrupted change: %s",
                          strerrordesc_np(-r));
    (void) snprintf(state->text, sizeof state->text, "%s", recovery.broken);
    *ret_leftovers = recovery.leftovers;
    return 0;
}
