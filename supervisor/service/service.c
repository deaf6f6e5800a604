/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/service/service.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "spawner/origin.h"
#include "supervisor/admin/admin.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/helpers/health.h"
#include "supervisor/host/notify.h"
#include "supervisor/host/sockets.h"
#include "supervisor/http/http.h"
#include "supervisor/jail/level.h"
#include "supervisor/record/failure.h"
#include "supervisor/record/life.h"
#include "supervisor/reload/reload.h"
#include "supervisor/service/commands.h"
#include "supervisor/service/drain.h"
#include "supervisor/service/heir.h"
#include "supervisor/service/listen.h"
#include "supervisor/service/ready.h"
#include "supervisor/service/upgrade.h"
#include "supervisor/service/watchdog.h"
#include "supervisor/stats/metrics.h"
#include "supervisor/tenants/unserved.h"
#include "supervisor/workers/slots.h"

#define STATUS_PERIOD_S 1

#define SIGNALS 4

struct service {
    struct service_options with; /* from service_start to service_stop_events */
    struct origin *origin;
    struct notify *notify; /* NULL without a service manager */
    struct sockets *sockets;
    struct heir *heir;    /* NULL: this skepd replaces none */
    uint64_t watchdog_us; /* 0: no watchdog */
    struct watchdog *watchdog;
    struct drain *drain;
    struct upgrade *upgrade;
    struct ready *ready;
    struct event *signals[SIGNALS];
    struct event *status_tick;
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

struct sockets *service_sockets(const struct service *service)
{
    return service->sockets;
}

struct notify *service_notify(const struct service *service)
{
    return service->notify;
}

/* ---- conditions for another process to take over */

static bool is_upgrading(const struct service *service)
{
    return upgrade_is_under_way(service->upgrade);
}

static bool is_draining(const struct service *service)
{
    return service->with.life->is_draining;
}

static bool has_no_spawner(const struct service *service)
{
    return service->with.health->of[HELPER_SPAWNER].state == HELPER_GONE;
}

static bool is_reloading(const struct service *service)
{
    return reload_is_under_way(service->with.reload);
}

static bool is_deploying(const struct service *service)
{
    return deploys_are_busy(service->with.deploys);
}

/* Modules whose work another process cannot take over in the middle; each has a row. With -EBUSY the same command may succeed
 * soon. */
static const struct {
    bool (*is_true)(const struct service *service);
    int code;
    const char *reason;
} objections[] = {
    { is_upgrading, -EBUSY, "an upgrade is under way: wait for its end" },
    { is_draining, -ECANCELED, "skepd is about to end: it drains" },
    { has_no_spawner, -ECHILD,
      "both spawners are gone, so that no other skepd can be started: restart it (`systemctl "
      "restart skepd`)" },
    { is_reloading, -EBUSY, "a reload is under way: try again when it has ended" },
    { is_deploying, -EBUSY,
      "a deploy, rollback or removal is under way: try again when it has ended" },
    { service_has_predecessor, -EBUSY,
      "the skepd before this one has not ended yet: it waits for its last requests, for "
      "drain_s at most; try again then" },
};

static int check_upgrade(void *owner, struct failure *failure)
{
    for (size_t i = 0; i < ARRAY_LEN(objections); i++)
        if (objections[i].is_true(owner))
            return failure_set(failure, objections[i].code, "%s", objections[i].reason);
    return 0;
}

/* ---- being the service */

static void tell_status(const struct service *service)
{
    const struct service_options *with = &service->with;
    struct slots_tally tally;
    char text[540], health[320], unserved[64] = "";

    if (!service->notify || with->life->is_draining || heir_is_unknown(service->heir))
        return;
    slots_read_tally(with->slots, &tally);
    helper_summary(with->health, health, sizeof health);
    if (unserved_count(with->tenants) > 0)
        (void) snprintf(unserved, sizeof unserved, "; %u cannot be served: see skep status",
                        unserved_count(with->tenants));
    (void) snprintf(text, sizeof text, "serving %u tenants with %u workers, jail %s%s%s%s",
                    with->tenants->n_listed, tally.ready, jail_level_name(with->jail), unserved,
                    health[0] ? "; " : "", health);
    notify_status(service->notify, text);
}

static void apply_files(const struct service *service)
{
    listen_apply_files(service->sockets, service->with.front, service->with.admin);
}

/* Holds all listeners, which then accept nothing because another skepd does, or lets them go. */
static void hold_all(void *owner, bool hold)
{
    const struct service *service = owner;

    http_front_hold(service->with.front, hold);
    metrics_hold(service->with.metrics, hold);
    admin_hold(service->with.admin, hold);
    deploys_set_owner(service->with.deploys, !hold);
}

/* Makes this process the service for systemd, too. */
static void become_main(void *owner)
{
    struct service *service = owner;
    const struct service_options *with = &service->with;

    if (with->life->is_draining) { /* the drain began before systemd knew this process */
        notify_stopping(service->notify);
        return;
    }
    sockets_store(service->sockets, service->notify);
    apply_files(service);
    tell_status(service);
    notify_ready(service->notify);
    if (service->watchdog_us > 0 && service->notify &&
        watchdog_new(with->base, service->notify, with->slots, service->watchdog_us,
                     &service->watchdog) < 0)
        log_error("out of memory: the watchdog will not be fed");
    if (service->is_reload_due)
        reload_on_signal(with->reload);
}

static void take_over(void *owner)
{
    apply_files(owner);
    log_info("taking over");
    hold_all(owner, false);
}

static const struct heir_ops heir_ops = {
    .on_main = take_over,
    .on_known = become_main,
};

/* ---- being replaced */

static void tell_upgrade(void *owner, const struct upgrade_result *result)
{
    const struct service *service = owner;

    service_tell_upgrade(service->with.admin, result);
}

/* Leaves the service: later messages of this process to the manager would not be the service's. */
static void leave(void *owner)
{
    struct service *service = owner;

    sockets_leave_files(service->sockets);
    apply_files(service);
    admin_stop_listening(service->with.admin);
    notify_end(service->notify);
    drain_start(service->drain, DRAIN_HANDED_OVER);
}

static const struct upgrade_ops upgrade_ops = {
    .check = check_upgrade,
    .hold = hold_all,
    .on_end = tell_upgrade,
    .on_replaced = leave,
};

/* ---- getting ready */

static void on_ready(void *owner)
{
    struct service *service = owner;

    if (service->heir)
        heir_say_ready(service->heir);
    else
        become_main(service);
}

static void on_never_ready(void *owner, const char *why)
{
    const struct service *service = owner;

    heir_say_failed(service->heir, why);
    service->with.life->has_failed = true;
    (void) event_base_loopbreak(service->with.base);
}

static const struct ready_ops ready_ops = {
    .on_ready = on_ready,
    .on_never = on_never_ready,
};

/* ---- ending */

void service_end(struct service *service, bool is_signal)
{
    service->n_end_signals += is_signal;
    if (is_signal && (service->n_end_signals > 1 || heir_is_waiting(service->heir))) {
        (void) event_base_loopbreak(service->with.base);
        return;
    }
    if (service->with.life->is_draining) {
        /* An upgrade may end it, too: a manager may send the first signal to all processes. */
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

static void on_end_signal(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("signal to end");

    service_end(arg, true);
}

static void on_upgrade_signal(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("signal to upgrade");
    const struct service *service = arg;
    _cleanup_(failure_done) struct failure failure = { 0 };

    log_info("upgrade is asked for by a signal");
    if (upgrade_start(service->upgrade, &failure) < 0)
        failure_log_event(&failure, LOG_LEVEL_WARNING, NULL, "no upgrade");
}

static void on_reload_signal(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("signal to reload");
    struct service *service = arg;

    service->is_reload_due = heir_is_unknown(service->heir);
    if (!service->is_reload_due)
        reload_on_signal(service->with.reload);
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

static void on_status_tick(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("service: status");

    tell_status(arg);
}

static struct event *start_status_tick(struct service *service)
{
    static const struct timeval period = { .tv_sec = STATUS_PERIOD_S };
    struct event *event = event_new(service->with.base, -1, EV_PERSIST, on_status_tick, service);

    if (event && event_add(event, &period) < 0)
        event_free(TAKE_PTR(event));
    return event;
}

int service_take_signals(struct service *service, struct event_base *base)
{
    for (int i = 0; i < SIGNALS; i++) {
        service->signals[i] = evsignal_new(base, signals[i].number, signals[i].callback, service);
        if (!service->signals[i] || event_add(service->signals[i], NULL) < 0)
            return log_error_errno(-ENOMEM, "cannot start");
    }
    return 0;
}

static int make_ready(struct service *service)
{
    const struct ready_options options = {
        .base = service->with.base,
        .slots = service->with.slots,
        .replaces = service->heir != NULL,
        .ops = &ready_ops,
        .owner = service,
    };

    return ready_new(&options, &service->ready);
}

static int make_drain(struct service *service)
{
    const struct service_options *with = &service->with;
    const struct drain_options options = {
        .base = with->base,
        .config = with->config,
        .life = with->life,
        .notify = service->notify,
        .front = with->front,
        .ledger = with->ledger,
        .deploys = with->deploys,
        .metrics = with->metrics,
        .heir = service->heir,
    };

    return drain_new(&options, &service->drain);
}

static int make_upgrade(struct service *service)
{
    const struct service_options *with = &service->with;
    const struct upgrade_options options = {
        .base = with->base,
        .life = with->life,
        .notify = service->notify,
        .cgroups = with->cgroups,
        .spawner = with->spawner,
        .store = with->store,
        .data = with->data,
        .sockets = service->sockets,
        .ops = &upgrade_ops,
        .owner = service,
    };

    return upgrade_new(&options, &service->upgrade);
}

static int attach_heir(struct service *service)
{
    const struct service_options *with = &service->with;
    const struct heir_options options = {
        .base = with->base,
        .life = with->life,
        .cgroups = with->cgroups,
        .sockets = service->sockets,
        .store = with->store,
        .data = with->data,
        .ops = &heir_ops,
        .owner = service,
    };

    return heir_attach(service->heir, &options);
}

static int start_parts(struct service *service)
{
    int r = make_ready(service);

    service->status_tick = start_status_tick(service);
    if (!service->status_tick)
        r = -ENOMEM;
    if (r == 0)
        r = make_drain(service);
    if (r == 0)
        r = make_upgrade(service);
    if (r == 0)
        r = notify_attach(service->notify, service->with.base);
    return r < 0 ? r : attach_heir(service);
}

static void end_by_life(void *owner)
{
    service_end(owner, false);
}

static void on_health(void *owner)
{
    tell_status(owner);
}

/* Listens to events of lower floors from now on. */
static void listen_to_others(struct service *service)
{
    service->with.life->end = end_by_life;
    service->with.life->owner = service;
    service->with.health->on_change = on_health;
    service->with.health->owner = service;
}

static void leave_others(struct service *service)
{
    if (service->with.life)
        service->with.life->end = NULL;
    if (service->with.health)
        service->with.health->on_change = NULL;
}

int service_start(struct service *service, const struct service_options *options)
{
    service->with = *options;
    sockets_settle(service->sockets);
    if (heir_is_waiting(service->heir))
        hold_all(service, true);
    int r = start_parts(service);
    if (r < 0)
        return log_error_errno(r, "cannot start");
    listen_to_others(service);
    return 0;
}

/* Blocks signals at the end: with the handlers gone, one more signal would
 * kill skepd before its sockets are removed. */
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
    leave_others(service);
    for (int i = 0; i < SIGNALS; i++)
        if (service->signals[i])
            event_free(TAKE_PTR(service->signals[i]));
    if (service->status_tick)
        event_free(TAKE_PTR(service->status_tick));
    service->ready = ready_free(service->ready);
    service->watchdog = watchdog_free(service->watchdog);
    service->upgrade = upgrade_free(service->upgrade);
    service->drain = drain_free(service->drain);
    notify_end(service->notify);
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
