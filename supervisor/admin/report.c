/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills the reports of the admin socket from the server's structs, /proc and the scoreboards.
 * What a scoreboard says is a worker's claim: it is cut to what could be true. Supervisor, loop
 * thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "supervisor/admin/internal.h"
#include "supervisor/child.h"
#include "supervisor/http/http.h"
#include "supervisor/ledger.h"

#define PAGE_ITEMS_MAX 256U
#define PAGE_MAX_BYTES (256U << 10) /* the page ends after the item that goes over */
#define TEXT_MAX_BYTES 4096U        /* of a text that a tenant wrote */
#define ROUTE_MAX_BYTES 1024U
#define KIB_PER_MIB UINT64_C(1024)
/* A claim on memory may be this much over its limit (V8 goes over for a while), and no more
 * than that without one. */
#define CLAIM_FACTOR 2
#define CLAIM_MAX_KIB (UINT64_C(64) << 20)

static void *take(struct arena *arena, size_t size)
{
    void *memory = arena->allocator.alloc(arena->allocator.allocator_data, size);

    if (memory)
        memset(memory, 0, size);
    return memory;
}

static ProtobufCBinaryData text(const char *string)
{
    size_t size = string ? strlen(string) : 0;

    return admin_bytes(string, size < TEXT_MAX_BYTES ? size : TEXT_MAX_BYTES);
}

/* Codes that have occurred. */
static int count_errors(const struct counters *counters, struct arena *arena,
                        Skep__Admin__CodeCount ***ret_counts, size_t *ret_n)
{
    Skep__Admin__CodeCount **counts = take(arena, ERROR_CODES * sizeof *counts);
    Skep__Admin__CodeCount *items = take(arena, ERROR_CODES * sizeof *items);
    size_t n = 0;

    if (!counts || !items)
        return -ENOMEM;
    for (unsigned code = ERROR_NONE + 1; code < ERROR_CODES; code++) {
        if (counters->errors[code] == 0)
            continue;
        skep__admin__code_count__init(&items[n]);
        items[n].code = text(error_info((enum error_code) code)->code);
        items[n].count = counters->errors[code];
        counts[n] = &items[n];
        n++;
    }
    *ret_counts = counts;
    *ret_n = n;
    return 0;
}

int admin_report_stats(const struct server *server, struct arena *arena, Skep__Admin__Stats *ret)
{
    Skep__Admin__Stats stats = SKEP__ADMIN__STATS__INIT;
    const struct tenant *tenant;

    stats.version = text(SKEP_VERSION);
    stats.v8_version = text(server->v8_version);
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
    if (server->tenants)
        TAILQ_FOREACH (tenant, &server->tenants->list, entry)
            stats.tenants++;
    if (server->pool) {
        const struct child *child;
        TAILQ_FOREACH (child, &server->pool->children, entry) {
            bool serves =
                child->place.kind == PLACE_SHARED || child->place.kind == PLACE_OWN;
            stats.workers += serves;
            stats.workers_ready += serves && child->state == CHILD_READY;
        }
    }
    int r = count_errors(&server->counters, arena, &stats.errors, &stats.n_errors);
    if (r == 0)
        *ret = stats;
    return r;
}

/* ---- workers */

/* Resident memory, 0 if the process is gone. proc_pid_statm(5): size resident ... in pages. */
static uint64_t resident_kib(pid_t pid)
{
    char path[32], data[128];

    (void) snprintf(path, sizeof path, "/proc/%d/statm", (int) pid);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, data, sizeof data - 1);
    if (n <= 0)
        return 0;
    data[n] = '\0';
    char *end = NULL;
    (void) strtoull(data, &end, 10);
    return strtoull(end, NULL, 10) * (uint64_t) sysconf(_SC_PAGESIZE) / 1024;
}

static int list_tenants(const struct child *child, struct arena *arena, Skep__Admin__Worker *worker)
{
    const struct placement *placement;
    size_t n = 0;

    LIST_FOREACH (placement, &child->placements, in_child)
        n++;
    worker->tenants = take(arena, (n + 1) * sizeof *worker->tenants);
    if (!worker->tenants)
        return -ENOMEM;
    LIST_FOREACH (placement, &child->placements, in_child)
        if (!placement->is_retiring && placement->state != PLACEMENT_UNLOADING)
            worker->tenants[worker->n_tenants++] = text(placement->version->tenant->name);
    return 0;
}

static int fill_worker(const struct child *child, struct arena *arena, Skep__Admin__Worker *worker)
{
    skep__admin__worker__init(worker);
    worker->cordon = text(child->cordon->name);
    worker->slot = child->place.slot;
    bool is_waiting = child->place.kind == PLACE_SPARE && child->state == CHILD_READY;
    worker->state = text(is_waiting ? "spare" : child_state_name(child->state));
    worker->restarts = child->place.restarts;
    worker->in_flight = child->in_flight;
    worker->requests = child->place.requests;
    worker->cpu_ms = child_cpu_ns(child) / NSEC_PER_MSEC;
    worker->last_death = text(child->place.last_death);
    if (child->state != CHILD_DOWN && child->pid > 0) {
        worker->pid = (uint32_t) child->pid;
        worker->uptime_ms = (io_now_ns() - child->started_ns) / NSEC_PER_MSEC;
        worker->rss_kib = resident_kib(child->pid);
    }
    return list_tenants(child, arena, worker);
}

int admin_report_workers(const struct server *server, uint32_t skip, struct arena *arena,
                         Skep__Admin__Workers *ret)
{
    Skep__Admin__Worker **page = take(arena, PAGE_ITEMS_MAX * sizeof(Skep__Admin__Worker *));
    uint32_t total = server->pool ? server->pool->n_children : 0;
    size_t size = 0, n = 0;

    if (!page)
        return -ENOMEM;
    struct child *child = total > 0 ? TAILQ_FIRST(&server->pool->children) : NULL;
    for (uint32_t i = 0; child && n < PAGE_ITEMS_MAX && size < PAGE_MAX_BYTES;
         i++, child = TAILQ_NEXT(child, entry)) {
        if (i < skip)
            continue;
        page[n] = take(arena, sizeof **page);
        if (!page[n] || fill_worker(child, arena, page[n]) < 0)
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

/* ---- tenants */

static uint64_t bounded_claim(uint32_t claim_kib, uint32_t limit_mib)
{
    uint64_t most =
        limit_mib == LIMIT_UNLIMITED ? CLAIM_MAX_KIB : CLAIM_FACTOR * KIB_PER_MIB * limit_mib;

    return claim_kib < most ? claim_kib : most;
}

static void add_memory(const struct placement *placement, Skep__Admin__Tenant *tenant)
{
    struct scoreboard *board = placement->child->board;
    const struct limits *limits = &placement->version->limits;

    for (unsigned i = 0; board && i < SCOREBOARD_TENANTS; i++) {
        struct scoreboard_tenant *claim = &board->tenants[i];
        if (atomic_load_explicit(&claim->tenant, memory_order_relaxed) != placement->version->id)
            continue;
        tenant->heap_kib += bounded_claim(
            atomic_load_explicit(&claim->heap_kib, memory_order_relaxed), limits->heap_mib);
        tenant->external_kib += bounded_claim(
            atomic_load_explicit(&claim->external_kib, memory_order_relaxed), limits->external_mib);
        return;
    }
}

/* idle: no worker has it; failed: its last load failed, so that it is not tried for a while. */
static const char *tenant_state(const struct tenant *tenant)
{
    const struct placement *placement;
    const char *state = tenant->load_failures > 0 ? "failed" : "idle";

    if (!tenant->version)
        return state;
    LIST_FOREACH (placement, &tenant->version->placements, in_version) {
        if (placement->state == PLACEMENT_READY)
            return "ready";
        if (placement->state == PLACEMENT_LOADING)
            state = "loading";
    }
    return state;
}

static int list_routes(const struct manifest *manifest, struct arena *arena,
                       Skep__Admin__Tenant *tenant)
{
    tenant->routes = take(arena, (manifest->n_routes + 1) * sizeof *tenant->routes);
    if (!tenant->routes)
        return -ENOMEM;
    for (unsigned i = 0; i < manifest->n_routes; i++) {
        const struct route_pattern *route = &manifest->routes[i];
        char buffer[ROUTE_MAX_BYTES];
        /* As it may be written in skep.yaml. */
        bool is_any_host = route->host[0] == '\0' && !route->is_suffix;
        bool is_any = is_any_host && !route->is_exact && strcmp(route->path, "/") == 0;
        int size = snprintf(buffer, sizeof buffer, "%s%s%s%s", route->is_suffix ? "*." : "",
                            is_any_host ? "*" : route->host, is_any ? "" : route->path,
                            is_any || route->is_exact ? "" : "*");
        if (size < 0)
            continue;
        size_t length = (size_t) size < sizeof buffer ? (size_t) size : sizeof buffer - 1;
        char *copy = take(arena, length + 1);
        if (!copy)
            return -ENOMEM;
        memcpy(copy, buffer, length);
        tenant->routes[tenant->n_routes++] = admin_bytes(copy, length);
    }
    return 0;
}

static int fill_tenant(const struct tenant *from, struct arena *arena, Skep__Admin__Tenant *tenant)
{
    const struct placement *placement;

    skep__admin__tenant__init(tenant);
    tenant->name = text(from->name);
    tenant->state = text(tenant_state(from));
    tenant->requests = from->counters.requests;
    tenant->in_flight = from->n_in_flight;
    tenant->queued = from->n_queued;
    tenant->cpu_ms = from->cpu_us / USEC_PER_MSEC;
    tenant->kills = from->kills;
    tenant->last_error = text(from->last_error);
    int r = count_errors(&from->counters, arena, &tenant->errors, &tenant->n_errors);
    if (r < 0 || !from->version)
        return r;
    tenant->cordon = text(from->version->manifest->cordon);
    LIST_FOREACH (placement, &from->version->placements, in_version)
        add_memory(placement, tenant);
    return list_routes(from->version->manifest, arena, tenant);
}

int admin_report_tenants(const struct server *server, uint32_t skip, struct arena *arena,
                         Skep__Admin__Tenants *ret)
{
    Skep__Admin__Tenant **page = take(arena, PAGE_ITEMS_MAX * sizeof(Skep__Admin__Tenant *));
    const struct tenant *tenant = NULL;
    size_t size = 0, n = 0;
    uint32_t total = 0;
    bool is_full = false;

    if (!page)
        return -ENOMEM;
    if (server->tenants)
        tenant = TAILQ_FIRST(&server->tenants->list);
    for (; tenant; tenant = TAILQ_NEXT(tenant, entry), total++) {
        if (total < skip || is_full)
            continue;
        page[n] = take(arena, sizeof **page);
        if (!page[n] || fill_tenant(tenant, arena, page[n]) < 0) {
            is_full = true;
            continue;
        }
        size += skep__admin__tenant__get_packed_size(page[n]);
        n++;
        is_full = n == PAGE_ITEMS_MAX || size >= PAGE_MAX_BYTES;
    }
    if (n == 0 && skip < total)
        return -ENOMEM;
    ret->tenants = page;
    ret->n_tenants = n;
    ret->total = total;
    return 0;
}
