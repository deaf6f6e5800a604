/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All slots of all cordons, and all workers: the spawner's answers go to their worker from here. Supervisor, loop thread.
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

/* Each has a number of struct spawner_job.slot, and as many are left to workers that leave. */
#define SLOTS_MAX 32768

/* ---- slots */

struct slot *pool_next_slot(const struct pool *pool, const struct slot *slot)
{
    struct slot *next = slot ? TAILQ_NEXT(slot, entry) : TAILQ_FIRST(&pool->slots);

    while (next && next->is_dropped)
        next = TAILQ_NEXT(next, entry);
    return next;
}

unsigned pool_count(const struct pool *pool, const struct cordon_config *cordon,
                    enum place_kind kind)
{
    const struct slot *slot = NULL;
    unsigned n = 0;

    while ((slot = pool_next_slot(pool, slot)))
        n += slot->cordon == cordon && slot->kind == kind;
    return n;
}

unsigned pool_count_leaving(const struct pool *pool, const struct cordon_config *cordon)
{
    const struct child *child;
    unsigned n = 0;

    TAILQ_FOREACH (child, &pool->children, entry)
        n += child->cordon == cordon && !child->slot;
    return n;
}

bool pool_next_listed(const struct pool *pool, struct listed *listed)
{
    const struct child *child = NULL;

    if (listed->slot || !listed->child) {
        listed->slot = pool_next_slot(pool, listed->slot);
        listed->child = listed->slot ? listed->slot->child : NULL;
        if (listed->slot)
            return true;
        child = TAILQ_FIRST(&pool->children);
    } else {
        child = TAILQ_NEXT(listed->child, entry);
    }
    while (child && child->slot)
        child = TAILQ_NEXT(child, entry);
    listed->child = child;
    return child != NULL;
}

void pool_read_tally(const struct pool *pool, struct pool_tally *ret_tally)
{
    struct listed listed = { 0 };
    struct pool_tally tally = { 0 };

    while (pool_next_listed(pool, &listed)) {
        const struct slot *slot = listed.slot;
        bool is_own = slot && (slot->kind == PLACE_OWN || slot->kind == PLACE_CROWD);
        bool is_place = is_own || (slot && slot->kind == PLACE_SHARED);
        tally.listed++;
        tally.places += is_place;
        tally.own += is_own;
        tally.ready += is_place && slot_find_ready(slot);
        tally.failed += slot && slot_has_failed(slot);
    }
    *ret_tally = tally;
}

static bool has_position(const struct pool *pool, const struct cordon_config *cordon,
                         unsigned position)
{
    const struct slot *slot = NULL;
    const struct child *child;

    while ((slot = pool_next_slot(pool, slot)))
        if (slot->cordon == cordon && slot->position == position)
            return true;
    TAILQ_FOREACH (child, &pool->children, entry)
        if (child->cordon == cordon && !child->slot && child->list_position == position)
            return true;
    return false;
}

unsigned pool_free_position(const struct pool *pool, const struct cordon_config *cordon,
                            enum place_kind kind)
{
    unsigned position = kind == PLACE_SHARED ? 0 : cordon->workers;

    while (has_position(pool, cordon, position))
        position++;
    return position;
}

static struct child *find_number(const struct pool *pool, unsigned number)
{
    struct child *child;

    TAILQ_FOREACH (child, &pool->children, entry)
        if (child->number == number)
            return child;
    return NULL;
}

static bool is_free_number(const struct pool *pool, unsigned number)
{
    const struct slot *slot = NULL;

    while ((slot = pool_next_slot(pool, slot)))
        if (slot->number == number)
            return false;
    return !find_number(pool, number);
}

unsigned pool_free_number(const struct pool *pool)
{
    unsigned number = 0;

    while (!is_free_number(pool, number))
        number++;
    return number;
}

struct slot *pool_add(struct pool *pool, const struct cordon_config *cordon, enum place_kind kind)
{
    struct slot *slot = pool->n_slots < SLOTS_MAX ? slot_new(pool, cordon, kind) : NULL;

    if (!slot)
        return NULL;
    slot->position = pool_free_position(pool, cordon, kind);
    slot->number = pool_free_number(pool);
    TAILQ_INSERT_TAIL(&pool->slots, slot, entry);
    pool->n_slots++;
    return slot;
}

void pool_put(struct pool *pool, struct slot *slot, struct child *child)
{
    TAILQ_INSERT_TAIL(&pool->children, child, entry);
    slot->child = child;
    child->slot = slot;
}

void pool_forget(struct pool *pool, struct child *child)
{
    pool->ops->on_free(child);
    TAILQ_REMOVE(&pool->children, child, entry);
    (void) child_free(child);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("workers: sweep");
    struct pool *pool = arg;
    struct slot *slot, *next;

    (void) fd;
    (void) what;
    for (slot = TAILQ_FIRST(&pool->slots); slot; slot = next) {
        next = TAILQ_NEXT(slot, entry);
        if (!slot->is_dropped)
            continue;
        TAILQ_REMOVE(&pool->slots, slot, entry);
        pool->n_slots--;
        (void) slot_free(slot);
    }
}

/* ---- spares */

struct slot *pool_find_spare(const struct pool *pool, const struct cordon_config *cordon)
{
    struct slot *slot = NULL;

    while ((slot = pool_next_slot(pool, slot))) {
        const struct child *child = slot_find_ready(slot);
        if (slot->kind == PLACE_SPARE && slot->cordon == cordon && child && !child->is_hung_up &&
            !child_is_stale(child))
            return slot;
    }
    return NULL;
}

void pool_keep_spare(struct pool *pool, const struct cordon_config *cordon, bool is_wanted)
{
    struct slot *spare;

    if ((!cordon->spare && !is_wanted) || pool->server->life.is_draining ||
        pool_count(pool, cordon, PLACE_SPARE) > 0)
        return;
    spare = pool_add(pool, cordon, PLACE_SPARE);
    if (spare)
        slot_start(spare);
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
    struct slot *slot = NULL;
    int r = 0;

    if (!pool)
        return -ENOMEM;
    pool->server = server;
    pool->ops = ops;
    pool->frames = frames;
    pool->processors = count_processors();
    TAILQ_INIT(&pool->slots);
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
    while ((slot = pool_next_slot(pool, slot)))
        slot_start(slot);
    *ret_pool = pool;
    return 0;
}

struct pool *pool_free(struct pool *pool)
{
    struct child *child;
    struct slot *slot;

    if (!pool)
        return NULL;
    while ((child = TAILQ_FIRST(&pool->children)))
        pool_forget(pool, child);
    while ((slot = TAILQ_FIRST(&pool->slots))) {
        TAILQ_REMOVE(&pool->slots, slot, entry);
        (void) slot_free(slot);
    }
    for (unsigned i = 0; i < pool->n_former; i++)
        (void) cordon_config_free(pool->former[i]);
    free(pool->former);
    if (pool->sweep)
        event_free(pool->sweep);
    free(pool);
    return NULL;
}
