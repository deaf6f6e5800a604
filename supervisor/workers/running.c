/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/running.h"

#include <stdatomic.h>

static struct running read_row(const struct scoreboard_thread *row)
{
    return (struct running){
        .request = atomic_load(&row->running_request),
        .placement = atomic_load(&row->running_placement),
        .since_ns = atomic_load(&row->running_since_ns),
    };
}

static bool is_idle(const struct running *running)
{
    return running->request == 0 && running->placement == 0;
}

/* Reads all rows. Returns how many run anything; ret_longest: the one since the earliest time. */
static unsigned read_rows(const struct worker *worker, struct running *ret_longest)
{
    unsigned n = 0;

    *ret_longest = (struct running){ 0 };
    for (unsigned i = 0; worker->board && i < SCOREBOARD_THREADS; i++) {
        struct running running = read_row(&worker->board->threads[i]);
        if (is_idle(&running))
            continue;
        if (n++ == 0 || running.since_ns < ret_longest->since_ns)
            *ret_longest = running;
    }
    return n;
}

struct running worker_running(const struct worker *worker)
{
    struct running longest;

    (void) read_rows(worker, &longest);
    return longest;
}

struct running worker_ran_last(const struct worker *worker)
{
    const struct scoreboard_thread *row = worker_last_words(worker);
    struct running only;

    if (row)
        return read_row(row);
    return read_rows(worker, &only) == 1 ? only : (struct running){ 0 };
}

bool worker_runs(const struct worker *worker, uint64_t id, uint64_t *ret_since_ns)
{
    for (unsigned i = 0; worker->board && i < SCOREBOARD_THREADS; i++) {
        struct running running = read_row(&worker->board->threads[i]);
        if (running.request != id)
            continue;
        if (ret_since_ns)
            *ret_since_ns = running.since_ns;
        return true;
    }
    return false;
}

bool worker_runs_placement(const struct worker *worker, uint32_t placement)
{
    for (unsigned i = 0; worker->board && i < SCOREBOARD_THREADS; i++)
        if (atomic_load(&worker->board->threads[i].running_placement) == placement)
            return true;
    return false;
}

uint64_t worker_heartbeat(const struct worker *worker)
{
    uint64_t sum = 0;

    for (unsigned i = 0; worker->board && i < SCOREBOARD_THREADS; i++)
        sum += atomic_load(&worker->board->threads[i].heartbeat);
    return sum;
}

const struct scoreboard_thread *worker_last_words(const struct worker *worker)
{
    return worker->board ? scoreboard_last_words(worker->board->threads) : NULL;
}
