/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands of the operator for tenants and workers: quarantine, release, retire, kill. The log says
 * who gave them. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "supervisor/admin/internal.h"
#include "supervisor/placement/retire.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

#define QUARANTINE_MAX_DAYS 365
#define QUARANTINE_MAX_S (UINT64_C(86400) * QUARANTINE_MAX_DAYS)
#define RETIRE_REASON "the operator asked for it"

static bool is_quarantined(const struct tenant *tenant)
{
    return conduct_retry_after_s(&tenant->conduct, io_now_ns()) > 0;
}

int admin_on_quarantine(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__QuarantineRequest *request =
        (const Skep__Admin__QuarantineRequest *) message;
    Skep__Admin__Quarantined quarantined = SKEP__ADMIN__QUARANTINED__INIT;
    struct admin_client *client = owner;
    struct tenant *tenant = admin_find_tenant(client, request->name);

    if (!tenant)
        return admin_send_failure(client, ADMIN_NO_TENANT);
    if (request->seconds > QUARANTINE_MAX_S)
        return admin_send_failure(client, "a quarantine may last 365 days; without a time it lasts "
                                          "until the tenant is released");
    quarantined.tenant = admin_bytes(tenant->name, strlen(tenant->name));
    quarantined.was_quarantined = is_quarantined(tenant);
    quarantined.seconds = request->seconds;
    quarantined.refused = tenant->n_queued;
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = tenant->name),
              "quarantine is asked for by uid %u, pid %d", (unsigned) client->peer.who.uid,
              (int) client->peer.who.pid);
    seclude_quarantine(tenant, request->seconds);
    return admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_QUARANTINED, &quarantined);
}

int admin_on_release(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__ReleaseRequest *request = (const Skep__Admin__ReleaseRequest *) message;
    Skep__Admin__Released released = SKEP__ADMIN__RELEASED__INIT;
    struct admin_client *client = owner;
    struct tenant *tenant = admin_find_tenant(client, request->name);

    if (!tenant)
        return admin_send_failure(client, ADMIN_NO_TENANT);
    const char *apart = report_apart(tenant);
    released.tenant = admin_bytes(tenant->name, strlen(tenant->name));
    released.was_quarantined = is_quarantined(tenant);
    released.apart = admin_bytes(apart, strlen(apart));
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = tenant->name),
              "release is asked for by uid %u, pid %d", (unsigned) client->peer.who.uid,
              (int) client->peer.who.pid);
    seclude_release(tenant);
    return admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_RELEASED, &released);
}

/* ---- retire */

/* Returns whether the request means the slot. cordon: NULL for the shared workers of all. */
static bool is_meant(const struct slot *slot, const Skep__Admin__RetireRequest *request,
                     const struct cordon_config *cordon)
{
    if (!cordon)
        return slot->kind == SLOT_SHARED;
    return slot->cordon == cordon && (!request->one_slot || slot->position == request->slot);
}

/* Selects the slots. Spares come first, so that no old spare takes over from an old worker. */
static unsigned select_slots(const struct slots *slots, const Skep__Admin__RetireRequest *request,
                             const struct cordon_config *cordon, struct slot **ret_chosen)
{
    unsigned n = 0;

    for (unsigned pass = 0; pass < 2; pass++) {
        struct slot *slot = NULL;
        while ((slot = slots_next(slots, slot)))
            if ((slot->kind == SLOT_SPARE) == (pass == 0) && is_meant(slot, request, cordon))
                ret_chosen[n++] = slot;
    }
    return n;
}

static void retire_one(const struct slot *slot, Skep__Admin__Retired *retired)
{
    struct worker *worker = slot_find_ready(slot);

    if (slot->worker && slot->worker->retire_reason) {
        retired->leaving++;
    } else if (!worker) {
        retired->down++;
    } else {
        retired->workers++;
        retire_worker(worker, RETIRE_REASON);
    }
}

/* Returns the number of workers that the request means, or -ENOMEM. All are chosen before the first is replaced, since
 * a worker that takes over is not meant. */
static int retire_all(const struct slots *slots, const Skep__Admin__RetireRequest *request,
                      const struct cordon_config *cordon, Skep__Admin__Retired *retired)
{
    _cleanup_free_ struct slot **chosen = calloc(slots->n_slots + 1, sizeof(struct slot *));

    if (!chosen)
        return -ENOMEM;
    unsigned n = select_slots(slots, request, cordon, chosen);
    for (unsigned i = 0; i < n; i++)
        retire_one(chosen[i], retired);
    if (!cordon || request->one_slot)
        return (int) n;
    unsigned leaving = slots_count_leaving(slots, cordon);
    retired->leaving += leaving;
    return (int) (n + leaving);
}

int admin_on_retire(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__RetireRequest *request = (const Skep__Admin__RetireRequest *) message;
    Skep__Admin__Retired retired = SKEP__ADMIN__RETIRED__INIT;
    struct admin_client *client = owner;
    const struct admin_options *with = admin_client_options(client);
    const struct cordon_config *cordon = NULL;

    if (request->cordon.len == 0 && request->one_slot)
        return admin_send_failure(client, "a slot is one of a cordon: name the cordon, too");
    if (request->cordon.len > 0) {
        cordon = admin_find_cordon(with->config, request->cordon);
        if (!cordon)
            return admin_send_failure(client, ADMIN_NO_CORDON);
    }
    log_info("retirement of workers is asked for by uid %u, pid %d",
             (unsigned) client->peer.who.uid, (int) client->peer.who.pid);
    int n = retire_all(with->slots, request, cordon, &retired);
    if (n < 0)
        return admin_send_failure(client, ADMIN_NO_MEMORY);
    if (n == 0 && cordon && request->one_slot)
        return admin_send_failure(client, "no worker in that slot: `skep workers` lists them");
    return admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_RETIRED, &retired);
}

/* ---- kill-worker */

/* Returns false if there is no worker of that number. *ret_worker: NULL if it has no process now. */
static bool find_worker(const struct slots *slots, uint32_t number, struct worker **ret_worker)
{
    const struct slot *slot = NULL;
    struct worker *worker;

    *ret_worker = NULL;
    TAILQ_FOREACH (worker, &slots->workers, entry)
        if (worker->number == number) {
            *ret_worker = worker->pid > 0 && worker->state != WORKER_KILLED ? worker : NULL;
            return true;
        }
    while ((slot = slots_next(slots, slot)))
        if (slot->number == number)
            return true;
    return false;
}

int admin_on_kill_worker(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__KillWorkerRequest *request =
        (const Skep__Admin__KillWorkerRequest *) message;
    Skep__Admin__WorkerKilled killed = SKEP__ADMIN__WORKER_KILLED__INIT;
    struct admin_client *client = owner;
    struct worker *worker;

    if (!find_worker(admin_client_options(client)->slots, request->number, &worker))
        return admin_send_failure(client, "no worker of that number: `skep workers` lists them");
    if (!worker)
        return admin_send_failure(client, "that worker has no process now: it starts by itself");
    killed.number = worker->number;
    killed.pid = (uint32_t) worker->pid;
    killed.in_flight = worker->in_flight;
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.worker = worker->number, .worker_pid = worker->pid),
              "the end of worker %u (pid %d) is asked for by uid %u, pid %d", worker->number,
              (int) worker->pid, (unsigned) client->peer.who.uid, (int) client->peer.who.pid);
    worker_kill(worker, KILL_OPERATOR, 0);
    return admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_WORKER_KILLED, &killed);
}
