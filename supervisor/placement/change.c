/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/placement/change.h"
#include "supervisor/placement/placement.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"
#include "supervisor/host/cgroup.h"
#include "supervisor/placement/retire.h"
#include "supervisor/placement/seclude.h"

/* A worker that leaves goes then, whatever is still loaded in it alone. */
#define LEAVE_PATIENCE_NS (30 * NSEC_PER_SEC)
/* What was asked for so long ago is loaded by its next request, as after a start. */
#define LATELY_NS (10 * NSEC_PER_SEC)
#define LOWER_RSS_REASON "holds much of the rss_mib that its cordon has now"

/* ---- slots that come and go */

static struct slot *last_shared(const struct pool *pool, const struct cordon_config *cordon)
{
    struct slot *slot = NULL, *last = NULL;

    while ((slot = pool_next_slot(pool, slot)))
        if (slot->cordon == cordon && slot->kind == PLACE_SHARED &&
            (!last || slot->position > last->position))
            last = slot;
    return last;
}

static void start_shared(struct pool *pool, const struct cordon_config *cordon)
{
    struct slot *slot = pool_add(pool, cordon, PLACE_SHARED);

    if (!slot) {
        log_error("no memory for another worker of cordon %s", cordon->name);
        return;
    }
    slot->is_joining = true;
    slot_start(slot);
}

static void fit_shared(struct pool *pool, const struct cordon_config *cordon)
{
    unsigned have = pool_count(pool, cordon, PLACE_SHARED);

    for (unsigned i = have; i < cordon->workers; i++)
        start_shared(pool, cordon);
    for (unsigned i = have; i > cordon->workers; i--)
        slot_close_softly(last_shared(pool, cordon));
}

static void fit_spare(struct pool *pool, const struct cordon_config *cordon)
{
    struct slot *slot = NULL;

    pool_keep_spare(pool, cordon, false);
    while (!cordon->spare && (slot = pool_next_slot(pool, slot)))
        if (slot->cordon == cordon && slot->kind == PLACE_SPARE)
            slot_close(slot);
}

/* ---- workers that run */

/* A worker that holds too much for its cordon's new rss_mib is replaced and not killed; the one before
 * bounds it until then. */
static void fit_memory(struct child *child)
{
    const struct cordon_config *cordon = child->cordon;
    uint64_t used = child->cgroup ? cgroup_worker_memory(child->cgroup) : child->rss_bytes;
    uint64_t most = (uint64_t) cordon->rss_mib << 20;

    if (cordon->rss_mib < child->rss_mib && !child_is_rss_observed(child) &&
        used >= most / 100 * RETIRE_RSS_PERCENT) {
        retire_child(child, LOWER_RSS_REASON);
        return;
    }
    child->rss_mib = cordon->rss_mib;
    if (!child->cgroup)
        return;
    struct cgroup_limits limits;
    child_cgroup_limits(child, &limits);
    int r = cgroup_worker_set(child->cgroup, &limits);
    if (r < 0)
        log_warning_errno(r, "worker %u keeps the limits of its cgroup", child->number);
}

/* Spares come first: else an old one would take over from an old one. */
static void fit_workers(struct pool *pool)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        struct slot *slot = NULL;
        while ((slot = pool_next_slot(pool, slot))) {
            struct child *child = slot->child;
            if (!child || (slot->kind == PLACE_SPARE) != (pass == 0))
                continue;
            if (child_is_stale(child))
                retire_child(child, RETIRE_STALE_REASON);
            else if (child->state != CHILD_KILLED)
                fit_memory(child);
        }
    }
}

/* ---- who leaves */

/* Whether the tenant would have to wait if it lost this one now; has it loaded where it will be. */
static bool is_needed(const struct placement *placement, uint64_t now_ns)
{
    struct version *version = placement->version;
    const struct tenant *tenant = version->tenant;
    bool is_serving = version == tenant->version && placement->state == PLACEMENT_READY;
    bool is_candidate = version == tenant->candidate && placement->state == PLACEMENT_LOADING;

    if (is_candidate)
        return true;
    if (!is_serving || placement->is_retiring ||
        (placement->in_flight == 0 && tenant->n_queued == 0 &&
         now_ns - placement->since_ns > LATELY_NS))
        return false;
    struct child *child = placement_find_worker(tenant->server->pool, version);
    if (!child)
        return true;
    const struct placement *there = placement_find(version, child);
    if (!there && tenant_retry_after_s(tenant) == 0)
        (void) placement_load(version, child);
    return there ? there->state != PLACEMENT_READY : tenant_retry_after_s(tenant) == 0;
}

static void check_leaving(struct child *child, uint64_t now_ns)
{
    struct placement *placement, *next;
    bool is_any_needed = false;

    for (placement = LIST_FIRST(&child->placements); placement; placement = next) {
        next = LIST_NEXT(placement, in_child);
        is_any_needed = is_needed(placement, now_ns) || is_any_needed;
    }
    if (!is_any_needed || now_ns - child->leave_since_ns > LEAVE_PATIENCE_NS)
        child_drain(child);
}

/* ---- cordons that are not in the config any more */

int pool_reserve_former(struct pool *pool, unsigned n)
{
    struct cordon_config **former =
        reallocarray(pool->former, pool->n_former + n + 1, sizeof(struct cordon_config *));

    if (!former)
        return -ENOMEM;
    pool->former = former;
    return 0;
}

void pool_add_former(struct pool *pool, struct cordon_config *cordon)
{
    pool->former[pool->n_former++] = cordon;
}

struct cordon_config *pool_take_former(struct pool *pool, const char *name)
{
    for (unsigned i = 0; i < pool->n_former; i++) {
        struct cordon_config *cordon = pool->former[i];
        if (strcmp(cordon->name, name) != 0)
            continue;
        pool->former[i] = pool->former[--pool->n_former];
        return cordon;
    }
    return NULL;
}

static bool is_used_by(const struct tenant_list *list, const struct cordon_config *cordon)
{
    const struct tenant *tenant;

    TAILQ_FOREACH (tenant, list, entry)
        if (tenant->version->cordon == cordon ||
            (tenant->candidate && tenant->candidate->cordon == cordon))
            return true;
    return false;
}

/* Returns whether nothing is left of it. What still refers to it otherwise, requests and versions that
 * are through, is in its workers. */
static bool empty_former(struct pool *pool, const struct cordon_config *cordon)
{
    const struct child *child;
    struct slot *slot = NULL;

    if (is_used_by(&pool->server->tenants->list, cordon) ||
        is_used_by(&pool->server->tenants->leaving, cordon))
        return false;
    while ((slot = pool_next_slot(pool, slot)))
        if (slot->cordon == cordon)
            slot_close(slot);
    TAILQ_FOREACH (child, &pool->children, entry)
        if (child->cordon == cordon)
            return false;
    return true;
}

static void check_former(struct pool *pool)
{
    for (unsigned i = 0; i < pool->n_former;) {
        if (!empty_former(pool, pool->former[i])) {
            i++;
            continue;
        }
        log_info("cordon %s is gone", pool->former[i]->name);
        (void) cordon_config_free(pool->former[i]);
        pool->former[i] = pool->former[--pool->n_former];
    }
}

/* ---- all of it */

void pool_check_change(struct pool *pool, uint64_t now_ns)
{
    struct child *child;

    TAILQ_FOREACH (child, &pool->children, entry)
        if (!child->slot && child->state == CHILD_READY)
            check_leaving(child, now_ns);
    check_former(pool);
}

void pool_apply(struct pool *pool)
{
    const struct config *config = pool->server->config;

    for (unsigned i = 0; i < config->n_cordons; i++)
        fit_shared(pool, config->cordons[i]);
    seclude_fit(pool);
    for (unsigned i = 0; i < config->n_cordons; i++)
        fit_spare(pool, config->cordons[i]);
    fit_workers(pool);
    pool_check_change(pool, io_now_ns());
}
