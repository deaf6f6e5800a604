/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of record/totals.h for the ledger, the front and the workers. Supervisor, loop thread.
 */
#include "common/cleanup.h"
#include "common/io.h"
#include "proto/channel.h"
#include "supervisor/host/descriptors.h"
#include "supervisor/requests/fetches.h"
#include "supervisor/requests/internal.h"
#include "supervisor/workers/link.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

static void read_connections(void *owner, struct total *total)
{
    const struct ledger *ledger = owner;
    total->limit = ledger->config->http.connections;
    if (!ledger->front)
        return;
    total->used = http_front_connections(ledger->front);
    total->refused = http_front_cap_count(ledger->front, HTTP_CAP_ADDRESS) +
                     http_front_cap_count(ledger->front, HTTP_CAP_IDLE);
}

static void read_buffers(void *owner, struct total *total)
{
    const struct ledger *ledger = owner;
    total->limit = (uint64_t) ledger->config->http.buffer_mib << 20;
    if (!ledger->front)
        return;
    total->used = http_front_buffered(ledger->front);
    total->refused = http_front_cap_count(ledger->front, HTTP_CAP_BUFFERS);
}

/* A connection has one request at a time, so connections bound the requests. */
static void read_waiting_requests(void *owner, struct total *total)
{
    const struct ledger *ledger = owner;
    total->limit = ledger->config->http.connections;
    total->used = ledger->queued;
    total->refused = ledger->record->counters.errors[ERROR_TENANT_BUSY];
}

/* Adds up what is used of a total that each worker has a part of. most: that part. */
static void add_workers(const struct ledger *ledger, uint64_t (*used)(const struct worker *worker),
                        uint64_t most, struct total *total)
{
    const struct worker *worker;
    unsigned n = 0;

    if (ledger->placements->slots)
        TAILQ_FOREACH (worker, &ledger->placements->slots->workers, entry) {
            total->used += used(worker);
            n++;
        }
    total->limit = most * (n > 0 ? n : 1);
}

static uint64_t output_of(const struct worker *worker)
{
    return worker->channel ? channel_queued_bytes(worker->channel) : 0;
}

static void read_worker_output(void *owner, struct total *total)
{
    const struct ledger *ledger = owner;

    add_workers(ledger, output_of, LINK_OUTPUT_MAX_BYTES, total);
    total->refused = ledger->record->counters.unread;
}

/* Each load takes a row of the worker's scoreboard, and none is begun while the worker does not
 * read. */
static uint64_t loads_of(const struct worker *worker)
{
    const struct placement *placement;
    uint64_t n = 0;

    LIST_FOREACH (placement, &worker->placements, in_worker)
        n += placement_is_loading(placement);
    return n;
}

static void read_loads(void *owner, struct total *total)
{
    add_workers(owner, loads_of, SCOREBOARD_PLACEMENTS, total);
}

static uint64_t withdrawn_of(const struct worker *worker)
{
    return worker->n_withdrawn;
}

static void read_withdrawn(void *owner, struct total *total)
{
    const struct ledger *ledger = owner;

    add_workers(ledger, withdrawn_of, WITHDRAWN_MAX, total);
    total->refused = ledger->record->counters.not_withdrawn;
}

static void read_fetches(void *owner, struct total *total)
{
    const struct ledger *ledger = owner;

    total->used = ledger->fetches->queue.n_open;
    total->limit = EGRESS_FETCHES_MAX;
}

static void read_access_lines(void *owner, struct total *total)
{
    const struct ledger *ledger = owner;
    const struct access_bound *bound = &ledger->access;

    total->limit = ledger->config->log.access_lines;
    total->used = bound->all.second == io_now_ns() / NSEC_PER_SEC ? bound->all.lines : 0;
    total->refused = bound->left_out;
}

static void read_descriptors(void *owner, struct total *total)
{
    const struct ledger *ledger = owner;
    total->used = descriptors_reserve(ledger->config);
    total->limit = ledger->max_files > 0 ? ledger->max_files : total->used;
    if (!ledger->front)
        return;
    total->used += http_front_connections(ledger->front);
    total->refused = http_front_cap_count(ledger->front, HTTP_CAP_DESCRIPTORS);
}

static const struct {
    enum total_kind kind;
    total_fn read;
} rows[] = {
    { TOTAL_CONNECTIONS, read_connections },
    { TOTAL_BUFFERS, read_buffers },
    { TOTAL_WAITING_REQUESTS, read_waiting_requests },
    { TOTAL_WORKER_OUTPUT, read_worker_output },
    { TOTAL_LOADS, read_loads },
    { TOTAL_WITHDRAWN, read_withdrawn },
    { TOTAL_FETCHES, read_fetches },
    { TOTAL_ACCESS_LINES, read_access_lines },
    { TOTAL_DESCRIPTORS, read_descriptors },
};

void ledger_set_totals(struct ledger *ledger)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        total_set(ledger->record->totals, rows[i].kind, rows[i].read, ledger);
}

void ledger_unset_totals(struct ledger *ledger)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        total_set(ledger->record->totals, rows[i].kind, NULL, NULL);
}
