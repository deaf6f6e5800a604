/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests after the death of a worker, and when a worker is ready again. Supervisor, loop thread.
 */
#include "common/io.h"
#include "supervisor/placement/placement.h"
#include "supervisor/requests/failure.h"
#include "supervisor/requests/internal.h"
#include "supervisor/workers/worker.h"

/* Returns whether the request counts as the culprit. In a death by memory all requests of the culprit's tenant do: each would
 * cause the same again. */
static bool is_culprit(const struct request *request, const struct verdict *verdict,
                       bool has_entered)
{
    if (verdict->request != 0 && request->attempt.id == verdict->request)
        return true;
    return verdict->code == ERROR_MEM_PROCESS && has_entered &&
           request->attempt.version->id == verdict->version;
}

static void decide_fate(struct worker *worker, struct request *request,
                        const struct verdict *verdict)
{
    uint64_t mark = atomic_load(&worker->board->entered[request->attempt.id % SCOREBOARD_REQUESTS]);
    struct fate_facts facts = {
        .has_entered = mark == request->attempt.id,
        .is_untrusted = verdict->is_untrusted,
        /* The request, or another of its tenant, or any in the worker may be the culprit. */
        .is_suspect = verdict->is_unexplained ||
                      (verdict->request == 0 && request->attempt.version->id == verdict->version),
        .is_idempotent = request->is_idempotent,
        .has_answered = request->state != REQUEST_SENT,
        .is_body_lost = request->is_body_lost,
        .deaths = request->deaths,
        .sendings = request->sendings - request->withdrawals,
    };
    enum error_code code =
        is_culprit(request, verdict, facts.has_entered) ? verdict->code : ERROR_NONE;

    request->is_blameless = request->attempt.version->id != verdict->version;
    ledger_leave_worker(request);
    if (code == ERROR_NONE && request->client.to && blame_fate(&facts) == FATE_SEND_AGAIN) {
        request->deaths += facts.has_entered || facts.is_untrusted || facts.is_suspect;
        ledger_send_again(request);
        return;
    }
    if (code == ERROR_NONE)
        code = verdict->code == ERROR_MEM_PROCESS ? ERROR_MEM_PROCESS : ERROR_WORKER_CRASHED;
    ledger_answer_failure(request, code, 0);
    ledger_end(request);
}

/* Answers or queues again the requests of a dead worker, by the verdict. */
static void ledger_on_death(struct worker *worker, const struct verdict *verdict)
{
    struct ledger *ledger = ledger_of_worker(worker);
    struct request *request, *previous;
    struct placement *placement;

    cpu_charge_death(worker, verdict);
    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (placement->version->id == verdict->version)
            ledger_note_death_cost(placement->version->tenant);
    /* From the youngest to the oldest, so that each is put before those that were behind it. */
    for (request = TAILQ_LAST(&ledger->active, request_list); request; request = previous) {
        previous = TAILQ_PREV(request, request_list, entry);
        if (request->attempt.placement->worker == worker)
            decide_fate(worker, request, verdict);
    }
    while ((placement = LIST_FIRST(&worker->placements))) {
        struct version *version = version_ref(placement->version);
        bool was_loading = placement_is_loading(placement);
        placement_free(placement);
        if (was_loading && version->id == verdict->version)
            placement_on_load_death(version, verdict->code, verdict->cause);
        (void) version_unref(version);
    }
}

static void find_another_place(struct tenant *tenant)
{
    if (placement_find_slot(placements_of_tenant(tenant)->slots, tenant->version))
        ledger_pump(tenant);
    else
        ledger_fail_queue(tenant, ERROR_OVERLOADED, 1);
}

/* Visits all tenants that wait. Those that were blamed for a death come last: if each of many kills the worker as soon as
 * it is there, the others would never have their turn otherwise. */
static void for_each_waiting(struct ledger *ledger, void (*visit)(struct tenant *))
{
    uint64_t now = io_now_ns();
    struct tenant *tenant;

    /* A visit may take any tenant out of the list, so the list is turned rather than walked. */
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned n = ledger->n_waiting; n > 0 && (tenant = TAILQ_FIRST(&ledger->waiting));
             n--) {
            TAILQ_REMOVE(&ledger->waiting, tenant, books.waiting);
            TAILQ_INSERT_TAIL(&ledger->waiting, tenant, books.waiting);
            if (conduct_is_marked(&tenant->conduct, now) == (pass == 1))
                visit(tenant);
        }
}

static void on_place_lost(void *owner)
{
    for_each_waiting(owner, find_another_place);
}

/* Sends requests that waited for a worker that is ready, or has room again. */
static void ledger_on_ready(struct worker *worker)
{
    for_each_waiting(ledger_of_worker(worker), ledger_pump);
}

/* Sends more of bodies that waited for the worker to read its frames, then does the same as
 * ledger_on_ready. */
static void ledger_on_drained(struct worker *worker)
{
    for (unsigned slot = 0; slot < SCOREBOARD_REQUESTS && !worker_is_congested(worker); slot++)
        if (worker->attempts[slot]) {
            struct request *request = request_of_attempt(worker->attempts[slot]);
            caller_on_room(&request->calls);
            ledger_push_body(request);
        }
    ledger_on_ready(worker);
}

/* Charges a load, which is a turn, too, to the tenant's share of the worker. */
static void charge_turn(struct tenant *tenant, struct worker *worker, uint64_t used_us)
{
    uint32_t cost_us = used_us < RUN_COST_MAX_US ? (uint32_t) used_us : RUN_COST_MAX_US;

    worker = tenant->books.run_worker ? tenant->books.run_worker : worker;
    run_queue_settle(&worker->books.queue, &tenant->books.run, 0, cost_us);
}

static void on_limit_met(struct attempt *attempt, unsigned limit, uint64_t used)
{
    failure_note_limit(request_of_attempt(attempt), limit, used);
}

const struct placement_ops ledger_placement_ops = {
    .on_room = ledger_on_ready,
    .on_drained = ledger_on_drained,
    .on_lost = on_place_lost,
    .on_death = ledger_on_death,
    .on_free = ledger_forget_worker,
    .on_tenant = ledger_pump,
    .on_refused = ledger_fail_queue,
    .on_load_cost = charge_turn,
    .on_limit_met = on_limit_met,
    .others_wait = ledger_others_wait,
    .withdraw = ledger_withdraw,
};
