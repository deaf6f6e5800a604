/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client of the admin socket may ask: one handler for each command, those that act on tenants
 * and workers in operator.c, those on log lines in logs.c, and the table that names them. Each command
 * has exactly one answer; log lines may come between. Supervisor, loop thread.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "supervisor/admin/internal.h"

#define REPORT_ARENA_BYTES (4U << 20)
#define ERRORS_MAX_BYTES (128U << 10)

#define _cleanup_arena_ _cleanup_(arena_done)
#define _cleanup_errors_ _cleanup_(config_errors_done)

int admin_send_failure(struct admin_client *client, const char *reason)
{
    Skep__Admin__Failure failure = SKEP__ADMIN__FAILURE__INIT;
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;

    failure.message = admin_bytes(reason, strlen(reason));
    answer.message_case = SKEP__ADMIN__ANSWER__MESSAGE_FAILURE;
    answer.failure = &failure;
    return admin_client_send(client, &answer);
}

struct tenant *admin_find_tenant(const struct admin_client *client, ProtobufCBinaryData name)
{
    return tenant_find(admin_client_server(client)->tenants, (const char *) name.data, name.len);
}

/* ---- reports */

/* r: what filling it has returned. */
static int send_report(struct admin_client *client, int r, const Skep__Admin__Answer *answer)
{
    return r < 0 ? admin_send_failure(client, "skepd is out of memory")
                 : admin_client_send(client, answer);
}

static int on_stats(void *owner, const ProtobufCMessage *message)
{
    Skep__Admin__Stats stats = SKEP__ADMIN__STATS__INIT;
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;
    _cleanup_arena_ struct arena arena = { 0 };

    (void) message;
    int r = arena_init(&arena, REPORT_ARENA_BYTES);
    if (r == 0)
        r = admin_report_stats(admin_client_server(owner), &arena, &stats);
    answer.message_case = SKEP__ADMIN__ANSWER__MESSAGE_STATS;
    answer.stats = &stats;
    return send_report(owner, r, &answer);
}

static int on_workers(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__WorkersRequest *request = (const Skep__Admin__WorkersRequest *) message;
    Skep__Admin__Workers workers = SKEP__ADMIN__WORKERS__INIT;
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;
    _cleanup_arena_ struct arena arena = { 0 };

    int r = arena_init(&arena, REPORT_ARENA_BYTES);
    if (r == 0)
        r = admin_report_workers(admin_client_server(owner), request->skip, &arena, &workers);
    answer.message_case = SKEP__ADMIN__ANSWER__MESSAGE_WORKERS;
    answer.workers = &workers;
    return send_report(owner, r, &answer);
}

static int on_tenants(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__TenantsRequest *request = (const Skep__Admin__TenantsRequest *) message;
    Skep__Admin__Tenants tenants = SKEP__ADMIN__TENANTS__INIT;
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;
    _cleanup_arena_ struct arena arena = { 0 };

    int r = arena_init(&arena, REPORT_ARENA_BYTES);
    if (r == 0)
        r = admin_report_tenants(admin_client_server(owner), request->skip, &arena, &tenants);
    answer.message_case = SKEP__ADMIN__ANSWER__MESSAGE_TENANTS;
    answer.tenants = &tenants;
    return send_report(owner, r, &answer);
}

static int on_incidents(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__IncidentsRequest *request = (const Skep__Admin__IncidentsRequest *) message;
    Skep__Admin__Incidents incidents = SKEP__ADMIN__INCIDENTS__INIT;
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;
    _cleanup_arena_ struct arena arena = { 0 };

    int r = arena_init(&arena, REPORT_ARENA_BYTES);
    if (r == 0)
        r = admin_report_incidents(admin_client_server(owner), request, &arena, &incidents);
    /* A tenant that is gone may still have some. */
    if (r == 0 && incidents.total == 0 && request->tenant.len > 0 &&
        !admin_find_tenant(owner, request->tenant))
        return admin_send_failure(owner, ADMIN_NO_TENANT);
    answer.message_case = SKEP__ADMIN__ANSWER__MESSAGE_INCIDENTS;
    answer.incidents = &incidents;
    return send_report(owner, r, &answer);
}

static int on_status(void *owner, const ProtobufCMessage *message)
{
    Skep__Admin__Status status = SKEP__ADMIN__STATUS__INIT;
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;
    _cleanup_arena_ struct arena arena = { 0 };

    (void) message;
    int r = arena_init(&arena, REPORT_ARENA_BYTES);
    if (r == 0)
        r = admin_report_status(admin_client_server(owner), &arena, &status);
    answer.message_case = SKEP__ADMIN__ANSWER__MESSAGE_STATUS;
    answer.status = &status;
    return send_report(owner, r, &answer);
}

const struct cordon_config *admin_find_cordon(const struct config *config, ProtobufCBinaryData name)
{
    for (unsigned i = 0; i < config->n_cordons; i++)
        if (strlen(config->cordons[i]->name) == name.len &&
            memcmp(config->cordons[i]->name, name.data, name.len) == 0)
            return config->cordons[i];
    return NULL;
}

static int on_jail_report(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__JailReportRequest *request =
        (const Skep__Admin__JailReportRequest *) message;
    Skep__Admin__JailReport report = SKEP__ADMIN__JAIL_REPORT__INIT;
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;
    _cleanup_arena_ struct arena arena = { 0 };
    const struct server *server = admin_client_server(owner);

    const struct cordon_config *cordon = request->cordon.len == 0
                                             ? server->config->cordons[0]
                                             : admin_find_cordon(server->config, request->cordon);
    if (!cordon)
        return admin_send_failure(owner, ADMIN_NO_CORDON);
    int r = arena_init(&arena, REPORT_ARENA_BYTES);
    if (r == 0)
        r = admin_report_jail(server, cordon, &arena, &report);
    answer.message_case = SKEP__ADMIN__ANSWER__MESSAGE_JAIL_REPORT;
    answer.jail_report = &report;
    return send_report(owner, r, &answer);
}

/* ---- reload and load */

struct reload {
    bool read, load; /* what is asked for */
    struct config_errors errors;
    unsigned n_read;
    bool has_load_failed;
};

static void reload_one(struct reload *reload, struct tenant *tenant)
{
    unsigned n_errors = reload->errors.count;

    if (reload->read) {
        int r = tenant_reload(tenant, &reload->errors);
        if (r < 0) {
            if (reload->errors.count == n_errors) /* the reader could not say more */
                config_errors_add(&reload->errors, tenant->dir ? tenant->dir : tenant->name, 0,
                                  "cannot be read again: %s", strerrordesc_np(-r));
            return;
        }
        reload->n_read++;
    }
    if (reload->load && tenant_preload(tenant) < 0)
        reload->has_load_failed = true;
}

static int send_reloaded(struct admin_client *client, const struct reload *reload)
{
    Skep__Admin__Reloaded reloaded = SKEP__ADMIN__RELOADED__INIT;
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;
    size_t size = reload->errors.size;

    reloaded.tenants = reload->n_read;
    reloaded.loading = reload->load && !reload->has_load_failed;
    reloaded.errors =
        admin_bytes(reload->errors.text, size < ERRORS_MAX_BYTES ? size : ERRORS_MAX_BYTES);
    answer.message_case = SKEP__ADMIN__ANSWER__MESSAGE_RELOADED;
    answer.reloaded = &reloaded;
    return admin_client_send(client, &answer);
}

/* The tenants of that name, or all of them. */
static int do_reload(struct admin_client *client, ProtobufCBinaryData name, struct reload *reload)
{
    struct tenants *tenants = admin_client_server(client)->tenants;
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

static int on_reload(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__ReloadRequest *request = (const Skep__Admin__ReloadRequest *) message;
    struct reload reload = { .read = true, .load = request->load };

    return do_reload(owner, request->name, &reload);
}

static int on_load(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__LoadRequest *request = (const Skep__Admin__LoadRequest *) message;
    struct reload reload = { .load = true };

    return do_reload(owner, request->name, &reload);
}

/* ---- the table */

static const struct channel_rule rules[] = {
    [SKEP__ADMIN__COMMAND__MESSAGE_STATS] = { ADMIN_PHASE_OPEN, on_stats },
    [SKEP__ADMIN__COMMAND__MESSAGE_WORKERS] = { ADMIN_PHASE_OPEN, on_workers },
    [SKEP__ADMIN__COMMAND__MESSAGE_TENANTS] = { ADMIN_PHASE_OPEN, on_tenants },
    [SKEP__ADMIN__COMMAND__MESSAGE_RELOAD] = { ADMIN_PHASE_OPEN, on_reload },
    [SKEP__ADMIN__COMMAND__MESSAGE_LOGS] = { ADMIN_PHASE_OPEN, admin_on_logs },
    [SKEP__ADMIN__COMMAND__MESSAGE_LOAD] = { ADMIN_PHASE_OPEN, on_load },
    [SKEP__ADMIN__COMMAND__MESSAGE_INCIDENTS] = { ADMIN_PHASE_OPEN, on_incidents },
    [SKEP__ADMIN__COMMAND__MESSAGE_QUARANTINE] = { ADMIN_PHASE_OPEN, admin_on_quarantine },
    [SKEP__ADMIN__COMMAND__MESSAGE_RELEASE] = { ADMIN_PHASE_OPEN, admin_on_release },
    [SKEP__ADMIN__COMMAND__MESSAGE_RETIRE] = { ADMIN_PHASE_OPEN, admin_on_retire },
    [SKEP__ADMIN__COMMAND__MESSAGE_DRAIN] = { ADMIN_PHASE_OPEN, admin_on_drain },
    [SKEP__ADMIN__COMMAND__MESSAGE_UPGRADE] = { ADMIN_PHASE_OPEN, admin_on_upgrade },
    [SKEP__ADMIN__COMMAND__MESSAGE_STATUS] = { ADMIN_PHASE_OPEN, on_status },
    [SKEP__ADMIN__COMMAND__MESSAGE_JAIL_REPORT] = { ADMIN_PHASE_OPEN, on_jail_report },
    [SKEP__ADMIN__COMMAND__MESSAGE_CONFIG_RELOAD] = { ADMIN_PHASE_OPEN, admin_on_config_reload },
    [SKEP__ADMIN__COMMAND__MESSAGE_KILL_WORKER] = { ADMIN_PHASE_OPEN, admin_on_kill_worker },
    [SKEP__ADMIN__COMMAND__MESSAGE_LOG_TAIL] = { ADMIN_PHASE_OPEN, admin_on_log_tail },
    [SKEP__ADMIN__COMMAND__MESSAGE_EXPLAIN] = { ADMIN_PHASE_OPEN, admin_on_explain },
    [SKEP__ADMIN__COMMAND__MESSAGE_TOP] = { ADMIN_PHASE_OPEN, admin_on_top },
    [SKEP__ADMIN__COMMAND__MESSAGE_DEPLOY] = { ADMIN_PHASE_OPEN, admin_on_deploy },
    [SKEP__ADMIN__COMMAND__MESSAGE_DEPLOY_PART] = { ADMIN_PHASE_OPEN, admin_on_deploy_part },
    [SKEP__ADMIN__COMMAND__MESSAGE_ROLLBACK] = { ADMIN_PHASE_OPEN, admin_on_rollback },
    [SKEP__ADMIN__COMMAND__MESSAGE_VERSIONS] = { ADMIN_PHASE_OPEN, admin_on_versions },
    [SKEP__ADMIN__COMMAND__MESSAGE_REMOVE] = { ADMIN_PHASE_OPEN, admin_on_remove },
};

/* A command that is not here needs the right to write. */
static const enum admin_right rights[ARRAY_LEN(rules)] = {
    [SKEP__ADMIN__COMMAND__MESSAGE_STATS] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_WORKERS] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_TENANTS] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_LOGS] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_INCIDENTS] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_STATUS] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_JAIL_REPORT] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_LOG_TAIL] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_EXPLAIN] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_TOP] = ADMIN_MAY_READ,
    [SKEP__ADMIN__COMMAND__MESSAGE_VERSIONS] = ADMIN_MAY_READ,
};

enum admin_right admin_command_right(unsigned number)
{
    return number < ARRAY_LEN(rights) ? rights[number] : ADMIN_MAY_WRITE;
}

const struct channel_table admin_commands = {
    .envelope = &skep__admin__command__descriptor,
    .case_offset = offsetof(Skep__Admin__Command, message_case),
    .value_offset = offsetof(Skep__Admin__Command, stats),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};
