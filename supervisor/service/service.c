/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/service/service.h"
#include "supervisor/service/listen.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "spawner/origin.h"
#include "supervisor/admin/admin.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/host/notify.h"
#include "supervisor/host/sockets.h"
#include "supervisor/http/http.h"
#include "supervisor/reload/reload.h"
#include "supervisor/service/drain.h"
#include "supervisor/service/heir.h"
#include "supervisor/service/upgrade.h"
#include "supervisor/service/watchdog.h"
#include "supervisor/stats/metrics.h"
#include "supervisor/tenants/unserved.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

#define READY_TIMEOUT_S 20
#define READY_TICK_US 10000
#define STATUS_PERIOD_S 1

#define SIGNALS 4

struct service {
    struct server *server; /* borrowed; NULL until service_attach */
    struct origin *origin;
    struct notify *notify; /* the server's from service_attach on */
    struct sockets *sockets;
    struct heir *heir;    /* NULL: this one replaces none */
    uint64_t watchdog_us; /* 0: there is none */
    struct watchdog *watchdog;
    struct drain *drain;
    struct upgrade *upgrade;
    struct event *signals[SIGNALS];
    struct event *ready_tick; /* until it is ready */
    struct event *status_tick;
    uint64_t started_ns;
    unsigned n_end_signals;
    bool is_reload_due; /* SIGHUP came before systemd knew this process */
};

struct drain *service_drain(const struct service *service)
{
    return service->drain;
}

struct upgrade *service_upgrade(const struct service *service)
{
    return service->upgrade;
}

bool service_has_predecessor(const struct service *service)
{
    return heir_has_predecessor(service->heir);
}

const struct origin *service_origin(const struct service *service)
{
    return service->origin;
}

/* ---- what the server may do */

bool server_may_upgrade(const struct server *server, const char **ret_reason)
{
    const struct service *service = server->service;
    const char *reason = NULL;

    if (!service)
        reason = "this skepd cannot be upgraded";
    else if (upgrade_is_under_way(service->upgrade))
        reason = "an upgrade is under way: wait for its end";
    else if (server->life.is_draining)
        reason = "skepd is about to end: it drains";
    else if (server->health.of[HELPER_SPAWNER].state == HELPER_GONE)
        reason =
            "both spawners are gone, so that no other skepd can be started: restart it (`systemctl "
            "restart skepd`)";
    else if (server->reload)
        reason = "a reload is under way: try again when it has ended";
    else if (deploy_is_busy(server))
        reason = "a deploy, rollback or removal is under way: try again when it has ended";
    else if (heir_has_predecessor(service->heir))
        reason = "the skepd before this one has not ended yet: it waits for its last requests, for "
                 "drain_s at most; try again then";
    if (reason)
        *ret_reason = reason;
    return !reason;
}

/* ---- being the service */

void service_tell_status(const struct server *server)
{
    struct slots_tally tally;
    char text[540], health[320], unserved[64] = "";

    if (!server->notify || server->service->started_ns == 0 || server->life.is_draining ||
        heir_is_unknown(server->service->heir))
        return;
    slots_read_tally(server->slots, &tally);
    helper_summary(&server->health, health, sizeof health);
    if (unserved_count(server->tenants) > 0)
        (void) snprintf(unserved, sizeof unserved, "; %u cannot be served: see skep status",
                        unserved_count(server->tenants));
    (void) snprintf(text, sizeof text, "serving %u tenants with %u workers, jail %s%s%s%s",
                    server->tenants->n_listed, tally.ready, jail_level_name(&server->jail),
                    unserved, health[0] ? "; " : "", health);
    notify_status(server->notify, text);
}

/* From here on this process is the service for systemd, too. */
static void become_main(struct server *server)
{
    struct service *service = server->service;

    if (server->life
            .is_draining) { /* told to stop meanwhile: what it said then was of no process that counts */
        notify_stopping(server->notify);
        return;
    }
    sockets_store(server->sockets, server->notify);
    listen_apply_files(server);
    service_tell_status(server);
    notify_ready(server->notify);
    if (service->watchdog_us > 0 && server->notify &&
        watchdog_new(server, service->watchdog_us, &service->watchdog) < 0)
        log_error("out of memory: the watchdog will not be fed");
    if (service->is_reload_due)
        reload_on_signal(server);
}

void service_hold(struct server *server, bool hold)
{
    http_front_hold(server->front, hold);
    metrics_hold(server->metrics, hold);
    admin_hold(server->admin, hold);
}

static void take_over(struct server *server)
{
    log_info("taking over");
    service_hold(server, false);
}

static const struct heir_ops heir_ops = {
    .on_main = take_over,
    .on_known = become_main,
};

/* ---- getting ready */

struct readiness {
    unsigned n_workers, n_ready, n_failed;
    unsigned n_hopeless; /* of the failed ones: so often that they wait */
};

static struct readiness look_at_workers(const struct server *server)
{
    struct readiness found = { 0 };
    const struct slot *slot = NULL;

    while ((slot = slots_next(server->slots, slot))) {
        if (slot->kind != SLOT_SHARED)
            continue;
        bool is_ready = slot_find_ready(slot) != NULL;
        found.n_workers++;
        found.n_ready += is_ready;
        found.n_failed += !is_ready && slot->failures > 0;
        found.n_hopeless += slot_backoff_ms(slot->failures, 0) > 0;
    }
    return found;
}

static void stop_waiting(struct service *service)
{
    event_free(TAKE_PTR(service->ready_tick));
}

static void give_up_start(struct service *service, const struct readiness *found)
{
    char text[160];

    (void) snprintf(
        text, sizeof text,
        "%u of %u workers are ready after %d s, %u have failed to start; the log says why",
        found->n_ready, found->n_workers, READY_TIMEOUT_S, found->n_failed);
    log_error("cannot take over: %s", text);
    heir_say_failed(service->heir, text);
    service->server->life.has_failed = true;
    stop_waiting(service);
    (void) event_base_loopbreak(service->server->base);
}

static void check_ready(struct service *service)
{
    struct server *server = service->server;
    struct readiness found = look_at_workers(server);
    bool is_late = io_now_ns() - service->started_ns > READY_TIMEOUT_S * NSEC_PER_SEC;

    if (service->heir) {
        if (found.n_ready == found.n_workers) {
            stop_waiting(service);
            heir_say_ready(service->heir);
        } else if (is_late || found.n_hopeless > 0) {
            give_up_start(service, &found);
        }
        return;
    }
    if (found.n_ready + found.n_failed < found.n_workers && !is_late)
        return;
    if (found.n_ready < found.n_workers)
        log_warning("serving, with %u of %u workers: %u have failed to start", found.n_ready,
                    found.n_workers, found.n_failed);
    stop_waiting(service);
    become_main(server);
}

/* ---- ending */

void service_end(struct server *server, bool is_signal)
{
    struct service *service = server->service;

    service->n_end_signals += is_signal;
    if (is_signal && (service->n_end_signals > 1 || heir_is_waiting(service->heir))) {
        (void) event_base_loopbreak(server->base);
        return;
    }
    if (server->life.is_draining) {
        /* An upgrade does that, too. A manager may send the first signal to all processes. */
        if (is_signal)
            drain_hurry(service->drain);
        return;
    }
    if (heir_is_waiting(service->heir))
        return;
    upgrade_cancel(service->upgrade);
    drain_start(service->drain, DRAIN_STOP);
}

/* ---- events */

static void on_end_signal(evutil_socket_t number, short what, void *arg)
{
    LOOP_CALLBACK("signal to end");
    const struct service *service = arg;

    (void) number;
    (void) what;
    service_end(service->server, true);
}

static void on_upgrade_signal(evutil_socket_t number, short what, void *arg)
{
    LOOP_CALLBACK("signal to upgrade");
    const struct service *service = arg;
    const char *reason = "";

    (void) number;
    (void) what;
    log_info("upgrade is asked for by a signal");
    if (upgrade_start(service->upgrade, &reason) < 0)
        log_warning("no upgrade: %s", reason);
}

static void on_reload_signal(evutil_socket_t number, short what, void *arg)
{
    LOOP_CALLBACK("signal to reload");
    struct service *service = arg;

    (void) number;
    (void) what;
    service->is_reload_due = heir_is_unknown(service->heir);
    if (!service->is_reload_due)
        reload_on_signal(service->server);
}

static const struct {
    int number;
    event_callback_fn callback;
} signals[SIGNALS] = {
    { SIGTERM, on_end_signal },
    { SIGINT, on_end_signal },
    { SIGUSR2, on_upgrade_signal },
    { SIGHUP, on_reload_signal },
};

static void on_ready_tick(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("service: ready");

    (void) fd;
    (void) what;
    check_ready(arg);
}

static void on_status_tick(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("service: status");
    const struct service *service = arg;

    (void) fd;
    (void) what;
    service_tell_status(service->server);
}

static struct event *start_tick(struct service *service, event_callback_fn callback, long usec)
{
    const struct timeval period = { .tv_sec = usec / 1000000, .tv_usec = usec % 1000000 };
    struct event *event = event_new(service->server->base, -1, EV_PERSIST, callback, service);

    if (event && event_add(event, &period) < 0)
        event_free(TAKE_PTR(event));
    return event;
}

static int start_events(struct service *service)
{
    struct server *server = service->server;

    for (int i = 0; i < SIGNALS; i++) {
        service->signals[i] =
            evsignal_new(server->base, signals[i].number, signals[i].callback, service);
        if (!service->signals[i] || event_add(service->signals[i], NULL) < 0)
            return -ENOMEM;
    }
    service->ready_tick = start_tick(service, on_ready_tick, READY_TICK_US);
    service->status_tick = start_tick(service, on_status_tick, STATUS_PERIOD_S * 1000000L);
    if (!service->ready_tick || !service->status_tick)
        return -ENOMEM;
    int r = drain_new(server, &service->drain);
    if (r == 0)
        r = upgrade_new(server, &service->upgrade);
    if (r == 0)
        r = notify_attach(server->notify, server->base);
    return r < 0 ? r : heir_attach(service->heir, server, &heir_ops);
}

int service_start(struct service *service)
{
    struct server *server = service->server;

    sockets_settle(server->sockets);
    if (heir_is_waiting(service->heir))
        service_hold(server, true);
    service->started_ns = io_now_ns();
    int r = start_events(service);
    return r < 0 ? log_error_errno(r, "cannot start") : 0;
}

/* From here on skepd ends, and does so whatever else it is told: with its handlers gone, one more signal would
 * kill it before its sockets are removed. */
static void block_signals(void)
{
    sigset_t set;

    (void) sigemptyset(&set);
    for (int i = 0; i < SIGNALS; i++)
        (void) sigaddset(&set, signals[i].number);
    (void) sigprocmask(SIG_BLOCK, &set, NULL);
}

void service_stop_events(struct service *service)
{
    block_signals();
    for (int i = 0; i < SIGNALS; i++)
        if (service->signals[i])
            event_free(TAKE_PTR(service->signals[i]));
    if (service->ready_tick)
        event_free(TAKE_PTR(service->ready_tick));
    if (service->status_tick)
        event_free(TAKE_PTR(service->status_tick));
    service->watchdog = watchdog_free(service->watchdog);
    service->upgrade = upgrade_free(service->upgrade);
    service->drain = drain_free(service->drain);
    if (service->server)
        service->server->notify = notify_free(service->server->notify);
    service->heir = heir_free(service->heir);
}

/* ---- life */

static int open_all(struct service *service)
{
    int r = sd_watchdog_enabled(false, &service->watchdog_us);

    if (r < 0)
        (void) log_warning_errno(r, "$WATCHDOG_USEC or $WATCHDOG_PID cannot be read: no watchdog");
    r = sockets_new(&service->sockets);
    if (r < 0)
        return log_error_errno(r, "cannot take the inherited sockets ($LISTEN_FDS)");
    r = heir_new(&service->heir);
    if (r < 0)
        return log_error_errno(r, "cannot reach the skepd to be replaced ($" ORIGIN_UPGRADE_FD ")");
    r = notify_new(getenv("NOTIFY_SOCKET"), &service->notify);
    if (r < 0)
        (void) log_warning_errno(r, "cannot reach the service manager ($NOTIFY_SOCKET)");
    return 0;
}

int service_new(int argc, char *const *argv, struct service **ret_service)
{
    _cleanup_(service_cleanup) struct service *service = calloc(1, sizeof *service);

    if (!service)
        return log_error_errno(-ENOMEM, "cannot start");
    int r = origin_new(argc, argv, &service->origin);
    if (r < 0)
        return log_error_errno(r, "cannot take down how skepd was started");
    r = open_all(service);
    if (r < 0)
        return r;
    origin_clean_environment();
    *ret_service = TAKE_PTR(service);
    return 0;
}

static void end_by_life(void *owner)
{
    service_end(owner, false);
}

static void on_health(void *owner)
{
    service_tell_status(owner);
}

void service_attach(struct service *service, struct server *server)
{
    server->life.end = end_by_life;
    server->life.owner = server;
    server->health.on_change = on_health;
    server->health.owner = server;
    service->server = server;
    server->service = service;
    server->sockets = service->sockets;
    server->notify = TAKE_PTR(service->notify);
}

void service_say_failed(struct service *service, const char *text)
{
    heir_say_failed(service->heir, text ? text : log_last_error());
}

struct service *service_free(struct service *service)
{
    if (!service)
        return NULL;
    service->heir = heir_free(service->heir);
    service->notify = notify_free(service->notify);
    service->sockets = sockets_free(service->sockets);
    service->origin = origin_free(service->origin);
    free(service);
    return NULL;
}
