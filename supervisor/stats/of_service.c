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
#include "supervisor/stats/families_internal.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/tenants/unserved.h"

static void list_build(const struct metrics_sources *from, struct samples *samples)
{
    const char *v8 = from->record->v8_version;

    samples_add(samples, LABELED(SKEP_VERSION, v8, v8_release_date(v8)), 1);
}

/* The time of day when the loop began, which a step of the clock may move. */
static uint64_t read_start(const struct metrics_sources *from)
{
    uint64_t up_ns = io_now_ns() - from->record->started_ns;

    return (io_clock_ns(CLOCK_REALTIME) - up_ns) / NSEC_PER_USEC;
}

static uint64_t read_cpu(const struct metrics_sources *from)
{
    (void) from;
    return io_clock_ns(CLOCK_PROCESS_CPUTIME_ID) / NSEC_PER_USEC;
}

static uint64_t read_draining(const struct metrics_sources *from)
{
    return from->life->is_draining;
}

static uint64_t read_connections(const struct metrics_sources *from)
{
    return from->front ? http_front_connections(from->front) : 0;
}

static void list_caps(const struct metrics_sources *from, struct samples *samples)
{
    static const char *const caps[HTTP_CAPS] = {
        [HTTP_CAP_CONNECTIONS] = "connections", [HTTP_CAP_IDLE] = "idle",
        [HTTP_CAP_ADDRESS] = "address",         [HTTP_CAP_DESCRIPTORS] = "descriptors",
        [HTTP_CAP_BUFFERS] = "buffers",
    };

    for (enum http_cap cap = 0; cap < HTTP_CAPS; cap++)
        samples_add(samples, LABELED(caps[cap]),
                    from->front ? http_front_cap_count(from->front, cap) : 0);
}

/* ---- requests and tenants */

static void list_unrouted(const struct metrics_sources *from, struct samples *samples)
{
    const uint64_t *counts = from->record->stats.no_tenant.errors;

    for (enum error_code code = 0; code < ERROR_CODES; code++)
        if (code == ERROR_NO_ROUTE || counts[code] > 0)
            samples_add(samples, LABELED(family_code_name(code)), counts[code]);
}

static uint64_t read_withdrawn(const struct metrics_sources *from)
{
    return from->record->counters.withdrawn;
}

static uint64_t read_replayed(const struct metrics_sources *from)
{
    return from->record->counters.replayed;
}

static uint64_t read_tenants(const struct metrics_sources *from)
{
    return from->tenants->n_listed;
}

static uint64_t read_unserved(const struct metrics_sources *from)
{
    return unserved_count(from->tenants);
}

static uint64_t read_series(const struct metrics_sources *from)
{
    return from->record->stats.n_series;
}

/* ---- the log */

static uint64_t read_log_lines(const struct metrics_sources *from)
{
    return from->record->log_counts.written;
}

static void list_left_out(const struct metrics_sources *from, struct samples *samples)
{
    samples_add(samples, LABELED("tenant"), from->record->log_counts.over_own);
    samples_add(samples, LABELED("all"), from->record->log_counts.over_all);
}

/* ---- bounds of data that skepd keeps for strangers */

static void list_totals(const struct metrics_sources *from,
                        uint64_t member_of(const struct total *), struct samples *samples)
{
    for (enum total_kind kind = 0; kind < TOTALS; kind++) {
        struct total total;
        total_read(from->record->totals, kind, &total);
        samples_add(samples, LABELED(total_table[kind].name), member_of(&total));
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

static void list_used(const struct metrics_sources *from, struct samples *samples)
{
    list_totals(from, used_of, samples);
}

static void list_limit(const struct metrics_sources *from, struct samples *samples)
{
    list_totals(from, limit_of, samples);
}

static void list_refused(const struct metrics_sources *from, struct samples *samples)
{
    list_totals(from, refused_of, samples);
}

/* ---- fetches */

static void list_hosts(const struct metrics_sources *from, struct samples *samples)
{
    const struct top_hosts *top = &from->record->top_hosts;
    const struct top_host *hosts[TOP_HOSTS_SHOWN];
    size_t n = top_hosts_list(top, hosts);
    uint64_t rest = top->total;

    for (size_t i = 0; i < n; i++) {
        samples_add(samples, LABELED(hosts[i]->name), hosts[i]->count);
        rest -= hosts[i]->count;
    }
    samples_add(samples, LABELED(REST_NAME), rest);
}

/* ---- the loop */

static void list_slow(const struct metrics_sources *from, struct samples *samples)
{
    size_t n;
    const struct loop_slow *slow = loop_watch_slow(&n);
    uint64_t cpu = 0, disk = 0;

    (void) from;
    for (size_t i = 0; i < n; i++) {
        cpu += slow[i].cpu;
        disk += slow[i].disk;
    }
    samples_add(samples, LABELED("cpu"), cpu);
    samples_add(samples, LABELED("disk"), disk);
}

/* Adds at least one series, so that the family is there before the first slow callback. */
static void list_slow_by_name(const struct metrics_sources *from, struct samples *samples)
{
    static const struct loop_slow none = { .name = "none" };
    size_t n;
    const struct loop_slow *slow = loop_watch_slow(&n);

    (void) from;
    for (size_t i = 0; i < (n > 0 ? n : 1); i++) {
        const struct loop_slow *one = n > 0 ? &slow[i] : &none;
        samples_add(samples, LABELED(one->name), one->longest_us);
    }
}

static uint64_t read_longest(const struct metrics_sources *from)
{
    (void) from;
    return loop_watch_longest_us();
}

/* ---- limits */

/* Causes that have series from the start: those for which a worker can be killed, or die. */
#define CAUSE_BIT(cause) (UINT64_C(1) << (cause))
#define LIMIT_BIT(field) CAUSE_BIT(LIMIT_INDEX(field))
#define KILL_CAUSES                                                                             \
    (LIMIT_BIT(cpu_ms) | LIMIT_BIT(cpu_startup_ms) | LIMIT_BIT(wall_ms) | LIMIT_BIT(heap_mib) | \
     CAUSE_BIT(CAUSE_RSS) | CAUSE_BIT(CAUSE_CRASH) | CAUSE_BIT(CAUSE_JAIL) |                    \
     CAUSE_BIT(CAUSE_PROTOCOL) | CAUSE_BIT(CAUSE_SILENT) | CAUSE_BIT(CAUSE_OUTSIDE))
/* Limits that are never met alone, or that skep-data keeps. */
#define NEVER_MET                                                                            \
    (LIMIT_BIT(grace_ms) | LIMIT_BIT(weight) | LIMIT_BIT(storage_rate) | LIMIT_BIT(kv_mib) | \
     LIMIT_BIT(kv_keys) | LIMIT_BIT(kv_value_mib) | LIMIT_BIT(sql_mib) | LIMIT_BIT(sql_rows_mib))

static void list_kills(const struct metrics_sources *from, struct samples *samples)
{
    const uint64_t *counts = from->record->incident_counts.by[STAGE_KILLED];

    for (unsigned cause = 0; cause < CAUSES; cause++)
        if ((KILL_CAUSES >> cause & 1U) != 0 || counts[cause] > 0)
            samples_add(samples, LABELED(incident_cause_name(cause)), counts[cause]);
}

static void list_met(const struct metrics_sources *from, struct samples *samples)
{
    for (enum incident_stage stage = 0; stage < INCIDENT_STAGES; stage++)
        for (unsigned cause = 0; stage != STAGE_KILLED && cause <= CAUSE_RSS; cause++)
            if ((NEVER_MET >> cause & 1U) == 0)
                samples_add(samples,
                            LABELED(incident_cause_name(cause), incident_stage_name(stage)),
                            from->record->incident_counts.by[stage][cause]);
}

static void list_overshoot(const struct metrics_sources *from, bool is_time,
                           struct samples *samples)
{
    static const char *const stages[] = {
        [OVERSHOOT_STOPPED] = "stopped",
        [OVERSHOOT_KILLED] = "killed",
    };

    for (unsigned i = 0; i < OVERSHOOTS; i++)
        for (unsigned stage = 0; stage < OVERSHOOT_STAGES; stage++)
            if (overshoot_table[i].is_time == is_time)
                samples_add_histogram(
                    samples, LABELED(incident_cause_name(overshoot_table[i].cause), stages[stage]),
                    &from->record->stats.overshoot[stage][i]);
}

static void list_overshoot_time(const struct metrics_sources *from, struct samples *samples)
{
    list_overshoot(from, true, samples);
}

static void list_overshoot_bytes(const struct metrics_sources *from, struct samples *samples)
{
    list_overshoot(from, false, samples);
}

/* ---- jail */

static void list_level(const struct metrics_sources *from, struct samples *samples)
{
    static const char *const levels[] = { "full", "reduced", "none" };
    const char *level = jail_level_name(from->jail);

    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        samples_add(samples, LABELED(levels[i]), levels[i][0] == level[0]);
}

static void list_layers(const struct metrics_sources *from, struct samples *samples)
{
    for (unsigned i = 0; i < LAYERS; i++)
        samples_add(samples, LABELED(layer_table[i].name),
                    (from->jail->layers & LAYER_BIT(i)) != 0);
}

/* ---- helpers */

static void list_helpers(const struct metrics_sources *from, struct samples *samples)
{
    for (enum helper_id id = 0; id < HELPERS; id++)
        for (enum helper_state state = HELPER_OK; state < HELPER_STATES; state++)
            if (from->health->of[id].state != HELPER_ABSENT)
                samples_add(samples, LABELED(helper_name(id), helper_state_name(state)),
                            from->health->of[id].state == state);
}

static void list_helper_losses(const struct metrics_sources *from, struct samples *samples)
{
    for (enum helper_id id = 0; id < HELPERS; id++)
        if (from->health->of[id].state != HELPER_ABSENT)
            samples_add(samples, LABELED(helper_name(id)), from->health->of[id].losses);
}

/* clang-format off */
const struct family families_of_service[] = {
    { .name = "skep_build_info", .type = FAMILY_GAUGE,
      .help = "1; the versions of skepd and of V8, and the date of V8's release (empty until a worker was "
              "up).",
      .labels = { "version", "v8", "v8_date" }, .list = list_build },
    { .name = "process_start_time_seconds", .type = FAMILY_GAUGE, .unit = UNIT_US,
      .help = "When skepd started, in seconds since 1970.",
      .read = read_start },
    { .name = "process_cpu_seconds_total", .type = FAMILY_COUNTER, .unit = UNIT_US,
      .help = "CPU time of skepd itself, without spawner and workers.",
      .read = read_cpu },
    { .name = "skep_draining", .type = FAMILY_GAUGE,
      .help = "1 while skepd is stopping.",
      .read = read_draining },
    { .name = "skep_connections", .type = FAMILY_GAUGE,
      .help = "Open connections of clients.",
      .read = read_connections },
    { .name = "skep_bound_used", .type = FAMILY_GAUGE,
      .help = "Use of each bound of data that skepd keeps for strangers.",
      .labels = { "what" }, .list = list_used },
    { .name = "skep_bound_limit", .type = FAMILY_GAUGE,
      .help = "The bounds of data that skepd keeps for strangers.",
      .labels = { "what" }, .list = list_limit },
    { .name = "skep_bound_refused_total", .type = FAMILY_COUNTER,
      .help = "Times that a client or tenant was refused or cut off because of a bound.",
      .labels = { "what" }, .list = list_refused },
    { .name = "skep_connection_caps_total", .type = FAMILY_COUNTER,
      .help = "Times that connections met a cap: all taken (connections), one without a request gave "
              "way (idle), connections_per_ip (address), no descriptor (descriptors), buffer_mib "
              "(buffers).",
      .labels = { "cap" }, .list = list_caps },
    { .name = "skep_unrouted_requests_total", .type = FAMILY_COUNTER,
      .help = "Answers to requests of no tenant, by error code.",
      .labels = { "code" }, .list = list_unrouted },
    { .name = "skep_requests_withdrawn_total", .type = FAMILY_COUNTER,
      .help = "Requests that were taken back from a worker that was held up, before they had begun.",
      .read = read_withdrawn },
    { .name = "skep_requests_replayed_total", .type = FAMILY_COUNTER,
      .help = "Requests that were sent again after a worker's death.",
      .read = read_replayed },
    { .name = "skep_tenants", .type = FAMILY_GAUGE,
      .help = "Tenants.",
      .read = read_tenants },
    { .name = "skep_tenants_unserved", .type = FAMILY_GAUGE,
      .help = "Tenants that cannot be served; skep status says why.",
      .read = read_unserved },
    { .name = "skep_tenants_with_series", .type = FAMILY_GAUGE,
      .help = "Tenants that have series of their own; the rest is _other.",
      .read = read_series },
    { .name = "skep_log_lines_total", .type = FAMILY_COUNTER,
      .help = "Lines that tenants have written into the log.",
      .read = read_log_lines },
    { .name = "skep_log_lines_left_out_total", .type = FAMILY_COUNTER,
      .help = "Lines that tenants were not allowed to write, by the bound that was met.",
      .labels = { "bound" }, .list = list_left_out },
    { .name = "skep_loop_slow_callbacks_total", .type = FAMILY_COUNTER,
      .help = "Callbacks of skepd's loop above 5 ms of CPU time, or that waited for a disk.",
      .labels = { "reason" }, .list = list_slow },
    { .name = "skep_loop_slow_callback_seconds", .type = FAMILY_GAUGE, .unit = UNIT_US,
      .help = "CPU time of the longest slow callback so far, by its name.",
      .labels = { "callback" }, .list = list_slow_by_name },
    { .name = "skep_loop_longest_callback_seconds", .type = FAMILY_GAUGE, .unit = UNIT_US,
      .help = "CPU time of the longest callback so far.",
      .read = read_longest },
    { .name = "skep_kills_total", .type = FAMILY_COUNTER,
      .help = "Workers that were killed or died, by cause.",
      .labels = { "cause" }, .list = list_kills },
    { .name = "skep_limits_met_total", .type = FAMILY_COUNTER,
      .help = "Times that a limit was met without a kill, by what followed.",
      .labels = { "limit", "stage" }, .list = list_met },
    { .name = "skep_limit_overshoot_seconds", .type = FAMILY_HISTOGRAM, .unit = UNIT_US,
      .help = "How far over a limit of time the use was when it was stopped or the worker killed.",
      .labels = { "limit", "stage" }, .list = list_overshoot_time },
    { .name = "skep_limit_overshoot_bytes", .type = FAMILY_HISTOGRAM, .unit = UNIT_BYTES,
      .help = "How far over a limit of memory or size the use was when it was stopped or killed.",
      .labels = { "limit", "stage" }, .list = list_overshoot_bytes },
    { .name = "skep_fetch_hosts", .type = FAMILY_GAUGE,
      .help = "Answers since the start to fetches of all tenants, for the hosts with most of them; _other is the rest.",
      .labels = { "host" }, .list = list_hosts },
    { .name = "skep_helper_state", .type = FAMILY_GAUGE,
      .help = "1 for the state of each helper process, 0 for the others; all but ok want the "
              "operator.",
      .labels = { "helper", "state" }, .list = list_helpers },
    { .name = "skep_helper_losses_total", .type = FAMILY_COUNTER,
      .help = "Helper processes that died, or stood still and were ended.",
      .labels = { "helper" }, .list = list_helper_losses },
    { .name = "skep_jail_level", .type = FAMILY_GAUGE,
      .help = "1 for the level of the workers' jail, 0 for the others.",
      .labels = { "level" }, .list = list_level },
    { .name = "skep_jail_layer", .type = FAMILY_GAUGE,
      .help = "1 for each layer of the jail that workers have.",
      .labels = { "layer" }, .list = list_layers },
};
/* clang-format on */
const size_t n_families_of_service = ARRAY_LEN(families_of_service);
