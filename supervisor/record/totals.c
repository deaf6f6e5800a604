/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/record/totals.h"

#include <stddef.h>

/* clang-format off */
const struct total_info total_table[TOTALS] = {
    [TOTAL_CONNECTIONS] = { "connections", "", "http.connections",
        "open connections of clients" },
    [TOTAL_BUFFERS] = { "buffers", "bytes", "http.buffer_mib",
        "bytes of requests and answers that are kept for clients" },
    [TOTAL_WAITING_REQUESTS] = { "waiting_requests", "", "http.connections",
        "requests that wait for a worker; one for each connection, and each tenant's queue" },
    [TOTAL_WORKER_OUTPUT] = { "worker_output", "bytes", NULL,
        "frames that workers have not read yet, 12 MiB for each; a worker above that is killed" },
    [TOTAL_LOADS] = { "loads", "", NULL,
        "versions that are being loaded, 256 for each worker" },
    [TOTAL_WITHDRAWN] = { "withdrawn", "", NULL,
        "requests that were taken back from a worker that still has to say so, 256 for each" },
    [TOTAL_FETCHES] = { "fetches", "", NULL,
        "fetches that are open at skep-egress; 64 of a tenant, fewer when many tenants have some" },
    [TOTAL_LOG_LINES] = { "log_lines", "", "log.lines",
        "lines of tenants in the log in this second; one of them has log.tenant_lines" },
    [TOTAL_ACCESS_LINES] = { "access_lines", "", "log.access_lines",
        "lines of the access log in this second" },
    [TOTAL_ADMIN_CLIENTS] = { "admin_clients", "", NULL,
        "clients of the admin socket; 8 of one user, 24 but root's" },
    [TOTAL_SCRAPES] = { "scrapes", "", NULL,
        "answers of the metrics that are being written" },
    [TOTAL_DEPLOYS] = { "deploys", "", NULL,
        "deploys that are under way" },
    [TOTAL_INCIDENTS] = { "incidents", "", NULL,
        "last incidents that are kept; an older one goes" },
    [TOTAL_EGRESS_LOG] = { "egress_log", "bytes", NULL,
        "last fetches of tenants that are kept, 100 and 32 KiB of each; an older one goes" },
    [TOTAL_DESCRIPTORS] = { "descriptors", "", NULL,
        "connections, and the reserve of descriptors for everything else" },
};
/* clang-format on */

void total_set(struct total_source sources[static TOTALS], enum total_kind kind, total_fn read,
               void *owner)
{
    sources[kind] = (struct total_source){ .read = read, .owner = owner };
}

void total_read(const struct total_source sources[static TOTALS], enum total_kind kind,
                struct total *ret_total)
{
    *ret_total = (struct total){ .limit = 1 };
    if (sources[kind].read)
        sources[kind].read(sources[kind].owner, ret_total);
}
