/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/service/watchdog.h"
#include "supervisor/placement/placement.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "supervisor/host/notify.h"
#include "supervisor/workers/slots.h"

/* Longer than worker.c waits for the hello, before it kills the worker. */
#define BOOTING_MS 65000
#define KILLED_MS 10000
#define LOOKS_PER_PERIOD 4

struct watchdog {
    struct notify *notify;     /* borrowed */
    const struct slots *slots; /* borrowed */
    struct event *look;
    uint64_t half_ns;
    uint64_t fed_ns;
    unsigned answered; /* answers since then */
    bool is_starving;
};

enum watchdog_view watchdog_judge(const struct watchdog_facts *facts)
{
    switch (facts->state) {
    case WORKER_READY:
    case WORKER_DRAINING:
        if (facts->has_sign || facts->is_new) /* the hello was an answer */
            return WATCHDOG_ANSWERED;
        return facts->has_work || !facts->was_asked ? WATCHDOG_EXCUSED : WATCHDOG_SILENT;
    case WORKER_BOOTING:
        return facts->in_state_ms > BOOTING_MS ? WATCHDOG_SILENT : WATCHDOG_EXCUSED;
    case WORKER_KILLED:
        return facts->in_state_ms > KILLED_MS ? WATCHDOG_SILENT : WATCHDOG_EXCUSED;
    case WORKER_STATES:
        break;
    }
    return WATCHDOG_EXCUSED;
}

bool watchdog_may_feed(const unsigned n[static WATCHDOG_VIEWS])
{
    return n[WATCHDOG_ANSWERED] > 0 || n[WATCHDOG_SILENT] == 0;
}

static bool is_up(const struct worker *worker)
{
    return (worker->state == WORKER_READY || worker->state == WORKER_DRAINING) &&
           !worker->is_hung_up;
}

static enum watchdog_view look_at(struct worker *worker, uint64_t now_ns)
{
    struct watchdog_vigil *vigil = &worker->vigil;
    bool is_new = vigil->since_ns == 0 || vigil->pid != worker->pid ||
                  vigil->state != (unsigned) worker->state;
    uint64_t signs = is_up(worker) ? placement_signs_of_life(worker) : 0;
    const struct watchdog_facts facts = {
        .state = worker->state,
        .is_new = is_new,
        .has_sign = is_up(worker) && signs != vigil->signs,
        .was_asked = vigil->was_asked && !is_new,
        .has_work = is_up(worker) && placement_has_work(worker),
        .in_state_ms = is_new ? 0 : (now_ns - vigil->since_ns) / NSEC_PER_MSEC,
    };

    *vigil = (struct watchdog_vigil){
        .pid = worker->pid,
        .state = (unsigned) worker->state,
        .since_ns = is_new ? now_ns : vigil->since_ns,
        .signs = signs,
        .was_asked = is_up(worker),
    };
    if (is_up(worker) && !worker->is_asked) /* a worker that has not answered is not asked anew */
        placement_ask_worker(worker);
    return watchdog_judge(&facts);
}

static void note_starving(struct watchdog *watchdog, bool is_starving, unsigned n_silent)
{
    if (is_starving && !watchdog->is_starving)
        log_error("no worker answers (%u should): the watchdog is not fed", n_silent);
    else if (!is_starving && watchdog->is_starving)
        log_info("workers answer again: the watchdog is fed");
    watchdog->is_starving = is_starving;
}

static void look(struct watchdog *watchdog)
{
    unsigned n[WATCHDOG_VIEWS] = { 0 };
    uint64_t now = io_now_ns();
    struct worker *worker;

    TAILQ_FOREACH (worker, &watchdog->slots->workers, entry)
        n[look_at(worker, now)]++;
    watchdog->answered += n[WATCHDOG_ANSWERED];
    if (now - watchdog->fed_ns < watchdog->half_ns)
        return;
    n[WATCHDOG_ANSWERED] = watchdog->answered;
    bool may_feed = watchdog_may_feed(n);
    note_starving(watchdog, !may_feed, n[WATCHDOG_SILENT]);
    if (!may_feed)
        return;
    notify_watchdog(watchdog->notify);
    watchdog->fed_ns = now;
    watchdog->answered = 0;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("watchdog");

    look(arg);
}

int watchdog_new(struct event_base *base, struct notify *notify, const struct slots *slots,
                 uint64_t usec, struct watchdog **ret_watchdog)
{
    uint64_t period_us = usec / LOOKS_PER_PERIOD + 1;
    const struct timeval period = { .tv_sec = (time_t) (period_us / 1000000),
                                    .tv_usec = (suseconds_t) (period_us % 1000000) };
    struct watchdog *watchdog = calloc(1, sizeof *watchdog);

    if (!watchdog)
        return -ENOMEM;
    watchdog->notify = notify;
    watchdog->slots = slots;
    /* A look comes a little late, and must not make the feeding wait for the next one. */
    watchdog->half_ns = usec * NSEC_PER_USEC / 2 - usec * NSEC_PER_USEC / 20;
    watchdog->look = event_new(base, -1, EV_PERSIST, on_look, watchdog);
    if (!watchdog->look || event_add(watchdog->look, &period) < 0) {
        (void) watchdog_free(watchdog);
        return -ENOMEM;
    }
    look(watchdog);
    *ret_watchdog = watchdog;
    return 0;
}

struct watchdog *watchdog_free(struct watchdog *watchdog)
{
    if (!watchdog)
        return NULL;
    if (watchdog->look)
        event_free(watchdog->look);
    free(watchdog);
    return NULL;
}
