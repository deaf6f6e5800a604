/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/idle.h"

#include "common/io.h"

bool idle_is_over(struct idle_watch *watch, const struct idle_look *look)
{
    bool is_known = watch->was_idle && look->is_idle && look->sent - watch->sent <= IDLE_REQUESTS;

    if (is_known) {
        uint64_t credit = (look->now_ns - watch->at_ns) / 100 * IDLE_PERCENT +
                          (look->sent - watch->sent) * IDLE_REQUEST_MS * NSEC_PER_MSEC;
        /* The sum shrinks when a tenant is charged with time from before the last look. */
        if (look->unclaimed_ns < watch->unclaimed_ns)
            credit += watch->unclaimed_ns - look->unclaimed_ns;
        else
            watch->debt_ns += look->unclaimed_ns - watch->unclaimed_ns;
        watch->debt_ns = watch->debt_ns > credit ? watch->debt_ns - credit : 0;
    }
    watch->was_idle = look->is_idle;
    watch->at_ns = look->now_ns;
    watch->unclaimed_ns = look->unclaimed_ns;
    watch->sent = look->sent;
    return watch->debt_ns > IDLE_BURST_MS * NSEC_PER_MSEC;
}
