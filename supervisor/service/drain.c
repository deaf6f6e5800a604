/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/service/drain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/host/notify.h"
#include "supervisor/http/http.h"
#include "supervisor/record/life.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/service/heir.h"
#include "supervisor/stats/metrics.h"

#define TICK_US 10000
#define IDLE_MS 1000         /* time for a request that is on its way on an idle connection */
#define LAST_REQUEST_MS 5000 /* time for the answer to such a request */
#define EXTEND_US UINT64_C(5000000)

struct drain {
    struct drain_options with;
    struct event *tick;
    enum drain_kind kind;
    uint64_t began_ns;
    uint64_t told_ns; /* time of the last message to systemd that the drain continues */
    bool is_closing_idle;
};

struct drain_state drain_state(const struct drain *drain)
{
    const struct drain_options *with = &drain->with;
    size_t n_idle;
    uint64_t busy = http_front_count(with->front, &n_idle);
    uint64_t requests = (uint64_t) with->ledger->in_workers + with->ledger->queued;

    return (struct drain_state){
        .in_flight = (busy > requests ? busy : requests) + deploys_count_busy(with->deploys),
        .connections = http_front_connections(with->front),
        .limit_s = with->config->drain_s,
        .is_draining = with->life->is_draining,
    };
}

/* Asks systemd for more time, so that a stop that takes longer than TimeoutStopSec= is not cut off. */
static void tell(struct drain *drain, uint64_t in_flight, uint64_t now)
{
    char text[128];

    if (now - drain->told_ns < NSEC_PER_SEC)
        return;
    drain->told_ns = now;
    (void) snprintf(
        text, sizeof text, "stopping, %" PRIu64 " in flight%s, for at most %u s", in_flight,
        heir_has_predecessor(drain->with.heir) ? ", and those of the skepd before this one" : "",
        drain->with.config->drain_s);
    notify_extend_timeout(drain->with.notify, EXTEND_US);
    notify_status(drain->with.notify, text);
}

static void end(struct drain *drain)
{
    static const struct timeval soon = { .tv_usec = TICK_US };

    drain->with.life->is_ending = true;
    (void) event_del(drain->tick);
    (void) event_base_loopexit(drain->with.base, &soon);
}

/* Returns the time until which connections without a request stay open. A request that comes at the end has some time,
 * too. */
static uint64_t find_idle_ns(enum drain_kind kind, uint64_t limit_ns)
{
    uint64_t wanted = (kind == DRAIN_STOP ? IDLE_MS : LAST_REQUEST_MS) * NSEC_PER_MSEC;
    uint64_t part = wanted < limit_ns / 2 ? wanted : limit_ns / 2;

    return kind == DRAIN_STOP ? part : limit_ns - part;
}

static void check(struct drain *drain)
{
    const struct drain_options *with = &drain->with;
    uint64_t now = io_now_ns(), limit_ns = with->config->drain_s * NSEC_PER_SEC;
    uint64_t idle_ns = find_idle_ns(drain->kind, limit_ns);
    struct drain_state load = drain_state(drain);
    size_t n_idle = 0;

    tell(drain, load.in_flight, now);
    if (!drain->is_closing_idle && now - drain->began_ns >= idle_ns) {
        drain->is_closing_idle = true;
        http_front_close_idle(with->front);
        return; /* requests in their sockets are in flight at the next look */
    }
    (void) http_front_count(with->front, &n_idle);
    bool is_late = now - drain->began_ns >= limit_ns;
    if (load.in_flight == 0 && n_idle == 0) {
        if (is_late || drain->kind != DRAIN_STOP || !heir_has_predecessor(with->heir))
            end(drain);
    } else if (is_late && load.in_flight > 0) {
        log_warning("%" PRIu64 " still in flight after %u s (drain_s): cut off", load.in_flight,
                    with->config->drain_s);
        (void) event_base_loopbreak(with->base);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("drain: tick");

    check(arg);
}

void drain_start(struct drain *drain, enum drain_kind kind)
{
    static const struct timeval period = { .tv_usec = TICK_US };
    const struct drain_options *with = &drain->with;

    if (with->life->is_draining)
        return;
    with->life->is_draining = true;
    drain->kind = kind;
    drain->began_ns = io_now_ns();
    deploys_drain(with->deploys);
    log_info("%s: %" PRIu64 " in flight, for at most %u s",
             kind == DRAIN_STOP ? "stopping" : "another skepd serves", drain_state(drain).in_flight,
             with->config->drain_s);
    notify_stopping(with->notify);
    http_front_drain(with->front, kind == DRAIN_STOP);
    if (kind != DRAIN_STOP)
        metrics_drain(with->metrics);
    (void) event_add(drain->tick, &period);
}

void drain_hurry(struct drain *drain)
{
    drain->kind = DRAIN_STOP;
}

int drain_new(const struct drain_options *options, struct drain **ret_drain)
{
    struct drain *drain = calloc(1, sizeof *drain);

    if (!drain)
        return -ENOMEM;
    drain->with = *options;
    drain->tick = event_new(options->base, -1, EV_PERSIST, on_tick, drain);
    if (!drain->tick)
        return (free(drain), -ENOMEM);
    *ret_drain = drain;
    return 0;
}

struct drain *drain_free(struct drain *drain)
{
    if (!drain)
        return NULL;
    event_free(drain->tick);
    free(drain);
    return NULL;
}
