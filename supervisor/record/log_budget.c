/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/record/log_budget.h"

#include <string.h>

#define LINE_COST 64 /* bytes that a line takes besides its text */
#define LITTLE_LINES 4
#define LITTLE_BYTES 4096

struct log_cost log_cost_of(const char *text, uint64_t size)
{
    struct log_cost cost = { .lines = 1 };
    const char *end = text + size;

    for (const char *p = text; p < end && (p = memchr(p, '\n', (size_t) (end - p))); p++)
        cost.lines++;
    cost.bytes = size + cost.lines * LINE_COST;
    return cost;
}

void log_window_roll(struct log_window *window, uint64_t second)
{
    if (window->second != second)
        *window = (struct log_window){ .second = second };
}

static void add(struct log_window *window, struct log_cost cost)
{
    window->lines += cost.lines;
    window->bytes += cost.bytes;
}

bool log_budget_has_share(uint64_t own, uint64_t all, uint64_t most, uint64_t little)
{
    uint64_t for_much = most - most / 4;

    if (all >= most)
        return true;
    return own >= little && (all >= for_much || own >= for_much - all);
}

enum log_verdict log_budget_take(struct log_window *all, struct log_share *share,
                                 const struct log_config *limits, uint64_t second,
                                 struct log_cost cost)
{
    log_window_roll(all, second);
    log_window_roll(&share->taken, second);
    log_window_roll(&share->written, second);
    if (share->taken.lines >= limits->tenant_lines ||
        share->taken.bytes >= (uint64_t) limits->tenant_kib << 10)
        return LOG_OVER_TENANT;
    add(&share->taken, cost);
    if (log_budget_has_share(share->written.lines, all->lines, limits->lines, LITTLE_LINES) ||
        log_budget_has_share(share->written.bytes, all->bytes, (uint64_t) limits->kib << 10,
                             LITTLE_BYTES))
        return LOG_OVER_ALL;
    add(&share->written, cost);
    add(all, cost);
    return LOG_TAKEN;
}
