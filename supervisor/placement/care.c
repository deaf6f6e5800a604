/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timers of placement, and its handlers of the workers' events. Supervisor, loop thread.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "common/io.h"
#include "common/loop_watch.h"
#include "supervisor/placement/change.h"
#include "supervisor/placement/placement.h"
#include "supervisor/placement/retire.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/workers/slots.h"

#define LOOK_MS 100

/* Closes a spare that is not wanted any more. */
static void close_unwanted(struct worker *worker, uint64_t now_ns)
{
    if (worker_is_in(worker, SLOT_SPARE) && worker->state == WORKER_READY &&
        !retire_wants_spare(worker->slot, now_ns))
        slot_close(worker->slot);
}

/* ---- ticks */

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("workers: watch");
    struct placements *placements = arg;
    struct slots *slots = placements->slots;
    uint64_t now = io_now_ns();
    bool has_work = false;
    struct worker *worker;

    TAILQ_FOREACH (worker, &slots->workers, entry) {
        placement_check_worker(worker, now);
        has_work = has_work || worker->is_watched;
    }
    if (!has_work) {
        (void) event_del(placements->watch);
        return;
    }
    /* Afterwards, because this loads tenants in other workers. */
    TAILQ_FOREACH (worker, &slots->workers, entry)
        seclude_look(worker, now);
}

/* Looks often, because native code of a tenant that has left can take a GiB in a second. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("workers: look at memory");
    struct placements *placements = arg;
    struct slots *slots = placements->slots;
    uint64_t now = io_now_ns();
    bool is_needed = false;
    struct worker *worker;

    TAILQ_FOREACH (worker, &slots->workers, entry) {
        if (!retire_must_look(worker))
            continue;
        is_needed = true;
        retire_check_rss(worker, now);
    }
    if (!is_needed)
        (void) event_del(placements->look);
}

static void look_if_needed(struct placements *placements)
{
    static const struct timeval period = { .tv_usec = LOOK_MS * 1000 };
    const struct worker *worker;

    if (event_pending(placements->look, EV_TIMEOUT, NULL))
        return;
    TAILQ_FOREACH (worker, &placements->slots->workers, entry)
        if (retire_must_look(worker)) {
            (void) event_add(placements->look, &period);
            return;
        }
}

/* Looks at some tenants in each turn of the loop. */
static void care_for_tenants(struct placements *placements)
{
    static const struct timeval at_once = { 0 };

    if (seclude_check_some(placements->tenants, io_now_ns()))
        (void) event_add(placements->care_turn, &at_once);
}

static void on_care_turn(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("workers: care of tenants");

    care_for_tenants(arg);
}

static void on_care(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("workers: care");
    struct placements *placements = arg;
    struct slots *slots = placements->slots;
    struct worker *worker;
    uint64_t now = io_now_ns();

    TAILQ_FOREACH (worker, &slots->workers, entry) {
        retire_check(worker, now);
        preload_check(worker, now);
        worker_check_jail(worker);
        close_unwanted(worker, now);
    }
    look_if_needed(placements);
    if (!event_pending(placements->care_turn, EV_TIMEOUT, NULL))
        care_for_tenants(placements);
    placements_check_change(placements, now);
    slots_check_last(slots);
    record_say_left_out(placements->record);
}

/* ---- events of workers */

static const struct placement_ops *ops_of(const struct worker *worker)
{
    return placements_of_worker(worker)->ops;
}

static void on_ready(struct worker *worker)
{
    worker->slot->is_joining = false;
    if (worker_is_stale(worker))
        retire_worker(worker, RETIRE_STALE_REASON);
    else if (worker->slot->kind == SLOT_SPARE && !retire_use_spare(worker->slot))
        close_unwanted(worker, io_now_ns());
    ops_of(worker)->on_room(worker);
    placement_preload_candidates(placements_of_worker(worker));
}

static void on_lost(void *owner)
{
    struct placements *placements = owner;

    placements->ops->on_lost(placements->owner);
    placement_preload_candidates(placements);
}

static void on_drained(struct worker *worker)
{
    ops_of(worker)->on_drained(worker);
    preload_run(worker);
}

static void on_free(struct worker *worker)
{
    struct placement *placement;

    ops_of(worker)->on_free(worker);
    preload_forget_worker(worker);
    while ((placement = LIST_FIRST(&worker->placements)))
        placement_free(placement);
}

static const struct slot_ops slot_ops = {
    .on_ready = on_ready,
    .on_end = placement_bury,
    .on_lost = on_lost,
    .on_drained = on_drained,
    .on_load_turn = load_on_turn,
    .on_free = on_free,
};

static int make_events(struct placements *placements, struct event_base *base)
{
    static const struct timeval second = { .tv_sec = 1 };

    placements->watch = event_new(base, -1, EV_PERSIST, on_watch, placements);
    placements->care = event_new(base, -1, EV_PERSIST, on_care, placements);
    placements->care_turn = event_new(base, -1, 0, on_care_turn, placements);
    placements->look = event_new(base, -1, EV_PERSIST, on_look, placements);
    if (!placements->watch || !placements->care || !placements->care_turn || !placements->look ||
        event_add(placements->care, &second) < 0)
        return -ENOMEM;
    return 0;
}

int placements_new(const struct placements_options *options, struct placements **ret_placements)
{
    struct placements *placements = calloc(1, sizeof *placements);

    if (!placements)
        return -ENOMEM;
    placements->config = options->config;
    placements->record = options->record;
    placements->slots = options->slots;
    placements->tenants = options->tenants;
    LIST_INIT(&placements->used);
    int r = make_events(placements, options->base);
    if (r < 0) {
        (void) placements_free(placements);
        return r;
    }
    slots_attach(options->slots, &slot_ops, placements);
    options->tenants->books.placements = placements;
    *ret_placements = placements;
    return 0;
}

struct placements *placements_free(struct placements *placements)
{
    if (!placements)
        return NULL;
    if (placements->watch)
        event_free(placements->watch);
    if (placements->care)
        event_free(placements->care);
    if (placements->care_turn)
        event_free(placements->care_turn);
    if (placements->look)
        event_free(placements->look);
    for (unsigned i = 0; i < placements->n_former; i++)
        (void) cordon_config_free(placements->former[i]);
    free(placements->former);
    placements->tenants->books.placements = NULL;
    free(placements);
    return NULL;
}
