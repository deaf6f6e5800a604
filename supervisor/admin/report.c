/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code that the reports of the admin socket share, and the report on skepd as a whole. Figures of a
 * scoreboard are a worker's claims: they are cut to possible values. Supervisor, loop thread.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "supervisor/admin/report.h"
#include "supervisor/http/http.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

#define TEXT_MAX_BYTES 4096U /* longest text of a tenant */

void *report_take(struct arena *arena, size_t size)
{
    void *memory = arena->allocator.alloc(arena->allocator.allocator_data, size);

    if (memory)
        memset(memory, 0, size);
    return memory;
}

void *report_list(struct arena *arena, size_t most, const ProtobufCMessageDescriptor *kind)
{
    ProtobufCMessage **list = report_take(arena, (most + 1) * sizeof *list);
    uint8_t *items = report_take(arena, (most + 1) * kind->sizeof_message);

    if (!list || !items)
        return NULL;
    for (size_t i = 0; i < most; i++) {
        list[i] = (ProtobufCMessage *) (void *) (items + i * kind->sizeof_message);
        protobuf_c_message_init(kind, list[i]);
    }
    return list;
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
    Skep__Admin__CodeCount **counts =
        report_list(arena, ERROR_CODES, &skep__admin__code_count__descriptor);
    size_t n = 0;

    if (!counts)
        return -ENOMEM;
    for (unsigned code = ERROR_NONE + 1; code < ERROR_CODES; code++) {
        if (counters->errors[code] == 0)
            continue;
        counts[n]->code = report_text(error_info((enum error_code) code)->code);
        counts[n++]->count = counters->errors[code];
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
    Skep__Admin__IncidentCount **list =
        report_list(arena, n, &skep__admin__incident_count__descriptor);

    if (!list)
        return -ENOMEM;
    for (unsigned stage = 0; stage < INCIDENT_STAGES; stage++)
        for (unsigned cause = 0; cause < CAUSES; cause++) {
            if (counts->by[stage][cause] == 0)
                continue;
            Skep__Admin__IncidentCount *item = list[at++];
            item->stage = report_text(incident_stage_name((enum incident_stage) stage));
            item->cause = report_text(incident_cause_name(cause));
            item->count = counts->by[stage][cause];
        }
    *ret_counts = list;
    *ret_n = n;
    return 0;
}

int report_kills(const uint64_t counts[static CAUSES], struct arena *arena,
                 Skep__Admin__CodeCount ***ret_counts, size_t *ret_n)
{
    Skep__Admin__CodeCount **list =
        report_list(arena, CAUSES, &skep__admin__code_count__descriptor);
    size_t n = 0;

    if (!list)
        return -ENOMEM;
    for (unsigned cause = 0; cause < CAUSES; cause++) {
        if (counts[cause] == 0)
            continue;
        list[n]->code = report_text(incident_cause_name(cause));
        list[n++]->count = counts[cause];
    }
    *ret_counts = list;
    *ret_n = n;
    return 0;
}

static int list_quantiles(const struct histogram *histogram, struct arena *arena,
                          Skep__Admin__QuantileTime ***ret_items, size_t *ret_n)
{
    static const struct {
        const char *name;
        unsigned permille;
    } quantiles[] = {
        { "p50", 500 }, { "p90", 900 }, { "p99", 990 }, { "p999", 999 }, { "max", 1000 }
    };
    Skep__Admin__QuantileTime **list =
        report_list(arena, ARRAY_LEN(quantiles), &skep__admin__quantile_time__descriptor);

    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        list[i]->quantile = report_text(quantiles[i].name);
        list[i]->us = histogram_percentile(histogram, quantiles[i].permille);
    }
    *ret_items = list;
    *ret_n = histogram->total > 0 ? ARRAY_LEN(quantiles) : 0;
    return 0;
}

static int fill_traffic(const struct admin_options *with, struct arena *arena,
                        Skep__Admin__Stats *stats)
{
    const struct traffic *all = &with->record->stats.all;

    stats->body_bytes_in = all->bytes_in;
    stats->body_bytes_out = all->bytes_out;
    stats->abandoned = all->abandoned;
    int r = list_quantiles(&all->latency_us, arena, &stats->latency_us, &stats->n_latency_us);
    if (r == 0)
        r = list_quantiles(&all->queue_us, arena, &stats->queue_us, &stats->n_queue_us);
    if (r == 0)
        r = report_kills(with->record->incident_counts.by[STAGE_KILLED], arena, &stats->kills,
                         &stats->n_kills);
    return r;
}

/* ---- skepd as a whole */

void report_count_workers(const struct admin_options *with, Skep__Admin__Stats *stats)
{
    struct slots_tally tally;

    slots_read_tally(with->slots, &tally);
    stats->workers = tally.places;
    stats->own_workers = tally.own;
    stats->workers_ready = tally.ready;
    stats->workers_failed = tally.failed;
}

static void fill_count(const struct admin_count *count, Skep__Admin__Stats *stats)
{
    stats->tenants = count->tenants;
    stats->quarantined = count->quarantined;
    stats->heap_kib = count->heap_kib;
    stats->external_kib = count->external_kib;
    stats->bodies_kib = count->bodies_kib;
    stats->memory_kib = count->heap_kib + count->external_kib + count->bodies_kib;
}

int admin_report_stats(const struct admin_options *with, const struct admin_count *count,
                       struct arena *arena, Skep__Admin__Stats *ret)
{
    Skep__Admin__Stats stats = SKEP__ADMIN__STATS__INIT;

    stats.version = report_text(SKEP_VERSION);
    stats.v8_version = report_text(with->record->v8_version);
    stats.pid = (uint32_t) getpid();
    stats.uptime_ms = (io_now_ns() - with->record->started_ns) / NSEC_PER_MSEC;
    stats.requests = with->record->counters.requests;
    stats.replayed = with->record->counters.replayed;
    stats.worker_restarts = with->record->counters.worker_restarts;
    stats.draining = with->life->is_draining;
    stats.in_flight = with->ledger->in_workers;
    stats.queued = with->ledger->queued;
    stats.connections = http_front_connections(with->front);
    fill_count(count, &stats);
    report_count_workers(with, &stats);
    int r = report_errors(&with->record->counters, arena, &stats.errors, &stats.n_errors);
    if (r == 0)
        r = report_incident_counts(&with->record->incident_counts, arena, &stats.incidents,
                                   &stats.n_incidents);
    if (r == 0)
        r = fill_traffic(with, arena, &stats);
    if (r == 0)
        *ret = stats;
    return r;
}
