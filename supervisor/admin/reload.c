/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command config_reload: begins a reload, and reports its result. Supervisor, loop thread.
 */
#include "supervisor/reload/reload.h"

#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "supervisor/admin/internal.h"
#include "supervisor/admin/report.h"

#define ARENA_BYTES (4U << 20)
#define LISTED_MAX_BYTES (512U << 10) /* bytes of changes and tenants; errors come besides */
#define ERRORS_MAX_BYTES (128U << 10)

struct filling {
    struct arena arena;
    size_t left; /* the rest of LISTED_MAX_BYTES */
    Skep__Admin__ConfigReloaded *reloaded;
};

static ProtobufCBinaryData errors_text(const struct config_errors *errors)
{
    return admin_bytes(errors->text,
                       errors->size < ERRORS_MAX_BYTES ? errors->size : ERRORS_MAX_BYTES);
}

/* Returns whether the answer has room for that many more bytes. */
static bool fits(struct filling *filling, size_t size)
{
    if (size > filling->left) {
        filling->left = 0; /* the list ends here, and has no gaps */
        filling->reloaded->not_listed++;
        return false;
    }
    filling->left -= size;
    return true;
}

static int list_changes(struct filling *filling, const struct config_changes *changes)
{
    Skep__Admin__ConfigReloaded *ret = filling->reloaded;

    ret->changes =
        report_list(&filling->arena, changes->count, &skep__admin__config_change__descriptor);
    if (!ret->changes)
        return -ENOMEM;
    for (unsigned i = 0; i < changes->count; i++) {
        const struct config_change *change = &changes->items[i];
        Skep__Admin__ConfigChange *item = ret->changes[ret->n_changes];
        item->needs_restart = change->needs_restart;
        item->key = report_text(change->key);
        item->before = report_text(change->before);
        item->after = report_text(change->after);
        if (fits(filling, 16 + item->key.len + item->before.len + item->after.len))
            ret->n_changes++;
    }
    return 0;
}

static int list_tenants(struct filling *filling, const struct reload_report *report)
{
    Skep__Admin__ConfigReloaded *ret = filling->reloaded;
    /* More would not fit anyway. */
    unsigned most = LISTED_MAX_BYTES / 16;
    unsigned n = report->n_tenants < most ? report->n_tenants : most;

    ret->tenants = report_list(&filling->arena, n, &skep__admin__tenant_change__descriptor);
    if (!ret->tenants)
        return -ENOMEM;
    ret->not_listed += report->n_tenants - n;
    for (unsigned i = 0; i < n; i++) {
        Skep__Admin__TenantChange *item = ret->tenants[ret->n_tenants];
        item->name = report_text(report->tenants[i].name);
        item->change = report_text(reload_kind_name(report->tenants[i].kind));
        if (fits(filling, 16 + item->name.len + item->change.len))
            ret->n_tenants++;
    }
    return 0;
}

static void filling_cleanup(struct filling *filling)
{
    arena_done(&filling->arena);
}

static int send_report(struct admin_client *client, const struct reload_report *report)
{
    Skep__Admin__ConfigReloaded reloaded = SKEP__ADMIN__CONFIG_RELOADED__INIT;
    _cleanup_(filling_cleanup) struct filling filling = { .left = LISTED_MAX_BYTES,
                                                          .reloaded = &reloaded };

    reloaded.applied = report->is_applied;
    reloaded.unchanged = report->unchanged;
    reloaded.errors = errors_text(&report->errors);
    reloaded.tenant_errors = errors_text(&report->tenant_errors);
    int r = arena_init(&filling.arena, ARENA_BYTES);
    if (r == 0 && report->is_applied)
        r = list_changes(&filling, &report->changes);
    if (r == 0)
        r = list_tenants(&filling, report);
    if (r < 0)
        return admin_send_failure(client, report->is_applied
                                              ? "it is applied; no memory is left to say what"
                                              : "skepd is out of memory");
    return admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_CONFIG_RELOADED, &reloaded);
}

static void on_reloaded(void *owner, const struct reload_report *report)
{
    struct admin_client *client = owner;

    admin_client_resume(client);
    (void) (report->refusal.code < 0 ? admin_send_refusal(client, &report->refusal)
                                     : send_report(client, report));
}

/* Begins a reload. The answer comes when it has ended. */
int admin_on_config_reload(void *owner, const ProtobufCMessage *message)
{
    _cleanup_(failure_done) struct failure failure = { 0 };
    struct admin_client *client = owner;
    char by[64];

    (void) message;
    (void) snprintf(by, sizeof by, "uid %u, pid %d", (unsigned) client->peer.who.uid,
                    (int) client->peer.who.pid);
    admin_client_await(client);
    if (reload_config(admin_client_options(client)->reload, by, on_reloaded, client, &failure) == 0)
        return 0;
    admin_client_resume(client);
    return admin_send_refusal(client, &failure);
}
