/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/record/holdup.h"

#include <stddef.h>

#include "common/io.h"

uint64_t holdup_piece_ns(const struct holdup_piece *piece, uint64_t cpu_ns)
{
    return piece->request != 0 && cpu_ns > piece->cpu_from_ns ? cpu_ns - piece->cpu_from_ns : 0;
}

uint64_t holdup_look(struct holdup_piece *piece, uint64_t request, uint64_t since_ns,
                     uint64_t cpu_ns, uint64_t spared_ns)
{
    if (request != piece->request || since_ns != piece->since_ns) {
        *piece = (struct holdup_piece){ request, since_ns, cpu_ns, spared_ns };
        return 0;
    }
    uint64_t length = holdup_piece_ns(piece, cpu_ns);
    if (length < HOLDUP_PIECE_MS * NSEC_PER_MSEC || length <= piece->counted_ns)
        return 0;
    uint64_t grown = length - piece->counted_ns;
    piece->counted_ns = length;
    return grown;
}

uint64_t holdup_held_ns(const struct holdup *holdup, uint64_t now_ns)
{
    uint64_t elapsed_ns = now_ns > holdup->at_ns ? now_ns - holdup->at_ns : 0;
    uint64_t forgotten_ns = elapsed_ns / 1000 * HOLDUP_FORGET_MS_PER_S;

    return holdup->held_ns > forgotten_ns ? holdup->held_ns - forgotten_ns : 0;
}

void holdup_add(struct holdup *holdup, uint64_t held_ns, uint64_t now_ns)
{
    holdup->held_ns = holdup_held_ns(holdup, now_ns) + held_ns;
    holdup->at_ns = now_ns;
}

void holdup_wait(struct holdup *holdup, uint64_t waited_ns, uint64_t now_ns)
{
    uint64_t at_ns = holdup->at_ns + waited_ns;

    holdup->at_ns = at_ns < now_ns ? at_ns : now_ns;
}

bool holdup_is_pressed(const struct holdup *worker, uint64_t now_ns)
{
    return holdup_held_ns(worker, now_ns) >= HOLDUP_PRESSED_MS * NSEC_PER_MSEC;
}

/* A rule; the first row that is met in all its columns counts. */
struct rule {
    unsigned worker_ms, tenant_ms, remaining_ms;
    bool is_apart;
    enum holdup_step step;
};

static const struct rule rules[] = {
    { HOLDUP_PRESSED_MS, HOLDUP_PART_MS, HOLDUP_REMAINING_MS, false, HOLDUP_REPLACE },
    { HOLDUP_PRESSED_MS, HOLDUP_PART_MS, 0, false, HOLDUP_PART },
    /* The requests that the tenant sent before it went apart take longer than expected, or no spare
     * was ready. */
    { HOLDUP_PRESSED_MS, 0, HOLDUP_REMAINING_MS, true, HOLDUP_REPLACE },
};

enum holdup_step holdup_decide(const struct holdup_facts *facts)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const struct rule *rule = &rules[i];
        if (facts->is_apart == rule->is_apart &&
            facts->worker_ns >= rule->worker_ms * NSEC_PER_MSEC &&
            facts->tenant_ns >= rule->tenant_ms * NSEC_PER_MSEC &&
            facts->remaining_ms >= rule->remaining_ms)
            return rule->step;
    }
    return HOLDUP_STAY;
}
