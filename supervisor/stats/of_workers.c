/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of workers, by their place: cordon and slot. A process that takes over a place goes on with
 * the place's series; what is counted for each process then starts again, as counters may.
 */
#include <stdio.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/rss.h"
#include "supervisor/placement/placement.h"
#include "supervisor/stats/families_internal.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

static void write_restarts(const struct metrics_sources *from, const char *name, struct text *text)
{
    text_count(text, name, TEXT_NO_LABELS, from->record->counters.worker_restarts);
}

static void write_states(const struct metrics_sources *from, const char *name, struct text *text)
{
    const struct config *config = from->config;

    for (unsigned i = 0; from->slots && i < config->n_cordons; i++) {
        struct listed listed = { 0 };
        uint64_t n[WORKER_STATES] = { 0 }, down = 0;
        while (slots_next_listed(from->slots, &listed)) {
            if ((listed.slot ? listed.slot->cordon : listed.worker->cordon) != config->cordons[i])
                continue;
            if (listed.worker)
                n[listed.worker->state]++;
            else
                down++;
        }
        text_count(text, name,
                   TEXT_LABELS({ "cordon", config->cordons[i]->name }, { "state", "down" }), down);
        for (unsigned state = 0; state < WORKER_STATES; state++)
            text_count(text, name,
                       TEXT_LABELS({ "cordon", config->cordons[i]->name },
                                   { "state", worker_state_name((enum worker_state) state) }),
                       n[state]);
    }
}

/* ---- for each place */

static uint64_t rss_bytes(const struct slot *slot)
{
    const struct worker *worker = slot->worker;

    return worker && worker->statm_fd >= 0 ? rss_read_bytes(worker->statm_fd) : 0;
}

static uint64_t cpu_us(const struct slot *slot)
{
    return slot->worker ? worker_cpu_ns(slot->worker) / NSEC_PER_USEC : 0;
}

static uint64_t requests(const struct slot *slot)
{
    return slot->requests;
}

static uint64_t in_flight(const struct slot *slot)
{
    return slot->worker ? slot->worker->in_flight : 0;
}

static uint64_t isolates(const struct slot *slot)
{
    return slot->worker ? slot->worker->n_placements : 0;
}

static void write_each(const struct metrics_sources *from, const char *name,
                       uint64_t (*get)(const struct slot *slot), bool is_time, struct text *text)
{
    const struct slot *slot = NULL;
    char position[16];

    while (from->slots && (slot = slots_next(from->slots, slot))) {
        (void) snprintf(position, sizeof position, "%u", slot->position);
        struct text_labels labels =
            TEXT_LABELS({ "cordon", slot->cordon->name }, { "slot", position });
        if (is_time)
            text_time(text, name, labels, get(slot));
        else
            text_count(text, name, labels, get(slot));
    }
}

static void write_rss(const struct metrics_sources *from, const char *name, struct text *text)
{
    write_each(from, name, rss_bytes, false, text);
}

static void write_cpu(const struct metrics_sources *from, const char *name, struct text *text)
{
    write_each(from, name, cpu_us, true, text);
}

static void write_requests(const struct metrics_sources *from, const char *name, struct text *text)
{
    write_each(from, name, requests, false, text);
}

static void write_in_flight(const struct metrics_sources *from, const char *name, struct text *text)
{
    write_each(from, name, in_flight, false, text);
}

static void write_isolates(const struct metrics_sources *from, const char *name, struct text *text)
{
    write_each(from, name, isolates, false, text);
}

/* clang-format off */
const struct family families_of_workers[] = {
    { "skep_worker_restarts_total", "counter",
      "Workers that died or were killed, but for those that were to end.",
      write_restarts, NULL, false },
    { "skep_workers", "gauge",
      "Workers by cordon and state, spares and leaving ones too.", write_states, NULL, false },
    { "skep_worker_resident_bytes", "gauge",
      "Resident memory of the process in a place.", write_rss, NULL, false },
    { "skep_worker_cpu_seconds_total", "counter",
      "CPU time of the process in a place.", write_cpu, NULL, false },
    { "skep_worker_requests_total", "counter",
      "Requests that were sent to a place.", write_requests, NULL, false },
    { "skep_worker_in_flight", "gauge",
      "Requests that are in a worker.", write_in_flight, NULL, false },
    { "skep_worker_isolates", "gauge",
      "Isolates of tenants' versions in a worker.", write_isolates, NULL, false },
};
/* clang-format on */
const size_t n_families_of_workers = ARRAY_LEN(families_of_workers);
