/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of totals.h: where each is read.
 */
#include "supervisor/record/totals.h"

#include "common/io.h"
#include "proto/channel.h"
#include "supervisor/admin/admin.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/host/descriptors.h"
#include "supervisor/http/http.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/server.h"
#include "supervisor/stats/metrics.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/link.h"

static void read_connections(const struct server *server, struct total *total)
{
    total->limit = server->config->http.connections;
    if (!server->front)
        return;
    total->used = http_front_connections(server->front);
    total->refused = http_front_cap_count(server->front, HTTP_CAP_ADDRESS) +
                     http_front_cap_count(server->front, HTTP_CAP_IDLE);
}

static void read_buffers(const struct server *server, struct total *total)
{
    total->limit = (uint64_t) server->config->http.buffer_mib << 20;
    if (!server->front)
        return;
    total->used = http_front_buffered(server->front);
    total->refused = http_front_cap_count(server->front, HTTP_CAP_BUFFERS);
}

/* A connection has one request at a time. */
static void read_waiting_requests(const struct server *server, struct total *total)
{
    total->limit = server->config->http.connections;
    total->used = server->ledger ? server->ledger->queued : 0;
    total->refused = server->counters.errors[ERROR_TENANT_BUSY];
}

static void read_worker_output(const struct server *server, struct total *total)
{
    const struct child *child;
    unsigned n = 0;

    if (server->pool)
        TAILQ_FOREACH (child, &server->pool->children, entry) {
            total->used += child->channel ? channel_queued_bytes(child->channel) : 0;
            n++;
        }
    total->limit = (uint64_t) LINK_OUTPUT_MAX_BYTES * (n > 0 ? n : 1);
    total->refused = server->counters.unread;
}

/* Each takes a place of the worker's scoreboard, and none is begun while the worker does not read. */
static void read_loads(const struct server *server, struct total *total)
{
    const struct placement *placement;
    const struct child *child;
    unsigned n = 0;

    if (server->pool)
        TAILQ_FOREACH (child, &server->pool->children, entry) {
            n++;
            LIST_FOREACH (placement, &child->placements, in_child)
                total->used += placement->state == PLACEMENT_LOADING;
        }
    total->limit = (uint64_t) SCOREBOARD_TENANTS * (n > 0 ? n : 1);
}

static void read_log_lines(const struct server *server, struct total *total)
{
    const struct tenants *tenants = server->tenants;

    total->limit = server->config->log.lines;
    if (!tenants)
        return;
    total->used = tenants->logged.second == io_now_ns() / NSEC_PER_SEC ? tenants->logged.lines : 0;
    total->refused = tenants->log_counts.over_all + tenants->log_counts.over_own;
}

static void read_descriptors(const struct server *server, struct total *total)
{
    total->used = descriptors_reserve(server->config);
    total->limit = server->max_files > 0 ? server->max_files : total->used;
    if (!server->front)
        return;
    total->used += http_front_connections(server->front);
    total->refused = http_front_cap_count(server->front, HTTP_CAP_DESCRIPTORS);
}

static void read_admin_clients(const struct server *server, struct total *total)
{
    admin_read_total(server->admin, total);
}

static void read_scrapes(const struct server *server, struct total *total)
{
    metrics_read_total(server->metrics, total);
}

static void read_deploys(const struct server *server, struct total *total)
{
    deploy_read_total(server->deploys, total);
}

static void read_incidents(const struct server *server, struct total *total)
{
    uint64_t last = server->incidents.last;

    total->limit = INCIDENTS_KEPT;
    total->used = last < INCIDENTS_KEPT ? last : INCIDENTS_KEPT;
    total->refused = last - total->used;
}

/* clang-format off */
const struct total_info total_table[TOTALS] = {
    [TOTAL_CONNECTIONS] = { "connections", "", "http.connections",
        "open connections of clients" },
    [TOTAL_BUFFERS] = { "buffers", "bytes", "http.buffer_mib",
        "bytes of requests and answers that are kept for clients" },
    [TOTAL_WAITING_REQUESTS] = { "waiting_requests", "", "http.connections",
        "requests that wait for a worker; one for each connection, and each tenant's queue" },
    [TOTAL_WORKER_OUTPUT] = { "worker_output", "bytes", NULL,
        "frames that workers have not read yet, 36 MiB for each; a worker above that is killed" },
    [TOTAL_LOADS] = { "loads", "", NULL,
        "versions that are being loaded, 256 for each worker" },
    [TOTAL_LOG_LINES] = { "log_lines", "", "log.lines",
        "lines of tenants in the log in this second; one of them has log.tenant_lines" },
    [TOTAL_ADMIN_CLIENTS] = { "admin_clients", "", NULL,
        "clients of the admin socket; 8 of one user, 24 but root's" },
    [TOTAL_SCRAPES] = { "scrapes", "", NULL,
        "answers of the metrics that are being written" },
    [TOTAL_DEPLOYS] = { "deploys", "", NULL,
        "deploys that are under way" },
    [TOTAL_INCIDENTS] = { "incidents", "", NULL,
        "last incidents that are kept; an older one goes" },
    [TOTAL_DESCRIPTORS] = { "descriptors", "", NULL,
        "connections, and the reserve of descriptors for everything else" },
};

static void (*const readers[TOTALS])(const struct server *server, struct total *total) = {
    [TOTAL_CONNECTIONS] = read_connections,
    [TOTAL_BUFFERS] = read_buffers,
    [TOTAL_WAITING_REQUESTS] = read_waiting_requests,
    [TOTAL_WORKER_OUTPUT] = read_worker_output,
    [TOTAL_LOADS] = read_loads,
    [TOTAL_LOG_LINES] = read_log_lines,
    [TOTAL_ADMIN_CLIENTS] = read_admin_clients,
    [TOTAL_SCRAPES] = read_scrapes,
    [TOTAL_DEPLOYS] = read_deploys,
    [TOTAL_INCIDENTS] = read_incidents,
    [TOTAL_DESCRIPTORS] = read_descriptors,
};
/* clang-format on */

void total_read(const struct server *server, enum total_kind kind, struct total *ret_total)
{
    *ret_total = (struct total){ 0 };
    readers[kind](server, ret_total);
}
