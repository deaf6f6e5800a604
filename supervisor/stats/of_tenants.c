/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of tenants. What the tenant's name, its code or its clients could be told by is not in any
 * label but `tenant`, which is a name that the operator has installed.
 */
#include "common/cleanup.h"
#include "common/io.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/stats/families_internal.h"

#define BYTES_PER_KIB UINT64_C(1024)
#define TENANT TEXT_LABELS({ "tenant", source->tenant })

const char *family_code_name(enum error_code code)
{
    return code == ERROR_NONE ? "ok" : error_info(code)->code;
}

/* ---- where the numbers come from */

void family_add_state(const struct tenant *tenant, struct families_state *state)
{
    state->in_flight += tenant->n_in_flight;
    state->queued += tenant->n_queued;
    state->quarantined += conduct_retry_after_s(&tenant->conduct, io_now_ns()) > 0;
    memory_add_tenant(tenant, &state->memory);
}

void family_write_tenant(const struct tenant *tenant, const struct family *family,
                         struct text *text)
{
    struct family_source source = {
        .tenant = tenant->name,
        .traffic = &tenant->counted.traffic,
        .counters = &tenant->counted.counters,
        .incidents = &tenant->counted.incidents,
        .cpu_ns = tenant->books.cpu_ns,
    };

    if (family->needs_state)
        family_add_state(tenant, &source.state);
    family->write_source(&source, family->name, text);
}

void family_write_rest(const struct metrics_sources *from, const struct families_state *state,
                       const struct family *family, struct text *text)
{
    const struct traffic_rest *rest = &from->record->stats.rest;
    const struct family_source source = {
        .tenant = REST_NAME,
        .traffic = &rest->traffic,
        .counters = &rest->counters,
        .incidents = &rest->incidents,
        .cpu_ns = rest->cpu_ns,
        .state = *state,
    };

    family->write_source(&source, family->name, text);
}

/* ---- samples */

static void write_requests(const struct family_source *source, const char *name, struct text *text)
{
    for (unsigned code = 0; code < ERROR_CODES; code++)
        if (code == ERROR_NONE || source->counters->errors[code] > 0)
            text_count(text, name,
                       TEXT_LABELS({ "tenant", source->tenant },
                                   { "code", family_code_name((enum error_code) code) }),
                       source->counters->errors[code]);
}

static void write_calls(const struct family_source *source, const char *name, struct text *text)
{
    for (unsigned code = 0; code < ERROR_CODES; code++)
        if (code == ERROR_NONE || source->counters->calls[code] > 0)
            text_count(text, name,
                       TEXT_LABELS({ "tenant", source->tenant },
                                   { "code", family_code_name((enum error_code) code) }),
                       source->counters->calls[code]);
}

static void write_failures(const struct family_source *source, const char *name, struct text *text)
{
    text_count(text, name, TENANT, source->counters->failed);
}

static void write_latency(const struct family_source *source, const char *name, struct text *text)
{
    text_histogram(text, name, TENANT, TEXT_SECONDS, &source->traffic->latency_us);
}

static void write_queue_time(const struct family_source *source, const char *name,
                             struct text *text)
{
    text_histogram(text, name, TENANT, TEXT_SECONDS, &source->traffic->queue_us);
}

static void write_abandoned(const struct family_source *source, const char *name, struct text *text)
{
    text_count(text, name, TENANT, source->traffic->abandoned);
}

static void write_bytes_in(const struct family_source *source, const char *name, struct text *text)
{
    text_count(text, name, TENANT, source->traffic->bytes_in);
}

static void write_bytes_out(const struct family_source *source, const char *name, struct text *text)
{
    text_count(text, name, TENANT, source->traffic->bytes_out);
}

static void write_cpu(const struct family_source *source, const char *name, struct text *text)
{
    text_time(text, name, TENANT, source->cpu_ns / NSEC_PER_USEC);
}

static void write_in_flight(const struct family_source *source, const char *name, struct text *text)
{
    text_count(text, name, TENANT, source->state.in_flight);
}

static void write_queued(const struct family_source *source, const char *name, struct text *text)
{
    text_count(text, name, TENANT, source->state.queued);
}

static void write_heap(const struct family_source *source, const char *name, struct text *text)
{
    text_count(text, name, TENANT, source->state.memory.heap_kib * BYTES_PER_KIB);
}

static void write_external(const struct family_source *source, const char *name, struct text *text)
{
    text_count(text, name, TENANT, source->state.memory.external_kib * BYTES_PER_KIB);
}

static void write_bodies(const struct family_source *source, const char *name, struct text *text)
{
    text_count(text, name, TENANT, source->state.memory.bodies_kib * BYTES_PER_KIB);
}

static void write_quarantined(const struct family_source *source, const char *name,
                              struct text *text)
{
    text_count(text, name, TENANT, source->state.quarantined);
}

static void write_kills(const struct family_source *source, const char *name, struct text *text)
{
    for (unsigned cause = 0; cause < CAUSES; cause++)
        if (source->incidents->by[STAGE_KILLED][cause] > 0)
            text_count(
                text, name,
                TEXT_LABELS({ "tenant", source->tenant }, { "cause", incident_cause_name(cause) }),
                source->incidents->by[STAGE_KILLED][cause]);
}

/* clang-format off */
const struct family families_of_tenants[] = {
    { "skep_request_duration_seconds", "histogram",
      "Time from a request's head to the end of its answer; without those refused at once.",
      NULL, write_latency, false },
    { "skep_queue_duration_seconds", "histogram",
      "Time from a request's head until it was sent to a worker, or stopped waiting.",
      NULL, write_queue_time, false },
    { "skep_requests_abandoned_total", "counter",
      "Requests whose client left before its answer was complete.", NULL, write_abandoned, false },
    { "skep_request_body_bytes_total", "counter",
      "Bytes of request bodies that were taken from clients.", NULL, write_bytes_in, false },
    { "skep_response_body_bytes_total", "counter",
      "Bytes of response bodies that were taken from workers.", NULL, write_bytes_out, false },
    { "skep_cpu_seconds_total", "counter",
      "CPU time of the tenant's JavaScript, loads included.", NULL, write_cpu, false },
    { "skep_in_flight", "gauge", "Requests in workers.", NULL, write_in_flight, true },
    { "skep_queued", "gauge", "Requests that wait.", NULL, write_queued, true },
    { "skep_heap_bytes", "gauge",
      "JavaScript heap of the tenant's isolates, by their workers' account.", NULL, write_heap, true },
    { "skep_external_bytes", "gauge",
      "ArrayBuffers, WebAssembly and native memory, by their workers' account.", NULL, write_external, true },
    { "skep_body_buffer_bytes", "gauge",
      "Bytes of bodies that skepd keeps for the tenant.", NULL, write_bodies, true },
    { "skep_quarantined", "gauge",
      "1 while the tenant is in quarantine; of _other: how many are.", NULL, write_quarantined, true },
    { "skep_tenant_kills_total", "counter",
      "Workers that died of the tenant, by cause.", NULL, write_kills, false },
    { "skep_requests_total", "counter",
      "Answers by error code, ok for those without.", NULL, write_requests, false },
    { "skep_calls_total", "counter",
      "Calls that the tenant has made by its bindings, by error code.", NULL, write_calls, false },
    { "skep_failures_total", "counter",
      "Answers that failed by the tenant's own doing.", NULL, write_failures, false },
};
/* clang-format on */
const size_t n_families_of_tenants = ARRAY_LEN(families_of_tenants);
