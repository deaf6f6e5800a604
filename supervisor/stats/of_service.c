/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of skepd as a whole.
 */
#include <time.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/loop_watch.h"
#include "common/v8_release.h"
#include "supervisor/helpers/health.h"
#include "supervisor/http/http.h"
#include "supervisor/jail/level.h"
#include "supervisor/record/life.h"
#include "supervisor/record/record.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/stats/families_internal.h"
#include "supervisor/tenants/unserved.h"
#include "supervisor/workers/worker.h"

static void write_build(const struct metrics_sources *from, const char *name, struct text *text)
{
    text_count(text, name,
               TEXT_LABELS({ "version", SKEP_VERSION }, { "v8", from->record->v8_version },
                           { "v8_date", v8_release_date(from->record->v8_version) }),
               1);
}

/* The time of day when the loop began, which a step of the clock may move. */
static void write_start(const struct metrics_sources *from, const char *name, struct text *text)
{
    uint64_t up_ns = io_now_ns() - from->record->started_ns;

    text_time(text, name, TEXT_NO_LABELS, (io_clock_ns(CLOCK_REALTIME) - up_ns) / NSEC_PER_USEC);
}

static void write_cpu(const struct metrics_sources *from, const char *name, struct text *text)
{
    (void) from;
    text_time(text, name, TEXT_NO_LABELS, io_clock_ns(CLOCK_PROCESS_CPUTIME_ID) / NSEC_PER_USEC);
}

static void write_draining(const struct metrics_sources *from, const char *name, struct text *text)
{
    text_count(text, name, TEXT_NO_LABELS, from->life->is_draining);
}

static void write_connections(const struct metrics_sources *from, const char *name,
                              struct text *text)
{
    text_count(text, name, TEXT_NO_LABELS, from->front ? http_front_connections(from->front) : 0);
}

static void write_caps(const struct metrics_sources *from, const char *name, struct text *text)
{
    static const char *const caps[HTTP_CAPS] = {
        [HTTP_CAP_CONNECTIONS] = "connections", [HTTP_CAP_IDLE] = "idle",
        [HTTP_CAP_ADDRESS] = "address",         [HTTP_CAP_DESCRIPTORS] = "descriptors",
        [HTTP_CAP_BUFFERS] = "buffers",
    };

    for (enum http_cap cap = 0; cap < HTTP_CAPS; cap++)
        text_count(text, name, TEXT_LABELS({ "cap", caps[cap] }),
                   from->front ? http_front_cap_count(from->front, cap) : 0);
}

/* ---- requests and tenants */

static void write_unrouted(const struct metrics_sources *from, const char *name, struct text *text)
{
    const struct counters *counters = &from->record->stats.no_tenant;

    for (unsigned code = 0; code < ERROR_CODES; code++)
        if (code == ERROR_NO_ROUTE || counters->errors[code] > 0)
            text_count(text, name,
                       TEXT_LABELS({ "code", family_code_name((enum error_code) code) }),
                       counters->errors[code]);
}

static void write_withdrawn(const struct metrics_sources *from, const char *name, struct text *text)
{
    text_count(text, name, TEXT_NO_LABELS, from->record->counters.withdrawn);
}

static void write_replayed(const struct metrics_sources *from, const char *name, struct text *text)
{
    text_count(text, name, TEXT_NO_LABELS, from->record->counters.replayed);
}

static void write_tenants(const struct metrics_sources *from, const char *name, struct text *text)
{
    text_count(text, name, TEXT_NO_LABELS, from->tenants->n_listed);
}

static void write_unserved(const struct metrics_sources *from, const char *name, struct text *text)
{
    text_count(text, name, TEXT_NO_LABELS, unserved_count(from->tenants));
}

static void write_series(const struct metrics_sources *from, const char *name, struct text *text)
{
    text_count(text, name, TEXT_NO_LABELS, from->record->stats.n_series);
}

/* ---- the log */

static void write_log_lines(const struct metrics_sources *from, const char *name, struct text *text)
{
    text_count(text, name, TEXT_NO_LABELS, from->record->log_counts.written);
}

static void write_left_out(const struct metrics_sources *from, const char *name, struct text *text)
{
    const struct log_counts *counts = &from->record->log_counts;

    text_count(text, name, TEXT_LABELS({ "bound", "tenant" }), counts->over_own);
    text_count(text, name, TEXT_LABELS({ "bound", "all" }), counts->over_all);
}

/* ---- bounds of what strangers can make skepd keep */

static void write_totals(const struct metrics_sources *from, const char *name,
                         uint64_t member_of(const struct total *), struct text *text)
{
    for (unsigned i = 0; i < TOTALS; i++) {
        struct total total;
        total_read(from->record->totals, (enum total_kind) i, &total);
        text_count(text, name, TEXT_LABELS({ "what", total_table[i].name }), member_of(&total));
    }
}

static uint64_t used_of(const struct total *total)
{
    return total->used;
}

static uint64_t limit_of(const struct total *total)
{
    return total->limit;
}

static uint64_t refused_of(const struct total *total)
{
    return total->refused;
}

static void write_used(const struct metrics_sources *from, const char *name, struct text *text)
{
    write_totals(from, name, used_of, text);
}

static void write_limit(const struct metrics_sources *from, const char *name, struct text *text)
{
    write_totals(from, name, limit_of, text);
}

static void write_refused(const struct metrics_sources *from, const char *name, struct text *text)
{
    write_totals(from, name, refused_of, text);
}

/* ---- the loop */

static void write_slow(const struct metrics_sources *from, const char *name, struct text *text)
{
    size_t n;
    const struct loop_slow *slow = loop_watch_slow(&n);
    uint64_t cpu = 0, disk = 0;

    (void) from;
    for (size_t i = 0; i < n; i++) {
        cpu += slow[i].cpu;
        disk += slow[i].disk;
    }
    text_count(text, name, TEXT_LABELS({ "reason", "cpu" }), cpu);
    text_count(text, name, TEXT_LABELS({ "reason", "disk" }), disk);
}

/* At least one series, so that the family is there before the first. */
static void write_slow_by_name(const struct metrics_sources *from, const char *name,
                               struct text *text)
{
    static const struct loop_slow none = { .name = "none" };
    size_t n;
    const struct loop_slow *slow = loop_watch_slow(&n);

    (void) from;
    for (size_t i = 0; i < (n > 0 ? n : 1); i++) {
        const struct loop_slow *one = n > 0 ? &slow[i] : &none;
        text_time(text, name, TEXT_LABELS({ "callback", one->name }), one->longest_us);
    }
}

static void write_longest(const struct metrics_sources *from, const char *name, struct text *text)
{
    (void) from;
    text_time(text, name, TEXT_NO_LABELS, loop_watch_longest_us());
}

/* ---- limits */

/* Those that have series from the start: what a worker can be killed for, or die of. */
#define KILL_CAUSES                                                                               \
    (1U << LIMIT_INDEX(cpu_ms) | 1U << LIMIT_INDEX(cpu_startup_ms) | 1U << LIMIT_INDEX(wall_ms) | \
     1U << LIMIT_INDEX(heap_mib) | 1U << CAUSE_RSS | 1U << CAUSE_CRASH | 1U << CAUSE_JAIL |       \
     1U << CAUSE_PROTOCOL | 1U << CAUSE_SILENT | 1U << CAUSE_OUTSIDE)
/* Limits that are never met by themselves. */
#define NEVER_MET (1U << LIMIT_INDEX(grace_ms) | 1U << LIMIT_INDEX(weight))

static void write_kills(const struct metrics_sources *from, const char *name, struct text *text)
{
    for (unsigned cause = 0; cause < CAUSES; cause++)
        if ((KILL_CAUSES >> cause & 1U) != 0 ||
            from->record->incident_counts.by[STAGE_KILLED][cause] > 0)
            text_count(text, name, TEXT_LABELS({ "cause", incident_cause_name(cause) }),
                       from->record->incident_counts.by[STAGE_KILLED][cause]);
}

static void write_met(const struct metrics_sources *from, const char *name, struct text *text)
{
    for (unsigned stage = 0; stage < INCIDENT_STAGES; stage++)
        for (unsigned cause = 0; stage != STAGE_KILLED && cause <= CAUSE_RSS; cause++)
            if ((NEVER_MET >> cause & 1U) == 0)
                text_count(
                    text, name,
                    TEXT_LABELS({ "limit", incident_cause_name(cause) },
                                { "stage", incident_stage_name((enum incident_stage) stage) }),
                    from->record->incident_counts.by[stage][cause]);
}

static void write_overshoot(const struct metrics_sources *from, const char *name, bool is_time,
                            struct text *text)
{
    static const char *const stages[] = {
        [OVERSHOOT_STOPPED] = "stopped",
        [OVERSHOOT_KILLED] = "killed",
    };

    for (unsigned i = 0; i < OVERSHOOTS; i++)
        for (unsigned stage = 0; stage < OVERSHOOT_STAGES; stage++)
            if (overshoot_table[i].is_time == is_time)
                text_histogram(
                    text, name,
                    TEXT_LABELS({ "limit", incident_cause_name(overshoot_table[i].cause) },
                                { "stage", stages[stage] }),
                    is_time ? TEXT_SECONDS : TEXT_BYTES, &from->record->stats.overshoot[stage][i]);
}

static void write_overshoot_time(const struct metrics_sources *from, const char *name,
                                 struct text *text)
{
    write_overshoot(from, name, true, text);
}

static void write_overshoot_bytes(const struct metrics_sources *from, const char *name,
                                  struct text *text)
{
    write_overshoot(from, name, false, text);
}

/* ---- jail */

static void write_level(const struct metrics_sources *from, const char *name, struct text *text)
{
    static const char *const levels[] = { "full", "reduced", "none" };
    const char *level = jail_level_name(from->jail);

    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        text_count(text, name, TEXT_LABELS({ "level", levels[i] }), levels[i][0] == level[0]);
}

static void write_layers(const struct metrics_sources *from, const char *name, struct text *text)
{
    for (unsigned i = 0; i < LAYERS; i++)
        text_count(text, name, TEXT_LABELS({ "layer", layer_table[i].name }),
                   (from->jail->layers & LAYER_BIT(i)) != 0);
}

/* ---- helpers */

static void write_helpers(const struct metrics_sources *from, const char *name, struct text *text)
{
    for (unsigned i = 0; i < HELPERS; i++)
        for (unsigned state = HELPER_OK; state < HELPER_STATES; state++)
            if (from->health->of[i].state != HELPER_ABSENT)
                text_count(text, name,
                           TEXT_LABELS({ "helper", helper_name((enum helper_id) i) },
                                       { "state", helper_state_name((enum helper_state) state) }),
                           from->health->of[i].state == state);
}

static void write_helper_losses(const struct metrics_sources *from, const char *name,
                                struct text *text)
{
    for (unsigned i = 0; i < HELPERS; i++)
        if (from->health->of[i].state != HELPER_ABSENT)
            text_count(text, name, TEXT_LABELS({ "helper", helper_name((enum helper_id) i) }),
                       from->health->of[i].losses);
}

/* clang-format off */
const struct family families_of_service[] = {
    { "skep_build_info", "gauge",
      "1; the versions of skepd and of V8, and when that came out (empty until a worker was up).",
      write_build, NULL, false },
    { "process_start_time_seconds", "gauge",
      "When skepd started, in seconds since 1970.", write_start, NULL, false },
    { "process_cpu_seconds_total", "counter",
      "CPU time of skepd itself, without spawner and workers.", write_cpu, NULL, false },
    { "skep_draining", "gauge", "1 while skepd is stopping.", write_draining, NULL, false },
    { "skep_connections", "gauge",
      "Open connections of clients.", write_connections, NULL, false },
    { "skep_bound_used", "gauge",
      "What is used of each bound of what strangers can make skepd keep.", write_used, NULL, false },
    { "skep_bound_limit", "gauge", "These bounds.", write_limit, NULL, false },
    { "skep_bound_refused_total", "counter",
      "Times that somebody was refused or cut off because of a bound.", write_refused, NULL, false },
    { "skep_connection_caps_total", "counter",
      "Times that connections met a cap: all taken (connections), one without a request gave way "
      "(idle), connections_per_ip (address), no descriptor (descriptors), buffer_mib (buffers).",
      write_caps, NULL, false },
    { "skep_unrouted_requests_total", "counter",
      "Answers to requests of no tenant, by error code.", write_unrouted, NULL, false },
    { "skep_requests_withdrawn_total", "counter",
      "Requests that were taken back from a worker that was held up, before they had begun.",
      write_withdrawn, NULL, false },
    { "skep_requests_replayed_total", "counter",
      "Requests that were sent again after a worker's death.", write_replayed, NULL, false },
    { "skep_tenants", "gauge", "Tenants.", write_tenants, NULL, false },
    { "skep_tenants_unserved", "gauge",
      "Tenants that were deployed and cannot be served; skep status says why.", write_unserved, NULL, false },
    { "skep_tenants_with_series", "gauge",
      "Tenants that have series of their own; the rest is _other.", write_series, NULL, false },
    { "skep_log_lines_total", "counter",
      "Lines that tenants have written into the log.", write_log_lines, NULL, false },
    { "skep_log_lines_left_out_total", "counter",
      "Lines that tenants were not allowed to write, by the bound that was met.",
      write_left_out, NULL, false },
    { "skep_loop_slow_callbacks_total", "counter",
      "Callbacks of skepd's loop above 5 ms of CPU time, or that waited for a disk.",
      write_slow, NULL, false },
    { "skep_loop_slow_callback_seconds", "gauge",
      "CPU time of the longest slow callback so far, by its name.",
      write_slow_by_name, NULL, false },
    { "skep_loop_longest_callback_seconds", "gauge",
      "CPU time of the longest callback so far.", write_longest, NULL, false },
    { "skep_kills_total", "counter",
      "Workers that were killed or died, by cause.", write_kills, NULL, false },
    { "skep_limits_met_total", "counter",
      "Times that a limit was met without a kill, by what followed.", write_met, NULL, false },
    { "skep_limit_overshoot_seconds", "histogram",
      "How far over a limit of time the use was when it was stopped or the worker killed.",
      write_overshoot_time, NULL, false },
    { "skep_limit_overshoot_bytes", "histogram",
      "How far over a limit of memory or size the use was when it was stopped or killed.",
      write_overshoot_bytes, NULL, false },
    { "skep_helper_state", "gauge",
      "1 for the state of each helper process, 0 for the others; all but ok want the operator.",
      write_helpers, NULL, false },
    { "skep_helper_losses_total", "counter",
      "Helper processes that died, or stood still and were ended.",
      write_helper_losses, NULL, false },
    { "skep_jail_level", "gauge",
      "1 for the level of the workers' jail, 0 for the others.", write_level, NULL, false },
    { "skep_jail_layer", "gauge",
      "1 for each layer of the jail that workers have.", write_layers, NULL, false },
};
/* clang-format on */
const size_t n_families_of_service = ARRAY_LEN(families_of_service);
