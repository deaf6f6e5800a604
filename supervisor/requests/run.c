/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From tenants' queues into workers, fairly. Tenants with something to send to the same worker take
 * turns by weight and expected CPU time; and since a worker serves in the order of arrival, it has
 * little before it that has not begun, so that a turn that is due is soon taken. Supervisor, loop
 * thread.
 */
#include <stddef.h>

#include "common/io.h"
#include "proto/channel.h"
#include "proto/frame.h"
#include "supervisor/placement/placement.h"
#include "supervisor/requests/service.h"
#include "supervisor/workers/child.h"

/* What may be in a worker that has not begun. */
#define UNSTARTED_MAX_US 5000
#define UNSTARTED_MAX 64
/* How soon a worker without room is looked at again, whatever it says meanwhile. */
#define LOOK_AGAIN_NS (5 * NSEC_PER_MSEC)
/* CPU time of a request: of a tenant of which nothing is known, and the least that counts. */
#define COST_FIRST_US 1000
#define COST_MIN_US 10
/* JavaScript that has run for longer may run for much longer. */
#define LONG_PIECE_NS (2 * NSEC_PER_MSEC)
/* Of the moving average: what the last request counts. */
#define COST_SHARE 4
/* A tenant whose last cheap request ended longer ago may have begun to do something else. */
#define PROOF_NS NSEC_PER_SEC

/* ---- what requests cost */

static uint32_t cost_us(const struct tenant *tenant)
{
    return tenant->books.cost_us > 0 ? tenant->books.cost_us : COST_FIRST_US;
}

static bool is_unknown(const struct tenant *tenant)
{
    return tenant->books.cost_us == 0;
}

/* Its tenant's turn was charged with what was expected. */
static void settle(const struct request *request, uint32_t cost)
{
    struct tenant_books *books = &request->attempt.tenant->books;
    struct child *child = books->run_child ? books->run_child : request->attempt.placement->child;

    run_queue_settle(&child->books.queue, &books->run, request->attempt.cost_us, cost);
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
        books->cheap_ns = io_now_ns();
}

void ledger_note_death_cost(struct tenant *tenant)
{
    tenant->books.cost_us = RUN_COST_MAX_US;
}

/* ---- what has not begun */

static void push_unstarted(struct request *request, struct child_books *books)
{
    if (books->n_unstarted++ == 0)
        TAILQ_INIT(&books->unstarted);
    request->is_unstarted = true;
    books->unstarted_us += request->attempt.cost_us;
    books->n_suspect += request->is_suspect;
    TAILQ_INSERT_TAIL(&books->unstarted, request, unstarted);
}

static void drop_unstarted(struct child_books *books, struct request *request)
{
    TAILQ_REMOVE(&books->unstarted, request, unstarted);
    request->is_unstarted = false;
    books->unstarted_us -= request->attempt.cost_us;
    books->n_suspect -= request->is_suspect;
    books->n_unstarted--;
}

static void pop_unstarted(struct child_books *books)
{
    drop_unstarted(books, TAILQ_FIRST(&books->unstarted));
}

void ledger_note_started(struct request *request)
{
    while (request->is_unstarted)
        pop_unstarted(&request->attempt.placement->child->books);
}

void ledger_forget_unstarted(struct request *request)
{
    if (request->is_unstarted)
        drop_unstarted(&request->attempt.placement->child->books, request);
    settle(request, 0);
}

/* By the marks on the scoreboard. They are claims: a worker that lies gets its own requests at
 * another pace. */
static void look_at_marks(struct child *child)
{
    struct child_books *books = &child->books;
    const struct request *request;

    while (books->n_unstarted > 0) {
        request = TAILQ_FIRST(&books->unstarted);
        if (atomic_load(&child->board->entered[request->attempt.id % SCOREBOARD_SLOTS]) !=
            request->attempt.id)
            return;
        pop_unstarted(books);
    }
}

static bool fits(const struct child_books *books, uint32_t cost)
{
    return books->n_unstarted < UNSTARTED_MAX && books->unstarted_us + cost <= UNSTARTED_MAX_US;
}

bool ledger_others_wait(struct child *child, const struct tenant *tenant)
{
    struct child_books *books = &child->books;
    const struct placement *placement;
    const struct request *request;

    if (books->queue.n > (tenant->books.run_child == child))
        return true;
    look_at_marks(child);
    if (books->n_unstarted > 0)
        TAILQ_FOREACH (request, &books->unstarted, unstarted)
            if (request->attempt.tenant != tenant)
                return true;
    LIST_FOREACH (placement, &child->placements, in_child)
        if (placement->state == PLACEMENT_LOADING && placement->version->tenant != tenant &&
            placement->version->tenant->n_queued > 0)
            return true;
    return false;
}

/* A request that fills the worker's stretch of work alone goes when nothing is before it: nothing is
 * won by having it there while another runs, and a neighbour's would have to wait for both. */
static bool has_room(struct child *child, uint32_t cost)
{
    struct child_books *books = &child->books;

    if (fits(books, cost))
        return true;
    look_at_marks(child);
    if (books->n_unstarted > 0 || cost <= UNSTARTED_MAX_US)
        return books->n_unstarted == 0 || fits(books, cost);
    return !request_find(child, atomic_load(&child->board->running_request));
}

/* ---- in a worker that is held up */

/* Returns whether tenants in the worker have held up others so much that it is known, and may go apart. */
static bool is_pressed(const struct child *child)
{
    return child_is_in(child, PLACE_SHARED) && child->cordon->solitary > 0 &&
           holdup_is_pressed(&child->held, io_now_ns());
}

/* Returns whether the tenant's next request may hold up others, for all that is known. In a worker that is
 * pressed only what a tenant did just now counts: those that were cheap may spin all at once. */
static bool is_suspect(const struct child *child, const struct tenant *tenant)
{
    if (is_unknown(tenant))
        return true;
    return is_pressed(child) &&
           (cost_us(tenant) > UNSTARTED_MAX_US || io_now_ns() - tenant->books.cheap_ns > PROOF_NS);
}

/* A suspect's request goes behind none that is one's, or that runs for long: others have their turn between
 * them. */
static bool must_wait_for_others(struct child *child, const struct tenant *tenant)
{
    if (!is_suspect(child, tenant))
        return false;
    look_at_marks(child);
    if (child->books.n_suspect > 0)
        return true;
    const struct request *running =
        request_find(child, atomic_load(&child->board->running_request));
    uint64_t since_ns = atomic_load(&child->board->running_since_ns);
    return running && (running->is_suspect || io_now_ns() - since_ns > LONG_PIECE_NS);
}

static bool is_running(const struct child *child, const struct request *request)
{
    return request->is_unstarted ||
           atomic_load(&child->board->running_request) == request->attempt.id;
}

/* Returns whether a worker that is pressed has something in it that runs for long, or may: nobody's next
 * request goes behind that, where it would have to be withdrawn. */
static bool is_blocked(struct child *child)
{
    if (!is_pressed(child))
        return false;
    look_at_marks(child);
    const struct request *trial = request_find(child, child->books.trial);
    if (child->books.n_suspect > 0 || (trial && is_running(child, trial)))
        return true;
    return atomic_load(&child->board->running_tenant) != 0 &&
           io_now_ns() - atomic_load(&child->board->running_since_ns) > LONG_PIECE_NS;
}

static bool has_trial(const struct child *child, uint64_t now)
{
    const struct child_books *books = &child->books;

    if (!request_find(child, books->trial))
        return false;
    return now - books->trial_ns < HOLDUP_PAUSE_MS * NSEC_PER_MSEC ||
           atomic_load(&child->board->running_request) == books->trial;
}

/* Returns whether a tenant whose next request may hold up others has to wait until those have had some time. */
static bool must_pause(const struct child *child, const struct tenant *tenant)
{
    uint64_t now = io_now_ns();

    if (!is_pressed(child) || !is_suspect(child, tenant))
        return false;
    return now - child->held_at_ns < HOLDUP_PAUSE_MS * NSEC_PER_MSEC || has_trial(child, now);
}

/* ---- turns */

void ledger_stop_waiting(struct tenant *tenant)
{
    struct child *child = tenant->books.run_child;

    if (child)
        run_queue_leave(&child->books.queue, &tenant->books.run);
    tenant->books.run_child = NULL;
}

/* Whose entry in a run queue it is. */
static struct tenant *tenant_of(struct run_entry *entry)
{
    return (struct tenant *) (void *) ((char *) entry - offsetof(struct tenant, books.run));
}

void ledger_forget_child(struct child *child)
{
    struct run_entry *entry;

    while ((entry = run_queue_next(&child->books.queue)))
        ledger_stop_waiting(tenant_of(entry));
}

/* Whether the limits of the tenant let its next request go. */
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

/* Its place was taken over because of what runs in it, and that still does: nobody's next request goes
 * behind it. */
static bool is_left_to_what_runs(const struct child *child)
{
    const struct scoreboard *board = child->board;

    return !child->slot && child->piece.request != 0 && atomic_load(&board->running_tenant) != 0 &&
           atomic_load(&board->running_since_ns) == child->piece.since_ns &&
           holdup_is_pressed(&child->held, io_now_ns());
}

/* While the worker that it should be in does not have it yet: another that does. One that was kept away
 * from the others may have hurt them. */
static struct placement *find_meanwhile(const struct tenant *tenant)
{
    struct placement *placement;

    if (tenant->conduct.seclusion != SECLUSION_NONE)
        return NULL;
    LIST_FOREACH (placement, &tenant->version->placements, in_version)
        if (placement->state == PLACEMENT_READY && !placement->is_retiring &&
            placement->child->state == CHILD_READY && !placement->child->is_hung_up &&
            !is_left_to_what_runs(placement->child) &&
            !channel_is_congested(placement->child->channel))
            return placement;
    return NULL;
}

/* Where its next request goes; NULL while there is no such place. What gives it one pumps again. */
static struct placement *find_place(struct tenant *tenant)
{
    struct pool *pool = tenant->server->pool;
    struct version *version = tenant->version;
    struct child *child = pool ? placement_find_worker(pool, version) : NULL;

    if (!child)
        return find_meanwhile(tenant);
    if (channel_is_congested(child->channel))
        return NULL;
    struct placement *placement = placement_find(version, child);
    if (!placement)
        (void) placement_load(version, child);
    return placement && placement->state == PLACEMENT_READY ? placement : find_meanwhile(tenant);
}

static int send_request(struct request *request, struct placement *placement)
{
    struct ledger *ledger = request->server->ledger;
    struct child *child = placement->child;
    unsigned slot;
    int r = child_take_slot(child, &request->attempt, &slot);

    if (r < 0)
        return r;
    request->attempt.id = ++ledger->last_id * SCOREBOARD_SLOTS + slot;
    request->attempt.placement = placement;
    r = ledger_send_request(child, request);
    if (r < 0) {
        child_give_slot(child, &request->attempt);
        request->attempt.placement = NULL;
        return r;
    }
    request->state = REQUEST_SENT;
    request->worker = child->number;
    request->worker_pid = child->pid;
    request->attempt.version = version_ref(placement->version);
    request->attempt.version_id = placement->version->id;
    service_begin(request);
    request->sent_ns = request->progress_ns = io_now_ns();
    request->is_cold = placement->ready_ns > request->received_ns;
    request->client_ns = request->client_since_ns = 0;
    request->body_window = BODY_WINDOW_BYTES;
    request->response_window = BODY_WINDOW_BYTES;
    request->attempt.cost_us = cost_us(request->attempt.tenant);
    request->is_suspect = is_suspect(child, request->attempt.tenant);
    if (request->is_suspect || request->attempt.cost_us > UNSTARTED_MAX_US) {
        child->books.trial = request->attempt.id;
        child->books.trial_ns = request->sent_ns;
    }
    push_unstarted(request, &child->books);
    cpu_use(placement);
    placement->in_flight++;
    request->attempt.tenant->n_in_flight++;
    share_take_place(request);
    stats_note_load(&request->attempt.tenant->counted, request->attempt.tenant->n_queued,
                    request->attempt.tenant->n_in_flight);
    if (child->slot)
        child->slot->requests++;
    ledger->in_workers++;
    return 0;
}

static void after_sending(struct request *request)
{
    struct ledger *ledger = request->server->ledger;

    TAILQ_INSERT_TAIL(&ledger->active, request, entry);
    ledger_want_tick(ledger, ledger_deadline_ns(request));
    if (request->sendings++ == 0 && !request->body_ended) {
        bool is_short = http_front_pressure(request->server->front) > 0;
        size_t window = is_short ? BODY_GRANT_STEP_BYTES : BODY_WINDOW_BYTES;
        if (request->first_grant < window)
            request->client.ops->grant(request->client.to, window - request->first_grant);
    }
    ledger_push_body(request);
}

enum turn {
    TURN_TAKEN,
    TURN_LATER, /* others may have theirs before it */
    TURN_NONE,  /* nobody's can be taken just now */
};

/* The turn of a tenant, which waits in the worker's run queue. */
static enum turn take_turn(struct child *child, struct tenant *tenant)
{
    struct placement *placement = placement_find(tenant->version, child);
    struct request *request = share_next(tenant);

    if (!placement || placement->state != PLACEMENT_READY || !may_send(tenant) ||
        must_pause(child, tenant)) { /* the tick looks again */
        ledger_stop_waiting(tenant);
        return TURN_TAKEN;
    }
    if (is_blocked(child))
        return TURN_NONE;
    if (must_wait_for_others(child, tenant))
        return TURN_LATER;
    if (!has_room(child, cost_us(tenant)) || send_request(request, placement) < 0)
        return TURN_NONE;
    ledger_dequeue(request); /* the last one takes the tenant out of the run queue */
    if (tenant->books.run_child)
        run_queue_charge(&child->books.queue, &tenant->books.run, request->attempt.cost_us,
                         cost_us(tenant));
    after_sending(request);
    return TURN_TAKEN;
}

void ledger_run(struct child *child)
{
    struct run_queue *queue = &child->books.queue;
    struct ledger *ledger = child->server->ledger;
    unsigned sent = ledger->in_workers, later = 0;
    struct run_entry *entry;

    if (child->state != CHILD_READY)
        return;
    while ((entry = run_queue_next(queue))) {
        enum turn turn =
            channel_is_congested(child->channel) ? TURN_NONE : take_turn(child, tenant_of(entry));
        if (turn == TURN_LATER)
            run_queue_postpone(queue, entry);
        later = turn == TURN_LATER ? later + 1 : 0;
        if (turn == TURN_NONE || later > queue->n) {
            ledger_want_tick(ledger, io_now_ns() + LOOK_AGAIN_NS);
            break;
        }
    }
    if (ledger->in_workers != sent)
        placements_watch(child->server->placements);
}

void ledger_pump(struct tenant *tenant)
{
    struct tenant_books *books = &tenant->books;
    struct placement *placement = may_send(tenant) ? find_place(tenant) : NULL;
    struct child *child = placement ? placement->child : NULL;

    if (child && must_pause(child, tenant))
        child = NULL;
    if (books->run_child != child)
        ledger_stop_waiting(tenant);
    if (!child)
        return;
    if (!books->run_child) {
        books->run_child = child;
        run_queue_join(&child->books.queue, &books->run, cost_us(tenant),
                       tenant->version->limits.weight);
    }
    ledger_run(child);
}

void ledger_on_limits(struct tenant *tenant)
{
    ledger_stop_waiting(tenant); /* its weight is that of when it came */
    ledger_pump(tenant);
    ledger_want_tick(tenant->server->ledger, io_now_ns());
}
