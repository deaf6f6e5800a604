/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether systemd's watchdog is fed. That this is asked at all says that the loop turns; besides, workers have
 * to answer. The rule, at each look:
 *
 *   fed       if a worker has answered since it was last fed,
 *   fed       if there is none that could have been expected to,
 *   not fed   otherwise.
 *
 * No tenant can starve it. What a tenant can do to a worker is to keep it busy, and then watch.c
 * counts its silence and kills it: a worker with work is excused. Or to end it, again and again: one that
 * starts, dies or waits out a back-off is excused, too, while it keeps to the time for that. Or, with
 * native code of its own, to have it say nothing with nothing to do: each worker is asked at each look, and one
 * that does not answer is killed like a busy one (placement_ask_worker), so that another is there before the watchdog
 * is due. What is left to starve it are faults that no tenant has a hand in: a loop that is stuck, a
 * spawner that starts and reaps nothing, a host on which killed processes stay.
 *
 * Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/workers/worker.h"

struct event_base;
struct notify;
struct slots;

enum watchdog_view { WATCHDOG_EXCUSED, WATCHDOG_ANSWERED, WATCHDOG_SILENT, WATCHDOG_VIEWS };

/* One worker, at a look. */
struct watchdog_facts {
    enum worker_state state;
    bool is_new;    /* it was not in this state at the last look */
    bool has_sign;  /* a frame or a heartbeat, since then */
    bool was_asked; /* then */
    bool has_work;
    uint64_t in_state_ms; /* at least */
};

/* Pure. */
enum watchdog_view watchdog_judge(const struct watchdog_facts *facts);
/* Pure. n: how many workers of each view there are; ANSWERED counts since the last feeding. */
bool watchdog_may_feed(const unsigned n[static WATCHDOG_VIEWS]);

struct watchdog;

/* Feeds notify (borrowed, as slots) at half of usec, WATCHDOG_USEC. Looks begin at once, by the loop base. 0 or -ENOMEM. */
int watchdog_new(struct event_base *base, struct notify *notify, const struct slots *slots,
                 uint64_t usec, struct watchdog **ret_watchdog);
/* NULL is allowed. Returns NULL. */
struct watchdog *watchdog_free(struct watchdog *watchdog);
