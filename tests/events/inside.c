/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/events/inside.h"

#include <stdio.h>

#include "proto/channel.h"
#include "proto/frame.h"
#include "supervisor/placement/retire.h"
#include "supervisor/requests/fetch.h"
#include "supervisor/requests/kinds.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/requests/share.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"
#include "tests/events/asks.h"
#include "tests/events/egress.h"

bool inside_limits_changed;

/* ---- tenants */

struct sums {
    unsigned queued, gathering, in_workers, waiting;
};

static unsigned count_active(const struct heart *heart, const struct tenant *tenant)
{
    const struct request *request;
    unsigned n = 0;

    TAILQ_FOREACH (request, &heart->ledger->active, entry)
        n += request->attempt.tenant == tenant;
    return n;
}

static unsigned count_gathering(const struct heart *heart, const struct tenant *tenant)
{
    const struct request *request;
    unsigned n = 0;

    TAILQ_FOREACH (request, &heart->ledger->gathering, entry)
        n += request->attempt.tenant == tenant;
    return n;
}

/* Returns the bytes of bodies and answers that count against the tenant's requests. */
static uint64_t sum_bytes(const struct heart *heart, const struct tenant *tenant)
{
    const struct request *request;
    uint64_t bytes = 0;

    TAILQ_FOREACH (request, &heart->ledger->active, entry)
        if (request->attempt.tenant == tenant)
            bytes += request->counted_bytes;
    TAILQ_FOREACH (request, &heart->ledger->gathering, entry)
        if (request->attempt.tenant == tenant)
            bytes += request->counted_bytes;
    TAILQ_FOREACH (request, &tenant->queue, entry)
        bytes += request->counted_bytes;
    return bytes;
}

static unsigned count_refs(const struct heart *heart, const struct version *version)
{
    const struct tenant *tenant = version->tenant;
    const struct placement *placement;
    const struct request *request;
    unsigned n = 0;

    n += tenant->version == version;
    n += tenant->candidate == version;
    n += tenant->deployed.standby == version;
    n += version->preload_in != NULL;
    LIST_FOREACH (placement, &version->placements, in_version)
        n++;
    TAILQ_FOREACH (request, &heart->ledger->active, entry)
        n += request->attempt.version == version;
    return n;
}

static void check_version(const struct heart *heart, const struct version *version)
{
    const struct placement *placement;

    if (!version)
        return;
    HOLD(version->refs == count_refs(heart, version));
    LIST_FOREACH (placement, &version->placements, in_version)
        HOLD(placement->version == version && placement->worker);
}

/* Checks that no more requests wait than the limits of the queue allow, but for those from before a
 * lower limit. */
static void check_queue_limit(struct tenant *tenant)
{
    const struct limits *limits = &tenant->version->limits;
    unsigned running =
        tenant->n_in_flight < limits->concurrency ? tenant->n_in_flight : limits->concurrency;

    if (running + tenant->n_queued <= limits->concurrency + limits->queue)
        return;
    /* Requests that come back from a worker are not refused, and lower limits refuse no request
     * that waits. */
    const struct request *request;
    unsigned n_sent = 0;
    TAILQ_FOREACH (request, &tenant->queue, entry)
        n_sent += request->sendings > 0;
    if (n_sent == 0 && tenant->n_versions == 1 && !inside_limits_changed)
        events_fail("tenant %s: %u requests run and %u wait, where %u may run and %u wait",
                    tenant->name, tenant->n_in_flight, tenant->n_queued, limits->concurrency,
                    limits->queue);
}

static void check_tenant(const struct heart *heart, struct tenant *tenant, struct sums *sums)
{
    const struct request *request;
    unsigned n = 0;

    TAILQ_FOREACH (request, &tenant->queue, entry) {
        HOLD(request->attempt.tenant == tenant && request->state == REQUEST_QUEUED);
        HOLD(!request->attempt.placement && !request->attempt.version && request->client.to);
        n++;
    }
    HOLD(n == tenant->n_queued);
    HOLD(tenant->n_in_flight == count_active(heart, tenant));
    HOLD(tenant->books.n_gathering == count_gathering(heart, tenant));
    HOLD(tenant->books.queued_bytes == sum_bytes(heart, tenant));
    check_version(heart, tenant->version);
    check_version(heart, tenant->candidate);
    check_version(heart, tenant->deployed.standby);
    check_queue_limit(tenant);
    sums->queued += n;
    sums->gathering += tenant->books.n_gathering;
    sums->in_workers += tenant->n_in_flight;
    sums->waiting += n > 0;
}

/* Checks that each list of tenants has all tenants that belong in it, and no other. */
static void check_tenant_lists(const struct tenants *tenants)
{
    const struct tenant *tenant;
    unsigned n_changing = 0, n_watched = 0;

    TAILQ_FOREACH (tenant, &tenants->list, entry) {
        n_changing += tenant->candidate != NULL;
        n_watched += tenant->deployed.standby != NULL;
    }
    TAILQ_FOREACH (tenant, &tenants->changing, changing) {
        HOLD(tenant->candidate);
        n_changing--;
    }
    TAILQ_FOREACH (tenant, &tenants->watched, watched) {
        HOLD(tenant->deployed.standby);
        n_watched--;
    }
    HOLD(n_changing == 0 && n_watched == 0);
}

/* ---- fetches */

/* Checks the fetches of one request. Returns how many are open. */
static unsigned check_fetches_of(const struct request *request, unsigned *n_waiting)
{
    unsigned n_begun = 0, n_open = 0;
    size_t kept = 0;
    const struct call *call;

    if (request->calls.n_calls > 0)
        TAILQ_FOREACH (call, &request->calls.calls, entry) {
            const struct fetch *fetch = call->object;
            if (call->kind != &fetch_call_kind)
                continue;
            enum fetch_phase phase = fetch->place.phase;
            HOLD(phase != FETCH_OUTSIDE && fetch->parent == request && fetch->call == call);
            HOLD((fetch->open != NULL) == (phase == FETCH_OPEN || phase == FETCH_ANSWERED));
            HOLD(call->is_head_sent == (phase == FETCH_ANSWERED));
            HOLD(fetch->credit + call_queued(call) <= BODY_WINDOW_BYTES);
            HOLD((fetch->kept_bytes > 0) == !fetch->open);
            n_begun += phase == FETCH_READY || phase == FETCH_OPEN;
            n_open += fetch->open != NULL;
            *n_waiting += !fetch->open;
            kept += fetch->kept_bytes;
        }
    HOLD(n_begun == request->fetches.n_begun && n_begun <= FETCH_HEADS_MAX);
    HOLD(kept == request->fetch_bytes);
    return n_open;
}

static void check_fetches(const struct heart *heart)
{
    struct fetches *fetches = heart->ledger->fetches;
    const struct request *request;
    unsigned n_open = 0, n_waiting = 0;

    TAILQ_FOREACH (request, &heart->ledger->active, entry)
        n_open += check_fetches_of(request, &n_waiting);
    HOLD(n_open == fetches->queue.n_open && n_open == egress_count_open());
    HOLD(n_waiting == fetches->queue.n_waiting);
    /* A fetch whose turn it is does not wait. */
    HOLD(fetches->is_held || !fetch_queue_next(&fetches->queue));
}

/* ---- workers */

static unsigned count_waiting(const struct heart *heart, const struct worker *worker)
{
    const struct tenant *tenant;
    unsigned n = 0;

    TAILQ_FOREACH (tenant, &heart->tenants->list, entry)
        n += tenant->books.run_worker == worker;
    TAILQ_FOREACH (tenant, &heart->tenants->leaving, entry)
        n += tenant->books.run_worker == worker;
    return n;
}

static void check_placements(const struct heart *heart, const struct worker *worker)
{
    const struct placement *placement;
    const struct version *version;
    const struct request *request;
    unsigned n = 0, n_preloads = 0;

    LIST_FOREACH (placement, &worker->placements, in_worker) {
        unsigned in_flight = 0;
        TAILQ_FOREACH (request, &heart->ledger->active, entry)
            in_flight += request->attempt.placement == placement;
        HOLD(placement->worker == worker && placement->in_flight == in_flight);
        HOLD(!placement_is_loading(placement) || in_flight == 0);
        HOLD(placement_is_loading(placement) || !placement->is_preload);
        n_preloads += placement->is_preload;
        n++;
    }
    HOLD(n_preloads == worker->n_preloads && n_preloads <= 2);
    TAILQ_FOREACH (version, &worker->preloads, preload)
        HOLD(version->preload_in == worker);
    HOLD(n == worker->n_placements);
    HOLD(worker->n_free_placement_rows + n == SCOREBOARD_PLACEMENTS);
}

static void check_worker(const struct heart *heart, const struct worker *worker)
{
    const struct request *request;
    uint64_t unstarted_us = 0;
    unsigned n = 0;

    for (unsigned slot = 0; slot < SCOREBOARD_REQUESTS; slot++) {
        if (!worker->attempts[slot])
            continue;
        HOLD(worker->attempts[slot]->id % SCOREBOARD_REQUESTS == slot);
        HOLD(worker->attempts[slot]->placement->worker == worker);
        n++;
    }
    HOLD(n == worker->in_flight);
    HOLD(n + worker->n_free_rows + worker->n_withdrawn == SCOREBOARD_REQUESTS);
    HOLD(worker->books.queue.n == count_waiting(heart, worker));
    n = 0;
    if (worker->books.n_unstarted > 0)
        TAILQ_FOREACH (request, &worker->books.unstarted, unstarted) {
            HOLD(request->is_unstarted && request->attempt.placement->worker == worker);
            unstarted_us += request->attempt.cost_us;
            n++;
        }
    HOLD(n == worker->books.n_unstarted && unstarted_us == worker->books.unstarted_us);
    check_placements(heart, worker);
}

/* ---- requests */

static void check_request(const struct request *request)
{
    HOLD(request->attempt.placement &&
         request->attempt.version == request->attempt.placement->version);
    HOLD(request_find(request->attempt.placement->worker, request->attempt.id) == request);
    HOLD(request->body_window <= BODY_WINDOW_BYTES);
    HOLD(request->response_window + request->response_owed == BODY_WINDOW_BYTES);
    HOLD(request->state != REQUEST_QUEUED && request->state != REQUEST_GATHERING);
    HOLD(request->client.to || request->state == REQUEST_DETACHED);
}

void inside_check(const struct heart *heart)
{
    const struct ledger *ledger = heart->ledger;
    const struct request *request;
    struct tenant *tenant;
    const struct worker *worker;
    struct sums sums = { 0 };
    unsigned n = 0;

    TAILQ_FOREACH (tenant, &heart->tenants->list, entry)
        check_tenant(heart, tenant, &sums);
    TAILQ_FOREACH (tenant, &heart->tenants->leaving, entry)
        check_tenant(heart, tenant, &sums);
    check_tenant_lists(heart->tenants);
    TAILQ_FOREACH (worker, &heart->slots->workers, entry)
        check_worker(heart, worker);
    TAILQ_FOREACH (request, &ledger->active, entry) {
        check_request(request);
        n++;
    }
    HOLD(n == ledger->in_workers && n == sums.in_workers);
    HOLD(ledger->queued == sums.queued && ledger->n_waiting == sums.waiting);
    n = 0;
    TAILQ_FOREACH (request, &ledger->gathering, entry)
        n++;
    HOLD(n == sums.gathering);
    check_fetches(heart);
}

void inside_check_is_idle(const struct heart *heart)
{
    const struct ledger *ledger = heart->ledger;
    const struct tenant *tenant;
    const struct worker *worker;

    HOLD(ledger->queued == 0 && ledger->in_workers == 0 && ledger->n_waiting == 0);
    HOLD(TAILQ_EMPTY(&ledger->active) && TAILQ_EMPTY(&ledger->gathering));
    HOLD(TAILQ_EMPTY(&ledger->waiting) && LIST_EMPTY(&ledger->pushes));
    for (unsigned i = 0; i < LEDGER_SHARE_BUCKETS; i++)
        HOLD(LIST_EMPTY(&ledger->shares[i]));
    TAILQ_FOREACH (tenant, &heart->tenants->list, entry)
        HOLD(tenant->books.queued_bytes == 0 && !tenant->books.run_worker);
    TAILQ_FOREACH (worker, &heart->slots->workers, entry)
        HOLD(worker->in_flight == 0 && worker->books.queue.n == 0);
}

void inside_check_is_empty(const struct heart *heart)
{
    const struct worker *worker;

    HOLD(TAILQ_EMPTY(&heart->tenants->list) && TAILQ_EMPTY(&heart->tenants->leaving));
    TAILQ_FOREACH (worker, &heart->slots->workers, entry)
        HOLD(worker->n_placements == 0);
}

unsigned inside_count_work(const struct heart *heart)
{
    const struct placement *placement;
    const struct worker *worker;
    unsigned n = heart->ledger->queued + heart->ledger->in_workers;

    n += !TAILQ_EMPTY(&heart->ledger->gathering);
    TAILQ_FOREACH (worker, &heart->slots->workers, entry)
        LIST_FOREACH (placement, &worker->placements, in_worker)
            n += placement->state != PLACEMENT_READY;
    return n;
}

void inside_describe(const struct heart *heart, char *text, unsigned size)
{
    const struct tenant *tenant;
    int n = snprintf(text, size, "%u in workers, %u queued", heart->ledger->in_workers,
                     heart->ledger->queued);

    TAILQ_FOREACH (tenant, &heart->tenants->list, entry)
        if (n > 0 && (unsigned) n < size && tenant->n_queued + tenant->n_in_flight > 0)
            n += snprintf(text + n, size - (unsigned) n, "; %s: %u and %u", tenant->name,
                          tenant->n_in_flight, tenant->n_queued);
}

/* ---- one worker */

static const struct worker *find_worker(const struct heart *heart, unsigned slot, int pid)
{
    const struct worker *worker;

    TAILQ_FOREACH (worker, &heart->slots->workers, entry)
        if (worker->number == slot && worker->pid == pid)
            return worker;
    return NULL;
}

bool inside_is_ready(const struct heart *heart, unsigned slot, int pid)
{
    const struct worker *worker = find_worker(heart, slot, pid);

    return worker && (worker->state == WORKER_READY || worker->state == WORKER_DRAINING);
}

bool inside_is_killed(const struct heart *heart, unsigned slot, int pid)
{
    const struct worker *worker = find_worker(heart, slot, pid);

    return worker && worker->state == WORKER_KILLED;
}

bool inside_broke_protocol(const struct heart *heart, unsigned slot, int pid)
{
    const struct worker *worker = find_worker(heart, slot, pid);

    return worker && worker->kill_reason == KILL_PROTOCOL;
}

bool inside_is_silent(const struct heart *heart, unsigned slot, int pid)
{
    const struct worker *worker = find_worker(heart, slot, pid);

    return worker && worker->kill_reason == KILL_SILENT;
}

bool inside_is_memory_death(const struct heart *heart, unsigned slot, int pid)
{
    const struct worker *worker = find_worker(heart, slot, pid);

    return worker && worker->kill_reason == KILL_RSS;
}

bool inside_has_output(const struct heart *heart, unsigned slot, int pid)
{
    const struct worker *worker = find_worker(heart, slot, pid);

    return worker && worker->channel && channel_queued_bytes(worker->channel) > 0;
}

static struct worker *pick_worker(const struct heart *heart, unsigned n)
{
    struct worker *worker;

    unsigned n_workers = 0;
    TAILQ_FOREACH (worker, &heart->slots->workers, entry)
        n_workers++;
    if (n_workers == 0)
        return NULL;
    n %= n_workers;
    TAILQ_FOREACH (worker, &heart->slots->workers, entry)
        if (n-- == 0)
            return worker;
    return NULL;
}

void inside_retire(const struct heart *heart, unsigned n)
{
    struct worker *worker = pick_worker(heart, n);

    if (worker && worker->state == WORKER_READY)
        retire_worker(worker, "a test asks for it");
}

void inside_kill(const struct heart *heart, unsigned n)
{
    struct worker *worker = pick_worker(heart, n);

    if (worker)
        worker_kill(worker, KILL_OPERATOR, 0);
}
