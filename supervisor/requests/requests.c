/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger as a whole: made, freed, and tied to the front above which it stands. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "supervisor/requests/access.h"
#include "supervisor/requests/fetches.h"
#include "supervisor/requests/internal.h"
#include "supervisor/requests/storages.h"

const struct http_handler ledger_http = {
    .on_request = ledger_on_request,
    .on_body = ledger_take_body,
    .on_writable = ledger_on_writable,
    .on_gone = ledger_lose_client,
    .on_rejected = access_log_rejection,
};

int ledger_new(const struct ledger_options *options, struct ledger **ret_ledger)
{
    struct ledger *ledger = calloc(1, sizeof *ledger);

    if (!ledger)
        return -ENOMEM;
    ledger->config = options->config;
    ledger->record = options->record;
    ledger->life = options->life;
    ledger->placements = options->placements;
    ledger->max_files = options->max_files;
    TAILQ_INIT(&ledger->active);
    TAILQ_INIT(&ledger->gathering);
    TAILQ_INIT(&ledger->waiting);
    ledger->tick = event_new(options->base, -1, 0, ledger_on_tick, ledger);
    ledger->push_event = event_new(options->base, -1, 0, ledger_on_push, ledger);
    int r = ledger->tick && ledger->push_event ? 0 : -ENOMEM;
    if (r == 0)
        r = fetches_new(ledger, options->base, &ledger->fetches);
    if (r == 0)
        r = storages_new(ledger, options->base, &ledger->storages);
    if (r < 0) {
        if (ledger->tick)
            event_free(ledger->tick);
        if (ledger->push_event)
            event_free(ledger->push_event);
        ledger->fetches = fetches_free(ledger->fetches);
        free(ledger);
        return r;
    }
    ledger_set_totals(ledger);
    ledger->placements->ops = &ledger_placement_ops;
    ledger->placements->owner = ledger;
    *ret_ledger = ledger;
    return 0;
}

void ledger_set_front(struct ledger *ledger, struct http_front *front)
{
    ledger->front = front;
}

struct ledger *ledger_free(struct ledger *ledger)
{
    struct request *request, *next;
    struct tenant *tenant;

    if (!ledger)
        return NULL;
    ledger_unset_totals(ledger);
    /* The front is gone: no exchange is left to answer on. Calls are clients, too. */
    TAILQ_FOREACH (request, &ledger->active, entry)
        caller_end(&request->calls);
    for (request = TAILQ_FIRST(&ledger->active); request; request = next) {
        next = TAILQ_NEXT(request, entry);
        ledger_leave_worker(request);
        ledger_request_free(request);
    }
    while ((request = TAILQ_FIRST(&ledger->gathering))) {
        ledger_stop_gathering(request);
        ledger_request_free(request);
    }
    while ((tenant = TAILQ_FIRST(&ledger->waiting)))
        for (request = TAILQ_FIRST(&tenant->queue); request; request = next) {
            next = TAILQ_NEXT(request, entry);
            ledger_dequeue(request);
            ledger_request_free(request);
        }
    while (!LIST_EMPTY(&ledger->placements->used))
        cpu_forget(LIST_FIRST(&ledger->placements->used));
    ledger->fetches = fetches_free(ledger->fetches);
    ledger->storages = storages_free(ledger->storages);
    event_free(ledger->tick);
    event_free(ledger->push_event);
    free(ledger);
    return NULL;
}
