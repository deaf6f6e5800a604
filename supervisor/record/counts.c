/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/record/counts.h"

#include "common/io.h"
#include "supervisor/record/record.h"

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

static struct stats *stats_of(const struct counted *counted)
{
    return &counted->record->stats;
}

/* ---- series */

void stats_enter(struct counted *counted)
{
    struct stats *stats = stats_of(counted);

    if (counted->has_series || counted->is_in_rest ||
        stats->n_series >= counted->record->config->metrics.tenants)
        return;
    counted->has_series = true;
    stats->n_series++;
}

void stats_forget(struct counted *counted)
{
    if (counted->has_series)
        stats_of(counted)->n_series--;
    counted->has_series = false;
}

/* Returns whether the tenant's counts go into the rest. Once they do, they do so for ever: with
 * series of its own, its former counts would be in both. */
static bool is_of_rest(struct counted *counted)
{
    if (!counted->has_series)
        counted->is_in_rest = true;
    return counted->is_in_rest;
}

/* ---- requests */

static void count_answer(struct counters *counters, enum error_code code, bool is_failure)
{
    counters->requests++;
    counters->errors[code]++;
    counters->failed += is_failure;
}

void stats_count_answer(struct record *record, struct counted *counted, enum error_code code,
                        bool is_blamed)
{
    bool is_failure = counted && error_counts(code, FOR_FIGURES, is_blamed);

    count_answer(&record->counters, code, is_failure);
    if (!counted) {
        count_answer(&record->stats.no_tenant, code, false);
        return;
    }
    count_answer(&counted->counters, code, is_failure);
    if (is_of_rest(counted))
        count_answer(&record->stats.rest.counters, code, is_failure);
}

void stats_count_call(struct record *record, struct counted *counted, enum error_code code)
{
    record->counters.calls[code]++;
    counted->counters.calls[code]++;
    if (is_of_rest(counted))
        record->stats.rest.counters.calls[code]++;
}

static void add_fetch(struct fetch_counts *counts, enum fetch_outcome outcome, uint64_t sent,
                      uint64_t received)
{
    counts->by[outcome]++;
    counts->sent += sent;
    counts->received += received;
}

void stats_count_fetch(struct record *record, struct counted *counted, enum fetch_outcome outcome,
                       uint64_t sent, uint64_t received)
{
    add_fetch(&record->counters.fetches, outcome, sent, received);
    add_fetch(&counted->counters.fetches, outcome, sent, received);
    if (is_of_rest(counted))
        add_fetch(&record->stats.rest.counters.fetches, outcome, sent, received);
}

void stats_record(struct histogram *histogram, uint64_t from_ns, uint64_t to_ns)
{
    histogram_record(histogram, to_ns > from_ns ? (to_ns - from_ns) / NSEC_PER_USEC : 0);
}

void stats_record_latency(struct counted *counted, uint64_t from_ns, uint64_t to_ns)
{
    struct stats *stats = stats_of(counted);

    stats_record(&stats->all.latency_us, from_ns, to_ns);
    stats_record(&counted->traffic.latency_us, from_ns, to_ns);
    if (is_of_rest(counted))
        stats_record(&stats->rest.traffic.latency_us, from_ns, to_ns);
}

void stats_record_queue(struct counted *counted, uint64_t from_ns, uint64_t to_ns)
{
    struct stats *stats = stats_of(counted);

    stats_record(&stats->all.queue_us, from_ns, to_ns);
    stats_record(&counted->traffic.queue_us, from_ns, to_ns);
    if (is_of_rest(counted))
        stats_record(&stats->rest.traffic.queue_us, from_ns, to_ns);
}

void stats_count_abandoned(struct counted *counted)
{
    struct stats *stats = stats_of(counted);

    stats->all.abandoned++;
    counted->traffic.abandoned++;
    if (is_of_rest(counted))
        stats->rest.traffic.abandoned++;
}

void stats_note_requests(struct counted *counted, unsigned queued, unsigned in_flight)
{
    struct traffic *traffic = &counted->traffic;

    if (queued > traffic->most_queued)
        traffic->most_queued = queued;
    if (in_flight > traffic->most_in_flight)
        traffic->most_in_flight = in_flight;
}

static void add_bytes(struct traffic *traffic, uint64_t in, uint64_t out)
{
    traffic->bytes_in += in;
    traffic->bytes_out += out;
}

void stats_add_bytes(struct counted *counted, uint64_t in, uint64_t out)
{
    struct stats *stats = stats_of(counted);

    add_bytes(&stats->all, in, out);
    add_bytes(&counted->traffic, in, out);
    if (is_of_rest(counted))
        add_bytes(&stats->rest.traffic, in, out);
}

void stats_add_cpu(struct counted *counted, uint64_t cpu_ns)
{
    stats_enter(counted);
    if (is_of_rest(counted))
        stats_of(counted)->rest.cpu_ns += cpu_ns;
}

/* ---- incidents */

/* Records how far over its limit an incident was. Thousandths of a ms are us. */
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

void stats_count_incident(struct record *record, struct counted *counted,
                          const struct incident *incident)
{
    record->incident_counts.by[incident->stage][incident->cause]++;
    record_overshoot(&record->stats, incident);
    if (!counted)
        return;
    stats_enter(counted);
    counted->incidents.by[incident->stage][incident->cause]++;
    if (is_of_rest(counted))
        record->stats.rest.incidents.by[incident->stage][incident->cause]++;
}
