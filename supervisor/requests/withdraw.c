/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes back requests that were sent to a worker and have not begun there: a piece that runs there
 * holds them up, and another worker is better. Safe for any method: see scoreboard_withdraw.
 * Supervisor, loop thread.
 */
#include "common/io.h"
#include "supervisor/placement/placement.h"
#include "supervisor/requests/internal.h"
#include "supervisor/workers/worker.h"

/* Most withdrawals of one request, which then stays in its worker. */
#define WITHDRAWALS_MAX 8

static bool take_back(struct request *request)
{
    /* A worker that reads a part of the body, or answers, has begun, even if its mark says
     * otherwise. */
    if (request->state != REQUEST_SENT || request->is_cancelled || !request->client.to ||
        request->is_body_lost || request->withdrawals >= WITHDRAWALS_MAX ||
        !worker_withdraw(request->attempt.placement->worker, &request->attempt))
        return false;
    ledger_forget_unstarted(request);
    request->withdrawals++;
    request->ledger->record->counters.withdrawn++;
    ledger_leave_worker(request);
    ledger_return_to_queue(request);
    return true;
}

/* Returns a placement that waits for its last request to leave, which has left; NULL: none. */
static struct placement *find_left(const struct worker *worker)
{
    struct placement *placement;

    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (placement->in_flight == 0 &&
            (placement->state == PLACEMENT_GONE || placement->state == PLACEMENT_RETIRING))
            return placement;
    return NULL;
}

unsigned ledger_withdraw(struct worker *worker, bool (*is_wanted)(const struct worker *worker,
                                                                  const struct attempt *attempt))
{
    struct request *request = NULL, *previous;
    struct placement *placement;
    unsigned n = 0;

    if (worker->books.n_unstarted > 0)
        request = TAILQ_LAST(&worker->books.unstarted, request_list);
    /* From the youngest to the oldest, so that each is put before those that were behind it. */
    for (; request; request = previous) {
        previous = TAILQ_PREV(request, request_list, unstarted);
        if (is_wanted(worker, &request->attempt) && take_back(request))
            n++;
    }
    if (n == 0)
        return 0;
    while ((placement = find_left(worker)))
        placement_on_idle(placement); /* unloads the placement, or frees it */
    ledger_want_tick(ledger_of_worker(worker), io_now_ns());
    return n;
}
