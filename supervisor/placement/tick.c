/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/placement/placement.h"

#include <event2/event.h>

#define WATCH_MS 5

void placements_watch(struct placements *placements)
{
    static const struct timeval period = { .tv_usec = WATCH_MS * 1000 };

    if (!event_pending(placements->watch, EV_TIMEOUT, NULL))
        (void) event_add(placements->watch, &period);
}
