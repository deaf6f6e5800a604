/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's own time: all time but that in which it waited for a processor, or in which skepd did
 * not look at it. A worker that does nothing is judged by its own time, so that none is killed for
 * the load of a busy host. Pure functions; the caller gives the clocks. Supervisor.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Looks are some milliseconds apart; a longer gap is time in which the supervisor itself waited. */
#define OWN_TIME_LOOK_MS 100
/* Own time is at least this part of the time by the clock: patience is stretched tenfold at most. */
#define OWN_TIME_LEAST 10

struct own_time {
    uint64_t at_ns, cpu_ns; /* time of the last look, and CPU time of the worker then */
    uint64_t waited_ns;     /* time that was not its own, in all */
    bool is_watched;        /* the last look was the one before this */
    bool was_runnable;
};

/* A moment from which own time counts. */
struct own_mark {
    uint64_t at_ns, waited_ns;
};

/* Notes a look: cpu_ns: CPU time of the worker so far; is_runnable: it runs, or waits for a
 * processor or a disk. */
void own_time_look(struct own_time *own, uint64_t now_ns, uint64_t cpu_ns, bool is_runnable);
/* Ends the looks: the worker has no requests and loads, and is not looked at until it has. */
void own_time_rest(struct own_time *own);

struct own_mark own_time_mark(const struct own_time *own, uint64_t now_ns);
/* Returns how much of its own time the worker has had since the mark. */
uint64_t own_time_since_ns(const struct own_time *own, const struct own_mark *mark,
                           uint64_t now_ns);
/* Returns the time at which it will have had that much own time, if it does not wait any more. */
uint64_t own_time_deadline_ns(const struct own_time *own, const struct own_mark *mark,
                              uint64_t patience_ns);
