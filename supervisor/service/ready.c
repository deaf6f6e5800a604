/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/service/ready.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "supervisor/workers/slots.h"

#define TICK_US 10000

struct ready {
    struct ready_options with;
    struct event *tick;
    uint64_t started_ns;
};

enum ready_verdict ready_judge(const struct ready_facts *facts)
{
    if (facts->ready == facts->workers)
        return READY_NOW;
    if (facts->replaces)
        return facts->is_late || facts->hopeless > 0 ? READY_NEVER : READY_LATER;
    return facts->is_late || facts->ready + facts->failed >= facts->workers ? READY_NOW
                                                                            : READY_LATER;
}

static struct ready_facts look(const struct ready *ready)
{
    struct ready_facts facts = {
        .replaces = ready->with.replaces,
        .is_late = io_now_ns() - ready->started_ns > READY_TIMEOUT_S * NSEC_PER_SEC,
    };
    const struct slot *slot = NULL;

    while ((slot = slots_next(ready->with.slots, slot))) {
        if (slot->kind != SLOT_SHARED)
            continue;
        bool is_ready = slot_find_ready(slot) != NULL;
        facts.workers++;
        facts.ready += is_ready;
        facts.failed += !is_ready && slot->failures > 0;
        facts.hopeless += slot_backoff_ms(slot->failures, 0) > 0;
    }
    return facts;
}

static void say_ready(const struct ready *ready, const struct ready_facts *facts)
{
    if (facts->ready < facts->workers)
        log_warning("serving, with %u of %u workers: %u have failed to start", facts->ready,
                    facts->workers, facts->failed);
    ready->with.ops->on_ready(ready->with.owner);
}

static void say_never(const struct ready *ready, const struct ready_facts *facts)
{
    char why[160];

    (void) snprintf(
        why, sizeof why,
        "%u of %u workers are ready after %d s, %u have failed to start; the log says why",
        facts->ready, facts->workers, READY_TIMEOUT_S, facts->failed);
    log_error("cannot take over: %s", why);
    ready->with.ops->on_never(ready->with.owner, why);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("service: ready");
    const struct ready *ready = arg;

    const struct ready_facts facts = look(ready);
    enum ready_verdict verdict = ready_judge(&facts);
    if (verdict == READY_LATER)
        return;
    (void) event_del(ready->tick);
    if (verdict == READY_NOW)
        say_ready(ready, &facts);
    else
        say_never(ready, &facts);
}

int ready_new(const struct ready_options *options, struct ready **ret_ready)
{
    static const struct timeval period = { .tv_usec = TICK_US };
    struct ready *ready = calloc(1, sizeof *ready);

    if (!ready)
        return -ENOMEM;
    ready->with = *options;
    ready->started_ns = io_now_ns();
    ready->tick = event_new(options->base, -1, EV_PERSIST, on_tick, ready);
    if (!ready->tick || event_add(ready->tick, &period) < 0) {
        (void) ready_free(ready);
        return -ENOMEM;
    }
    *ret_ready = ready;
    return 0;
}

struct ready *ready_free(struct ready *ready)
{
    if (!ready)
        return NULL;
    if (ready->tick)
        event_free(ready->tick);
    free(ready);
    return NULL;
}
