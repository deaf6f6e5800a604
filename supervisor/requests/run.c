/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From tenants' queues into workers, fairly. Tenants with requests for the same worker take
 * turns by weight and expected CPU time. Since a worker serves in the order of arrival, it gets
 * few requests that have not begun, so that a turn that is due is soon taken. Supervisor, loop
 * thread.
 */
#include <stddef.h>

#include "common/io.h"
#include "common/loop_watch.h"
#include "proto/channel.h"
#include "proto/frame.h"
#include "supervisor/placement/placement.h"
#include "supervisor/requests/memory.h"
#include "supervisor/requests/service.h"
#include "supervisor/workers/running.h"
#include "supervisor/workers/worker.h"

/* Bounds of the requests in a worker that have not begun. */
#define UNSTARTED_MAX_US 5000
#define UNSTARTED_MAX 64
/* Time until the next look at a worker without room. */
#define LOOK_AGAIN_NS (5 * NSEC_PER_MSEC)
/* CPU time of a request: that of an unknown tenant, and the least that counts. */
#define COST_FIRST_US 1000
#define COST_MIN_US 10
/* JavaScript that has run for longer than this may run for much longer. */
#define LONG_PIECE_NS (2 * NSEC_PER_MSEC)
/* Part of the last request in the moving average. */
#define COST_SHARE 4
/* A tenant whose last cheap request ended longer ago may have begun to do something else. */
#define PROOF_NS NSEC_PER_SEC

/* ---- costs of requests */

static uint32_t cost_us(const struct tenant *tenant)
{
    return tenant->books.cost_us > 0 ? tenant->books.cost_us : COST_FIRST_US;
}

static bool is_unknown(const struct tenant *tenant)
{
    return tenant->books.cost_us == 0;
}

/* Settles the cost: the tenant's turn was charged with the expected one. */
static void settle(const struct request *request, uint32_t cost)
{
    struct tenant_books *books = &request->attempt.tenant->books;
    struct worker *worker =
        books->run_worker ? books->run_worker : request->attempt.placement->worker;

    run_queue_settle(&worker->books.queue, &books->run, request->attempt.cost_us, cost);
}

void ledger_note_cost(struct request *request, uint64_t cpu_us)
{
    struct tenant_books *books = &request->attempt.tenant->books;
    int64_t last = cpu_us < RUN_COST_MAX_US ? (int64_t) cpu_us : RUN_COST_MAX_US;
    int64_t cost = cost_us(request->attempt.tenant);

    settle(request, (uint32_t) last);
    cost += (last - cost) / COST_SHARE;
    books->cost_us = cost > COST_MIN_US ? (uint32_t) cost : COST_MIN_US;
    if (last <= UNSTARTED_MAX_US)
        books->cheap_ns = loop_now_ns();
}

void ledger_note_death_cost(struct tenant *tenant)
{
    tenant->books.cost_us = RUN_COST_MAX_US;
}

/* ---- requests that have not begun */

static void push_unstarted(struct request *request, struct worker_books *books)
{
    if (books->n_unstarted++ == 0)
        TAILQ_INIT(&books->unstarted);
    request->is_unstarted = true;
    books->unstarted_us += request->attempt.cost_us;
    books->n_suspect += request->is_suspect;
    TAILQ_INSERT_TAIL(&books->unstarted, request, unstarted);
}

static void drop_unstarted(struct worker_books *books, struct request *request)
{
    TAILQ_REMOVE(&books->unstarted, request, unstarted);
    request->is_unstarted = false;
    books->unstarted_us -= request->attempt.cost_us;
    books->n_suspect -= request->is_suspect;
    books->n_unstarted--;
}

static void pop_unstarted(struct worker_books *books)
{
    drop_unstarted(books, TAILQ_FIRST(&books->unstarted));
}

void ledger_note_started(struct request *request)
{
    while (request->is_unstarted)
        pop_unstarted(&request->attempt.placement->worker->books);
}

void ledger_forget_unstarted(struct request *request)
{
    if (request->is_unstarted)
        drop_unstarted(&request->attempt.placement->worker->books, request);
    settle(request, 0);
}

/* Notes requests that have begun, by the marks on the scoreboard. They are claims: a worker that lies gets its own
 * requests at another pace. */
static void look_at_marks(struct worker *worker)
{
    struct worker_books *books = &worker->books;
    const struct request *request;

    while (books->n_unstarted > 0) {
        request = TAILQ_FIRST(&books->unstarted);
        if (atomic_load(&worker->board->entered[request->attempt.id % SCOREBOARD_REQUESTS]) !=
            request->attempt.id)
            return;
        pop_unstarted(books);
    }
}

static bool fits(const struct worker_books *books, uint32_t cost)
{
    return books->n_unstarted < UNSTARTED_MAX && books->unstarted_us + cost <= UNSTARTED_MAX_US;
}

bool ledger_others_wait(struct worker *worker, const struct tenant *tenant)
{
    struct worker_books *books = &worker->books;
    const struct placement *placement;
    const struct request *request;

    if (books->queue.n > (tenant->books.run_worker == worker))
        return true;
    look_at_marks(worker);
    if (books->n_unstarted > 0)
        TAILQ_FOREACH (request, &books->unstarted, unstarted)
            if (request->attempt.tenant != tenant)
                return true;
    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (placement_is_loading(placement) && placement->version->tenant != tenant &&
            placement->version->tenant->n_queued > 0)
            return true;
    return false;
}

/* Returns whether the worker has room. A request that alone fills UNSTARTED_MAX_US is sent when none is before it: earlier
 * it would win nothing, and a neighbour's would have to wait for both. */
static bool has_room(struct worker *worker, uint32_t cost)
{
    struct worker_books *books = &worker->books;

    if (fits(books, cost))
        return true;
    look_at_marks(worker);
    if (books->n_unstarted > 0 || cost <= UNSTARTED_MAX_US)
        return books->n_unstarted == 0 || fits(books, cost);
    return !request_find(worker, worker_running(worker).request);
}

/* ---- in a worker that is held up */

/* Returns whether tenants in the worker have held up others so much that they may go apart. */
static bool is_pressed(const struct worker *worker)
{
    return worker_is_in(worker, SLOT_SHARED) && worker->cordon->solitary > 0 &&
           holdup_is_pressed(&worker->held, loop_now_ns());
}

/* Returns whether the tenant's next request may hold up others, as far as is known. In a pressed worker only the
 * tenant's last requests count, since tenants that were cheap may all begin to spin at once. */
static bool is_suspect(const struct worker *worker, const struct tenant *tenant)
{
    if (is_unknown(tenant))
        return true;
    return is_pressed(worker) && (cost_us(tenant) > UNSTARTED_MAX_US ||
                                  loop_now_ns() - tenant->books.cheap_ns > PROOF_NS);
}

/* Returns whether a suspect's request has to wait: it is sent behind no other suspect's, and behind none that runs for
 * long, so that others have their turn between them. */
static bool must_wait_for_others(struct worker *worker, const struct tenant *tenant)
{
    if (!is_suspect(worker, tenant))
        return false;
    look_at_marks(worker);
    if (worker->books.n_suspect > 0)
        return true;
    struct running running = worker_running(worker);
    const struct request *request = request_find(worker, running.request);
    return request && (request->is_suspect || io_now_ns() - running.since_ns > LONG_PIECE_NS);
}

static bool is_running(const struct worker *worker, const struct request *request)
{
    return request->is_unstarted || worker_runs(worker, request->attempt.id, NULL);
}

/* Returns whether a pressed worker has a request that runs for long, or may: no request is sent behind that,
 * where it would have to be withdrawn. */
static bool is_blocked(struct worker *worker)
{
    if (!is_pressed(worker))
        return false;
    look_at_marks(worker);
    const struct request *trial = request_find(worker, worker->books.trial);
    if (worker->books.n_suspect > 0 || (trial && is_running(worker, trial)))
        return true;
    struct running running = worker_running(worker);
    return running.placement != 0 && io_now_ns() - running.since_ns > LONG_PIECE_NS;
}

static bool has_trial(const struct worker *worker, uint64_t now)
{
    const struct worker_books *books = &worker->books;

    if (!request_find(worker, books->trial))
        return false;
    return now - books->trial_ns < HOLDUP_PAUSE_MS * NSEC_PER_MSEC ||
           worker_runs(worker, books->trial, NULL);
}

/* Returns whether a tenant whose next request may hold up others has to wait until the others have
 * had some time. */
static bool must_pause(const struct worker *worker, const struct tenant *tenant)
{
    if (!is_pressed(worker) || !is_suspect(worker, tenant))
        return false;
    uint64_t now = io_now_ns();
    return now - worker->held_at_ns < HOLDUP_PAUSE_MS * NSEC_PER_MSEC || has_trial(worker, now);
}

/* Returns whether the tenant's next request has to wait until clients have taken answers from the isolate. */
static bool must_wait_for_clients(struct tenant *tenant, const struct placement *placement)
{
    bool must_wait = memory_is_held_by_clients(placement);

    tenant->books.waits_for_clients = must_wait;
    if (must_wait)
        ledger_want_tick(ledger_of_tenant(tenant), io_now_ns() + LOOK_AGAIN_NS);
    return must_wait;
}

/* ---- places in the worker */

/* A tenant has at most this many times as many places in a worker as are free in it: one tenant three quarters, and any number of
 * them leave some. */
#define PLACES_PER_FREE 3

/* Returns whether the tenant may take another place in the worker. */
static bool may_take_row(const struct worker *worker, const struct tenant *tenant)
{
    const unsigned most = PLACES_PER_FREE * worker->n_free_rows;
    const struct placement *placement;
    unsigned n = 0;

    if (tenant->n_in_flight < most || tenant->tenants->n_listed == 1 ||
        worker_is_in(worker, SLOT_OWN))
        return true;
    LIST_FOREACH (placement, &worker->placements, in_worker)
        n += placement->version->tenant == tenant ? placement->in_flight : 0;
    return n < most;
}

/* ---- turns */

void ledger_stop_waiting(struct tenant *tenant)
{
    struct worker *worker = tenant->books.run_worker;

    if (worker)
        run_queue_leave(&worker->books.queue, &tenant->books.run);
    tenant->books.run_worker = NULL;
}

/* Returns the tenant of an entry of a run queue. */
static struct tenant *tenant_of(struct run_entry *entry)
{
    return (struct tenant *) (void *) ((char *) entry - offsetof(struct tenant, books.run));
}

void ledger_forget_worker(struct worker *worker)
{
    struct run_entry *entry;

    while ((entry = run_queue_next(&worker->books.queue)))
        ledger_stop_waiting(tenant_of(entry));
}

/* Returns whether the limits of the tenant allow its next request. */
static bool may_send(struct tenant *tenant)
{
    const struct version *version = tenant->version;

    if (!share_next(tenant))
        return false;
    if (tenant->n_in_flight >= version->limits.concurrency &&
        ledger_meet_limit(version, NULL, LIMIT_INDEX(concurrency),
                          ((uint64_t) tenant->n_in_flight + 1) * 1000))
        return false;
    return ledger_debt_ns(tenant) == 0;
}

/* Returns whether the worker's slot was taken over because of a piece that still runs in it: no request is sent
 * behind that. */
static bool is_left_to_what_runs(const struct worker *worker)
{
    if (worker->slot || worker->piece.request == 0)
        return false;
    struct running running = worker_running(worker);
    return running.placement != 0 && running.since_ns == worker->piece.since_ns &&
           holdup_is_pressed(&worker->held, io_now_ns());
}

/* Finds another worker that has the version, while the right one does not have it yet. A tenant that was kept away from
 * the others may have hurt them. */
static struct placement *find_meanwhile(const struct tenant *tenant)
{
    struct placement *placement;

    if (tenant->conduct.seclusion != SECLUSION_NONE)
        return NULL;
    LIST_FOREACH (placement, &tenant->version->placements, in_version)
        if (placement->state == PLACEMENT_READY && placement->worker->state == WORKER_READY &&
            !placement->worker->is_hung_up && !is_left_to_what_runs(placement->worker) &&
            !channel_is_congested(placement->worker->channel))
            return placement;
    return NULL;
}

/* Returns the placement for the tenant's next request; NULL while there is none. The code that
 * makes one pumps again. */
static struct placement *find_place(struct tenant *tenant)
{
    struct slots *slots = placements_of_tenant(tenant)->slots;
    struct version *version = tenant->version;
    struct worker *worker = slots ? placement_find_worker(slots, version) : NULL;

    if (!worker)
        return find_meanwhile(tenant);
    if (channel_is_congested(worker->channel))
        return NULL;
    struct placement *placement = placement_find(version, worker);
    if (!placement)
        (void) placement_load(version, worker);
    else if (placement->is_preload)
        load_hurry(placement);
    return placement && placement_is_up(placement) ? placement : find_meanwhile(tenant);
}

static int send_request(struct request *request, struct placement *placement)
{
    struct ledger *ledger = request->ledger;
    struct worker *worker = placement->worker;
    unsigned row;
    int r = worker_take_row(worker, &request->attempt, &row);

    if (r < 0)
        return r;
    request->attempt.id = ++ledger->last_id * SCOREBOARD_REQUESTS + row;
    request->attempt.placement = placement;
    r = ledger_send_request(worker, request);
    if (r < 0) {
        worker_give_row(worker, &request->attempt);
        request->attempt.placement = NULL;
        return r;
    }
    request->state = REQUEST_SENT;
    request->worker = worker->number;
    request->worker_pid = worker->pid;
    request->attempt.version = version_ref(placement->version);
    request->attempt.version_id = placement->version->id;
    service_begin(request);
    request->sent_ns = request->progress_ns = loop_now_ns();
    request->is_cold = placement->ready_ns > request->received_ns;
    request->client_ns = request->client_since_ns = 0;
    request->body_window = BODY_WINDOW_BYTES;
    request->response_window = BODY_WINDOW_BYTES;
    request->attempt.cost_us = cost_us(request->attempt.tenant);
    request->is_suspect = is_suspect(worker, request->attempt.tenant);
    if (request->is_suspect || request->attempt.cost_us > UNSTARTED_MAX_US) {
        worker->books.trial = request->attempt.id;
        worker->books.trial_ns = request->sent_ns;
    }
    push_unstarted(request, &worker->books);
    cpu_use(placement);
    placement->in_flight++;
    request->attempt.tenant->n_in_flight++;
    share_take_place(request);
    stats_note_requests(&request->attempt.tenant->counted, request->attempt.tenant->n_queued,
                        request->attempt.tenant->n_in_flight);
    if (worker->slot)
        worker->slot->requests++;
    ledger->in_workers++;
    return 0;
}

static void after_sending(struct request *request)
{
    struct ledger *ledger = request->ledger;

    TAILQ_INSERT_TAIL(&ledger->active, request, entry);
    ledger_want_tick(ledger, ledger_deadline_ns(request));
    if (request->sendings++ == 0 && !request->body_ended) {
        bool is_short = http_front_pressure(request->ledger->front) > 0;
        size_t window = is_short ? BODY_GRANT_STEP_BYTES : BODY_WINDOW_BYTES;
        if (request->first_grant < window)
            request->client.ops->grant(request->client.to, window - request->first_grant);
    }
    ledger_push_body(request);
}

enum turn {
    TURN_TAKEN,
    TURN_LATER, /* others may have their turns before it */
    TURN_NONE,  /* no turn can be taken just now */
};

/* Takes the turn of a tenant, which waits in the worker's run queue. */
static enum turn take_turn(struct worker *worker, struct tenant *tenant)
{
    struct placement *placement = placement_find(tenant->version, worker);
    struct request *request = share_next(tenant);

    if (!placement || !placement_is_up(placement) || !may_send(tenant) ||
        must_pause(worker, tenant) ||
        must_wait_for_clients(tenant, placement)) { /* the tick tries again */
        ledger_stop_waiting(tenant);
        return TURN_TAKEN;
    }
    if (is_blocked(worker))
        return TURN_NONE;
    if (must_wait_for_others(worker, tenant) || !may_take_row(worker, tenant))
        return TURN_LATER;
    if (!has_room(worker, cost_us(tenant)) || send_request(request, placement) < 0)
        return TURN_NONE;
    ledger_dequeue(request); /* the last request takes the tenant out of the run queue */
    if (tenant->books.run_worker)
        run_queue_charge(&worker->books.queue, &tenant->books.run, request->attempt.cost_us,
                         cost_us(tenant));
    after_sending(request);
    return TURN_TAKEN;
}

void ledger_run(struct worker *worker)
{
    struct run_queue *queue = &worker->books.queue;
    struct ledger *ledger = ledger_of_worker(worker);
    unsigned sent = ledger->in_workers, later = 0;
    struct run_entry *entry;

    if (worker->state != WORKER_READY)
        return;
    while ((entry = run_queue_next(queue))) {
        enum turn turn =
            channel_is_congested(worker->channel) ? TURN_NONE : take_turn(worker, tenant_of(entry));
        if (turn == TURN_LATER)
            run_queue_postpone(queue, entry);
        later = turn == TURN_LATER ? later + 1 : 0;
        if (turn == TURN_NONE || later > queue->n) {
            ledger_want_tick(ledger, io_now_ns() + LOOK_AGAIN_NS);
            break;
        }
    }
    if (ledger->in_workers != sent)
        placements_watch(placements_of_worker(worker));
}

void ledger_pump(struct tenant *tenant)
{
    struct tenant_books *books = &tenant->books;
    struct placement *placement = may_send(tenant) ? find_place(tenant) : NULL;
    struct worker *worker = placement ? placement->worker : NULL;

    books->waits_for_clients = false; /* also where nothing is asked, as the isolate may be gone */
    if (worker && (must_pause(worker, tenant) || must_wait_for_clients(tenant, placement)))
        worker = NULL;
    if (books->run_worker != worker)
        ledger_stop_waiting(tenant);
    if (!worker)
        return;
    if (!books->run_worker) {
        books->run_worker = worker;
        run_queue_join(&worker->books.queue, &books->run, cost_us(tenant),
                       tenant->version->limits.weight);
    }
    ledger_run(worker);
}

void ledger_on_limits(struct tenant *tenant)
{
    ledger_stop_waiting(tenant); /* the entry has the old weight */
    ledger_pump(tenant);
    ledger_want_tick(ledger_of_tenant(tenant), io_now_ns());
}
