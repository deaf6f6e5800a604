/* SPDX-License-Identifier: Apache-2.0 */
#include "common/backoff.h"

#include "common/io.h"

#define WINDOW_NS (30 * NSEC_PER_SEC)
#define FAILURES_FREE 5
#define FIRST_MS UINT64_C(100)
#define MAX_MS UINT64_C(30000)

uint64_t backoff_ms(unsigned failures, uint32_t random)
{
    if (failures < FAILURES_FREE)
        return 0;
    unsigned doublings = failures - FAILURES_FREE;
    uint64_t ms = doublings < 9 ? FIRST_MS << doublings : MAX_MS;
    if (ms > MAX_MS)
        ms = MAX_MS;
    return ms + ms * (random % 256) / 1024;
}

void backoff_note(struct backoff *backoff, uint64_t now_ns)
{
    uint64_t waited_ns = backoff_ms(backoff->failures, UINT8_MAX) * NSEC_PER_MSEC;

    if (now_ns - backoff->since_ns > WINDOW_NS + waited_ns) {
        backoff->failures = 0;
        backoff->since_ns = now_ns;
    }
    backoff->failures++;
    if (backoff->failures >= FAILURES_FREE)
        backoff->since_ns = now_ns;
}
