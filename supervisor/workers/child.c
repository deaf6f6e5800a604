/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/child.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "common/process.h"
#include "common/rss.h"
#include "proto/channel.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/host/cgroup.h"
#include "supervisor/workers/child_internal.h"
#include "supervisor/workers/clock.h"
#include "supervisor/workers/link.h"

#define BOOT_TIMEOUT_MS 10000
#define BOOT_MOST_MS 60000 /* for one that gets no processor */
#define BOOT_AGAIN_MS 1000
#define KILL_TIMEOUT_MS 5000
#define EXIT_TIMEOUT_MS 1000 /* from the end of its channel to its exit */

typedef void (*child_action_fn)(struct child *child);

struct child_action {
    const char *name;
    child_action_fn run;
};

static const char *const state_names[] = {
    [CHILD_BOOTING] = "booting",
    [CHILD_READY] = "ready",
    [CHILD_DRAINING] = "draining",
    [CHILD_KILLED] = "killed",
};

static void set_timer(struct child *child, uint64_t ms)
{
    struct timeval t = { .tv_sec = (time_t) (ms / 1000),
                         .tv_usec = (suseconds_t) (ms % 1000 * 1000) };

    (void) event_add(child->timer, &t);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void) close(*fd);
    *fd = -1;
}

void child_await_hello(struct child *child)
{
    child->started_ns = io_now_ns();
    set_timer(child, BOOT_TIMEOUT_MS);
}

/* ---- starting */

static void give_up_start(struct child *child)
{
    slot_on_end(child, true);
}

void child_become_ready(struct child *child)
{
    (void) event_del(child->timer);
    child->state = CHILD_READY;
    child->ready_ns = io_now_ns();
    link_set_ready(child);
    log_event(LOG_LEVEL_INFO, LOG_ABOUT_CHILD(child), "worker %u (pid %d) is ready after %.1f ms",
              child->number, (int) child->pid,
              (double) (child->ready_ns - child->started_ns) / 1e6);
    child->ops->on_ready(child);
}

static void note_hello(struct child *child)
{
    child->has_hello = true;
    child_attest(child);
}

/* ---- dying */

static void kill_now(struct child *child)
{
    child->state = CHILD_KILLED;
    set_timer(child, KILL_TIMEOUT_MS);
    if (child->pidfd >= 0)
        (void) syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
}

bool child_may_boot_on(uint64_t elapsed_ms, uint64_t cpu_ms, bool is_runnable)
{
    return is_runnable && elapsed_ms < BOOT_MOST_MS && cpu_ms < BOOT_TIMEOUT_MS / 2;
}

static void kill_boot(struct child *child)
{
    uint64_t elapsed_ms = (io_now_ns() - child->started_ns) / NSEC_PER_MSEC;

    if (child_may_boot_on(elapsed_ms, child_cpu_ns(child) / NSEC_PER_MSEC,
                          process_is_runnable(child->stat_fd))) {
        set_timer(child, BOOT_AGAIN_MS);
        return;
    }
    log_event(LOG_LEVEL_ERROR, LOG_ABOUT_CHILD(child), "worker %u (pid %d) does not start",
              child->number, (int) child->pid);
    child->kill_reason = KILL_BOOT;
    kill_now(child);
}

/* Its channel has ended: it is dying, and how is seen at its exit; or it has only closed it. */
static void await_exit(struct child *child)
{
    child->is_hung_up = true;
    set_timer(child, EXIT_TIMEOUT_MS);
}

static void kill_hung_up(struct child *child)
{
    /* On a busy host the way out takes its time; its exit says then how it died. */
    if (process_state(child->stat_fd) == PROCESS_EXITING) {
        set_timer(child, EXIT_TIMEOUT_MS);
        return;
    }
    log_event(LOG_LEVEL_WARNING, LOG_ABOUT_CHILD(child),
              "worker %u (pid %d) has closed its channel", child->number, (int) child->pid);
    child->kill_reason = KILL_PROTOCOL;
    kill_now(child);
}

static void kill_again(struct child *child)
{
    log_event(LOG_LEVEL_ERROR, LOG_ABOUT_CHILD(child),
              "worker %u (pid %d) is still there after SIGKILL", child->number, (int) child->pid);
    kill_now(child);
}

bool child_is_congested(const struct child *child)
{
    return child->channel && channel_is_congested(child->channel);
}

void child_kill(struct child *child, enum kill_reason reason, uint64_t request)
{
    if (child->state == CHILD_KILLED)
        return;
    child_look_at_clock(child);
    child->kill_reason = reason;
    child->blamed_request = request;
    const struct attempt *blamed = child_find_attempt(child, request);
    if (blamed)
        child->blamed_version = blamed->version_id;
    child_on_event(child, EVENT_STUCK);
}

/* ---- leaving */

/* Nothing is left in it. */
static void stop_drained(struct child *child)
{
    child->kill_reason = KILL_STOP;
    kill_now(child);
}

static void drain(struct child *child)
{
    child->state = CHILD_DRAINING;
    child->drain_since_ns = io_now_ns();
    if (child->in_flight == 0)
        stop_drained(child);
}

void child_drain(struct child *child)
{
    assert(!child->slot);
    child_on_event(child, EVENT_RETIRE);
}

static void reap(struct child *child)
{
    bool was_booting = child->state == CHILD_BOOTING;

    (void) event_del(child->timer);
    child->state = CHILD_KILLED; /* events of what follows are ignored */
    slot_on_end(child, child->ops->on_end(child, was_booting));
}

/* clang-format off */
#define ACTION(fn) { .name = #fn, .run = fn }
/* clang-format on */
static const struct child_action actions[CHILD_STATES][CHILD_EVENTS] = {
    [CHILD_BOOTING] = {
        [EVENT_RETIRE] = ACTION(stop_drained),
        [EVENT_SPAWNED] = ACTION(child_attest),
        [EVENT_SPAWN_FAILED] = ACTION(give_up_start),
        [EVENT_HELLO] = ACTION(note_hello),
        [EVENT_LOOKED] = ACTION(child_judge),
        [EVENT_CLOSED] = ACTION(await_exit),
        [EVENT_STUCK] = ACTION(kill_now),
        [EVENT_TIMEOUT] = ACTION(kill_boot),
        [EVENT_EXIT] = ACTION(reap),
    },
    [CHILD_READY] = {
        [EVENT_LOOKED] = ACTION(child_judge_again),
        [EVENT_RETIRE] = ACTION(drain),
        [EVENT_CLOSED] = ACTION(await_exit),
        [EVENT_STUCK] = ACTION(kill_now),
        [EVENT_TIMEOUT] = ACTION(kill_hung_up),
        [EVENT_EXIT] = ACTION(reap),
    },
    [CHILD_DRAINING] = {
        [EVENT_LOOKED] = ACTION(child_judge_again),
        [EVENT_IDLE] = ACTION(stop_drained),
        [EVENT_CLOSED] = ACTION(await_exit),
        [EVENT_STUCK] = ACTION(kill_now),
        [EVENT_TIMEOUT] = ACTION(kill_hung_up),
        [EVENT_EXIT] = ACTION(reap),
    },
    [CHILD_KILLED] = {
        [EVENT_SPAWNED] = ACTION(kill_now),
        [EVENT_SPAWN_FAILED] = ACTION(give_up_start),
        [EVENT_TIMEOUT] = ACTION(kill_again),
        [EVENT_EXIT] = ACTION(reap),
    },
};

const char *child_action_name(enum child_state state, enum child_event event)
{
    return actions[state][event].name;
}

const char *child_state_name(enum child_state state)
{
    return state_names[state];
}

void child_on_event(struct child *child, enum child_event event)
{
    const struct child_action *action = &actions[child->state][event];

    if (action->run)
        action->run(child);
}

/* ---- requests in it */

int child_take_slot(struct child *child, struct attempt *attempt, unsigned *ret_slot)
{
    if (child->n_free_slots == 0)
        return -EAGAIN;
    unsigned slot = child->free_slots[--child->n_free_slots];
    child->attempts[slot] = attempt;
    child->in_flight++;
    child->served++;
    *ret_slot = slot;
    return 0;
}

void child_give_slot(struct child *child, const struct attempt *attempt)
{
    unsigned slot = (unsigned) (attempt->id % SCOREBOARD_SLOTS);

    child->attempts[slot] = NULL;
    if (child->withdrawn[slot] == 0)
        child->free_slots[child->n_free_slots++] = (uint16_t) slot;
    child->in_flight--;
    if (child->in_flight == 0)
        child_on_event(child, EVENT_IDLE);
}

struct attempt *child_find_attempt(const struct child *child, uint64_t id)
{
    struct attempt *attempt = child->attempts[id % SCOREBOARD_SLOTS];

    return attempt && attempt->id == id ? attempt : NULL;
}

bool child_withdraw(struct child *child, const struct attempt *attempt)
{
    unsigned slot = (unsigned) (attempt->id % SCOREBOARD_SLOTS);

    if (child->n_withdrawn >= WITHDRAWN_MAX) {
        child->server->record.counters.not_withdrawn += !child->is_withdrawn_full;
        child->is_withdrawn_full = true;
        return false;
    }
    if (!scoreboard_withdraw(child->board, slot, attempt->id))
        return false;
    child->withdrawn[slot] = attempt->id;
    child->n_withdrawn++;
    return true;
}

bool child_end_withdrawn(struct child *child, uint64_t id)
{
    unsigned slot = (unsigned) (id % SCOREBOARD_SLOTS);

    if (id == 0 || child->withdrawn[slot] != id)
        return false;
    child->withdrawn[slot] = 0;
    child->n_withdrawn--;
    child->is_withdrawn_full = false;
    child->free_slots[child->n_free_slots++] = (uint16_t) slot;
    return true;
}

uint64_t child_cpu_ns(const struct child *child)
{
    return child->pid > 0 ? io_clock_ns(child->cpu_clock) : 0;
}

/* ---- life */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("worker: timer");

    (void) fd;
    (void) what;
    child_on_event(arg, EVENT_TIMEOUT);
}

static void on_load_turn(evutil_socket_t fd, short what, void *arg)
{
    LOOP_CALLBACK("worker: a part of a load");

    (void) fd;
    (void) what;
    struct child *child = arg;

    child->ops->on_load_turn(child);
}

struct child *child_new(struct server *server, const struct cordon_config *cordon, unsigned number)
{
    struct child *child = calloc(1, sizeof *child);

    if (!child)
        return NULL;
    child->server = server;
    child->cordon = cordon;
    child->number = number;
    child->pidfd = -1;
    child->stat_fd = -1;
    child->statm_fd = -1;
    child->n_free_slots = SCOREBOARD_SLOTS;
    child->n_free_places = SCOREBOARD_TENANTS;
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++)
        child->free_slots[i] = (uint16_t) (SCOREBOARD_SLOTS - 1 - i);
    for (unsigned i = 0; i < SCOREBOARD_TENANTS; i++)
        child->free_places[i] = (uint16_t) (SCOREBOARD_TENANTS - 1 - i);
    LIST_INIT(&child->placements);
    TAILQ_INIT(&child->to_load);
    TAILQ_INIT(&child->preloads);
    child->timer = event_new(server->base, -1, 0, on_timer, child);
    child->load_turn = event_new(server->base, -1, 0, on_load_turn, child);
    return child->timer && child->load_turn ? child : child_free(child);
}

struct child *child_free(struct child *child)
{
    if (!child)
        return NULL;
    if (child->timer)
        event_free(child->timer);
    if (child->load_turn)
        event_free(child->load_turn);
    if (child->pidfd >= 0)
        (void) syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
    assert(LIST_EMPTY(&child->placements));
    child->channel = channel_free(child->channel);
    if (child->board)
        (void) munmap(child->board, SCOREBOARD_BYTES);
    close_fd(&child->pidfd);
    close_fd(&child->stat_fd);
    close_fd(&child->statm_fd);
    child->cgroup = cgroup_worker_free(child->cgroup);
    free(child);
    return NULL;
}
