/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of tenants. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/io.h"
#include "supervisor/admin/report.h"
#include "supervisor/placement/placement.h"
#include "supervisor/tenants/unserved.h"
#include "supervisor/workers/worker.h"

/* Returns the state; idle: no worker has the tenant; failed: its last load failed, so that it is
 * not tried for a while. */
const char *report_tenant_state(const struct tenant *tenant)
{
    const struct placement *placement;
    const char *state = tenant->load_failures > 0 ? "failed" : "idle";

    if (!tenant->version)
        return state;
    LIST_FOREACH (placement, &tenant->version->placements, in_version) {
        if (placement_is_up(placement))
            return "ready";
        if (placement_is_loading(placement))
            state = "loading";
    }
    return state;
}

int report_routes(const struct manifest *manifest, struct arena *arena,
                  ProtobufCBinaryData **ret_routes, size_t *ret_n)
{
    ProtobufCBinaryData *routes = report_take(arena, (manifest->n_routes + 1) * sizeof *routes);
    size_t n = 0;

    if (!routes)
        return -ENOMEM;
    for (unsigned i = 0; i < manifest->n_routes; i++) {
        const struct route_pattern *route = &manifest->routes[i];
        char buffer[ROUTE_TEXT_BYTES];
        size_t length = strlen(route_pattern_text(route, buffer));
        char *copy = report_take(arena, length + 1);
        if (!copy)
            return -ENOMEM;
        memcpy(copy, buffer, length);
        routes[n++] = admin_bytes(copy, length);
    }
    *ret_routes = routes;
    *ret_n = n;
    return 0;
}

/* ---- limits */

static int list_limits(const struct version *version, struct arena *arena,
                       Skep__Admin__Tenant *tenant)
{
    tenant->limits = report_list(arena, LIMITS_COUNT, &skep__admin__limit_value__descriptor);
    tenant->observed = report_take(arena, (LIMITS_COUNT + 1) * sizeof *tenant->observed);
    if (!tenant->limits || !tenant->observed)
        return -ENOMEM;
    for (unsigned i = 0; i < LIMITS_COUNT; i++) {
        uint32_t value = limit_get(&version->limits, &limit_table[i]);
        tenant->limits[i]->name = report_text(limit_table[i].name);
        tenant->limits[i]->value = value == LIMIT_UNLIMITED ? 0 : value;
        if ((version->observed >> i & 1U) != 0)
            tenant->observed[tenant->n_observed++] = report_text(limit_table[i].name);
    }
    if (version->cordon->observe_strikes || version->tenant->tenants->config->observe_strikes)
        tenant->observed[tenant->n_observed++] = report_text("strikes");
    tenant->n_limits = LIMITS_COUNT;
    return 0;
}

/* ---- conduct */

const char *report_apart(const struct tenant *tenant)
{
    if (tenant->conduct.seclusion == SECLUSION_NONE && tenant->version &&
        tenant->version->cordon->is_solitary)
        return "solitary";
    return conduct_seclusion_name(tenant->conduct.seclusion);
}

static void fill_conduct(const struct tenant *from, Skep__Admin__Tenant *tenant)
{
    const struct conduct *conduct = &from->conduct;
    uint64_t now = io_now_ns();
    uint32_t left_s = conduct_retry_after_s(conduct, now);

    tenant->kills = from->kills;
    tenant->strikes = conduct->strikes;
    tenant->marks = conduct_marks(conduct, now);
    tenant->apart = report_text(report_apart(from));
    tenant->has_own_worker = from->own != NULL;
    tenant->own_worker = from->own ? from->own->number : 0;
    tenant->quarantined = left_s > 0;
    tenant->quarantine_s = left_s == UINT32_MAX ? 0 : left_s;
}

static int fill_tenant(const struct tenant *from, struct arena *arena, Skep__Admin__Tenant *tenant)
{
    struct memory_use memory = { 0 };

    skep__admin__tenant__init(tenant);
    tenant->name = report_text(from->name);
    tenant->state = report_text(report_tenant_state(from));
    tenant->requests = from->counted.counters.requests;
    tenant->in_flight = from->n_in_flight;
    tenant->queued = from->n_queued;
    tenant->cpu_ms = from->cpu_us / USEC_PER_MSEC;
    tenant->last_error = report_text(from->last_error);
    tenant->failed = from->counted.counters.failed;
    fill_conduct(from, tenant);
    memory_add_tenant(from, &memory);
    tenant->heap_kib = memory.heap_kib;
    tenant->external_kib = memory.external_kib;
    tenant->bodies_kib = memory.bodies_kib;
    tenant->memory_kib = memory_sum_kib(&memory);
    int r = report_errors(&from->counted.counters, arena, &tenant->errors, &tenant->n_errors);
    if (r == 0)
        r = report_incident_counts(&from->counted.incidents, arena, &tenant->incidents,
                                   &tenant->n_incidents);
    if (r < 0 || !from->version)
        return r;
    tenant->cordon = report_text(from->version->manifest->cordon);
    r = list_limits(from->version, arena, tenant);
    return r < 0
               ? r
               : report_routes(from->version->manifest, arena, &tenant->routes, &tenant->n_routes);
}

static int fill_unserved(const struct unserved *from, struct arena *arena,
                         Skep__Admin__Tenant *tenant)
{
    skep__admin__tenant__init(tenant);
    tenant->name = report_text(from->target->name);
    tenant->state = report_text("unserved");
    tenant->last_error = report_text(from->text);
    if (!from->manifest)
        return 0;
    tenant->cordon = report_text(from->manifest->cordon);
    return report_routes(from->manifest, arena, &tenant->routes, &tenant->n_routes);
}

/* A page of the list: tenants that are served, then those that cannot be. */
struct tenants_page {
    Skep__Admin__Tenant **rows;
    struct arena *arena;
    size_t n, size;
    bool is_full;
};

/* Adds a row; tenant or unserved is NULL. Returns whether the row is on the page. */
static bool add_row(struct tenants_page *page, const struct tenant *tenant,
                    const struct unserved *unserved)
{
    if (page->is_full)
        return false;
    Skep__Admin__Tenant *row = report_take(page->arena, sizeof *row);
    int r = !row     ? -ENOMEM
            : tenant ? fill_tenant(tenant, page->arena, row)
                     : fill_unserved(unserved, page->arena, row);
    if (r < 0) {
        page->is_full = true;
        return false;
    }
    page->rows[page->n++] = row;
    page->size += skep__admin__tenant__get_packed_size(row);
    page->is_full = page->n == TENANTS_PAGE_ITEMS_MAX || page->size >= PAGE_MAX_BYTES;
    return true;
}

int admin_report_tenants(struct tenant_cursor *cursor, uint32_t skip, struct arena *arena,
                         Skep__Admin__Tenants *ret)
{
    /* The unserved ones are on pages behind the last tenant. */
    uint32_t n_unserved_had = cursor->next || skip < cursor->n_taken ? 0 : skip - cursor->n_taken;
    struct tenants_page page = { .arena = arena };
    const struct unserved *unserved = NULL;
    uint32_t n_unserved = 0;

    page.rows = report_take(arena, TENANTS_PAGE_ITEMS_MAX * sizeof(Skep__Admin__Tenant *));
    if (!page.rows)
        return -ENOMEM;
    while (cursor->next && add_row(&page, cursor->next, NULL))
        (void) tenant_cursor_take(cursor);
    while ((unserved = unserved_next(cursor->tenants, unserved)))
        if (n_unserved++ >= n_unserved_had && !cursor->next)
            (void) add_row(&page, NULL, unserved);
    ret->tenants = page.rows;
    ret->n_tenants = page.n;
    ret->total = tenant_cursor_total(cursor) + n_unserved;
    return page.n == 0 && skip < ret->total ? -ENOMEM : 0;
}
