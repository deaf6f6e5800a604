/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of tenants. No label but `tenant`, which is a name that the operator has installed, has
 * data of the tenant's code or its clients.
 */
#include "common/cleanup.h"
#include "common/io.h"
#include "supervisor/stats/families_internal.h"
#include "supervisor/tenants/tenant.h"

#define BYTES_PER_KIB UINT64_C(1024)

const char *family_code_name(enum error_code code)
{
    return code == ERROR_NONE ? "ok" : error_info(code)->code;
}

/* ---- sources of the numbers */

void family_add_state(const struct tenant *tenant, struct families_state *state)
{
    state->in_flight += tenant->n_in_flight;
    state->queued += tenant->n_queued;
    state->quarantined += conduct_retry_after_s(&tenant->conduct, io_now_ns()) > 0;
    memory_add_tenant(tenant, &state->memory);
}

void family_of_tenant(const struct tenant *tenant, bool needs_state,
                      struct family_source *ret_source)
{
    *ret_source = (struct family_source){
        .tenant = tenant->name,
        .traffic = &tenant->counted.traffic,
        .counters = &tenant->counted.counters,
        .incidents = &tenant->counted.incidents,
        .cpu_ns = tenant->books.cpu_ns,
    };
    if (needs_state)
        family_add_state(tenant, &ret_source->state);
}

void family_of_rest(const struct metrics_sources *from, const struct families_state *state,
                    struct family_source *ret_source)
{
    const struct traffic_rest *rest = &from->record->stats.rest;

    *ret_source = (struct family_source){
        .tenant = REST_NAME,
        .traffic = &rest->traffic,
        .counters = &rest->counters,
        .incidents = &rest->incidents,
        .cpu_ns = rest->cpu_ns,
        .state = *state,
    };
}

/* ---- samples */

/* Lists codes that have occurred; "ok" in any case. */
static void list_codes(const uint64_t counts[static ERROR_CODES], const struct samples *samples)
{
    for (enum error_code code = 0; code < ERROR_CODES; code++)
        if (code == ERROR_NONE || counts[code] > 0)
            samples_add(samples, LABELED(family_code_name(code)), counts[code]);
}

static void list_requests(const struct family_source *source, struct samples *samples)
{
    list_codes(source->counters->errors, samples);
}

static void list_calls(const struct family_source *source, struct samples *samples)
{
    list_codes(source->counters->calls, samples);
}

static void list_fetches(const struct family_source *source, struct samples *samples)
{
    const struct fetch_counts *fetches = &source->counters->fetches;

    for (enum fetch_outcome outcome = 0; outcome < FETCH_OUTCOMES; outcome++)
        if (outcome == OUTCOME_ANSWERED || fetches->by[outcome] > 0)
            samples_add(samples, LABELED(fetch_outcome_name(outcome)), fetches->by[outcome]);
}

static uint64_t read_fetch_sent(const struct family_source *source)
{
    return source->counters->fetches.sent;
}

static uint64_t read_fetch_received(const struct family_source *source)
{
    return source->counters->fetches.received;
}

static void list_kills(const struct family_source *source, struct samples *samples)
{
    const uint64_t *counts = source->incidents->by[STAGE_KILLED];

    for (unsigned cause = 0; cause < CAUSES; cause++)
        if (counts[cause] > 0)
            samples_add(samples, LABELED(incident_cause_name(cause)), counts[cause]);
}

static const struct histogram *read_latency(const struct family_source *source)
{
    return &source->traffic->latency_us;
}

static const struct histogram *read_queue_time(const struct family_source *source)
{
    return &source->traffic->queue_us;
}

static uint64_t read_failures(const struct family_source *source)
{
    return source->counters->failed;
}

static uint64_t read_abandoned(const struct family_source *source)
{
    return source->traffic->abandoned;
}

static uint64_t read_bytes_in(const struct family_source *source)
{
    return source->traffic->bytes_in;
}

static uint64_t read_bytes_out(const struct family_source *source)
{
    return source->traffic->bytes_out;
}

static uint64_t read_cpu(const struct family_source *source)
{
    return source->cpu_ns / NSEC_PER_USEC;
}

static uint64_t read_in_flight(const struct family_source *source)
{
    return source->state.in_flight;
}

static uint64_t read_queued(const struct family_source *source)
{
    return source->state.queued;
}

static uint64_t read_heap(const struct family_source *source)
{
    return source->state.memory.heap_kib * BYTES_PER_KIB;
}

static uint64_t read_external(const struct family_source *source)
{
    return source->state.memory.external_kib * BYTES_PER_KIB;
}

static uint64_t read_bodies(const struct family_source *source)
{
    return source->state.memory.bodies_kib * BYTES_PER_KIB;
}

static uint64_t read_quarantined(const struct family_source *source)
{
    return source->state.quarantined;
}

/* clang-format off */
const struct family families_of_tenants[] = {
    { .name = "skep_request_duration_seconds", .type = FAMILY_HISTOGRAM, .unit = UNIT_US,
      .help = "Time from a request's head to the end of its answer; without requests refused at once.",
      .labels = { "tenant" }, .read_histogram = read_latency },
    { .name = "skep_queue_duration_seconds", .type = FAMILY_HISTOGRAM, .unit = UNIT_US,
      .help = "Time from a request's head until it was sent to a worker, or stopped waiting.",
      .labels = { "tenant" }, .read_histogram = read_queue_time },
    { .name = "skep_requests_abandoned_total", .type = FAMILY_COUNTER,
      .help = "Requests whose client left before its answer was complete.",
      .labels = { "tenant" }, .read_tenant = read_abandoned },
    { .name = "skep_request_body_bytes_total", .type = FAMILY_COUNTER, .unit = UNIT_BYTES,
      .help = "Bytes of request bodies that were taken from clients.",
      .labels = { "tenant" }, .read_tenant = read_bytes_in },
    { .name = "skep_response_body_bytes_total", .type = FAMILY_COUNTER, .unit = UNIT_BYTES,
      .help = "Bytes of response bodies that were taken from workers.",
      .labels = { "tenant" }, .read_tenant = read_bytes_out },
    { .name = "skep_cpu_seconds_total", .type = FAMILY_COUNTER, .unit = UNIT_US,
      .help = "CPU time of the tenant's JavaScript, loads included.",
      .labels = { "tenant" }, .read_tenant = read_cpu },
    { .name = "skep_in_flight", .type = FAMILY_GAUGE,
      .help = "Requests in workers.",
      .labels = { "tenant" }, .needs_state = true, .read_tenant = read_in_flight },
    { .name = "skep_queued", .type = FAMILY_GAUGE,
      .help = "Requests that wait.",
      .labels = { "tenant" }, .needs_state = true, .read_tenant = read_queued },
    { .name = "skep_heap_bytes", .type = FAMILY_GAUGE, .unit = UNIT_BYTES,
      .help = "JavaScript heap of the tenant's isolates, by their workers' account.",
      .labels = { "tenant" }, .needs_state = true, .read_tenant = read_heap },
    { .name = "skep_external_bytes", .type = FAMILY_GAUGE, .unit = UNIT_BYTES,
      .help = "ArrayBuffers, WebAssembly and native memory, by their workers' account.",
      .labels = { "tenant" }, .needs_state = true, .read_tenant = read_external },
    { .name = "skep_body_buffer_bytes", .type = FAMILY_GAUGE, .unit = UNIT_BYTES,
      .help = "Bytes of bodies that skepd keeps for the tenant.",
      .labels = { "tenant" }, .needs_state = true, .read_tenant = read_bodies },
    { .name = "skep_quarantined", .type = FAMILY_GAUGE,
      .help = "1 while the tenant is in quarantine; for _other the number of tenants that are.",
      .labels = { "tenant" }, .needs_state = true, .read_tenant = read_quarantined },
    { .name = "skep_tenant_kills_total", .type = FAMILY_COUNTER,
      .help = "Workers that died because of the tenant, by cause.",
      .labels = { "tenant", "cause" }, .list_tenant = list_kills },
    { .name = "skep_requests_total", .type = FAMILY_COUNTER,
      .help = "Answers by error code, ok for answers without one.",
      .labels = { "tenant", "code" }, .list_tenant = list_requests },
    { .name = "skep_calls_total", .type = FAMILY_COUNTER,
      .help = "Calls that the tenant has made by its bindings and by fetch(), by error code.",
      .labels = { "tenant", "code" }, .list_tenant = list_calls },
    { .name = "skep_fetches_total", .type = FAMILY_COUNTER,
      .help = "Fetches of the tenant that have ended, by outcome.",
      .labels = { "tenant", "outcome" }, .list_tenant = list_fetches },
    { .name = "skep_fetch_sent_bytes_total", .type = FAMILY_COUNTER, .unit = UNIT_BYTES,
      .help = "Bytes of bodies of the tenant's fetches that went to servers.",
      .labels = { "tenant" }, .read_tenant = read_fetch_sent },
    { .name = "skep_fetch_received_bytes_total", .type = FAMILY_COUNTER, .unit = UNIT_BYTES,
      .help = "Bytes of bodies of servers' answers to the tenant's fetches.",
      .labels = { "tenant" }, .read_tenant = read_fetch_received },
    { .name = "skep_failures_total", .type = FAMILY_COUNTER,
      .help = "Answers that failed by the tenant's own fault.",
      .labels = { "tenant" }, .read_tenant = read_failures },
};
/* clang-format on */
const size_t n_families_of_tenants = ARRAY_LEN(families_of_tenants);
