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
#include "supervisor/child.h"
#include "supervisor/spawner.h"

#define WATCH_MS 5

/* FNV-1a, then a mixer, so that slots that differ in one bit rank independently. */
static uint64_t rank(const char *tenant, unsigned slot)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (const char *p = tenant; *p; p++)
        hash = (hash ^ (unsigned char) *p) * UINT64_C(0x100000001b3);
    hash ^= (uint64_t) slot * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ (hash >> 33);
}

struct child *pool_place(struct pool *pool, const struct version *version)
{
    const char *cordon = version->manifest->cordon;
    struct child *best = NULL;
    uint64_t best_rank = 0;

    for (unsigned i = 0; i < pool->n_children; i++) {
        struct child *child = &pool->children[i];
        if (child->place.is_spare || strcmp(child->cordon->name, cordon) != 0 ||
            !child_is_usable(child))
            continue;
        uint64_t r = rank(version->tenant->name, child->place.slot);
        if (!best || r > best_rank) {
            best = child;
            best_rank = r;
        }
    }
    return best;
}

void pool_promote_spare(struct pool *pool, struct child *child)
{
    for (unsigned i = 0; i < pool->n_children && !child->place.is_spare; i++) {
        struct child *spare = &pool->children[i];
        if (!spare->place.is_spare || spare->state != CHILD_READY || spare->cordon != child->cordon)
            continue;
        struct child_place place = child->place;
        child->place = spare->place;
        spare->place = place;
        log_info("worker %u (pid %d), the spare, takes over slot %u of cordon %s", spare->number,
                 (int) spare->pid, place.slot, spare->cordon->name);
    }
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct pool *pool = arg;
    uint64_t now = io_now_ns();
    bool has_work = false;

    (void) fd;
    (void) what;
    for (unsigned i = 0; i < pool->n_children; i++) {
        struct child *child = &pool->children[i];
        child_check(child, now);
        has_work = has_work || child->is_watched;
    }
    if (!has_work)
        (void) event_del(pool->watch);
}

void pool_watch(struct pool *pool)
{
    static const struct timeval period = { .tv_usec = WATCH_MS * 1000 };

    if (!event_pending(pool->watch, EV_TIMEOUT, NULL))
        (void) event_add(pool->watch, &period);
}

static void on_spawned(void *owner, unsigned slot, int error, const char *step, pid_t pid,
                       int pidfd)
{
    struct server *server = owner;
    struct pool *pool = server->pool;

    if (slot >= pool->n_children)
        return;
    struct child *child = &pool->children[slot];
    if (error < 0) {
        const char *hint = spawner_hint(error, step);
        log_error_errno(error, "cannot start worker %u: %s%s%s", slot, step, hint ? "; " : "",
                        hint ? hint : "");
        child_on_event(child, EVENT_SPAWN_FAILED);
        return;
    }
    child->pid = pid;
    child->pidfd = pidfd;
    if (clock_getcpuclockid(pid, &child->cpu_clock) != 0)
        child->cpu_clock = CLOCK_MONOTONIC; /* it is gone already: its exit comes next */
    child_on_event(child, EVENT_SPAWNED);
}

static void on_exited(void *owner, unsigned slot, pid_t pid, int wait_status)
{
    struct server *server = owner;

    if (slot >= server->pool->n_children || server->pool->children[slot].pid != pid)
        return;
    server->pool->children[slot].wait_status = wait_status;
    child_on_event(&server->pool->children[slot], EVENT_EXIT);
}

static void on_spawner_gone(void *owner)
{
    log_error("the spawner died: no worker can be started any more; ending");
    (void) event_base_loopbreak(((struct server *) owner)->base);
}

const struct spawner_ops pool_spawner_ops = {
    .on_result = on_spawned,
    .on_exited = on_exited,
    .on_gone = on_spawner_gone,
};

int pool_new(struct server *server, struct pool **ret_pool)
{
    const struct config *config = server->config;
    struct pool *pool = calloc(1, sizeof *pool);
    unsigned n = 0;

    if (!pool)
        return -ENOMEM;
    for (unsigned i = 0; i < config->n_cordons; i++)
        n += config->cordons[i].workers + config->cordons[i].spare;
    pool->server = server;
    pool->children = calloc(n, sizeof *pool->children);
    pool->watch = event_new(server->base, -1, EV_PERSIST, on_watch, pool);
    if (!pool->children || !pool->watch) {
        (void) pool_free(pool);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < config->n_cordons; i++)
        for (unsigned slot = 0; slot < config->cordons[i].workers + config->cordons[i].spare;
             slot++) {
            struct child *child = &pool->children[pool->n_children];
            child_init(child, server, &config->cordons[i], pool->n_children, slot);
            pool->n_children++;
            if (!child->timer) {
                (void) pool_free(pool);
                return -ENOMEM;
            }
        }
    server->pool = pool;
    for (unsigned i = 0; i < pool->n_children; i++)
        child_on_event(&pool->children[i], EVENT_START);
    *ret_pool = pool;
    return 0;
}

struct pool *pool_free(struct pool *pool)
{
    if (!pool)
        return NULL;
    for (unsigned i = 0; i < pool->n_children; i++)
        child_done(&pool->children[i]);
    if (pool->watch)
        event_free(pool->watch);
    free(pool->children);
    free(pool);
    return NULL;
}
