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
#include "supervisor/workers/child.h"

#define BYTES_PER_KIB UINT64_C(1024)
#define KIB_PER_MIB UINT64_C(1024)

static const char *const kind_names[] = {
    [PLACE_SHARED] = "shared",
    [PLACE_SPARE] = "spare",
    [PLACE_OWN] = "own",
    [PLACE_CROWD] = "own",
};

const char *report_worker_kind(const struct listed *listed)
{
    return listed->slot ? kind_names[listed->slot->kind] : "leaving";
}

const char *report_worker_state(const struct listed *listed)
{
    if (!listed->child)
        return slot_has_failed(listed->slot) ? "failed" : "down";
    if (child_is_in(listed->child, PLACE_SPARE) && listed->child->state == CHILD_READY)
        return "spare";
    return child_state_name(listed->child->state);
}

static int list_tenants(const struct child *child, struct arena *arena, Skep__Admin__Worker *worker)
{
    const struct placement *placement;
    size_t n = 0;

    LIST_FOREACH (placement, &child->placements, in_child)
        n++;
    worker->tenants = report_take(arena, (n + 1) * sizeof *worker->tenants);
    if (!worker->tenants)
        return -ENOMEM;
    LIST_FOREACH (placement, &child->placements, in_child)
        if (!placement->is_retiring && placement->state != PLACEMENT_UNLOADING)
            worker->tenants[worker->n_tenants++] = report_text(placement->version->tenant->name);
    return 0;
}

/* The bodies of a tenant count once: where its newest isolate is. */
static bool is_home(const struct placement *placement)
{
    const struct version *version = placement->version;

    return version == version->tenant->version && placement == LIST_FIRST(&version->placements);
}

void report_add_worker(const struct child *child, struct memory_use *memory)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &child->placements, in_child) {
        memory_add_isolate(placement, memory);
        if (is_home(placement))
            memory_add_bodies(placement->version->tenant, memory);
    }
}

static void fill_memory(const struct child *child, Skep__Admin__Worker *worker)
{
    struct memory_use memory = { 0 };

    report_add_worker(child, &memory);
    worker->heap_kib = memory.heap_kib;
    worker->external_kib = memory.external_kib;
    worker->bodies_kib = memory.bodies_kib;
    worker->memory_kib = memory_sum_kib(&memory);
    worker->rss_kib = child->statm_fd >= 0 ? rss_read_bytes(child->statm_fd) / BYTES_PER_KIB : 0;
}

static const struct placement *find_placement(const struct child *child, uint32_t id)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &child->placements, in_child)
        if (placement->id == id)
            return placement;
    return NULL;
}

/* What it says that it runs, if that can be true. */
static void fill_running(const struct child *child, Skep__Admin__Worker *worker)
{
    struct scoreboard *board = child->board;
    uint64_t now = io_now_ns();

    if (!board)
        return;
    worker->heartbeat = atomic_load_explicit(&board->heartbeat, memory_order_relaxed);
    const struct placement *placement =
        find_placement(child, atomic_load_explicit(&board->running_tenant, memory_order_relaxed));
    if (!placement)
        return;
    worker->running_tenant = report_text(placement->version->tenant->name);
    const struct attempt *request = child_find_attempt(
        child, atomic_load_explicit(&board->running_request, memory_order_relaxed));
    if (request && request->placement == placement)
        worker->running_request = public_id(&child->server->record.ids, request->id);
    uint64_t since = atomic_load_explicit(&board->running_since_ns, memory_order_relaxed);
    since = since < placement->since_ns ? placement->since_ns : since;
    worker->running_ms = since < now ? (now - since) / NSEC_PER_MSEC : 0;
}

static void fill_slot(const struct slot *slot, Skep__Admin__Worker *worker)
{
    const struct tenant *owner = seclude_owner(slot);

    worker->number = slot->number;
    worker->cordon = report_text(slot->cordon->name);
    worker->slot = slot->position;
    worker->owner = report_text(owner ? owner->name : NULL);
    worker->restarts = slot->restarts;
    worker->requests = slot->requests;
    worker->last_death = report_text(slot->last_death);
    worker->last_retired = report_text(slot->last_retired);
    if (slot->last_retired)
        worker->last_retired_ms = (io_now_ns() - slot->last_retired_ns) / NSEC_PER_MSEC;
}

static void fill_leaving(const struct child *child, Skep__Admin__Worker *worker)
{
    worker->number = child->number;
    worker->cordon = report_text(child->cordon->name);
    worker->slot = child->list_position;
    worker->requests = child->served;
}

static int fill_process(const struct child *child, struct arena *arena, Skep__Admin__Worker *worker)
{
    worker->in_flight = child->in_flight;
    worker->served = child->served;
    worker->cpu_ms = child_cpu_ns(child) / NSEC_PER_MSEC;
    worker->retire_reason = report_text(child->retire_reason);
    if (child->pid > 0) {
        worker->pid = (uint32_t) child->pid;
        worker->uptime_ms = (io_now_ns() - child->started_ns) / NSEC_PER_MSEC;
        fill_running(child, worker);
    }
    fill_memory(child, worker);
    return list_tenants(child, arena, worker);
}

static int fill_worker(const struct listed *listed, const struct config *config,
                       struct arena *arena, Skep__Admin__Worker *worker)
{
    const struct cordon_config *cordon =
        listed->slot ? listed->slot->cordon : listed->child->cordon;

    skep__admin__worker__init(worker);
    if (listed->slot)
        fill_slot(listed->slot, worker);
    else
        fill_leaving(listed->child, worker);
    worker->kind = report_text(report_worker_kind(listed));
    worker->state = report_text(report_worker_state(listed));
    worker->rss_limit_kib = cordon->rss_mib == LIMIT_UNLIMITED ? 0 : cordon->rss_mib * KIB_PER_MIB;
    worker->rss_observed = cordon->observe_rss || config->observe_rss;
    return listed->child ? fill_process(listed->child, arena, worker) : 0;
}

int admin_report_workers(const struct server *server, uint32_t skip, struct arena *arena,
                         Skep__Admin__Workers *ret)
{
    Skep__Admin__Worker **page = report_take(arena, PAGE_ITEMS_MAX * sizeof(Skep__Admin__Worker *));
    struct pool_tally tally = { 0 };
    size_t size = 0, n = 0;

    if (!page)
        return -ENOMEM;
    if (server->pool)
        pool_read_tally(server->pool, &tally);
    uint32_t total = tally.listed;
    struct listed listed = { 0 };
    for (uint32_t i = 0; total > 0 && n < PAGE_ITEMS_MAX && size < PAGE_MAX_BYTES &&
                         pool_next_listed(server->pool, &listed);
         i++) {
        if (i < skip)
            continue;
        page[n] = report_take(arena, sizeof **page);
        if (!page[n] || fill_worker(&listed, server->config, arena, page[n]) < 0)
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
