/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service at a glance. Supervisor, loop thread.
 */
#include <unistd.h>

#include "common/io.h"
#include "supervisor/admin/report.h"

int admin_report_status(const struct server *server, struct arena *arena, Skep__Admin__Status *ret)
{
    Skep__Admin__Stats stats = SKEP__ADMIN__STATS__INIT;
    const struct jail_state *jail = &server->jail;

    report_count(server, &stats);
    ret->state = report_text(server->is_draining ? "draining" : "serving");
    ret->version = report_text(SKEP_VERSION);
    ret->pid = (uint32_t) getpid();
    ret->uptime_ms = (io_now_ns() - server->started_ns) / NSEC_PER_MSEC;
    ret->tenants = stats.tenants;
    ret->quarantined = stats.quarantined;
    ret->workers = stats.workers;
    ret->workers_ready = stats.workers_ready;
    ret->workers_failed = stats.workers_failed;
    ret->jail = report_text(jail_level_name(jail));
    int r =
        report_layers(LAYERS_ALL, jail->layers, jail->errors, arena, &ret->layers, &ret->n_layers);
    if (r == 0)
        r = report_layers(JAIL_OWN_LAYERS, jail->own_layers, jail->errors, arena, &ret->own_layers,
                          &ret->n_own_layers);
    return r;
}
