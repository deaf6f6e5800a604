/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of workers, by their cordon and slot. A process that takes over a slot continues
 * the slot's series; counters of a process start again then, as counters may.
 */
#include "common/cleanup.h"
#include "common/io.h"
#include "common/rss.h"
#include "supervisor/stats/families_internal.h"
#include "supervisor/workers/slots.h"

static uint64_t read_restarts(const struct metrics_sources *from)
{
    return from->record->counters.worker_restarts;
}

static void list_states(const struct metrics_sources *from, struct samples *samples)
{
    const struct config *config = from->config;

    for (unsigned i = 0; from->slots && i < config->n_cordons; i++) {
        const struct cordon_config *cordon = config->cordons[i];
        struct listed listed = { 0 };
        uint64_t n[WORKER_STATES] = { 0 }, down = 0;
        while (slots_next_listed(from->slots, &listed)) {
            if ((listed.slot ? listed.slot->cordon : listed.worker->cordon) != cordon)
                continue;
            if (listed.worker)
                n[listed.worker->state]++;
            else
                down++;
        }
        samples_add(samples, LABELED(cordon->name, "down"), down);
        for (enum worker_state state = 0; state < WORKER_STATES; state++)
            samples_add(samples, LABELED(cordon->name, worker_state_name(state)), n[state]);
    }
}

/* ---- for each slot */

static uint64_t read_rss(const struct slot *slot)
{
    const struct worker *worker = slot->worker;

    return worker && worker->statm_fd >= 0 ? rss_read_bytes(worker->statm_fd) : 0;
}

static uint64_t read_cpu(const struct slot *slot)
{
    return slot->worker ? worker_cpu_ns(slot->worker) / NSEC_PER_USEC : 0;
}

static uint64_t read_requests(const struct slot *slot)
{
    return slot->requests;
}

static uint64_t read_in_flight(const struct slot *slot)
{
    return slot->worker ? slot->worker->in_flight : 0;
}

static uint64_t read_isolates(const struct slot *slot)
{
    return slot->worker ? slot->worker->n_placements : 0;
}

/* clang-format off */
const struct family families_of_workers[] = {
    { .name = "skep_worker_restarts_total", .type = FAMILY_COUNTER,
      .help = "Workers that died or were killed, without those that were to end anyway.",
      .read = read_restarts },
    { .name = "skep_workers", .type = FAMILY_GAUGE,
      .help = "Workers by cordon and state, spares and leaving ones too.",
      .labels = { "cordon", "state" }, .list = list_states },
    { .name = "skep_worker_resident_bytes", .type = FAMILY_GAUGE, .unit = UNIT_BYTES,
      .help = "Resident memory of the process in a slot.",
      .labels = { "cordon", "slot" }, .read_slot = read_rss },
    { .name = "skep_worker_cpu_seconds_total", .type = FAMILY_COUNTER, .unit = UNIT_US,
      .help = "CPU time of the process in a slot.",
      .labels = { "cordon", "slot" }, .read_slot = read_cpu },
    { .name = "skep_worker_requests_total", .type = FAMILY_COUNTER,
      .help = "Requests that were sent to a slot.",
      .labels = { "cordon", "slot" }, .read_slot = read_requests },
    { .name = "skep_worker_in_flight", .type = FAMILY_GAUGE,
      .help = "Requests that are in a worker.",
      .labels = { "cordon", "slot" }, .read_slot = read_in_flight },
    { .name = "skep_worker_isolates", .type = FAMILY_GAUGE,
      .help = "Isolates of tenants' versions in a worker.",
      .labels = { "cordon", "slot" }, .read_slot = read_isolates },
};
/* clang-format on */
const size_t n_families_of_workers = ARRAY_LEN(families_of_workers);
