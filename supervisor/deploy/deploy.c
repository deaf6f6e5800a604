/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deploys, rollbacks and removals as a whole: the list of them, time, and events of the store. life.c has the
 * life of one. Supervisor, loop thread.
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
#include "supervisor/helpers/data.h"
#include "supervisor/placement/placement.h"
#include "supervisor/versions/versions.h"

#define IDLE_TICK_S 1

/* ---- one deploy */

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

bool deploy_is_change(const struct deploy *deploy)
{
    return deploy->kind != DEPLOY_LIST && deploy->state != DEPLOY_ABANDONED;
}

struct deploy *deploy_find_change(const struct deploys *deploys, const char *tenant)
{
    struct deploy *deploy;

    TAILQ_FOREACH (deploy, &deploys->list, entry)
        if (deploy_is_change(deploy) && strcmp(deploy->tenant, tenant) == 0)
            return deploy;
    return NULL;
}

void deploy_free(struct deploy *deploy)
{
    data_forget(deploy->deploys->with.data, deploy);
    TAILQ_REMOVE(&deploy->deploys->list, deploy, entry);
    if (deploy->staged)
        deploy->staged->listener = NULL;
    sealed_secret_done(&deploy->sealed);
    (void) migration_free(deploy->migration);
    migrated_done(&deploy->migrated);
    free(deploy);
}

void deploy_succeed(struct deploy *deploy, const struct deploy_result *result)
{
    const struct deploy_asker asker = deploy->asker;

    /* Parts of the result are borrowed from the deploy, which must last for the call. */
    TAILQ_REMOVE(&deploy->deploys->list, deploy, entry);
    if (asker.listener)
        asker.listener->done(asker.owner, result);
    migrated_done(&deploy->migrated);
    free(deploy);
}

/* ---- time */

const struct tenant *deploy_find_leaving(const struct deploy *deploy)
{
    const struct tenant *tenant;

    TAILQ_FOREACH (tenant, &deploy->deploys->with.tenants->leaving, entry)
        if (tenant->number == deploy->leaving_number)
            return tenant;
    return NULL;
}

void deploy_want_tick(struct deploys *deploys)
{
    static const struct timeval soon = { .tv_usec = DEPLOY_TICK_US };

    (void) event_add(deploys->tick, &soon);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("deploys: tick");
    static const struct timeval later = { .tv_sec = IDLE_TICK_S };
    struct deploys *deploys = arg;

    deploys_on_event(deploys, DEPLOY_ON_TICK);
    bool is_any_watched = deploy_check_watches(deploys);
    if (!TAILQ_EMPTY(&deploys->list))
        deploy_want_tick(deploys);
    else if (is_any_watched)
        (void) event_add(deploys->tick, &later);
}

static void on_check(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("deploys: watch");

    (void) deploy_check_watches(arg);
}

/* ---- all deploys */

static void on_store_failed(void *owner, uint64_t id)
{
    static const char lost[] = "the store has ended";
    struct deploy *deploy = deploy_find(owner, id);

    if (!deploy_callers_take_answer(owner, id, lost, sizeof lost - 1) && deploy)
        (void) deploy_on_event(deploy, DEPLOY_ON_UNANSWERED, NULL);
}

static void on_store_lost(void *owner)
{
    deploys_on_event(owner, DEPLOY_ON_STORE_LOST);
}

static void on_store_ready(void *owner)
{
    deploy_callers_on_ready(owner);
    deploys_on_event(owner, DEPLOY_ON_STORE_READY);
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
    if (!deploys->tick || !deploys->check || deploy_callers_new(deploys) < 0) {
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
        /* Removal begins with what is stored, for which there is no time any more: the tenant is there again after the next start. */
        if (deploy->state == DEPLOY_LEAVING && !deploys->with.data)
            (void) deploy_send_remove(deploy);
        deploy_free(deploy);
    }
    deploy_callers_done(deploys);
    tenants_watch(deploys->with.tenants, NULL, NULL);
    total_set(deploys->with.record->totals, TOTAL_DEPLOYS, NULL, NULL);
    if (deploys->tick)
        event_free(deploys->tick);
    if (deploys->check)
        event_free(deploys->check);
    free(deploys);
    return NULL;
}

/* Returns a deploy that is not done. Ending one may free another, so the list is searched each
 * time. */
static struct deploy *find_undone(const struct deploys *deploys)
{
    struct deploy *deploy;

    TAILQ_FOREACH (deploy, &deploys->list, entry)
        if (deploy_expects(deploy, DEPLOY_ON_DRAIN))
            return deploy;
    return NULL;
}

void deploys_drain(struct deploys *deploys)
{
    struct deploy *deploy;

    while ((deploy = find_undone(deploys)))
        (void) deploy_on_event(deploy, DEPLOY_ON_DRAIN, NULL);
    if (!TAILQ_EMPTY(&deploys->list))
        deploy_want_tick(deploys);
}

unsigned deploys_count_busy(const struct deploys *deploys)
{
    const struct deploy *deploy;
    unsigned n = 0;

    TAILQ_FOREACH (deploy, &deploys->list, entry)
        n += deploy_is_change(deploy);
    return n;
}

bool deploys_are_busy(const struct deploys *deploys)
{
    return deploys_count_busy(deploys) > 0 || deploy_callers_are_pending(deploys);
}
