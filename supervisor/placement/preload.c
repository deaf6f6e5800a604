/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads that nobody waits for: few of them are under way in a worker, so that a request finds it soon free; the others
 * wait in its queue. What a request waits for does not go through here. Supervisor, loop thread.
 */
#include <errno.h>

#include "common/io.h"
#include "supervisor/placement/placement.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/child.h"

#define PRELOADS_MAX 2U
/* One that takes longer waits itself, as for a timer of its module: it is counted no more. */
#define PRELOAD_PATIENCE_NS NSEC_PER_SEC

/* The queue has a reference. The version may be gone afterwards. */
static void leave_queue(struct version *version)
{
    struct child *child = version->preload_in;

    if (!child)
        return;
    TAILQ_REMOVE(&child->preloads, version, preload);
    version->preload_in = NULL;
    (void) version_unref(version);
}

static void join_queue(struct version *version, struct child *child)
{
    if (version->preload_in == child)
        return;
    (void) version_ref(version);
    leave_queue(version);
    version->preload_in = child;
    TAILQ_INSERT_TAIL(&child->preloads, version, preload);
}

static int load(struct version *version, struct child *child)
{
    int r = placement_load(version, child);

    if (r < 0)
        return r;
    placement_find(version, child)->is_preload = true;
    child->n_preloads++;
    return 0;
}

static bool is_wanted(const struct version *version)
{
    return version == version->tenant->candidate || version == version->tenant->version;
}

/* The worker in which the version is to be loaded, and is not yet; NULL: none now. */
static struct child *find_child(const struct version *version)
{
    struct pool *pool = version->tenant->server->pool;

    return pool ? placement_find_worker(pool, version) : NULL;
}

int placement_preload(struct tenant *tenant)
{
    struct version *version = tenant->candidate ? tenant->candidate : tenant->version;
    struct child *child = find_child(version);

    if (!child)
        return -EAGAIN;
    if (placement_find(version, child))
        return 0;
    if (version->listener)
        return placement_load(version, child);
    join_queue(version, child);
    preload_run(child);
    return 0;
}

/* Takes the first one out of the queue, and has it loaded where it is to be. Returns -errno if it stays the first. */
static int take_first(struct child *child)
{
    struct version *version = TAILQ_FIRST(&child->preloads);
    struct child *place = is_wanted(version) ? find_child(version) : NULL;
    int r = 0;

    if (place && place != child)
        join_queue(version, place); /* whose turn comes with its next event, see preload_check */
    else if (place && !placement_find(version, child))
        r = load(version, child);
    if (r == 0 && version->preload_in == child)
        leave_queue(version);
    return r;
}

void preload_run(struct child *child)
{
    while (child->state == CHILD_READY && child->n_preloads < PRELOADS_MAX &&
           !TAILQ_EMPTY(&child->preloads))
        if (take_first(child) < 0)
            return;
}

void preload_end(struct placement *placement)
{
    if (!placement->is_preload)
        return;
    placement->is_preload = false;
    placement->child->n_preloads--;
}

void preload_check(struct child *child, uint64_t now_ns)
{
    struct placement *placement;

    if (child->n_preloads > 0)
        LIST_FOREACH (placement, &child->placements, in_child)
            if (now_ns - placement->since_ns > PRELOAD_PATIENCE_NS)
                preload_end(placement);
    preload_run(child);
}

void preload_forget_child(struct child *child)
{
    while (!TAILQ_EMPTY(&child->preloads))
        leave_queue(TAILQ_FIRST(&child->preloads));
}

void placement_preload_candidates(const struct server *server)
{
    uint64_t now = io_now_ns();
    struct tenant *tenant, *next;

    for (unsigned pass = 0; pass < 2; pass++)
        for (tenant = TAILQ_FIRST(&server->tenants->changing); tenant; tenant = next) {
            next = TAILQ_NEXT(tenant, changing);
            if (conduct_is_marked(&tenant->conduct, now) == (pass == 1))
                (void) placement_preload(tenant);
        }
}
