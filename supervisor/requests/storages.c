/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/storages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "config/names.h"
#include "supervisor/helpers/data.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/requests/storage.h"

/* Operations that are given up count for DATA_TENANT_OPERATIONS_MAX until data has ended them: half of it is left for these. */
#define OF_TENANT_MAX (DATA_TENANT_OPERATIONS_MAX / 2)
#define OF_REQUEST_MAX 16 /* where the limit `calls` gives no other number */

static const struct fetch_bounds bounds = { OF_REQUEST_MAX, OF_TENANT_MAX, DATA_OPERATIONS_MAX,
                                            FETCH_FREE_PARTS };

/* A gate lives as long as it has shares, a share as long as it has operations. */
struct storage_gate {
    TAILQ_ENTRY(storage_gate) entry;
    TAILQ_HEAD(, storage) operations;
    char cordon[NAME_MAX_BYTES + 1];
    struct fetch_queue queue;
    unsigned n_shares;
    bool is_held; /* the process is behind, or not there: data tells when it has room */
    uint64_t
        down_ns; /* time since which the process was not there; 0: it was, as far as is known */
};

struct storage_share {
    struct fetch_share share;
    struct storage_gate *gate;  /* borrowed */
    struct storage_share *next; /* share of the same tenant in another cordon */
};

static struct storage *storage_of(struct fetch_place *place)
{
    char *at = (char *) place - offsetof(struct storage, place);

    return (struct storage *) (void *) at;
}

/* ---- turns */

static void take_turns(struct storage_gate *gate)
{
    struct fetch_place *place;

    while (!gate->is_held && (place = fetch_queue_next(&gate->queue)))
        if (storage_begin(storage_of(place)) == -EAGAIN)
            gate->is_held = true;
}

/* Operations that end free their gate in a later turn only: see drop_gates. */
static void take_all_turns(struct storages *storages)
{
    struct storage_gate *gate;

    TAILQ_FOREACH (gate, &storages->gates, entry)
        take_turns(gate);
}

/* A gate without operations stays while its process is down, so that the next ones do not wait for it as long again. */
static void drop_gates(struct storages *storages)
{
    struct storage_gate *gate, *next;

    for (gate = TAILQ_FIRST(&storages->gates); gate; gate = next) {
        next = TAILQ_NEXT(gate, entry);
        if (gate->n_shares > 0 || (gate->down_ns != 0 && storages->data &&
                                   config_find_cordon(storages->ledger->config, gate->cordon)))
            continue;
        TAILQ_REMOVE(&storages->gates, gate, entry);
        free(gate);
    }
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("storage: turn");
    struct storages *storages = arg;

    take_all_turns(storages);
}

static struct storage_gate *find_gate(const struct storages *storages, const char *cordon)
{
    struct storage_gate *gate;

    TAILQ_FOREACH (gate, &storages->gates, entry)
        if (strcmp(gate->cordon, cordon) == 0)
            break;
    return gate;
}

static void on_room(void *owner, const char *cordon)
{
    struct storages *storages = owner;
    struct storage_gate *gate = find_gate(storages, cordon);

    if (!gate)
        return;
    gate->is_held = false;
    gate->down_ns = 0;
    event_active(storages->turn, EV_WRITE, 0);
}

bool storages_await(struct storage_gate *gate)
{
    uint64_t now = loop_now_ns();

    if (gate->down_ns == 0)
        gate->down_ns = now;
    return now < gate->down_ns + STORAGE_DOWN_MS * NSEC_PER_MSEC;
}

const char *storages_cordon(const struct storage *storage)
{
    return storage->gate->cordon;
}

/* ---- gates and shares */

static struct storage_gate *get_gate(struct storages *storages, const char *cordon)
{
    struct storage_gate *gate = find_gate(storages, cordon);

    if (gate || !(gate = calloc(1, sizeof *gate)))
        return gate;
    (void) snprintf(gate->cordon, sizeof gate->cordon, "%s", cordon);
    TAILQ_INIT(&gate->operations);
    fetch_queue_init(&gate->queue, bounds);
    TAILQ_INSERT_TAIL(&storages->gates, gate, entry);
    return gate;
}

static struct storage_share *get_share(struct storages *storages, struct tenant *tenant,
                                       const char *cordon)
{
    struct storage_gate *gate = get_gate(storages, cordon);
    struct storage_share *share = tenant->books.storage;

    while (gate && share && share->gate != gate)
        share = share->next;
    if (!gate || share || !(share = calloc(1, sizeof *share)))
        return gate ? share : NULL;
    share->gate = gate;
    gate->n_shares++;
    share->next = tenant->books.storage;
    tenant->books.storage = share;
    return share;
}

static void drop_share(struct tenant *tenant, struct storage_share *share)
{
    struct storage_share **at = &tenant->books.storage;

    if (share->share.n_places > 0)
        return;
    while (*at != share)
        at = &(*at)->next;
    *at = share->next;
    share->gate->n_shares--;
    free(share);
}

int storages_add(struct storages *storages, struct storage *storage)
{
    const struct request *parent = storage->parent;
    struct tenant *tenant = parent->attempt.tenant;
    struct fetch_lane *lane = &storage->parent->storage;
    struct storage_share *share =
        get_share(storages, tenant, parent->attempt.version->cordon->name);

    if (!share)
        return -ENOMEM;
    lane->most = parent->attempt.version->limits.calls;
    if (http_front_pressure(parent->ledger->front) >= 2 &&
        (share->gate->is_held ||
         fetch_queue_would_wait(&share->gate->queue, lane, &share->share))) {
        drop_share(tenant, share);
        return -ENOBUFS;
    }
    storage->share = share;
    storage->gate = share->gate;
    TAILQ_INSERT_TAIL(&share->gate->operations, storage, entry);
    fetch_queue_join(&share->gate->queue, &storage->place, lane, &share->share, loop_now_ns());
    take_turns(share->gate);
    return 0;
}

void storages_note_open(struct storage *storage)
{
    storage->gate->down_ns = 0;
    fetch_queue_open(&storage->gate->queue, &storage->place);
}

void storages_remove(struct storages *storages, struct storage *storage)
{
    struct storage_gate *gate = storage->gate;

    if (!gate)
        return;
    fetch_queue_leave(&gate->queue, &storage->place);
    TAILQ_REMOVE(&gate->operations, storage, entry);
    drop_share(storage->parent->attempt.tenant, storage->share);
    if (gate->queue.n_waiting > 0)
        event_active(storages->turn, EV_WRITE, 0);
}

/* ---- what data reports */

/* Returns whether all operations of the tenant there are of a worker that no other tenant shares. Another tenant's code may
 * have asked in its name otherwise, as in the case in which it is not known who asked. */
static bool are_its_own(const struct storage_gate *gate, const struct tenant *tenant)
{
    const struct storage *storage;
    bool is_any = false;

    if (!gate)
        return false;
    TAILQ_FOREACH (storage, &gate->operations, entry) {
        const struct placement *placement = storage->parent->attempt.placement;
        if (storage->parent->attempt.tenant != tenant || !storage->open)
            continue;
        if (!placement || !worker_is_in(placement->worker, SLOT_OWN) ||
            placement->worker->slot->owner != tenant)
            return false;
        is_any = true;
    }
    return is_any;
}

static void on_stuck(void *owner, const char *cordon, const char *name, uint32_t ms)
{
    const struct storages *storages = owner;
    struct tenant *tenant = tenant_find(storages->ledger->placements->tenants, name, strlen(name));
    struct incident incident = {
        .stage = STAGE_KILLED,
        .cause = LIMIT_INDEX(sql_ms),
        .used_milli = UINT64_C(1000) * ms,
    };

    if (!tenant)
        return;
    bool is_proof = are_its_own(find_gate(storages, cordon), tenant);
    incident.evidence = is_proof ? EVIDENCE_PROOF : EVIDENCE_CLAIM;
    incident.limit_milli = UINT64_C(1000) * tenant->version->limits.sql_ms;
    (void) snprintf(incident.text, sizeof incident.text,
                    "an operation of storage did not end, and cost its process");
    incident_note(storages->ledger->record, &tenant->counted, &incident);
    seclude_on_stuck(tenant, is_proof);
}

static const struct data_listener listener = { .on_room = on_room, .on_stuck = on_stuck };

/* ---- time */

static bool is_cordon(void *owner, const char *cordon)
{
    const struct storages *storages = owner;

    return config_find_cordon(storages->ledger->config, cordon) || find_gate(storages, cordon);
}

void storages_check(struct storages *storages, uint64_t now)
{
    struct storage_gate *gate;
    struct fetch_place *place;

    if (!storages->data)
        return;
    TAILQ_FOREACH (gate, &storages->gates, entry) {
        if (gate->is_held && !data_is_ready(storages->data, gate->cordon) &&
            !storages_await(gate)) {
            gate->is_held = false;
            take_turns(gate);
        }
        while ((place = fetch_queue_oldest(&gate->queue)) &&
               now >= place->since_ns + STORAGE_WAIT_MS * NSEC_PER_MSEC)
            storage_give_up_waiting(storage_of(place));
    }
    drop_gates(storages);
    data_end_unwanted(storages->data, is_cordon, storages);
}

/* ---- all of them */

int storages_new(struct ledger *ledger, struct event_base *base, struct storages **ret_storages)
{
    struct storages *storages = calloc(1, sizeof *storages);

    if (!storages)
        return -ENOMEM;
    storages->ledger = ledger;
    TAILQ_INIT(&storages->gates);
    storages->turn = event_new(base, -1, 0, on_turn, storages);
    if (!storages->turn) {
        free(storages);
        return -ENOMEM;
    }
    *ret_storages = storages;
    return 0;
}

struct storages *storages_free(struct storages *storages)
{
    if (!storages)
        return NULL;
    if (storages->data)
        data_listen(storages->data, NULL, NULL);
    storages->data = NULL;
    drop_gates(storages);
    event_free(storages->turn);
    free(storages);
    return NULL;
}

void ledger_set_data(struct ledger *ledger, struct data *data)
{
    ledger->storages->data = data;
    if (data)
        data_listen(data, &listener, ledger->storages);
}
