/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/slot.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>

#include "common/backoff.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "supervisor/workers/internal.h"
#include "supervisor/workers/slots.h"

#define FAILURE_WINDOW_NS (30 * NSEC_PER_SEC)
#define FAILURES_FREE 5

uint64_t slot_backoff_ms(unsigned failures, uint32_t random)
{
    return backoff_ms(failures, random);
}

/* Counts a failed worker of the slot. ready_ns: time since which the worker served; 0: never. */
static void count_failure(struct slot *slot, uint64_t ready_ns)
{
    uint64_t now = io_now_ns();

    if (ready_ns > 0 && now - ready_ns > FAILURE_WINDOW_NS)
        slot->failures = 0;
    if (now - slot->failures_since_ns > FAILURE_WINDOW_NS && slot->failures < FAILURES_FREE)
        slot->failures = 0;
    if (slot->failures == 0)
        slot->failures_since_ns = now;
    slot->failures++;
}

/* ---- the end of a worker */

void slot_on_end(struct worker *worker, bool is_failure)
{
    struct slots *slots = worker->slots;
    struct slot *slot = worker->slot; /* NULL: it was leaving */

    assert(worker->in_flight == 0 && worker->n_placements == 0 && worker->books.n_unstarted == 0);
    assert(worker->n_free_rows + worker->n_withdrawn == SCOREBOARD_REQUESTS);
    if (slot && is_failure)
        count_failure(slot, worker->ready_ns);
    else if (slot)
        slot->failures = 0;
    if (slot)
        slot->worker = NULL;
    slots_forget(slots, worker);
    if (slot)
        slot_fill(slot);
    slots->ops->on_lost(slots->owner);
}

/* ---- the next worker */

/* Returns whether the slot still needs a worker. */
static bool has_use(const struct slot *slot)
{
    const struct life *life = slot->slots->life;

    if (slot->kind == SLOT_SPARE)
        return slot->cordon->spare && !life->is_draining;
    /* Requests that wait are answered even while we stop: they were accepted. */
    return life_expects_requests(life) || life->n_queued > 0;
}

static void plan_start(struct slot *slot)
{
    uint64_t wait_ms = slot_backoff_ms(slot->failures, (uint32_t) io_now_ns());
    struct timeval wait = { .tv_sec = (time_t) (wait_ms / 1000),
                            .tv_usec = (suseconds_t) (wait_ms % 1000 * 1000) };

    if (!has_use(slot)) {
        if (slot->kind == SLOT_SPARE)
            slot_close(slot);
        return;
    }
    if (wait_ms > 0)
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT_SLOT(slot),
                  "slot %u of cordon %s failed %u times; next start in %u ms", slot->position,
                  slot->cordon->name, slot->failures, (unsigned) wait_ms);
    (void) event_add(slot->timer, &wait);
}

/* Has the cordon's spare take the slot over: its worker and number are the slot's from then on, and the
 * next spare is started in the spare's slot. Returns whether it did. */
static bool promote_spare(struct slot *slot)
{
    struct slot *spare = slots_find_spare(slot->slots, slot->cordon);

    /* A slot that keeps failing waits: a spare would only die in the same way. */
    if (slot->kind == SLOT_SPARE || !spare || slot_backoff_ms(slot->failures, 0) > 0)
        return false;
    slot_swap(slot, spare);
    slot->is_joining = false;
    log_event(LOG_LEVEL_INFO, LOG_ABOUT_WORKER(slot->worker),
              "worker %u (pid %d), the spare, takes over slot %u of cordon %s", slot->number,
              (int) slot->worker->pid, slot->position, slot->cordon->name);
    plan_start(spare);
    return true;
}

void slot_fill(struct slot *slot)
{
    assert(!slot->worker && !slot->is_dropped);
    if (!promote_spare(slot))
        plan_start(slot);
}

void slot_start(struct slot *slot)
{
    assert(!slot->worker && !slot->is_dropped);
    (void) event_del(slot->timer);
    int r = worker_spawn(slot);
    if (r == 0)
        return;
    (void) log_event_errno(LOG_LEVEL_ERROR, LOG_ABOUT_SLOT(slot), r, "cannot start worker %u",
                           slot->number);
    count_failure(slot, 0);
    slot_fill(slot);
    slot->slots->ops->on_lost(slot->slots->owner);
}

/* ---- the worker of a slot */

void slot_swap(struct slot *one, struct slot *other)
{
    struct worker *worker = one->worker;
    unsigned number = one->number;

    one->worker = other->worker;
    one->number = other->number;
    other->worker = worker;
    other->number = number;
    if (one->worker)
        one->worker->slot = one;
    if (other->worker)
        other->worker->slot = other;
}

struct worker *slot_detach(struct slot *slot)
{
    struct worker *worker = slot->worker;

    if (!worker)
        return NULL;
    worker->list_position = slots_free_position(slot->slots, slot->cordon, SLOT_SPARE);
    worker->slot = NULL;
    slot->worker = NULL;
    slot->number = slots_free_number(slot->slots); /* the worker's number is taken until its end */
    return worker;
}

/* Drops the slot. Returns its worker, which leaves; NULL: there was none. */
static struct worker *drop(struct slot *slot)
{
    struct worker *worker = slot_detach(slot);

    slot->owner = NULL;
    slot->members = 0;
    (void) event_del(slot->timer); /* the timer may be due in this very turn of the loop */
    slot->is_dropped = true;
    event_active(slot->slots->sweep, EV_TIMEOUT, 0);
    return worker;
}

void slot_close(struct slot *slot)
{
    struct worker *worker = drop(slot);

    if (worker)
        worker_drain(worker);
}

void slot_close_softly(struct slot *slot)
{
    struct worker *worker = drop(slot);

    if (worker && worker->state == WORKER_READY && !worker->is_hung_up)
        worker->leave_since_ns = io_now_ns();
    else if (worker)
        worker_drain(worker);
}

/* ---- the state of a slot */

bool slot_is_usable(const struct slot *slot)
{
    return slot_find_ready(slot) || slot->failures < FAILURES_FREE;
}

bool slot_has_failed(const struct slot *slot)
{
    return !slot->worker && !slot_is_usable(slot);
}

struct worker *slot_find_ready(const struct slot *slot)
{
    return slot && slot->worker && slot->worker->state == WORKER_READY ? slot->worker : NULL;
}

/* ---- life */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("slot: the next start");

    slot_start(arg);
}

struct slot *slot_new(struct slots *slots, const struct cordon_config *cordon, enum slot_kind kind)
{
    struct slot *slot = calloc(1, sizeof *slot);

    if (!slot)
        return NULL;
    slot->slots = slots;
    slot->cordon = cordon;
    slot->kind = kind;
    slot->timer = event_new(slots->base, -1, 0, on_timer, slot);
    return slot->timer ? slot : slot_free(slot);
}

struct slot *slot_free(struct slot *slot)
{
    if (!slot)
        return NULL;
    if (slot->timer)
        event_free(slot->timer);
    free(slot);
    return NULL;
}
