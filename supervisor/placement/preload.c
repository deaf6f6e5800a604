/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads for which no request waits: few of them are under way in a worker, so that a request soon
 * finds it free; the others wait in its queue. A load for which a request waits does not go through
 * here. Supervisor, loop thread.
 */
#include <errno.h>

#include "common/io.h"
#include "supervisor/placement/placement.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/worker.h"

#define PRELOADS_MAX 2U
/* A load that takes longer waits itself, as for a timer of its module, and is not counted any more. */
#define PRELOAD_PATIENCE_NS NSEC_PER_SEC

/* Takes the version out of the queue, which has a reference. The version may be gone afterwards. */
static void leave_queue(struct version *version)
{
    struct worker *worker = version->preload_in;

    if (!worker)
        return;
    TAILQ_REMOVE(&worker->preloads, version, preload);
    version->preload_in = NULL;
    (void) version_unref(version);
}

static void join_queue(struct version *version, struct worker *worker)
{
    if (version->preload_in == worker)
        return;
    (void) version_ref(version);
    leave_queue(version);
    version->preload_in = worker;
    TAILQ_INSERT_TAIL(&worker->preloads, version, preload);
}

static bool is_wanted(const struct version *version)
{
    return version == version->tenant->candidate || version == version->tenant->version;
}

/* Returns the worker in which the version has to be loaded, and is not yet; NULL: none now. */
static struct worker *find_worker(const struct version *version)
{
    return placement_find_worker(placements_of_tenant(version->tenant)->slots, version);
}

int placement_preload_version(struct version *version)
{
    struct worker *worker = find_worker(version);

    if (!worker)
        return -EAGAIN;
    if (placement_find(version, worker))
        return 0;
    const struct version_ops *ops = placements_of_worker(worker)->versions;
    if (ops && ops->may_load && !ops->may_load(version))
        return -EAGAIN; /* others do not wait for it in the queue */
    if (version->listener)
        return placement_load(version, worker);
    join_queue(version, worker);
    preload_run(worker);
    return 0;
}

int placement_preload(struct tenant *tenant)
{
    return placement_preload_version(tenant->candidate ? tenant->candidate : tenant->version);
}

/* Takes the first version out of the queue, and has it loaded in its worker. Returns -errno if it
 * stays the first. */
static int take_first(struct worker *worker)
{
    struct version *version = TAILQ_FIRST(&worker->preloads);
    struct worker *place = is_wanted(version) ? find_worker(version) : NULL;
    int r = 0;

    if (place && place != worker)
        join_queue(version, place); /* has a turn with the next event there: preload_check */
    else if (place && !placement_find(version, worker))
        r = placement_load_early(version, worker);
    if (r == 0 && version->preload_in == worker)
        leave_queue(version);
    return r;
}

void preload_run(struct worker *worker)
{
    while (worker->state == WORKER_READY && worker->n_preloads < PRELOADS_MAX &&
           !TAILQ_EMPTY(&worker->preloads))
        if (take_first(worker) < 0)
            return;
}

void preload_end(struct placement *placement)
{
    if (!placement->is_preload)
        return;
    placement->is_preload = false;
    placement->worker->n_preloads--;
}

void preload_check(struct worker *worker, uint64_t now_ns)
{
    struct placement *placement;

    if (worker->n_preloads > 0)
        LIST_FOREACH (placement, &worker->placements, in_worker)
            if (now_ns - placement->since_ns > PRELOAD_PATIENCE_NS)
                preload_end(placement);
    preload_run(worker);
}

void preload_forget_worker(struct worker *worker)
{
    while (!TAILQ_EMPTY(&worker->preloads))
        leave_queue(TAILQ_FIRST(&worker->preloads));
}

void placement_preload_candidates(struct placements *placements)
{
    uint64_t now = io_now_ns();
    struct tenant *tenant, *next;

    for (unsigned pass = 0; pass < 2; pass++)
        for (tenant = TAILQ_FIRST(&placements->tenants->changing); tenant; tenant = next) {
            next = TAILQ_NEXT(tenant, changing);
            if (conduct_is_marked(&tenant->conduct, now) == (pass == 1))
                (void) placement_preload(tenant);
        }
}
