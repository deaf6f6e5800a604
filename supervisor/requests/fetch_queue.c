/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/fetch_queue.h"

#include <assert.h>
#include <stddef.h>

void fetch_queue_init(struct fetch_queue *queue, struct fetch_bounds bounds)
{
    *queue = (struct fetch_queue){ .bounds = bounds };
    TAILQ_INIT(&queue->turns);
    TAILQ_INIT(&queue->waiting);
}

/* Returns a list that may be all zero yet. */
static struct fetch_place_list *list_of(struct fetch_place_list *list)
{
    if (!list->tqh_last)
        TAILQ_INIT(list);
    return list;
}

/* ---- turns */

static void make_ready(struct fetch_queue *queue, struct fetch_place *place)
{
    struct fetch_share *share = place->share;

    place->phase = FETCH_READY;
    place->lane->n_begun++;
    TAILQ_INSERT_TAIL(list_of(&share->ready), place, entry);
    if (share->n_ready++ == 0) {
        TAILQ_INSERT_TAIL(&queue->turns, share, turn);
        queue->n_turns++;
    }
}

static void leave_ready(struct fetch_queue *queue, struct fetch_place *place)
{
    struct fetch_share *share = place->share;

    TAILQ_REMOVE(&share->ready, place, entry);
    if (--share->n_ready == 0) {
        TAILQ_REMOVE(&queue->turns, share, turn);
        queue->n_turns--;
    }
}

static void put_last(struct fetch_queue *queue, struct fetch_share *share)
{
    TAILQ_REMOVE(&queue->turns, share, turn);
    TAILQ_INSERT_TAIL(&queue->turns, share, turn);
}

static bool may_open(const struct fetch_queue *queue, const struct fetch_share *share)
{
    const struct fetch_bounds *bounds = &queue->bounds;
    unsigned n_free = bounds->of_all - queue->n_open;

    return n_free > 0 && share->n_open < bounds->of_tenant &&
           share->n_open <= n_free / bounds->free_parts;
}

static bool may_begin(const struct fetch_queue *queue, const struct fetch_lane *lane)
{
    return lane->n_begun < (lane->most > 0 ? lane->most : queue->bounds.of_request);
}

bool fetch_queue_would_wait(const struct fetch_queue *queue, const struct fetch_lane *lane,
                            const struct fetch_share *share)
{
    static const struct fetch_share none;

    return !may_begin(queue, lane) || (share && share->n_ready > 0) ||
           !may_open(queue, share ? share : &none);
}

struct fetch_place *fetch_queue_next(struct fetch_queue *queue)
{
    for (unsigned n = queue->n_turns; n > 0; n--) {
        struct fetch_share *share = TAILQ_FIRST(&queue->turns);
        if (may_open(queue, share))
            return TAILQ_FIRST(&share->ready);
        put_last(queue, share);
    }
    return NULL;
}

/* ---- the fetches of a request */

/* Lets fetches of a request wait for their turn, as many as may. */
static void advance(struct fetch_queue *queue, struct fetch_lane *lane)
{
    struct fetch_place *place;

    while (may_begin(queue, lane) && (place = TAILQ_FIRST(list_of(&lane->blocked)))) {
        TAILQ_REMOVE(&lane->blocked, place, entry);
        make_ready(queue, place);
    }
}

void fetch_queue_join(struct fetch_queue *queue, struct fetch_place *place, struct fetch_lane *lane,
                      struct fetch_share *share, uint64_t now_ns)
{
    assert(place->phase == FETCH_OUTSIDE);
    place->lane = lane;
    place->share = share;
    place->since_ns = now_ns;
    place->phase = FETCH_BLOCKED;
    TAILQ_INSERT_TAIL(list_of(&lane->blocked), place, entry);
    TAILQ_INSERT_TAIL(&queue->waiting, place, age);
    queue->n_waiting++;
    share->n_places++;
    advance(queue, lane);
}

static void stop_waiting(struct fetch_queue *queue, struct fetch_place *place)
{
    TAILQ_REMOVE(&queue->waiting, place, age);
    queue->n_waiting--;
}

void fetch_queue_open(struct fetch_queue *queue, struct fetch_place *place)
{
    struct fetch_share *share = place->share;

    assert(place->phase == FETCH_READY);
    stop_waiting(queue, place);
    leave_ready(queue, place);
    if (share->n_ready > 0)
        put_last(queue, share);
    place->phase = FETCH_OPEN;
    share->n_open++;
    queue->n_open++;
}

void fetch_queue_answer(struct fetch_queue *queue, struct fetch_place *place)
{
    assert(place->phase == FETCH_OPEN);
    place->phase = FETCH_ANSWERED;
    place->lane->n_begun--;
    advance(queue, place->lane);
}

void fetch_queue_leave(struct fetch_queue *queue, struct fetch_place *place)
{
    enum fetch_phase phase = place->phase;

    if (phase == FETCH_OUTSIDE)
        return;
    place->phase = FETCH_OUTSIDE;
    place->share->n_places--;
    if (phase == FETCH_BLOCKED)
        TAILQ_REMOVE(&place->lane->blocked, place, entry);
    if (phase == FETCH_READY)
        leave_ready(queue, place);
    if (phase == FETCH_BLOCKED || phase == FETCH_READY)
        stop_waiting(queue, place);
    if (phase == FETCH_OPEN || phase == FETCH_ANSWERED) {
        place->share->n_open--;
        queue->n_open--;
    }
    if (phase == FETCH_READY || phase == FETCH_OPEN) {
        place->lane->n_begun--;
        advance(queue, place->lane);
    }
}

struct fetch_place *fetch_queue_oldest(const struct fetch_queue *queue)
{
    return TAILQ_FIRST(&queue->waiting);
}
