/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds systemd's watchdog. A look shows that the loop turns; besides, workers have
 * to answer. The rule, at each look:
 *
 *   fed       if a worker has answered since it was last fed,
 *   fed       if no worker could be expected to,
 *   not fed   otherwise.
 *
 * No tenant can starve it. A tenant can keep a worker busy, and then watch.c counts its silence and
 * kills it: a worker with work is excused. A tenant can end a worker again and again: one that
 * starts, dies or waits out a back-off is excused, too, while it keeps to the time for that. With
 * native code, a tenant can silence an idle worker: each worker is asked at each look, and one that
 * does not answer is killed like a busy one (placement_ask_worker), so that another is there before
 * the watchdog is due. Only faults that no tenant can cause starve it: a loop that is stuck, a
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

/* The facts about a worker, at a look. */
struct watchdog_facts {
    enum worker_state state;
    bool is_new;    /* in another state at the last look */
    bool has_sign;  /* a frame or a heartbeat since the last look */
    bool was_asked; /* asked at the last look */
    bool has_work;
    uint64_t in_state_ms; /* at least */
};

/* Judges a worker. Pure. */
enum watchdog_view watchdog_judge(const struct watchdog_facts *facts);
/* Returns whether to feed the watchdog. Pure. n: number of workers of each view; ANSWERED counts
 * since the last feeding. */
bool watchdog_may_feed(const unsigned n[static WATCHDOG_VIEWS]);

struct watchdog;

/* Feeds notify (borrowed, as slots) at half of usec, WATCHDOG_USEC. Looks begin at once, in the
 * loop base. Returns 0 or -ENOMEM. */
int watchdog_new(struct event_base *base, struct notify *notify, const struct slots *slots,
                 uint64_t usec, struct watchdog **ret_watchdog);
/* NULL is allowed. Returns NULL. */
struct watchdog *watchdog_free(struct watchdog *watchdog);
