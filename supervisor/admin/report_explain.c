/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits of one tenant: the source of each, and its use. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/io.h"
#include "config/host_faults.h"
#include "supervisor/admin/report.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/requests/may_call.h"
#include "supervisor/workers/worker.h"

#define KIB_PER_MIB UINT64_C(1024)

/* ---- use */

/* The use of a limit, in thousandths of its unit. */
struct use {
    const char *measure;
    uint64_t used_milli;
    bool has_peak;
    uint64_t peak_milli;
};

static uint64_t milli_mib(uint64_t kib)
{
    return kib * 1000 / KIB_PER_MIB;
}

static void largest_of(const struct version *version, struct memory_use *largest)
{
    const struct placement *placement;

    if (!version)
        return;
    LIST_FOREACH (placement, &version->placements, in_version) {
        struct memory_use memory = { 0 };
        memory_add_isolate(placement, &memory);
        if (memory.heap_kib > largest->heap_kib)
            largest->heap_kib = memory.heap_kib;
        if (memory.external_kib > largest->external_kib)
            largest->external_kib = memory.external_kib;
    }
}

static struct memory_use largest_isolate(const struct tenant *tenant)
{
    struct memory_use largest = { 0 };

    largest_of(tenant->version, &largest);
    largest_of(tenant->candidate, &largest);
    return largest;
}

static struct use use_heap(const struct tenant *tenant)
{
    return (struct use){ .measure = "largest isolate now",
                         .used_milli = milli_mib(largest_isolate(tenant).heap_kib) };
}

static struct use use_external(const struct tenant *tenant)
{
    return (struct use){ .measure = "largest isolate now",
                         .used_milli = milli_mib(largest_isolate(tenant).external_kib) };
}

static struct use use_concurrency(const struct tenant *tenant)
{
    return (struct use){ "in workers now", UINT64_C(1000) * tenant->n_in_flight, true,
                         UINT64_C(1000) * tenant->counted.traffic.most_in_flight };
}

static struct use use_queue(const struct tenant *tenant)
{
    return (struct use){ "waiting now", UINT64_C(1000) * tenant->n_queued, true,
                         UINT64_C(1000) * tenant->counted.traffic.most_queued };
}

/* Returns what is missing from a full bucket: more than the limit if the bucket is in debt. */
static struct use use_cpu_rate(const struct tenant *tenant)
{
    uint32_t rate = tenant->version->limits.cpu_rate;
    struct rate bucket = tenant->books.rate;

    if (rate == LIMIT_UNLIMITED)
        return (struct use){ 0 };
    rate_refill(&bucket, rate, io_now_ns());
    int64_t used_us = (int64_t) rate * 1000 - bucket.left_ns / 1000;
    return (struct use){ .measure = "of what a second brings",
                         .used_milli = used_us > 0 ? (uint64_t) used_us : 0 };
}

static struct use use_cpu(const struct tenant *tenant)
{
    if (tenant->books.cost_us == 0)
        return (struct use){ 0 };
    return (struct use){ .measure = "average of the last requests",
                         .used_milli = tenant->books.cost_us };
}

static struct use use_wall(const struct tenant *tenant)
{
    const struct ledger *ledger = ledger_of_tenant(tenant);
    const struct request *request;
    uint64_t now = io_now_ns(), longest = 0;

    TAILQ_FOREACH (request, &ledger->active, entry)
        if (request->attempt.tenant == tenant && now - request->sent_ns > longest)
            longest = now - request->sent_ns;
    return (struct use){ .measure = "longest request now", .used_milli = longest / NSEC_PER_USEC };
}

/* Functions by the index of the limit; NULL: skepd cannot measure the use. */
static struct use (*const uses[LIMITS_COUNT])(const struct tenant *tenant) = {
    [LIMIT_INDEX(cpu_ms)] = use_cpu,
    [LIMIT_INDEX(cpu_rate)] = use_cpu_rate,
    [LIMIT_INDEX(wall_ms)] = use_wall,
    [LIMIT_INDEX(heap_mib)] = use_heap,
    [LIMIT_INDEX(external_mib)] = use_external,
    [LIMIT_INDEX(concurrency)] = use_concurrency,
    [LIMIT_INDEX(queue)] = use_queue,
};

/* ---- limits */

static uint32_t shown(uint32_t value)
{
    return value == LIMIT_UNLIMITED ? 0 : value;
}

static void fill_limit(const struct tenant *tenant, unsigned index,
                       Skep__Admin__ExplainedLimit *limit)
{
    const struct version *version = tenant->version;
    const struct limit_info *info = &limit_table[index];
    const struct limit_origin *origin = &version->origins[index];
    struct use use = uses[index] ? uses[index](tenant) : (struct use){ 0 };

    limit->number = index;
    limit->name = report_text(info->name);
    limit->unit = report_text(info->unit);
    limit->value = shown(limit_get(&version->limits, info));
    limit->source = report_text(limit_source_name(origin->source));
    limit->wanted = shown(origin->wanted);
    limit->cut_by = report_text(limit_cut_name(origin->cut));
    limit->observed = (version->observed >> index & 1U) != 0;
    limit->measure = report_text(use.measure);
    limit->used_milli = use.used_milli;
    limit->has_peak = use.has_peak;
    limit->peak_milli = use.peak_milli;
}

static int list_limits(const struct tenant *tenant, struct arena *arena,
                       Skep__Admin__Explained *ret)
{
    ret->limits = report_list(arena, LIMITS_COUNT, &skep__admin__explained_limit__descriptor);
    if (!ret->limits)
        return -ENOMEM;
    for (unsigned i = 0; i < LIMITS_COUNT; i++)
        fill_limit(tenant, i, ret->limits[i]);
    ret->n_limits = LIMITS_COUNT;
    return 0;
}

/* ---- bindings */

#define LINE_BYTES 192

/* Adds text of any size as a line. */
static int put_text(struct arena *arena, ProtobufCBinaryData *line, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = report_take(arena, size);

    if (!copy)
        return -ENOMEM;
    memcpy(copy, text, size);
    *line = report_text(copy);
    return 0;
}

static int put_line(struct arena *arena, ProtobufCBinaryData *line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int put_line(struct arena *arena, ProtobufCBinaryData *line, const char *format, ...)
{
    char *text = report_take(arena, LINE_BYTES);
    va_list values;

    if (!text)
        return -ENOMEM;
    va_start(values, format);
    (void) vsnprintf(text, LINE_BYTES, format, values);
    va_end(values);
    *line = report_text(text);
    return 0;
}

static int list_bindings(const struct tenant *tenant, struct arena *arena,
                         Skep__Admin__Explained *ret)
{
    const struct manifest *manifest = tenant->version->manifest;

    ret->bindings = report_take(arena, (manifest->n_bindings + 1) * sizeof *ret->bindings);
    if (!ret->bindings)
        return -ENOMEM;
    for (unsigned i = 0; i < manifest->n_bindings; i++) {
        const struct binding *binding = &manifest->bindings[i];
        enum error_code code = binding_check(tenant, binding);
        int r = put_line(arena, &ret->bindings[ret->n_bindings++], "%s: %s %s%s%s", binding->name,
                         binding_kind_name(binding->kind), binding->target,
                         code == ERROR_NONE ? "" : ", refused: ",
                         code == ERROR_NONE ? "" : error_info(code)->code);
        if (r < 0)
            return r;
    }
    return 0;
}

static const char *state_of(const struct tenants *tenants, const struct caller_right *right)
{
    const struct tenant *tenant = tenant_find(tenants, right->name, strlen(right->name));

    if (right->tenant == 0)
        return ", not there yet";
    if (!tenant)
        return ", gone";
    return tenant->number == right->tenant ? "" : ", gone: another tenant has the name by now";
}

static int list_callers(const struct tenant *tenant, struct arena *arena,
                        Skep__Admin__Explained *ret)
{
    const struct version *version = tenant->version;
    unsigned n = version->manifest->n_callers;

    ret->callers = report_take(arena, (n + 1) * sizeof *ret->callers);
    if (!ret->callers)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++) {
        const struct caller_right *right = &version->rights[i];
        int r = put_line(arena, &ret->callers[ret->n_callers++], "%s%s", right->name,
                         state_of(tenant->tenants, right));
        if (r < 0)
            return r;
    }
    return 0;
}

static int list_hosts(const struct tenant *tenant, struct arena *arena, Skep__Admin__Explained *ret)
{
    const struct version *version = tenant->version;
    const struct host_rules *rules = &version->manifest->hosts;
    char rule[HOST_RULE_TEXT_MAX + 1], fault[HOST_FAULT_BYTES];
    char text[sizeof rule + sizeof fault + 32];

    ret->allowed_hosts = report_take(arena, (rules->n + 1) * sizeof *ret->allowed_hosts);
    if (!ret->allowed_hosts)
        return -ENOMEM;
    for (unsigned i = 0; i < rules->n; i++) {
        (void) host_rule_fault(&rules->items[i], tenant->tenants->config, version->cordon, fault);
        (void) snprintf(text, sizeof text, "%s%s%s", host_rule_text(&rules->items[i], rule),
                        fault[0] ? ", allows nothing: " : "", fault);
        int r = put_text(arena, &ret->allowed_hosts[ret->n_allowed_hosts++], text);
        if (r < 0)
            return r;
    }
    return 0;
}

int admin_report_explained(const struct tenant *tenant, struct arena *arena,
                           Skep__Admin__Explained *ret)
{
    const struct version *version = tenant->version;
    uint64_t now = io_now_ns();
    uint32_t left_s = conduct_retry_after_s(&tenant->conduct, now);

    ret->tenant = report_text(tenant->name);
    ret->state = report_text(report_tenant_state(tenant));
    ret->apart = report_text(report_apart(tenant));
    ret->has_own_worker = tenant->own != NULL;
    ret->own_worker = tenant->own ? tenant->own->number : 0;
    ret->quarantined = left_s > 0;
    ret->quarantine_s = left_s == UINT32_MAX ? 0 : left_s;
    ret->marks = conduct_marks(&tenant->conduct, now);
    if (!version)
        return 0;
    ret->version = version->id;
    ret->cordon = report_text(version->manifest->cordon);
    ret->file = report_text(version->manifest->file);
    ret->deployed = report_text(tenant->deployed.serving);
    int r = report_routes(version->manifest, arena, &ret->routes, &ret->n_routes);
    if (r == 0)
        r = list_bindings(tenant, arena, ret);
    if (r == 0)
        r = list_callers(tenant, arena, ret);
    if (r == 0)
        r = list_hosts(tenant, arena, ret);
    return r < 0 ? r : list_limits(tenant, arena, ret);
}
