/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/slice_clock.h"

static void read_cpu(struct slice_clock *clock, uint64_t now_ns)
{
    clock->wall_ns = now_ns;
    clock->cpu_ns = clock->read_cpu_ns();
}

uint64_t slice_begin(struct slice_clock *clock, uint64_t now_ns)
{
    if (now_ns - clock->wall_ns > SLICE_NEAR_NS)
        read_cpu(clock, now_ns);
    clock->begun_wall_ns = now_ns;
    clock->begun_cpu_ns = clock->cpu_ns + (now_ns - clock->wall_ns);
    return clock->begun_cpu_ns;
}

uint64_t slice_end(struct slice_clock *clock, uint64_t now_ns)
{
    uint64_t wall_ns = now_ns - clock->begun_wall_ns;

    if (wall_ns <= SLICE_NEAR_NS)
        return wall_ns;
    read_cpu(clock, now_ns);
    return clock->cpu_ns > clock->begun_cpu_ns ? clock->cpu_ns - clock->begun_cpu_ns : 0;
}
