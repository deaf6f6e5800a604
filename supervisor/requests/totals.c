/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ledger, the front and the workers keep, as rows of record/totals.h. Supervisor, loop thread.
 */
#include "common/cleanup.h"
#include "common/io.h"
#include "proto/channel.h"
#include "supervisor/host/descriptors.h"
#include "supervisor/requests/internal.h"
#include "supervisor/workers/link.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

static void read_connections(void *owner, struct total *total)
{
    const struct server *server = ((const struct ledger *) owner)->server;
    total->limit = server->config->http.connections;
    if (!server->front)
        return;
    total->used = http_front_connections(server->front);
    total->refused = http_front_cap_count(server->front, HTTP_CAP_ADDRESS) +
                     http_front_cap_count(server->front, HTTP_CAP_IDLE);
}

static void read_buffers(void *owner, struct total *total)
{
    const struct server *server = ((const struct ledger *) owner)->server;
    total->limit = (uint64_t) server->config->http.buffer_mib << 20;
    if (!server->front)
        return;
    total->used = http_front_buffered(server->front);
    total->refused = http_front_cap_count(server->front, HTTP_CAP_BUFFERS);
}

/* A connection has one request at a time. */
static void read_waiting_requests(void *owner, struct total *total)
{
    const struct server *server = ((const struct ledger *) owner)->server;
    total->limit = server->config->http.connections;
    total->used = server->ledger->queued;
    total->refused = server->record.counters.errors[ERROR_TENANT_BUSY];
}

static void read_worker_output(void *owner, struct total *total)
{
    const struct server *server = ((const struct ledger *) owner)->server;
    const struct worker *worker;
    unsigned n = 0;

    if (server->slots)
        TAILQ_FOREACH (worker, &server->slots->workers, entry) {
            total->used += worker->channel ? channel_queued_bytes(worker->channel) : 0;
            n++;
        }
    total->limit = (uint64_t) LINK_OUTPUT_MAX_BYTES * (n > 0 ? n : 1);
    total->refused = server->record.counters.unread;
}

/* Each takes a place of the worker's scoreboard, and none is begun while the worker does not read. */
static void read_loads(void *owner, struct total *total)
{
    const struct server *server = ((const struct ledger *) owner)->server;
    const struct placement *placement;
    const struct worker *worker;
    unsigned n = 0;

    if (server->slots)
        TAILQ_FOREACH (worker, &server->slots->workers, entry) {
            n++;
            LIST_FOREACH (placement, &worker->placements, in_worker)
                total->used += placement_is_loading(placement);
        }
    total->limit = (uint64_t) SCOREBOARD_TENANTS * (n > 0 ? n : 1);
}

static void read_withdrawn(void *owner, struct total *total)
{
    const struct server *server = ((const struct ledger *) owner)->server;
    const struct worker *worker;
    unsigned n = 0;

    if (server->slots)
        TAILQ_FOREACH (worker, &server->slots->workers, entry) {
            total->used += worker->n_withdrawn;
            n++;
        }
    total->limit = (uint64_t) WITHDRAWN_MAX * (n > 0 ? n : 1);
    total->refused = server->record.counters.not_withdrawn;
}

static void read_access_lines(void *owner, struct total *total)
{
    const struct ledger *ledger = owner;
    const struct access_bound *bound = &ledger->access;

    total->limit = ledger->server->config->log.access_lines;
    total->used = bound->all.second == io_now_ns() / NSEC_PER_SEC ? bound->all.lines : 0;
    total->refused = bound->left_out;
}

static void read_descriptors(void *owner, struct total *total)
{
    const struct server *server = ((const struct ledger *) owner)->server;
    total->used = descriptors_reserve(server->config);
    total->limit = server->max_files > 0 ? server->max_files : total->used;
    if (!server->front)
        return;
    total->used += http_front_connections(server->front);
    total->refused = http_front_cap_count(server->front, HTTP_CAP_DESCRIPTORS);
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
    { TOTAL_ACCESS_LINES, read_access_lines },
    { TOTAL_DESCRIPTORS, read_descriptors },
};

void ledger_set_totals(struct ledger *ledger)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        total_set(ledger->server->record.totals, rows[i].kind, rows[i].read, ledger);
}

void ledger_unset_totals(struct ledger *ledger)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        total_set(ledger->server->record.totals, rows[i].kind, NULL, NULL);
}
