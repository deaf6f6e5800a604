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
#include "supervisor/workers/slots.h"

/* A leaving worker ends after this time, even with versions that are loaded only there. */
#define LEAVE_PATIENCE_NS (30 * NSEC_PER_SEC)
/* A version whose last request is longer ago is loaded by its next request, as after a start. */
#define LATELY_NS (10 * NSEC_PER_SEC)
#define LOWER_RSS_REASON "holds much of the rss_mib that its cordon has now"

/* ---- slots that come and go */

static struct slot *last_shared(const struct slots *slots, const struct cordon_config *cordon)
{
    struct slot *slot = NULL, *last = NULL;

    while ((slot = slots_next(slots, slot)))
        if (slot->cordon == cordon && slot->kind == SLOT_SHARED &&
            (!last || slot->position > last->position))
            last = slot;
    return last;
}

static void start_shared(struct slots *slots, const struct cordon_config *cordon)
{
    struct slot *slot = slots_add(slots, cordon, SLOT_SHARED);

    if (!slot) {
        log_error("no memory for another worker of cordon %s", cordon->name);
        return;
    }
    slot->is_joining = true;
    slot_start(slot);
}

static void fit_shared(struct slots *slots, const struct cordon_config *cordon)
{
    unsigned have = slots_count(slots, cordon, SLOT_SHARED);

    for (unsigned i = have; i < cordon->workers; i++)
        start_shared(slots, cordon);
    for (unsigned i = have; i > cordon->workers; i--)
        slot_close_softly(last_shared(slots, cordon));
}

static void fit_spare(struct slots *slots, const struct cordon_config *cordon)
{
    struct slot *slot = NULL;

    slots_keep_spare(slots, cordon, false);
    while (!cordon->spare && (slot = slots_next(slots, slot)))
        if (slot->cordon == cordon && slot->kind == SLOT_SPARE)
            slot_close(slot);
}

/* ---- workers that run */

/* Replaces, and does not kill, a worker that holds too much for its cordon's new rss_mib; the old value
 * bounds it until then. */
static void fit_memory(struct worker *worker)
{
    const struct cordon_config *cordon = worker->cordon;
    uint64_t used = worker->cgroup ? cgroup_worker_memory(worker->cgroup) : worker->rss_bytes;
    uint64_t most = (uint64_t) cordon->rss_mib << 20;

    if (cordon->rss_mib < worker->rss_mib && !worker_is_rss_observed(worker) &&
        used >= most / 100 * RETIRE_RSS_PERCENT) {
        retire_worker(worker, LOWER_RSS_REASON);
        return;
    }
    worker->rss_mib = cordon->rss_mib;
    if (!worker->cgroup)
        return;
    struct cgroup_limits limits;
    worker_cgroup_limits(worker, &limits);
    int r = cgroup_worker_set(worker->cgroup, &limits);
    if (r < 0)
        log_warning_errno(r, "worker %u keeps the limits of its cgroup", worker->number);
}

/* Spares come first, so that no old spare takes over from an old worker. */
static void fit_workers(struct slots *slots)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        struct slot *slot = NULL;
        while ((slot = slots_next(slots, slot))) {
            struct worker *worker = slot->worker;
            if (!worker || (slot->kind == SLOT_SPARE) != (pass == 0))
                continue;
            if (worker_is_stale(worker))
                retire_worker(worker, RETIRE_STALE_REASON);
            else if (worker->state != WORKER_KILLED)
                fit_memory(worker);
        }
    }
}

/* ---- leaving workers */

/* Returns whether the tenant would have to wait if it lost this placement now; has the version
 * loaded in its next worker. */
static bool is_needed(const struct placement *placement, uint64_t now_ns)
{
    struct version *version = placement->version;
    const struct tenant *tenant = version->tenant;
    bool is_serving = version == tenant->version && placement->state == PLACEMENT_READY;
    bool is_candidate = version == tenant->candidate && placement_is_loading(placement);

    if (is_candidate)
        return true;
    if (!is_serving || (placement->in_flight == 0 && tenant->n_queued == 0 &&
                        now_ns - placement->since_ns > LATELY_NS))
        return false;
    struct worker *worker = placement_find_worker(placements_of_tenant(tenant)->slots, version);
    if (!worker)
        return true;
    const struct placement *there = placement_find(version, worker);
    if (there)
        return !placement_is_up(there);
    if (tenant_retry_after_s(tenant) > 0)
        return false;
    if (tenant->n_queued > 0)
        (void) placement_load(version, worker);
    else
        (void) placement_preload_version(version);
    return true;
}

static void check_leaving(struct worker *worker, uint64_t now_ns)
{
    struct placement *placement, *next;
    bool is_any_needed = false;

    for (placement = LIST_FIRST(&worker->placements); placement; placement = next) {
        next = LIST_NEXT(placement, in_worker);
        is_any_needed = is_needed(placement, now_ns) || is_any_needed;
    }
    if (!is_any_needed || now_ns - worker->leave_since_ns > LEAVE_PATIENCE_NS)
        worker_drain(worker);
}

/* ---- cordons that are not in the config any more */

int placements_reserve_former(struct placements *placements, unsigned n)
{
    struct cordon_config **former = reallocarray(placements->former, placements->n_former + n + 1,
                                                 sizeof(struct cordon_config *));

    if (!former)
        return -ENOMEM;
    placements->former = former;
    return 0;
}

void placements_add_former(struct placements *placements, struct cordon_config *cordon)
{
    placements->former[placements->n_former++] = cordon;
}

struct cordon_config *placements_take_former(struct placements *placements, const char *name)
{
    for (unsigned i = 0; i < placements->n_former; i++) {
        struct cordon_config *cordon = placements->former[i];
        if (strcmp(cordon->name, name) != 0)
            continue;
        placements->former[i] = placements->former[--placements->n_former];
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

/* Empties a former cordon. Returns whether nothing is left of it. All other references to it, of requests and versions,
 * are in its workers. */
static bool empty_former(struct placements *placements, const struct cordon_config *cordon)
{
    const struct tenants *tenants = placements->tenants;
    struct slots *slots = placements->slots;
    const struct worker *worker;
    struct slot *slot = NULL;

    if (is_used_by(&tenants->list, cordon) || is_used_by(&tenants->leaving, cordon))
        return false;
    while ((slot = slots_next(slots, slot)))
        if (slot->cordon == cordon)
            slot_close(slot);
    TAILQ_FOREACH (worker, &slots->workers, entry)
        if (worker->cordon == cordon)
            return false;
    return true;
}

static void check_former(struct placements *placements)
{
    for (unsigned i = 0; i < placements->n_former;) {
        if (!empty_former(placements, placements->former[i])) {
            i++;
            continue;
        }
        log_info("cordon %s is gone", placements->former[i]->name);
        (void) cordon_config_free(placements->former[i]);
        placements->former[i] = placements->former[--placements->n_former];
    }
}

/* ---- the whole change */

void placements_check_change(struct placements *placements, uint64_t now_ns)
{
    struct worker *worker;

    TAILQ_FOREACH (worker, &placements->slots->workers, entry)
        if (!worker->slot && worker->state == WORKER_READY)
            check_leaving(worker, now_ns);
    check_former(placements);
}

void placements_apply_config(struct placements *placements)
{
    const struct config *config = placements->config;
    struct slots *slots = placements->slots;

    for (unsigned i = 0; i < config->n_cordons; i++)
        fit_shared(slots, config->cordons[i]);
    seclude_fit(slots);
    for (unsigned i = 0; i < config->n_cordons; i++)
        fit_spare(slots, config->cordons[i]);
    fit_workers(slots);
    placements_check_change(placements, io_now_ns());
}
