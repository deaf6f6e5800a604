/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one deploy, rollback, removal or list as a table of states and events, and its end. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "supervisor/deploy/internal.h"
#include "supervisor/helpers/data.h"
#include "supervisor/placement/placement.h"
#include "supervisor/record/failure.h"
#include "supervisor/versions/versions.h"

#define STORE_UNREACHABLE "the store cannot be reached"

/* ---- the end */

/* Gives a deploy up: store and tenant become as if it had never been. */
static void give_up(struct deploy *deploy)
{
    struct version *staged = TAKE_PTR(deploy->staged);

    deploy->migration = migration_free(deploy->migration);
    if (staged)
        versions_drop_staged(staged);
    if (deploy->kind != DEPLOY_UPLOAD || deploy_send_abort(deploy) < 0) {
        deploy_free(deploy);
        return;
    }
    deploy->state = DEPLOY_ABANDONED;
    deploy->asker.listener = NULL;
}

void deploy_fail_with(struct deploy *deploy, const struct failure *failure)
{
    static const char *const what[] = {
        [DEPLOY_UPLOAD] = "deploy failed",   [DEPLOY_ROLLBACK] = "rollback failed",
        [DEPLOY_REMOVAL] = "removal failed", [DEPLOY_SECRET] = "change of a secret failed",
        [DEPLOY_WATCH] = "rollback failed",
    };
    const struct deploy_asker asker = deploy->asker;

    if (deploy_is_change(deploy))
        failure_log_event(failure, LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = deploy->tenant),
                          what[deploy->kind]);
    give_up(deploy);
    if (asker.listener)
        asker.listener->failed(asker.owner, failure);
}

void deploy_fail(struct deploy *deploy, int code, const char *format, ...)
{
    _cleanup_(failure_done) struct failure failure = { 0 };
    _cleanup_free_ char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    (void) failure_set(&failure, code, "%s", text ? text : strerrordesc_np(-code));
    deploy_fail_with(deploy, &failure);
}

/* ---- actions. news: what came with the event. Each returns 0, or -EPROTO if that cannot be. */

typedef int (*deploy_action_fn)(struct deploy *deploy, const struct deploy_news *news);

struct deploy_action {
    const char *name;
    deploy_action_fn run;
};

/* Fails with the peer's text. */
static int fail(struct deploy *deploy, const struct deploy_news *news)
{
    deploy_fail_with(deploy, news->failure);
    return 0;
}

static int fail_load(struct deploy *deploy, const struct deploy_news *news)
{
    _cleanup_free_ char *message = failure_message(news->failure);

    if (message)
        tenant_log(deploy->staged->tenant, TENANT_ERROR, message, strlen(message));
    return fail(deploy, news);
}

static int fail_gone(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy_fail(deploy, -EPIPE, DEPLOY_STORE_GONE);
    return 0;
}

/* Fails an upload, whose files are gone; a rollback reads files on the disk. */
static int fail_upload(struct deploy *deploy, const struct deploy_news *news)
{
    return deploy->kind == DEPLOY_UPLOAD ? fail_gone(deploy, news) : 0;
}

static int fail_commit(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy_fail(deploy, -EPIPE,
                "the store has ended while it made this durable: run this once more, so that what "
                "serves %s is what is stored",
                deploy->tenant);
    return 0;
}

static int fail_left(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy_fail(deploy, -ECANCELED, "whoever asked for it has left");
    return 0;
}

static int fail_drained(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy_fail(deploy, -ECANCELED, "skepd is about to end: try again");
    return 0;
}

static int fail_dropped(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy->staged = NULL;
    deploy_fail(deploy, -ESTALE, "the service was reloaded meanwhile: try again");
    return 0;
}

/* Forgets the staged version. The store's answer then finds that there is none. */
static int forget_staged(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy->staged = NULL;
    return 0;
}

static int end(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy_free(deploy);
    return 0;
}

/* Abandons a deploy that has begun no change; the store still answers. */
static int abandon(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy->state = DEPLOY_ABANDONED;
    return 0;
}

static int await_part(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy->state = DEPLOY_UPLOADING;
    deploy->asker.listener->accepted(deploy->asker.owner);
    return 0;
}

static bool is_part(const struct deploy_part *part)
{
    if (part->data.len > DEPLOY_PART_MAX_BYTES || part->path.len > TENANT_PATH_MAX ||
        part->env.len > DEPLOY_PART_MAX_BYTES)
        return false;
    if (part->end)
        return part->path.len == 0 && part->env.len == 0 && part->data.len == 0 && !part->more;
    return (part->path.len > 0) != (part->env.len > 0) && (!part->more || part->path.len > 0);
}

static int take_part(struct deploy *deploy, const struct deploy_news *news)
{
    if (!is_part(news->part))
        return -EPROTO;
    int r = news->part->end ? deploy_send_seal(deploy) : deploy_send_part(deploy, news->part);
    if (r < 0)
        deploy_fail(deploy, r, STORE_UNREACHABLE);
    return 0;
}

static int check_upload(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    if (io_now_ns() >= deploy->until_ns)
        deploy_fail(deploy, -ETIMEDOUT, "the upload took too long");
    return 0;
}

static int read_version(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy_boot(deploy, deploy->version);
    return 0;
}

static int stage(struct deploy *deploy, const struct deploy_news *news)
{
    deploy_stage(deploy, TAKE_PTR(*news->manifest), news->dir);
    return 0;
}

/* Tries to load until there is a worker for it. */
static int load(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    if (io_now_ns() >= deploy->until_ns)
        deploy_fail(deploy, -ETIMEDOUT,
                    "it has not loaded in time: `skep workers` shows whether there are workers for "
                    "it");
    else
        (void) placement_preload(deploy->staged->tenant);
    return 0;
}

static int commit(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy->until_ns = UINT64_MAX; /* the disk may take long, but an answer comes */
    int r =
        deploy_send_commit(deploy, deploy->kind == DEPLOY_UPLOAD ? STORE_DEPLOY : STORE_ROLLBACK);
    if (r < 0)
        deploy_fail(deploy, r, STORE_UNREACHABLE);
    return 0;
}

/* Applies the migrations of an upload. The version of a rollback had its own applied when it was deployed. */
static int migrate(struct deploy *deploy, const struct deploy_news *news)
{
    deploy->boot_us = (io_now_ns() - deploy->boot_from_ns) / NSEC_PER_USEC;
    if (deploy->kind != DEPLOY_UPLOAD || !version_has_migrations(deploy->staged))
        return commit(deploy, news);
    deploy_migrate(deploy);
    return 0;
}

static bool has_work(const struct tenant *tenant)
{
    return tenant &&
           (tenant->n_in_flight > 0 || tenant->n_queued > 0 || tenant->books.n_gathering > 0);
}

static int remove_when_idle(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    /* Requests in the skepd before this one would store anew what is removed. */
    if (data_is_shared(deploy->deploys->with.data))
        return 0;
    if (io_now_ns() < deploy->until_ns && !deploy->deploys->with.life->is_draining &&
        has_work(deploy_find_leaving(deploy)))
        return 0;
    int r = deploy_clear(deploy);
    if (r < 0)
        deploy_fail(deploy, r, STORE_UNREACHABLE);
    return 0;
}

static int remove_cleared(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    int r = deploy_send_remove(deploy);
    if (r < 0)
        deploy_fail(deploy, r, STORE_UNREACHABLE);
    return 0;
}

static int fail_uncleared(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy_fail(
        deploy, deploy->clear_error,
        "what %s has stored cannot be removed (%s), so nothing else of it is: the log says why; "
        "run this once more",
        deploy->tenant, strerrordesc_np(-deploy->clear_error));
    return 0;
}

static int say_unreturned(struct deploy *deploy, const struct deploy_news *news)
{
    failure_log_event(news->failure, LOG_LEVEL_ERROR, LOG_ABOUT(.tenant = deploy->tenant),
                      "a restart would serve the version that was rolled back");
    deploy_free(deploy);
    return 0;
}

static int postpone(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy->state = DEPLOY_POSTPONED;
    return 0;
}

static int send_back(struct deploy *deploy, const struct deploy_news *news)
{
    (void) news;
    deploy_send_back(deploy);
    return 0;
}

/* ---- the table */

#define ACTION(function)    \
    {                       \
#function, function \
    }

static const struct deploy_action actions[DEPLOY_STATES][DEPLOY_EVENTS] = {
    [DEPLOY_SENDING] = {
        [DEPLOY_ON_ACCEPTED] = ACTION(await_part),
        [DEPLOY_ON_DENIED] = ACTION(fail),
        [DEPLOY_ON_UNANSWERED] = ACTION(fail_gone),
        [DEPLOY_ON_LEFT] = ACTION(fail_left),
        [DEPLOY_ON_DRAIN] = ACTION(fail_drained),
    },
    [DEPLOY_UPLOADING] = {
        [DEPLOY_ON_PART] = ACTION(take_part),
        [DEPLOY_ON_TICK] = ACTION(check_upload),
        [DEPLOY_ON_STORE_LOST] = ACTION(fail_upload),
        [DEPLOY_ON_LEFT] = ACTION(fail_left),
        [DEPLOY_ON_DRAIN] = ACTION(fail_drained),
    },
    [DEPLOY_SEALING] = {
        [DEPLOY_ON_SEALED] = ACTION(deploy_take_seal),
        [DEPLOY_ON_DENIED] = ACTION(fail),
        [DEPLOY_ON_UNANSWERED] = ACTION(fail_gone),
        [DEPLOY_ON_LEFT] = ACTION(fail_left),
        [DEPLOY_ON_DRAIN] = ACTION(fail_drained),
    },
    [DEPLOY_CHOOSING] = {
        [DEPLOY_ON_VERSIONS] = ACTION(deploy_choose),
        [DEPLOY_ON_DENIED] = ACTION(fail),
        [DEPLOY_ON_UNANSWERED] = ACTION(fail_gone),
        [DEPLOY_ON_LEFT] = ACTION(abandon),
        [DEPLOY_ON_DRAIN] = ACTION(fail_drained),
    },
    [DEPLOY_CHECKING] = {
        [DEPLOY_ON_ACCEPTED] = ACTION(read_version),
        [DEPLOY_ON_DENIED] = ACTION(fail),
        [DEPLOY_ON_UNANSWERED] = ACTION(fail_gone),
        [DEPLOY_ON_LEFT] = ACTION(abandon),
        [DEPLOY_ON_DRAIN] = ACTION(fail_drained),
    },
    [DEPLOY_READING] = {
        [DEPLOY_ON_READ] = ACTION(stage),
        [DEPLOY_ON_UNREADABLE] = ACTION(fail),
        [DEPLOY_ON_STORE_LOST] = ACTION(fail_upload),
        [DEPLOY_ON_LEFT] = ACTION(fail_left),
        [DEPLOY_ON_DRAIN] = ACTION(fail_drained),
    },
    [DEPLOY_BOOTING] = {
        [DEPLOY_ON_TICK] = ACTION(load),
        [DEPLOY_ON_LOADED] = ACTION(migrate),
        [DEPLOY_ON_REFUSED] = ACTION(fail_load),
        [DEPLOY_ON_DROPPED] = ACTION(fail_dropped),
        [DEPLOY_ON_STORE_LOST] = ACTION(fail_upload),
        [DEPLOY_ON_LEFT] = ACTION(fail_left),
        [DEPLOY_ON_DRAIN] = ACTION(fail_drained),
    },
    [DEPLOY_MIGRATING] = {
        [DEPLOY_ON_MIGRATED] = ACTION(commit),
        [DEPLOY_ON_UNMIGRATED] = ACTION(fail_load),
        [DEPLOY_ON_DROPPED] = ACTION(fail_dropped),
        [DEPLOY_ON_STORE_LOST] = ACTION(fail_upload),
        [DEPLOY_ON_LEFT] = ACTION(fail_left),
        [DEPLOY_ON_DRAIN] = ACTION(fail_drained),
    },
    [DEPLOY_COMMITTING] = {
        [DEPLOY_ON_COMMITTED] = ACTION(deploy_take_commit),
        [DEPLOY_ON_DENIED] = ACTION(fail),
        [DEPLOY_ON_UNANSWERED] = ACTION(fail_commit),
        [DEPLOY_ON_DROPPED] = ACTION(forget_staged),
    },
    [DEPLOY_LEAVING] = {
        [DEPLOY_ON_TICK] = ACTION(remove_when_idle),
    },
    [DEPLOY_CLEARING] = {
        [DEPLOY_ON_CLEARED] = ACTION(remove_cleared),
        [DEPLOY_ON_UNCLEARED] = ACTION(fail_uncleared),
    },
    [DEPLOY_REMOVING] = {
        [DEPLOY_ON_REMOVED] = ACTION(deploy_take_removal),
        [DEPLOY_ON_DENIED] = ACTION(fail),
        [DEPLOY_ON_UNANSWERED] = ACTION(fail_gone),
    },
    [DEPLOY_LISTING] = {
        [DEPLOY_ON_VERSIONS] = ACTION(deploy_show),
        [DEPLOY_ON_DENIED] = ACTION(fail),
        [DEPLOY_ON_UNANSWERED] = ACTION(fail_gone),
    },
    [DEPLOY_KEEPING] = {
        [DEPLOY_ON_ACCEPTED] = ACTION(deploy_take_secret),
        [DEPLOY_ON_DENIED] = ACTION(fail),
        [DEPLOY_ON_UNANSWERED] = ACTION(deploy_lose_secret),
    },
    [DEPLOY_RETURNING] = {
        [DEPLOY_ON_COMMITTED] = ACTION(end),
        [DEPLOY_ON_REMOVED] = ACTION(end),
        [DEPLOY_ON_DENIED] = ACTION(say_unreturned),
        [DEPLOY_ON_UNANSWERED] = ACTION(postpone),
    },
    [DEPLOY_POSTPONED] = {
        [DEPLOY_ON_STORE_READY] = ACTION(send_back),
    },
    /* The first answer is to the request before, or to the abort. */
    [DEPLOY_ABANDONED] = {
        [DEPLOY_ON_ACCEPTED] = ACTION(end),
        [DEPLOY_ON_SEALED] = ACTION(end),
        [DEPLOY_ON_COMMITTED] = ACTION(end),
        [DEPLOY_ON_VERSIONS] = ACTION(end),
        [DEPLOY_ON_REMOVED] = ACTION(end),
        [DEPLOY_ON_DENIED] = ACTION(end),
        [DEPLOY_ON_UNANSWERED] = ACTION(end),
    },
};

int deploy_on_event(struct deploy *deploy, enum deploy_event event, const struct deploy_news *news)
{
    static const struct deploy_news none = { 0 };
    deploy_action_fn run = actions[deploy->state][event].run;

    return run ? run(deploy, news ? news : &none) : -EPROTO;
}

bool deploy_expects(const struct deploy *deploy, enum deploy_event event)
{
    return actions[deploy->state][event].run != NULL;
}

void deploys_on_event(struct deploys *deploys, enum deploy_event event)
{
    struct deploy *deploy, *next;

    for (deploy = TAILQ_FIRST(&deploys->list); deploy; deploy = next) {
        next = TAILQ_NEXT(deploy, entry);
        (void) deploy_on_event(deploy, event, NULL);
    }
}

const char *deploy_action_name(enum deploy_state state, enum deploy_event event)
{
    return actions[state][event].name;
}

/* ---- events of those above and below */

int deploy_take_part(struct deploy *deploy, const struct deploy_part *from)
{
    return deploy_on_event(deploy, DEPLOY_ON_PART, &(const struct deploy_news){ .part = from });
}

void deploy_leave(struct deploy *deploy)
{
    deploy->asker.listener = NULL;
    (void) deploy_on_event(deploy, DEPLOY_ON_LEFT, NULL);
}

static void on_loaded(void *owner)
{
    (void) deploy_on_event(owner, DEPLOY_ON_LOADED, NULL);
}

static void on_refused(void *owner, const struct failure *failure)
{
    (void) deploy_on_event(owner, DEPLOY_ON_REFUSED,
                           &(const struct deploy_news){ .failure = failure });
}

static void on_dropped(void *owner)
{
    (void) deploy_on_event(owner, DEPLOY_ON_DROPPED, NULL);
}

const struct version_listener deploy_of_version = {
    .loaded = on_loaded,
    .refused = on_refused,
    .dropped = on_dropped,
};
