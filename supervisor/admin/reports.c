/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that ask for a report or have tenants read and loaded again: one handler each, as of
 * channel_handler_fn; owner: struct admin_client. Supervisor, loop thread.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "supervisor/admin/internal.h"
#include "supervisor/admin/report.h"
#include "supervisor/placement/placement.h"
#include "supervisor/versions/versions.h"

#define REPORT_ARENA_BYTES (4U << 20)
#define ERRORS_MAX_BYTES (128U << 10)

#define _cleanup_arena_ _cleanup_(arena_done)
#define _cleanup_errors_ _cleanup_(config_errors_done)

/* ---- reports */

int admin_on_workers(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__WorkersRequest *request = (const Skep__Admin__WorkersRequest *) message;
    Skep__Admin__Workers workers = SKEP__ADMIN__WORKERS__INIT;
    _cleanup_arena_ struct arena arena = { 0 };

    int r = arena_init(&arena, REPORT_ARENA_BYTES);
    if (r == 0)
        r = admin_report_workers(admin_client_options(owner), request->skip, &arena, &workers);
    return admin_send_report(owner, r, SKEP__ADMIN__ANSWER__MESSAGE_WORKERS, &workers);
}

int admin_on_incidents(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__IncidentsRequest *request = (const Skep__Admin__IncidentsRequest *) message;
    Skep__Admin__Incidents incidents = SKEP__ADMIN__INCIDENTS__INIT;
    _cleanup_arena_ struct arena arena = { 0 };

    int r = arena_init(&arena, REPORT_ARENA_BYTES);
    if (r == 0)
        r = admin_report_incidents(admin_client_options(owner), request, &arena, &incidents);
    /* A removed tenant may still have incidents. */
    if (r == 0 && incidents.total == 0 && request->tenant.len > 0 &&
        !admin_find_tenant(owner, request->tenant))
        return admin_send_failure(owner, ADMIN_NO_TENANT);
    return admin_send_report(owner, r, SKEP__ADMIN__ANSWER__MESSAGE_INCIDENTS, &incidents);
}

int admin_on_jail_report(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__JailReportRequest *request =
        (const Skep__Admin__JailReportRequest *) message;
    Skep__Admin__JailReport report = SKEP__ADMIN__JAIL_REPORT__INIT;
    _cleanup_arena_ struct arena arena = { 0 };
    const struct admin_options *with = admin_client_options(owner);

    const struct cordon_config *cordon = request->cordon.len == 0
                                             ? with->config->cordons[0]
                                             : admin_find_cordon(with->config, request->cordon);
    if (!cordon)
        return admin_send_failure(owner, ADMIN_NO_CORDON);
    int r = arena_init(&arena, REPORT_ARENA_BYTES);
    if (r == 0)
        r = admin_report_jail(with, cordon, &arena, &report);
    return admin_send_report(owner, r, SKEP__ADMIN__ANSWER__MESSAGE_JAIL_REPORT, &report);
}

/* ---- reload and load */

struct reload_command {
    bool read, load; /* the parts that are asked for */
    struct config_errors errors;
    unsigned n_read;
    bool has_load_failed;
    unsigned n_pending, n_failed;
};

static void reload_one(struct reload_command *reload, struct tenant *tenant)
{
    unsigned n_errors = reload->errors.count;

    if (reload->read) {
        int r = versions_reload(tenant, &reload->errors);
        if (r < 0) {
            if (reload->errors.count == n_errors) /* the reader has given no reason */
                config_errors_add(&reload->errors, tenant->dir ? tenant->dir : tenant->name, 0,
                                  "cannot be read again: %s", strerrordesc_np(-r));
            return;
        }
        reload->n_read++;
    }
    if (reload->load && placement_preload(tenant) < 0)
        reload->has_load_failed = true;
    if (tenant->candidate ||
        (!tenant->last_error && strcmp(report_tenant_state(tenant), "ready") != 0))
        reload->n_pending++;
    else if (tenant->last_error)
        reload->n_failed++;
}

static int send_reloaded(struct admin_client *client, const struct reload_command *reload)
{
    Skep__Admin__Reloaded reloaded = SKEP__ADMIN__RELOADED__INIT;
    size_t size = reload->errors.size;

    reloaded.tenants = reload->n_read;
    reloaded.loading = (reload->load || !reload->read) && !reload->has_load_failed;
    reloaded.pending = reload->n_pending;
    reloaded.failed = reload->n_failed;
    reloaded.errors =
        admin_bytes(reload->errors.text, size < ERRORS_MAX_BYTES ? size : ERRORS_MAX_BYTES);
    return admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_RELOADED, &reloaded);
}

/* Reloads the tenants of that name, or all. */
static int do_reload(struct admin_client *client, ProtobufCBinaryData name,
                     struct reload_command *reload)
{
    struct tenants *tenants = admin_client_options(client)->tenants;
    struct tenant *tenant;
    int r;

    if (name.len > 0) {
        tenant = admin_find_tenant(client, name);
        if (!tenant)
            return admin_send_failure(client, ADMIN_NO_TENANT);
        reload_one(reload, tenant);
    } else {
        TAILQ_FOREACH (tenant, &tenants->list, entry)
            reload_one(reload, tenant);
    }
    r = send_reloaded(client, reload);
    config_errors_done(&reload->errors);
    return r;
}

int admin_on_reload(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__ReloadRequest *request = (const Skep__Admin__ReloadRequest *) message;
    struct reload_command reload = { .read = true, .load = request->load };

    return do_reload(owner, request->name, &reload);
}

int admin_on_load(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__LoadRequest *request = (const Skep__Admin__LoadRequest *) message;
    struct reload_command reload = { .load = !request->look };

    return do_reload(owner, request->name, &reload);
}
