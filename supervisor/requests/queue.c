/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants' queues: in, out, and all of it refused. Supervisor, loop thread.
 */
#include "common/loop_watch.h"
#include "supervisor/requests/internal.h"

void ledger_enqueue(struct request *request, bool at_head)
{
    struct tenant *tenant = request->attempt.tenant;
    struct ledger *ledger = request->ledger;

    request->state = REQUEST_QUEUED;
    if (TAILQ_EMPTY(&tenant->queue)) {
        TAILQ_INSERT_TAIL(&ledger->waiting, tenant, books.waiting);
        ledger->n_waiting++;
    }
    if (at_head)
        TAILQ_INSERT_HEAD(&tenant->queue, request, entry);
    else
        TAILQ_INSERT_TAIL(&tenant->queue, request, entry);
    share_enqueue(request, at_head);
    tenant->n_queued++;
    ledger->queued++;
    ledger->life->n_queued = ledger->queued;
}

void ledger_dequeue(struct request *request)
{
    struct tenant *tenant = request->attempt.tenant;
    struct ledger *ledger = request->ledger;

    if (request->sendings == 0)
        stats_record_queue(&tenant->counted, request->queued_ns,
                           request->state == REQUEST_SENT ? request->sent_ns : loop_now_ns());
    TAILQ_REMOVE(&tenant->queue, request, entry);
    share_dequeue(request);
    tenant->n_queued--;
    ledger->queued--;
    ledger->life->n_queued = ledger->queued;
    if (!TAILQ_EMPTY(&tenant->queue))
        return;
    TAILQ_REMOVE(&ledger->waiting, tenant, books.waiting);
    ledger->n_waiting--;
    ledger_stop_waiting(tenant);
}

void ledger_fail_queue(struct tenant *tenant, enum error_code code, unsigned retry_after_s)
{
    struct request *request;

    /* Only requests that wait now: an answer may let the front bring the next ones. */
    for (unsigned n = tenant->n_queued; n > 0 && (request = TAILQ_FIRST(&tenant->queue)); n--) {
        ledger_dequeue(request);
        ledger_answer_failure(request, code, retry_after_s);
        ledger_end(request);
    }
}
