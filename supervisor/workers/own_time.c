/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/own_time.h"

#include "common/io.h"

#define LOOK_NS (OWN_TIME_LOOK_MS * NSEC_PER_MSEC)

static uint64_t between_ns(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

static uint64_t least_ns(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

void own_time_look(struct own_time *own, uint64_t now_ns, uint64_t cpu_ns, bool is_runnable)
{
    uint64_t elapsed_ns = between_ns(own->at_ns, now_ns);
    uint64_t mine_ns = least_ns(elapsed_ns, LOOK_NS);

    /* Runnable at both looks, so it did not sleep for long: all time but CPU time was waiting. */
    if (own->was_runnable && is_runnable)
        mine_ns = least_ns(mine_ns, between_ns(own->cpu_ns, cpu_ns));
    if (own->is_watched)
        own->waited_ns += elapsed_ns - mine_ns;
    own->at_ns = now_ns;
    own->cpu_ns = cpu_ns;
    own->is_watched = true;
    own->was_runnable = is_runnable;
}

void own_time_rest(struct own_time *own)
{
    own->is_watched = own->was_runnable = false;
}

struct own_mark own_time_mark(const struct own_time *own, uint64_t now_ns)
{
    return (struct own_mark){ .at_ns = now_ns, .waited_ns = own->waited_ns };
}

uint64_t own_time_since_ns(const struct own_time *own, const struct own_mark *mark, uint64_t now_ns)
{
    uint64_t elapsed_ns = between_ns(mark->at_ns, now_ns);
    uint64_t waited_ns = between_ns(mark->waited_ns, own->waited_ns);
    uint64_t least = elapsed_ns / OWN_TIME_LEAST, mine_ns = between_ns(waited_ns, elapsed_ns);

    return mine_ns > least ? mine_ns : least;
}

uint64_t own_time_deadline_ns(const struct own_time *own, const struct own_mark *mark,
                              uint64_t patience_ns)
{
    uint64_t waited_ns = between_ns(mark->waited_ns, own->waited_ns);

    return mark->at_ns + patience_ns + least_ns(waited_ns, patience_ns * (OWN_TIME_LEAST - 1));
}
