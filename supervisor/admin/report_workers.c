/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of workers. Supervisor, loop thread.
 */
#include <errno.h>

#include "common/io.h"
#include "common/rss.h"
#include "supervisor/admin/report.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/workers/running.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

#define BYTES_PER_KIB UINT64_C(1024)
#define KIB_PER_MIB UINT64_C(1024)

static const char *const kind_names[] = {
    [SLOT_SHARED] = "shared",
    [SLOT_SPARE] = "spare",
    [SLOT_OWN] = "own",
    [SLOT_CROWD] = "own",
};

const char *report_worker_kind(const struct listed *listed)
{
    return listed->slot ? kind_names[listed->slot->kind] : "leaving";
}

const char *report_worker_state(const struct listed *listed)
{
    if (!listed->worker)
        return slot_has_failed(listed->slot) ? "failed" : "down";
    if (worker_is_in(listed->worker, SLOT_SPARE) && listed->worker->state == WORKER_READY)
        return "spare";
    return worker_state_name(listed->worker->state);
}

static int list_tenants(const struct worker *worker, struct arena *arena, Skep__Admin__Worker *row)
{
    const struct placement *placement;
    size_t n = 0;

    LIST_FOREACH (placement, &worker->placements, in_worker)
        n++;
    row->tenants = report_take(arena, (n + 1) * sizeof *row->tenants);
    if (!row->tenants)
        return -ENOMEM;
    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (placement->state == PLACEMENT_LOADING || placement->state == PLACEMENT_READY)
            row->tenants[row->n_tenants++] = report_text(placement->version->tenant->name);
    return 0;
}

/* Returns whether the tenant is at home in the worker: its newest isolate is there. Bodies of the
 * tenant count there, once. */
static bool is_home(const struct placement *placement)
{
    const struct version *version = placement->version;

    return version == version->tenant->version && placement == LIST_FIRST(&version->placements);
}

void report_add_worker(const struct worker *worker, struct memory_use *memory)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &worker->placements, in_worker) {
        memory_add_isolate(placement, memory);
        if (is_home(placement))
            memory_add_bodies(placement->version->tenant, memory);
    }
}

static void fill_memory(const struct worker *worker, Skep__Admin__Worker *row)
{
    struct memory_use memory = { 0 };

    report_add_worker(worker, &memory);
    row->heap_kib = memory.heap_kib;
    row->external_kib = memory.external_kib;
    row->bodies_kib = memory.bodies_kib;
    row->memory_kib = memory_sum_kib(&memory);
    row->rss_kib = worker->statm_fd >= 0 ? rss_read_bytes(worker->statm_fd) / BYTES_PER_KIB : 0;
}

static const struct placement *find_placement(const struct worker *worker, uint32_t id)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (placement->id == id)
            return placement;
    return NULL;
}

/* Fills in the code that the worker claims to run, if that can be true. */
static void fill_running(const struct worker *worker, Skep__Admin__Worker *row)
{
    struct running running = worker_running(worker);
    uint64_t now = io_now_ns();

    row->heartbeat = worker_heartbeat(worker);
    const struct placement *placement = find_placement(worker, running.placement);
    if (!placement)
        return;
    row->running_tenant = report_text(placement->version->tenant->name);
    const struct attempt *request = worker_find_attempt(worker, running.request);
    if (request && request->placement == placement)
        row->running_request = public_id(&worker->slots->record->ids, request->id);
    uint64_t since =
        running.since_ns < placement->since_ns ? placement->since_ns : running.since_ns;
    row->running_ms = since < now ? (now - since) / NSEC_PER_MSEC : 0;
}

static void fill_slot(const struct slot *slot, Skep__Admin__Worker *row)
{
    const struct tenant *owner = seclude_owner(slot);

    row->number = slot->number;
    row->cordon = report_text(slot->cordon->name);
    row->slot = slot->position;
    row->owner = report_text(owner ? owner->name : NULL);
    row->restarts = slot->restarts;
    row->requests = slot->requests;
    row->last_death = report_text(slot->last_death);
    row->last_retired = report_text(slot->last_retired);
    if (slot->last_retired)
        row->last_retired_ms = (io_now_ns() - slot->last_retired_ns) / NSEC_PER_MSEC;
}

static void fill_leaving(const struct worker *worker, Skep__Admin__Worker *row)
{
    row->number = worker->number;
    row->cordon = report_text(worker->cordon->name);
    row->slot = worker->list_position;
    row->requests = worker->served;
}

static int fill_process(const struct worker *worker, struct arena *arena, Skep__Admin__Worker *row)
{
    row->in_flight = worker->in_flight;
    row->served = worker->served;
    row->cpu_ms = worker_cpu_ns(worker) / NSEC_PER_MSEC;
    row->retire_reason = report_text(worker->retire_reason);
    if (worker->pid > 0) {
        row->pid = (uint32_t) worker->pid;
        row->uptime_ms = (io_now_ns() - worker->started_ns) / NSEC_PER_MSEC;
        fill_running(worker, row);
    }
    fill_memory(worker, row);
    return list_tenants(worker, arena, row);
}

static int fill_worker(const struct listed *listed, const struct config *config,
                       struct arena *arena, Skep__Admin__Worker *row)
{
    const struct cordon_config *cordon =
        listed->slot ? listed->slot->cordon : listed->worker->cordon;

    skep__admin__worker__init(row);
    if (listed->slot)
        fill_slot(listed->slot, row);
    else
        fill_leaving(listed->worker, row);
    row->kind = report_text(report_worker_kind(listed));
    row->state = report_text(report_worker_state(listed));
    row->rss_limit_kib = cordon->rss_mib == LIMIT_UNLIMITED ? 0 : cordon->rss_mib * KIB_PER_MIB;
    row->rss_observed = cordon->observe_rss || config->observe_rss;
    return listed->worker ? fill_process(listed->worker, arena, row) : 0;
}

int admin_report_workers(const struct admin_options *with, uint32_t skip, struct arena *arena,
                         Skep__Admin__Workers *ret)
{
    Skep__Admin__Worker **page = report_take(arena, PAGE_ITEMS_MAX * sizeof(Skep__Admin__Worker *));
    struct slots_tally tally;
    size_t size = 0, n = 0;

    if (!page)
        return -ENOMEM;
    slots_read_tally(with->slots, &tally);
    uint32_t total = tally.listed;
    struct listed listed = { 0 };
    for (uint32_t i = 0; total > 0 && n < PAGE_ITEMS_MAX && size < PAGE_MAX_BYTES &&
                         slots_next_listed(with->slots, &listed);
         i++) {
        if (i < skip)
            continue;
        page[n] = report_take(arena, sizeof **page);
        if (!page[n] || fill_worker(&listed, with->config, arena, page[n]) < 0)
            break;
        size += skep__admin__worker__get_packed_size(page[n]);
        n++;
    }
    if (n == 0 && skip < total)
        return -ENOMEM;
    ret->workers = page;
    ret->n_workers = n;
    ret->total = total;
    return 0;
}
