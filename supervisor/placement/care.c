/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What placement does by time, and what workers tell it. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/io.h"
#include "common/loop_watch.h"
#include "supervisor/placement/change.h"
#include "supervisor/placement/placement.h"
#include "supervisor/placement/retire.h"
#include "supervisor/placement/seclude.h"

#define LOOK_MS 100

/* ---- ticks */

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("workers: watch");
    struct placements *placements = arg;
    struct pool *pool = placements->server->pool;
    uint64_t now = io_now_ns();
    bool has_work = false;
    struct child *child;

    (void) fd;
    (void) what;
    TAILQ_FOREACH (child, &pool->children, entry) {
        child_check(child, now);
        has_work = has_work || child->is_watched;
    }
    if (!has_work) {
        (void) event_del(placements->watch);
        return;
    }
    /* Afterwards, because this loads tenants in other workers. */
    TAILQ_FOREACH (child, &pool->children, entry)
        seclude_look(child, now);
}

/* Native code of a tenant that has left can take a GiB in a second. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("workers: look at memory");
    struct placements *placements = arg;
    struct pool *pool = placements->server->pool;
    uint64_t now = io_now_ns();
    bool is_needed = false;
    struct child *child;

    (void) fd;
    (void) what;
    TAILQ_FOREACH (child, &pool->children, entry) {
        if (!retire_must_look(child))
            continue;
        is_needed = true;
        retire_check_rss(child, now);
    }
    if (!is_needed)
        (void) event_del(placements->look);
}

static void look_if_needed(struct placements *placements)
{
    static const struct timeval period = { .tv_usec = LOOK_MS * 1000 };
    const struct child *child;

    if (event_pending(placements->look, EV_TIMEOUT, NULL))
        return;
    TAILQ_FOREACH (child, &placements->server->pool->children, entry)
        if (retire_must_look(child)) {
            (void) event_add(placements->look, &period);
            return;
        }
}

/* Some in each turn of the loop. */
static void care_for_tenants(struct placements *placements)
{
    static const struct timeval at_once = { 0 };

    if (seclude_check_some(placements->server->tenants, io_now_ns()))
        (void) event_add(placements->care_turn, &at_once);
}

static void on_care_turn(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("workers: care of tenants");

    (void) fd;
    (void) what;
    care_for_tenants(arg);
}

static void on_care(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("workers: care");
    struct placements *placements = arg;
    struct pool *pool = placements->server->pool;
    struct child *child;
    uint64_t now = io_now_ns();

    (void) fd;
    (void) what;
    TAILQ_FOREACH (child, &pool->children, entry) {
        retire_check(child, now);
        preload_check(child, now);
        child_check_jail(child);
    }
    look_if_needed(placements);
    if (!event_pending(placements->care_turn, EV_TIMEOUT, NULL))
        care_for_tenants(placements);
    pool_check_change(pool, now);
    pool_check_last(pool);
    record_say_left_out(&pool->server->record);
}

/* ---- what workers tell */

static const struct placement_ops *ops_of(const struct child *child)
{
    return child->server->placements->ops;
}

static void on_ready(struct child *child)
{
    child->slot->is_joining = false;
    if (child_is_stale(child))
        retire_child(child, RETIRE_STALE_REASON);
    else if (child->slot->kind == PLACE_SPARE && !retire_use_spare(child->slot) &&
             !child->cordon->spare)
        slot_close(child->slot); /* it was wanted, and is not any more */
    ops_of(child)->on_room(child);
    placement_preload_candidates(child->server);
}

static void on_lost(struct server *server)
{
    server->placements->ops->on_lost(server);
    placement_preload_candidates(server);
}

static void on_drained(struct child *child)
{
    ops_of(child)->on_drained(child);
    preload_run(child);
}

static void on_free(struct child *child)
{
    struct placement *placement;

    ops_of(child)->on_free(child);
    preload_forget_child(child);
    while ((placement = LIST_FIRST(&child->placements)))
        placement_free(placement);
}

const struct slot_ops placement_slot_ops = {
    .on_ready = on_ready,
    .on_end = placement_bury,
    .on_lost = on_lost,
    .on_drained = on_drained,
    .on_load_turn = load_on_turn,
    .on_free = on_free,
};

int placements_new(struct server *server, struct placements **ret_placements)
{
    static const struct timeval second = { .tv_sec = 1 };
    struct placements *placements = calloc(1, sizeof *placements);

    if (!placements)
        return -ENOMEM;
    placements->server = server;
    LIST_INIT(&placements->used);
    placements->watch = event_new(server->base, -1, EV_PERSIST, on_watch, placements);
    placements->care = event_new(server->base, -1, EV_PERSIST, on_care, placements);
    placements->care_turn = event_new(server->base, -1, 0, on_care_turn, placements);
    placements->look = event_new(server->base, -1, EV_PERSIST, on_look, placements);
    if (!placements->watch || !placements->care || !placements->care_turn || !placements->look ||
        event_add(placements->care, &second) < 0) {
        (void) placements_free(placements);
        return -ENOMEM;
    }
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
    free(placements);
    return NULL;
}
