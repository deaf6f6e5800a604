/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of totals.h: where each is read.
 */
#include "supervisor/totals.h"

#include "proto/channel.h"
#include "supervisor/admin/admin.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/http/http.h"
#include "supervisor/ledger/ledger.h"
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
    [TOTAL_ADMIN_CLIENTS] = { "admin_clients", "", NULL,
        "clients of the admin socket; 8 of one user, 24 but root's" },
    [TOTAL_SCRAPES] = { "scrapes", "", NULL,
        "answers of the metrics that are being written" },
    [TOTAL_DEPLOYS] = { "deploys", "", NULL,
        "deploys that are under way" },
    [TOTAL_INCIDENTS] = { "incidents", "", NULL,
        "last incidents that are kept; an older one goes" },
};

static void (*const readers[TOTALS])(const struct server *server, struct total *total) = {
    [TOTAL_CONNECTIONS] = read_connections,
    [TOTAL_BUFFERS] = read_buffers,
    [TOTAL_WAITING_REQUESTS] = read_waiting_requests,
    [TOTAL_WORKER_OUTPUT] = read_worker_output,
    [TOTAL_ADMIN_CLIENTS] = read_admin_clients,
    [TOTAL_SCRAPES] = read_scrapes,
    [TOTAL_DEPLOYS] = read_deploys,
    [TOTAL_INCIDENTS] = read_incidents,
};
/* clang-format on */

void total_read(const struct server *server, enum total_kind kind, struct total *ret_total)
{
    *ret_total = (struct total){ 0 };
    readers[kind](server, ret_total);
}
