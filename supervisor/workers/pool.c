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
#include "supervisor/placement/seclude.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/versions/versions.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/pool_change.h"
#include "supervisor/workers/retire.h"

#define WATCH_MS 5
#define LOOK_MS 100
#define NUMBERS_MAX 65536 /* of struct spawner_job.slot */

static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ (hash >> 33);
}

/* FNV-1a, then a mixer, so that slots that differ in one bit rank independently. */
static uint64_t rank(const char *tenant, unsigned slot)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (const char *p = tenant; *p; p++)
        hash = (hash ^ (unsigned char) *p) * UINT64_C(0x100000001b3);
    return mix(hash ^ (uint64_t) slot * UINT64_C(0x9e3779b97f4a7c15));
}

static struct child *best_shared(const struct pool *pool, const struct version *version,
                                 bool is_joining)
{
    struct child *child, *best = NULL;
    uint64_t best_rank = 0;

    TAILQ_FOREACH (child, &pool->children, entry) {
        if (child->place.kind != PLACE_SHARED || child->cordon != version->cordon ||
            child->place.is_joining != is_joining || !child_is_usable(child))
            continue;
        uint64_t r = rank(version->tenant->name, child->place.slot);
        if (!best || r > best_rank) {
            best = child;
            best_rank = r;
        }
    }
    return best;
}

struct child *pool_place(struct pool *pool, const struct version *version)
{
    const struct cordon_config *cordon = version->cordon;
    struct child *child;

    if (seclude_is_wanted(version)) {
        child = seclude_place(pool, version);
        if (child || cordon->is_solitary)
            return child && child_is_usable(child) ? child : NULL;
    }
    child = best_shared(pool, version, false);
    return child ? child : best_shared(pool, version, true);
}

/* ---- places */

unsigned pool_count(const struct pool *pool, const struct cordon_config *cordon,
                    enum place_kind kind)
{
    const struct child *child;
    unsigned n = 0;

    TAILQ_FOREACH (child, &pool->children, entry)
        n += child->cordon == cordon && child->place.kind == kind && !child->is_gone;
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
        bool is_own = child->place.kind == PLACE_OWN || child->place.kind == PLACE_CROWD;
        bool is_place = is_own || child->place.kind == PLACE_SHARED;
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
        if (child->cordon == cordon && child->place.slot == slot && !child->is_gone)
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
    child->place.kind = kind;
    child->place.slot = free_slot(pool, cordon, kind);
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
        ledger_forget_child(child);
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
        if (child->place.kind == PLACE_SPARE && child->cordon == cordon &&
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
    if (child->place.kind == PLACE_SPARE || child->place.kind == PLACE_LEAVING || !spare ||
        child_backoff_ms(child->place.failures, 0) > 0)
        return;
    struct child_place place = child->place;
    child->place = spare->place;
    spare->place = place;
    spare->place.is_joining = false;
    seclude_take_over(child, spare);
    log_event(LOG_LEVEL_INFO, LOG_ABOUT_CHILD(spare),
              "worker %u (pid %d), the spare, takes over slot %u of cordon %s", spare->number,
              (int) spare->pid, place.slot, spare->cordon->name);
}

void pool_on_ready(struct pool *pool, struct child *child)
{
    child->place.is_joining = false;
    if (child_is_stale(child))
        retire_child(child, RETIRE_STALE_REASON);
    else if (child->place.kind == PLACE_SPARE && !retire_use_spare(pool, child) &&
             !child->cordon->spare)
        child_drain(child); /* it was wanted, and is not any more */
}

/* ---- ticks */

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("workers: watch");
    struct pool *pool = arg;
    uint64_t now = io_now_ns();
    bool has_work = false;
    struct child *child;

    (void) fd;
    (void) what;
    TAILQ_FOREACH (child, &pool->children, entry) {
        child_check(child, now);
        has_work = has_work || child->is_watched;
    }
    if (!has_work) {
        (void) event_del(pool->watch);
        return;
    }
    /* Afterwards, because this loads tenants in other workers. */
    TAILQ_FOREACH (child, &pool->children, entry)
        seclude_look(child, now);
}

void pool_watch(struct pool *pool)
{
    static const struct timeval period = { .tv_usec = WATCH_MS * 1000 };

    if (!event_pending(pool->watch, EV_TIMEOUT, NULL))
        (void) event_add(pool->watch, &period);
}

/* Without a spawner no worker comes any more: with the last one gone, only another skepd can serve. */
static void check_last_worker(struct server *server)
{
    const struct child *child;

    if (server->health.of[HELPER_SPAWNER].state != HELPER_GONE || server->life.is_draining)
        return;
    TAILQ_FOREACH (child, &server->pool->children, entry)
        if (child->pid > 0)
            return;
    log_error("no worker is left, and none can be started: ending");
    life_fail(&server->life);
}

/* Native code of a tenant that has left can take a GiB in a second. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("workers: look at memory");
    struct pool *pool = arg;
    uint64_t now = io_now_ns();
    bool is_needed = false;
    struct child *child;

    (void) fd;
    (void) what;
    TAILQ_FOREACH (child, &pool->children, entry) {
        if (!retire_must_look(child))
            continue;
        is_needed = true;
        retire_check_rss(child, now);
    }
    if (!is_needed)
        (void) event_del(pool->look);
}

static void look_if_needed(struct pool *pool)
{
    static const struct timeval period = { .tv_usec = LOOK_MS * 1000 };
    const struct child *child;

    if (event_pending(pool->look, EV_TIMEOUT, NULL))
        return;
    TAILQ_FOREACH (child, &pool->children, entry)
        if (retire_must_look(child)) {
            (void) event_add(pool->look, &period);
            return;
        }
}

/* Some in each turn of the loop. */
static void care_for_tenants(struct pool *pool)
{
    static const struct timeval at_once = { 0 };

    if (seclude_check_some(pool->server->tenants, io_now_ns()))
        (void) event_add(pool->care_turn, &at_once);
}

static void on_care_turn(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("workers: care of tenants");

    (void) fd;
    (void) what;
    care_for_tenants(arg);
}

static void on_care(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("workers: care");
    struct pool *pool = arg;
    struct child *child;
    uint64_t now = io_now_ns();

    (void) fd;
    (void) what;
    TAILQ_FOREACH (child, &pool->children, entry) {
        retire_check(child, now);
        child_check_jail(child);
    }
    look_if_needed(pool);
    if (!event_pending(pool->care_turn, EV_TIMEOUT, NULL))
        care_for_tenants(pool);
    pool_check_change(pool, now);
    check_last_worker(pool->server);
    record_say_left_out(&pool->server->record);
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

int pool_new(struct server *server, struct pool **ret_pool)
{
    static const struct timeval second = { .tv_sec = 1 };
    const struct config *config = server->config;
    struct pool *pool = calloc(1, sizeof *pool);
    struct child *child;
    int r = 0;

    if (!pool)
        return -ENOMEM;
    pool->server = server;
    pool->processors = count_processors();
    TAILQ_INIT(&pool->children);
    pool->watch = event_new(server->base, -1, EV_PERSIST, on_watch, pool);
    pool->care = event_new(server->base, -1, EV_PERSIST, on_care, pool);
    pool->care_turn = event_new(server->base, -1, 0, on_care_turn, pool);
    pool->look = event_new(server->base, -1, EV_PERSIST, on_look, pool);
    pool->sweep = event_new(server->base, -1, 0, on_sweep, pool);
    if (!pool->watch || !pool->care || !pool->care_turn || !pool->look || !pool->sweep ||
        event_add(pool->care, &second) < 0)
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
        TAILQ_REMOVE(&pool->children, child, entry);
        (void) child_free(child);
    }
    for (unsigned i = 0; i < pool->n_former; i++)
        (void) cordon_config_free(pool->former[i]);
    free(pool->former);
    if (pool->watch)
        event_free(pool->watch);
    if (pool->care)
        event_free(pool->care);
    if (pool->care_turn)
        event_free(pool->care_turn);
    if (pool->look)
        event_free(pool->look);
    if (pool->sweep)
        event_free(pool->sweep);
    free(pool);
    return NULL;
}
