/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/record/counts.h"

#include "common/io.h"
#include "supervisor/server.h"
#include "supervisor/tenants/tenant.h"

#define KIB_PER_MIB 1024

const struct overshoot_info overshoot_table[OVERSHOOTS] = {
    { LIMIT_INDEX(cpu_ms), true },
    { LIMIT_INDEX(cpu_startup_ms), true },
    { LIMIT_INDEX(wall_ms), true },
    { LIMIT_INDEX(idle_ms), true },
    { LIMIT_INDEX(heap_mib), false },
    { LIMIT_INDEX(external_mib), false },
    { CAUSE_RSS, false },
    { LIMIT_INDEX(response_mib), false },
};

static struct stats *stats_of(const struct tenant *tenant)
{
    return &tenant->server->stats;
}

/* ---- series */

void stats_enter(struct tenant *tenant)
{
    struct stats *stats = stats_of(tenant);

    if (tenant->has_series || tenant->is_in_rest ||
        stats->n_series >= tenant->server->config->metrics.tenants)
        return;
    tenant->has_series = true;
    stats->n_series++;
}

void stats_forget_tenant(struct tenant *tenant)
{
    if (tenant->has_series)
        stats_of(tenant)->n_series--;
    tenant->has_series = false;
}

/* Whether what it does now is counted in the rest. Then that is so for ever: with series of its own, what it
 * has done until now would be in both. */
static bool is_of_rest(struct tenant *tenant)
{
    if (!tenant->has_series)
        tenant->is_in_rest = true;
    return tenant->is_in_rest;
}

/* ---- requests */

static void count_answer(struct counters *counters, enum error_code code, bool is_failure)
{
    counters->requests++;
    counters->errors[code]++;
    counters->failed += is_failure;
}

void stats_count_answer(struct server *server, struct tenant *tenant, enum error_code code,
                        bool is_blamed)
{
    bool is_failure = tenant && error_counts(code, FOR_FIGURES, is_blamed);

    count_answer(&server->counters, code, is_failure);
    if (!tenant) {
        count_answer(&server->stats.no_tenant, code, false);
        return;
    }
    count_answer(&tenant->counters, code, is_failure);
    if (is_of_rest(tenant))
        count_answer(&server->stats.rest.counters, code, is_failure);
}

void stats_record(struct histogram *histogram, uint64_t from_ns, uint64_t to_ns)
{
    histogram_record(histogram, to_ns > from_ns ? (to_ns - from_ns) / NSEC_PER_USEC : 0);
}

void stats_record_latency(struct tenant *tenant, uint64_t from_ns, uint64_t to_ns)
{
    struct stats *stats = stats_of(tenant);

    stats_record(&stats->all.latency_us, from_ns, to_ns);
    stats_record(&tenant->traffic.latency_us, from_ns, to_ns);
    if (is_of_rest(tenant))
        stats_record(&stats->rest.traffic.latency_us, from_ns, to_ns);
}

void stats_record_queue(struct tenant *tenant, uint64_t from_ns, uint64_t to_ns)
{
    struct stats *stats = stats_of(tenant);

    stats_record(&stats->all.queue_us, from_ns, to_ns);
    stats_record(&tenant->traffic.queue_us, from_ns, to_ns);
    if (is_of_rest(tenant))
        stats_record(&stats->rest.traffic.queue_us, from_ns, to_ns);
}

void stats_count_abandoned(struct tenant *tenant)
{
    struct stats *stats = stats_of(tenant);

    stats->all.abandoned++;
    tenant->traffic.abandoned++;
    if (is_of_rest(tenant))
        stats->rest.traffic.abandoned++;
}

void stats_note_load(struct tenant *tenant)
{
    struct traffic *traffic = &tenant->traffic;

    if (tenant->n_queued > traffic->most_queued)
        traffic->most_queued = tenant->n_queued;
    if (tenant->n_in_flight > traffic->most_in_flight)
        traffic->most_in_flight = tenant->n_in_flight;
}

static void add_bytes(struct traffic *traffic, uint64_t in, uint64_t out)
{
    traffic->bytes_in += in;
    traffic->bytes_out += out;
}

void stats_add_bytes(struct tenant *tenant, uint64_t in, uint64_t out)
{
    struct stats *stats = stats_of(tenant);

    add_bytes(&stats->all, in, out);
    add_bytes(&tenant->traffic, in, out);
    if (is_of_rest(tenant))
        add_bytes(&stats->rest.traffic, in, out);
}

void stats_add_cpu(struct tenant *tenant, uint64_t cpu_ns)
{
    stats_enter(tenant);
    if (is_of_rest(tenant))
        stats_of(tenant)->rest.cpu_ns += cpu_ns;
}

/* ---- incidents */

/* Thousandths of a ms are us. */
static void record_overshoot(struct stats *stats, const struct incident *incident)
{
    unsigned stage = incident->stage == STAGE_KILLED ? OVERSHOOT_KILLED : OVERSHOOT_STOPPED;

    if ((incident->stage != STAGE_KILLED && incident->stage != STAGE_STOPPED) ||
        incident->limit_milli == 0 || incident->used_milli == 0)
        return;
    for (unsigned i = 0; i < OVERSHOOTS; i++) {
        if (overshoot_table[i].cause != incident->cause)
            continue;
        uint64_t over = incident->used_milli > incident->limit_milli
                            ? incident->used_milli - incident->limit_milli
                            : 0;
        histogram_record(&stats->overshoot[stage][i],
                         overshoot_table[i].is_time ? over : over * KIB_PER_MIB / 1000);
    }
}

void stats_count_incident(struct server *server, struct tenant *tenant,
                          const struct incident *incident)
{
    server->incident_counts.by[incident->stage][incident->cause]++;
    record_overshoot(&server->stats, incident);
    if (!tenant)
        return;
    stats_enter(tenant);
    tenant->incidents.by[incident->stage][incident->cause]++;
    if (is_of_rest(tenant))
        server->stats.rest.incidents.by[incident->stage][incident->cause]++;
}
