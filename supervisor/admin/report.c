/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the reports of the admin socket have in common, and the one on skepd as a whole. What a
 * scoreboard says is a worker's claim: it is cut to what could be true. Supervisor, loop thread.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "supervisor/admin/report.h"
#include "supervisor/http/http.h"
#include "supervisor/ledger/ledger.h"
#include "supervisor/workers/child.h"

#define TEXT_MAX_BYTES 4096U /* of a text that a tenant wrote */
#define BYTES_PER_KIB UINT64_C(1024)
#define KIB_PER_MIB UINT64_C(1024)
/* A claim on memory may be this much over its limit (V8 goes over for a while), and no more
 * than that without one. */
#define CLAIM_FACTOR 2
#define CLAIM_MAX_KIB (UINT64_C(64) << 20)

void *report_take(struct arena *arena, size_t size)
{
    void *memory = arena->allocator.alloc(arena->allocator.allocator_data, size);

    if (memory)
        memset(memory, 0, size);
    return memory;
}

ProtobufCBinaryData report_text(const char *string)
{
    size_t size = string ? strlen(string) : 0;

    return admin_bytes(string, size < TEXT_MAX_BYTES ? size : TEXT_MAX_BYTES);
}

/* ---- counters */

int report_errors(const struct counters *counters, struct arena *arena,
                  Skep__Admin__CodeCount ***ret_counts, size_t *ret_n)
{
    Skep__Admin__CodeCount **counts = report_take(arena, ERROR_CODES * sizeof *counts);
    Skep__Admin__CodeCount *items = report_take(arena, ERROR_CODES * sizeof *items);
    size_t n = 0;

    if (!counts || !items)
        return -ENOMEM;
    for (unsigned code = ERROR_NONE + 1; code < ERROR_CODES; code++) {
        if (counters->errors[code] == 0)
            continue;
        skep__admin__code_count__init(&items[n]);
        items[n].code = report_text(error_info((enum error_code) code)->code);
        items[n].count = counters->errors[code];
        counts[n] = &items[n];
        n++;
    }
    *ret_counts = counts;
    *ret_n = n;
    return 0;
}

static size_t count_kinds(const struct incident_counts *counts)
{
    size_t n = 0;

    for (unsigned stage = 0; stage < INCIDENT_STAGES; stage++)
        for (unsigned cause = 0; cause < CAUSES; cause++)
            n += counts->by[stage][cause] > 0;
    return n;
}

int report_incident_counts(const struct incident_counts *counts, struct arena *arena,
                           Skep__Admin__IncidentCount ***ret_counts, size_t *ret_n)
{
    size_t n = count_kinds(counts), at = 0;
    Skep__Admin__IncidentCount **pointers = report_take(arena, (n + 1) * sizeof *pointers);
    Skep__Admin__IncidentCount *items = report_take(arena, (n + 1) * sizeof *items);

    if (!pointers || !items)
        return -ENOMEM;
    for (unsigned stage = 0; stage < INCIDENT_STAGES; stage++)
        for (unsigned cause = 0; cause < CAUSES; cause++) {
            if (counts->by[stage][cause] == 0)
                continue;
            Skep__Admin__IncidentCount *item = &items[at];
            skep__admin__incident_count__init(item);
            item->stage = report_text(incident_stage_name((enum incident_stage) stage));
            item->cause = report_text(incident_cause_name(cause));
            item->count = counts->by[stage][cause];
            pointers[at++] = item;
        }
    *ret_counts = pointers;
    *ret_n = n;
    return 0;
}

/* ---- memory */

static uint64_t bounded_claim(uint32_t claim_kib, uint32_t limit_mib)
{
    uint64_t most =
        limit_mib == LIMIT_UNLIMITED ? CLAIM_MAX_KIB : CLAIM_FACTOR * KIB_PER_MIB * limit_mib;

    return claim_kib < most ? claim_kib : most;
}

void report_add_isolate(const struct placement *placement, struct report_memory *memory)
{
    struct scoreboard *board = placement->child->board;
    const struct limits *limits = &placement->version->limits;

    if (!board)
        return;
    struct scoreboard_tenant *claim = &board->tenants[placement->place];
    /* While it loads, the place may still say what the one before it had. */
    if (atomic_load_explicit(&claim->tenant, memory_order_relaxed) != placement->version->id)
        return;
    memory->heap_kib += bounded_claim(atomic_load_explicit(&claim->heap_kib, memory_order_relaxed),
                                      limits->heap_mib);
    memory->external_kib += bounded_claim(
        atomic_load_explicit(&claim->external_kib, memory_order_relaxed), limits->external_mib);
}

void report_add_bodies(const struct tenant *tenant, struct report_memory *memory)
{
    memory->bodies_kib += (ledger_queued_bytes(tenant) + BYTES_PER_KIB - 1) / BYTES_PER_KIB;
}

static void add_version(const struct version *version, struct report_memory *memory)
{
    const struct placement *placement;

    if (version)
        LIST_FOREACH (placement, &version->placements, in_version)
            report_add_isolate(placement, memory);
}

void report_add_tenant(const struct tenant *tenant, struct report_memory *memory)
{
    add_version(tenant->version, memory);
    add_version(tenant->candidate, memory);
    report_add_bodies(tenant, memory);
}

uint64_t report_memory_kib(const struct report_memory *memory)
{
    return memory->heap_kib + memory->external_kib + memory->bodies_kib;
}

/* ---- skepd as a whole */

static void count_tenants(const struct tenants *tenants, Skep__Admin__Stats *stats)
{
    struct report_memory memory = { 0 };
    const struct tenant *tenant;
    uint64_t now = io_now_ns();

    TAILQ_FOREACH (tenant, &tenants->list, entry) {
        stats->tenants++;
        stats->quarantined += conduct_retry_after_s(&tenant->conduct, now) > 0;
        report_add_tenant(tenant, &memory);
    }
    stats->heap_kib = memory.heap_kib;
    stats->external_kib = memory.external_kib;
    stats->bodies_kib = memory.bodies_kib;
    stats->memory_kib = report_memory_kib(&memory);
}

static void count_workers(const struct pool *pool, Skep__Admin__Stats *stats)
{
    const struct child *child;

    TAILQ_FOREACH (child, &pool->children, entry) {
        bool is_own = child->place.kind == PLACE_OWN;
        if (child->is_gone || (child->place.kind != PLACE_SHARED && !is_own))
            continue;
        stats->workers++;
        stats->own_workers += is_own;
        stats->workers_ready += child->state == CHILD_READY;
        stats->workers_failed += report_has_failed(child);
    }
}

void report_count(const struct server *server, Skep__Admin__Stats *stats)
{
    if (server->tenants)
        count_tenants(server->tenants, stats);
    if (server->pool)
        count_workers(server->pool, stats);
}

int admin_report_stats(const struct server *server, struct arena *arena, Skep__Admin__Stats *ret)
{
    Skep__Admin__Stats stats = SKEP__ADMIN__STATS__INIT;

    stats.version = report_text(SKEP_VERSION);
    stats.v8_version = report_text(server->v8_version);
    stats.pid = (uint32_t) getpid();
    stats.uptime_ms = (io_now_ns() - server->started_ns) / NSEC_PER_MSEC;
    stats.requests = server->counters.requests;
    stats.replayed = server->counters.replayed;
    stats.worker_restarts = server->counters.worker_restarts;
    stats.draining = server->is_draining;
    if (server->ledger) {
        stats.in_flight = server->ledger->in_workers;
        stats.queued = server->ledger->queued;
    }
    if (server->front)
        stats.connections = http_front_connections(server->front);
    report_count(server, &stats);
    int r = report_errors(&server->counters, arena, &stats.errors, &stats.n_errors);
    if (r == 0)
        r = report_incident_counts(&server->incident_counts, arena, &stats.incidents,
                                   &stats.n_incidents);
    if (r == 0)
        *ret = stats;
    return r;
}
