/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All slots of all cordons: the spawner's answers go to their child from here, requests find
 * their worker here. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/workers/child.h"

#define NUMBERS_MAX 65536 /* of struct spawner_job.slot */

/* ---- places */

unsigned pool_count(const struct pool *pool, const struct cordon_config *cordon,
                    enum place_kind kind)
{
    const struct child *child;
    unsigned n = 0;

    TAILQ_FOREACH (child, &pool->children, entry)
        n += child->cordon == cordon && child->slot->kind == kind && !child->is_gone;
    return n;
}

struct child *pool_next_listed(const struct pool *pool, const struct child *child)
{
    struct child *next = child ? TAILQ_NEXT(child, entry) : TAILQ_FIRST(&pool->children);

    while (next && next->is_gone)
        next = TAILQ_NEXT(next, entry);
    return next;
}

void pool_read_tally(const struct pool *pool, struct pool_tally *ret_tally)
{
    const struct child *child = NULL;
    struct pool_tally tally = { 0 };

    while ((child = pool_next_listed(pool, child))) {
        bool is_own = child->slot->kind == PLACE_OWN || child->slot->kind == PLACE_CROWD;
        bool is_place = is_own || child->slot->kind == PLACE_SHARED;
        tally.listed++;
        tally.places += is_place;
        tally.own += is_own;
        tally.ready += is_place && child->state == CHILD_READY;
        tally.failed += child_has_failed(child);
    }
    *ret_tally = tally;
}

static bool has_slot(const struct pool *pool, const struct cordon_config *cordon, unsigned slot)
{
    const struct child *child;

    TAILQ_FOREACH (child, &pool->children, entry)
        if (child->cordon == cordon && child->slot->position == slot && !child->is_gone)
            return true;
    return false;
}

/* The lowest that no other place of the cordon has; the shared ones come first. */
static unsigned free_slot(const struct pool *pool, const struct cordon_config *cordon,
                          enum place_kind kind)
{
    unsigned slot = kind == PLACE_SHARED ? 0 : cordon->workers;

    while (has_slot(pool, cordon, slot))
        slot++;
    return slot;
}

static struct child *find_number(const struct pool *pool, unsigned number)
{
    struct child *child;

    TAILQ_FOREACH (child, &pool->children, entry)
        if (child->number == number)
            return child;
    return NULL;
}

struct child *pool_add(struct pool *pool, const struct cordon_config *cordon, enum place_kind kind)
{
    unsigned number = 0;

    while (find_number(pool, number))
        number++;
    if (number >= NUMBERS_MAX)
        return NULL;
    struct child *child = child_new(pool->server, cordon, number);
    if (!child)
        return NULL;
    child->ops = pool->ops;
    child->frames = pool->frames;
    child->slot->kind = kind;
    child->slot->position = free_slot(pool, cordon, kind);
    TAILQ_INSERT_TAIL(&pool->children, child, entry);
    pool->n_children++;
    return child;
}

void pool_drop(struct pool *pool, struct child *child)
{
    (void) event_del(child->timer); /* it may be due in this very turn of the loop */
    child->is_gone = true;
    event_active(pool->sweep, EV_TIMEOUT, 0);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("workers: sweep");
    struct pool *pool = arg;
    struct child *child, *next;

    (void) fd;
    (void) what;
    for (child = TAILQ_FIRST(&pool->children); child; child = next) {
        next = TAILQ_NEXT(child, entry);
        if (!child->is_gone)
            continue;
        child->ops->on_free(child);
        TAILQ_REMOVE(&pool->children, child, entry);
        pool->n_children--;
        (void) child_free(child);
    }
}

/* ---- spares */

struct child *pool_find_spare(const struct pool *pool, const struct cordon_config *cordon)
{
    struct child *child;

    TAILQ_FOREACH (child, &pool->children, entry)
        if (child->slot->kind == PLACE_SPARE && child->cordon == cordon &&
            child->state == CHILD_READY && !child->is_hung_up && !child_is_stale(child))
            return child;
    return NULL;
}

void pool_keep_spare(struct pool *pool, const struct cordon_config *cordon, bool is_wanted)
{
    struct child *spare;

    if ((!cordon->spare && !is_wanted) || pool->server->life.is_draining ||
        pool_count(pool, cordon, PLACE_SPARE) > 0)
        return;
    spare = pool_add(pool, cordon, PLACE_SPARE);
    if (spare)
        child_on_event(spare, EVENT_START);
}

void pool_promote_spare(struct pool *pool, struct child *child)
{
    struct child *spare = pool_find_spare(pool, child->cordon);

    /* A place that keeps failing waits: a spare would only die of the same. */
    if (child->slot->kind == PLACE_SPARE || child->slot->kind == PLACE_LEAVING || !spare ||
        child_backoff_ms(child->slot->failures, 0) > 0)
        return;
    child_swap_slots(child, spare);
    spare->slot->is_joining = false;
    log_event(LOG_LEVEL_INFO, LOG_ABOUT_CHILD(spare),
              "worker %u (pid %d), the spare, takes over slot %u of cordon %s", spare->number,
              (int) spare->pid, spare->slot->position, spare->cordon->name);
}

/* Without a spawner no worker comes any more: with the last one gone, only another skepd can serve. */
void pool_check_last(struct pool *pool)
{
    struct server *server = pool->server;
    const struct child *child;

    if (server->health.of[HELPER_SPAWNER].state != HELPER_GONE || server->life.is_draining)
        return;
    TAILQ_FOREACH (child, &pool->children, entry)
        if (child->pid > 0)
            return;
    log_error("no worker is left, and none can be started: ending");
    life_fail(&server->life);
}

/* ---- the spawner's answers */

static void on_spawned(void *owner, unsigned slot, int error, const char *step,
                       const struct spawner_worker *worker)
{
    struct server *server = owner;
    struct child *child = find_number(server->pool, slot);

    if (!child) {
        if (worker) {
            (void) close(worker->pidfd);
            (void) close(worker->stat_fd);
            (void) close(worker->statm_fd);
        }
        return;
    }
    if (error < 0) {
        const char *hint = spawner_hint(error, step);
        (void) log_event_errno(LOG_LEVEL_ERROR, LOG_ABOUT_CHILD(child), error,
                               "cannot start worker %u: %s%s%s", slot, step, hint ? "; " : "",
                               hint ? hint : "");
        child_on_event(child, EVENT_SPAWN_FAILED);
        return;
    }
    child->pid = worker->pid;
    child->pidfd = worker->pidfd;
    child->stat_fd = worker->stat_fd;
    child->statm_fd = worker->statm_fd;
    if (clock_getcpuclockid(worker->pid, &child->cpu_clock) != 0)
        child->cpu_clock = CLOCK_MONOTONIC; /* it is gone already: its exit comes next */
    child_on_event(child, EVENT_SPAWNED);
}

static void on_exited(void *owner, unsigned slot, pid_t pid, int wait_status)
{
    struct server *server = owner;
    struct child *child = find_number(server->pool, slot);

    if (!child || child->pid != pid)
        return;
    child->wait_status = wait_status;
    child_on_event(child, EVENT_EXIT);
}

static void on_facts(void *owner, unsigned slot, pid_t pid, int error,
                     const struct jail_facts *facts)
{
    struct server *server = owner;
    struct child *child = find_number(server->pool, slot);

    if (child)
        child_on_facts(child, pid, error, facts);
}

const struct spawner_ops pool_spawner_ops = {
    .on_result = on_spawned,
    .on_facts = on_facts,
    .on_exited = on_exited,
};

static int add_cordon(struct pool *pool, const struct cordon_config *cordon)
{
    for (unsigned i = 0; i < cordon->workers; i++)
        if (!pool_add(pool, cordon, PLACE_SHARED))
            return -ENOMEM;
    return cordon->spare && !pool_add(pool, cordon, PLACE_SPARE) ? -ENOMEM : 0;
}

/* Before skepd confines itself: this reads a file. */
static unsigned count_processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n > 1 ? (unsigned) n : 1;
}

int pool_new(struct server *server, const struct slot_ops *ops, const struct channel_table *frames,
             struct pool **ret_pool)
{
    const struct config *config = server->config;
    struct pool *pool = calloc(1, sizeof *pool);
    struct child *child;
    int r = 0;

    if (!pool)
        return -ENOMEM;
    pool->server = server;
    pool->ops = ops;
    pool->frames = frames;
    pool->processors = count_processors();
    TAILQ_INIT(&pool->children);
    pool->sweep = event_new(server->base, -1, 0, on_sweep, pool);
    if (!pool->sweep)
        r = -ENOMEM;
    for (unsigned i = 0; i < config->n_cordons && r == 0; i++)
        r = add_cordon(pool, config->cordons[i]);
    if (r < 0) {
        (void) pool_free(pool);
        return r;
    }
    server->pool = pool;
    TAILQ_FOREACH (child, &pool->children, entry)
        child_on_event(child, EVENT_START);
    *ret_pool = pool;
    return 0;
}

struct pool *pool_free(struct pool *pool)
{
    struct child *child;

    if (!pool)
        return NULL;
    while ((child = TAILQ_FIRST(&pool->children))) {
        child->ops->on_free(child);
        TAILQ_REMOVE(&pool->children, child, entry);
        (void) child_free(child);
    }
    for (unsigned i = 0; i < pool->n_former; i++)
        (void) cordon_config_free(pool->former[i]);
    free(pool->former);
    if (pool->sweep)
        event_free(pool->sweep);
    free(pool);
    return NULL;
}
