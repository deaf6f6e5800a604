/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of deploys, rollbacks and removals: how many there may be, for how long, and how they end.
 * Supervisor, loop thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "supervisor/deploy/internal.h"
#include "supervisor/placement/placement.h"
#include "supervisor/versions/versions.h"

#define IDLE_TICK_S 1

/* ---- one */

struct deploy *deploy_new(struct deploys *deploys, enum deploy_kind kind,
                          const struct deploy_asker *asker, const char *tenant)
{
    struct deploy *deploy = calloc(1, sizeof *deploy);

    if (!deploy)
        return NULL;
    deploy->deploys = deploys;
    deploy->id = ++deploys->last_id;
    deploy->kind = kind;
    deploy->asker = *asker;
    deploy->until_ns = UINT64_MAX;
    (void) snprintf(deploy->tenant, sizeof deploy->tenant, "%s", tenant);
    TAILQ_INSERT_TAIL(&deploys->list, deploy, entry);
    deploy_want_tick(deploys);
    return deploy;
}

struct deploy *deploy_find(const struct deploys *deploys, uint64_t id)
{
    struct deploy *deploy;

    TAILQ_FOREACH (deploy, &deploys->list, entry)
        if (deploy->id == id)
            return deploy;
    return NULL;
}

static bool is_change(const struct deploy *deploy)
{
    return deploy->kind != DEPLOY_LIST && deploy->kind != DEPLOY_ABORT;
}

struct deploy *deploy_find_change(const struct deploys *deploys, const char *tenant)
{
    struct deploy *deploy;

    TAILQ_FOREACH (deploy, &deploys->list, entry)
        if (is_change(deploy) && strcmp(deploy->tenant, tenant) == 0)
            return deploy;
    return NULL;
}

void deploy_free(struct deploy *deploy)
{
    TAILQ_REMOVE(&deploy->deploys->list, deploy, entry);
    if (deploy->staged)
        deploy->staged->listener = NULL;
    free(deploy);
}

/* The store and the tenant are as if it had never been. */
static void give_up(struct deploy *deploy)
{
    struct version *staged = TAKE_PTR(deploy->staged);

    if (staged)
        versions_drop_staged(staged);
    if (deploy->kind != DEPLOY_UPLOAD || deploy_send_abort(deploy) < 0) {
        deploy_free(deploy);
        return;
    }
    deploy->kind = DEPLOY_ABORT;
    deploy->state = DEPLOY_IN_STORE;
    deploy->asker.listener = NULL;
}

void deploy_fail_text(struct deploy *deploy, const char *text, size_t size)
{
    const struct deploy_asker asker = deploy->asker;

    if (is_change(deploy)) {
        char line[1024];
        (void) log_escape(text, size, line, sizeof line);
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = deploy->tenant), "%s failed: %s",
                  deploy->kind == DEPLOY_UPLOAD    ? "deploy"
                  : deploy->kind == DEPLOY_REMOVAL ? "removal"
                                                   : "rollback",
                  line);
    }
    give_up(deploy);
    if (asker.listener)
        asker.listener->failed(asker.owner, text, size);
}

void deploy_fail(struct deploy *deploy, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args);
    va_end(args);
    deploy_fail_text(deploy, text, strlen(text));
}

void deploy_succeed(struct deploy *deploy, const struct deploy_result *result)
{
    const struct deploy_asker asker = deploy->asker;

    /* What the result borrows from the deploy must last for the call. */
    TAILQ_REMOVE(&deploy->deploys->list, deploy, entry);
    if (asker.listener)
        asker.listener->done(asker.owner, result);
    free(deploy);
}

void deploy_leave(struct deploy *deploy)
{
    deploy->asker.listener = NULL;
    if (deploy->kind == DEPLOY_LIST || deploy->kind == DEPLOY_REMOVAL ||
        deploy->state == DEPLOY_COMMITTING)
        return; /* it ends by itself, and nothing is half done */
    if (deploy->kind == DEPLOY_ROLLBACK && deploy->state == DEPLOY_IN_STORE) {
        deploy->kind = DEPLOY_ABORT; /* nothing was begun; the list still comes */
        return;
    }
    deploy_fail(deploy, "whoever asked for it has left");
}

/* ---- how the load ends */

static void on_loaded(void *owner)
{
    struct deploy *deploy = owner;

    if (deploy->state != DEPLOY_BOOTING)
        return; /* again, in another worker */
    deploy->boot_us = (io_now_ns() - deploy->boot_from_ns) / NSEC_PER_USEC;
    deploy->state = DEPLOY_COMMITTING;
    deploy->until_ns = UINT64_MAX; /* the disk takes its time, and then there is an answer */
    int r =
        deploy_send_commit(deploy, deploy->kind == DEPLOY_UPLOAD ? STORE_DEPLOY : STORE_ROLLBACK);
    if (r < 0)
        deploy_fail(deploy, "the store cannot be reached");
}

static void on_refused(void *owner, const char *text, size_t size)
{
    struct deploy *deploy = owner;

    if (deploy->state != DEPLOY_BOOTING)
        return; /* it has loaded once, and serves when it is durable */
    tenant_log(deploy->staged->tenant, TENANT_ERROR, text, size);
    deploy_fail_text(deploy, text, size);
}

static void on_dropped(void *owner)
{
    struct deploy *deploy = owner;

    deploy->staged = NULL;
    if (deploy->state == DEPLOY_BOOTING)
        deploy_fail(deploy, "the service was reloaded meanwhile: try again");
    /* Else the answer of the store finds that there is nothing to switch to. */
}

const struct version_listener deploy_of_version = {
    .loaded = on_loaded,
    .refused = on_refused,
    .dropped = on_dropped,
};

/* ---- time */

const struct tenant *deploy_find_leaving(const struct deploy *deploy)
{
    const struct tenant *tenant;

    TAILQ_FOREACH (tenant, &deploy->deploys->with.tenants->leaving, entry)
        if (tenant->number == deploy->leaving_number)
            return tenant;
    return NULL;
}

static bool has_work(const struct tenant *tenant)
{
    return tenant &&
           (tenant->n_in_flight > 0 || tenant->n_queued > 0 || tenant->books.n_gathering > 0);
}

static void visit(struct deploy *deploy, uint64_t now)
{
    switch (deploy->state) {
    case DEPLOY_BOOTING:
        if (now >= deploy->until_ns)
            deploy_fail(deploy, "it has not loaded in time: `skep workers` shows whether there are "
                                "workers for it");
        else
            (void) placement_preload(deploy->staged->tenant); /* until there is a worker */
        break;
    case DEPLOY_UPLOADING:
        if (now >= deploy->until_ns)
            deploy_fail(deploy, "the upload took too long");
        break;
    case DEPLOY_LEAVING:
        if (now >= deploy->until_ns || deploy->deploys->with.life->is_draining ||
            !has_work(deploy_find_leaving(deploy)))
            if (deploy_send_remove(deploy) < 0)
                deploy_fail(deploy, "the store cannot be reached");
        break;
    case DEPLOY_IN_STORE:
    case DEPLOY_POSTPONED:
    case DEPLOY_READING:
    case DEPLOY_COMMITTING:
        break;
    }
}

void deploy_want_tick(struct deploys *deploys)
{
    static const struct timeval soon = { .tv_usec = DEPLOY_TICK_US };

    (void) event_add(deploys->tick, &soon);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("deploys: tick");
    static const struct timeval later = { .tv_sec = IDLE_TICK_S };
    struct deploys *deploys = arg;
    struct deploy *deploy, *next;
    uint64_t now = io_now_ns();

    (void) fd;
    (void) what;
    for (deploy = TAILQ_FIRST(&deploys->list); deploy; deploy = next) {
        next = TAILQ_NEXT(deploy, entry);
        visit(deploy, now);
    }
    bool is_any_watched = deploy_check_watches(deploys);
    if (!TAILQ_EMPTY(&deploys->list))
        deploy_want_tick(deploys);
    else if (is_any_watched)
        (void) event_add(deploys->tick, &later);
}

static void on_check(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("deploys: watch");

    (void) fd;
    (void) what;
    (void) deploy_check_watches(arg);
}

/* ---- all of them */

static void on_store_failed(void *owner, uint64_t id)
{
    struct deploy *deploy = deploy_find(owner, id);

    if (!deploy)
        return;
    if (deploy->kind == DEPLOY_ABORT)
        deploy_free(deploy);
    else if (deploy->kind == DEPLOY_WATCH)
        deploy->state = DEPLOY_POSTPONED;
    else if (deploy->state == DEPLOY_COMMITTING)
        deploy_fail(
            deploy,
            "the store has ended while it made this durable: run this once more, so that what "
            "serves %s is what is stored",
            deploy->tenant);
    else
        deploy_fail(deploy, DEPLOY_STORE_GONE);
}

/* What was uploaded to it is gone. */
static void on_store_lost(void *owner)
{
    struct deploys *deploys = owner;
    struct deploy *deploy, *next;

    for (deploy = TAILQ_FIRST(&deploys->list); deploy; deploy = next) {
        next = TAILQ_NEXT(deploy, entry);
        if (deploy->kind == DEPLOY_UPLOAD)
            deploy_fail(deploy, DEPLOY_STORE_GONE);
    }
}

static void on_store_ready(void *owner)
{
    struct deploys *deploys = owner;
    struct deploy *deploy, *next;

    for (deploy = TAILQ_FIRST(&deploys->list); deploy; deploy = next) {
        next = TAILQ_NEXT(deploy, entry);
        if (deploy->state == DEPLOY_POSTPONED)
            deploy_send_back(deploy);
    }
}

static const struct helper_ops store_ops = {
    .on_failed = on_store_failed,
    .on_lost = on_store_lost,
    .on_ready = on_store_ready,
};

static void on_failing(void *owner)
{
    struct deploys *deploys = owner;

    event_active(deploys->check, EV_TIMEOUT, 0);
}

int deploys_new(const struct deploys_options *options, struct deploys **ret_deploys)
{
    struct deploys *deploys = calloc(1, sizeof *deploys);

    if (!deploys)
        return -ENOMEM;
    deploys->with = *options;
    TAILQ_INIT(&deploys->list);
    deploys->tick = evtimer_new(options->base, on_tick, deploys);
    deploys->check = event_new(options->base, -1, 0, on_check, deploys);
    if (!deploys->tick || !deploys->check) {
        (void) deploys_free(deploys);
        return -ENOMEM;
    }
    tenants_watch(options->tenants, on_failing, deploys);
    if (options->store)
        helper_listen(store_helper(options->store), &deploy_answers, &store_ops, deploys);
    total_set(options->record->totals, TOTAL_DEPLOYS, deploys_read_total, deploys);
    *ret_deploys = deploys;
    return 0;
}

struct deploys *deploys_free(struct deploys *deploys)
{
    struct deploy *deploy, *next;

    if (!deploys)
        return NULL;
    for (deploy = TAILQ_FIRST(&deploys->list); deploy; deploy = next) {
        next = TAILQ_NEXT(deploy, entry);
        if (deploy->state == DEPLOY_LEAVING)
            (void) deploy_send_remove(deploy);
        deploy_free(deploy);
    }
    tenants_watch(deploys->with.tenants, NULL, NULL);
    total_set(deploys->with.record->totals, TOTAL_DEPLOYS, NULL, NULL);
    if (deploys->tick)
        event_free(deploys->tick);
    if (deploys->check)
        event_free(deploys->check);
    free(deploys);
    return NULL;
}

/* Another may be gone afterwards, too: only the list says what is left. */
static struct deploy *find_unsettled(const struct deploys *deploys)
{
    struct deploy *deploy;

    TAILQ_FOREACH (deploy, &deploys->list, entry)
        if ((deploy->kind == DEPLOY_UPLOAD || deploy->kind == DEPLOY_ROLLBACK) &&
            deploy->state != DEPLOY_COMMITTING)
            return deploy;
    return NULL;
}

void deploys_drain(struct deploys *deploys)
{
    struct deploy *deploy;

    while ((deploy = find_unsettled(deploys)))
        deploy_fail(deploy, "skepd is about to end: try again");
    if (!TAILQ_EMPTY(&deploys->list))
        deploy_want_tick(deploys);
}

unsigned deploys_count_busy(const struct deploys *deploys)
{
    const struct deploy *deploy;
    unsigned n = 0;

    TAILQ_FOREACH (deploy, &deploys->list, entry)
        n += is_change(deploy);
    return n;
}

bool deploys_are_busy(const struct deploys *deploys)
{
    return deploys_count_busy(deploys) > 0;
}
