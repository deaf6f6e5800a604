/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/worker.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
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
#include "supervisor/workers/clock.h"
#include "supervisor/workers/internal.h"
#include "supervisor/workers/link.h"
#include "supervisor/workers/slots.h"

#define BOOT_TIMEOUT_MS 10000
#define BOOT_MOST_MS 60000 /* for a worker that gets no processor */
#define BOOT_AGAIN_MS 1000
#define KILL_TIMEOUT_MS 5000
#define EXIT_TIMEOUT_MS 1000 /* from the end of its channel to its exit */

typedef void (*worker_action_fn)(struct worker *worker);

struct worker_action {
    const char *name;
    worker_action_fn run;
};

static const char *const state_names[] = {
    [WORKER_BOOTING] = "booting",
    [WORKER_READY] = "ready",
    [WORKER_DRAINING] = "draining",
    [WORKER_KILLED] = "killed",
};

static void set_timer(struct worker *worker, uint64_t ms)
{
    struct timeval t = { .tv_sec = (time_t) (ms / 1000),
                         .tv_usec = (suseconds_t) (ms % 1000 * 1000) };

    (void) event_add(worker->timer, &t);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void) close(*fd);
    *fd = -1;
}

void worker_await_hello(struct worker *worker)
{
    worker->started_ns = io_now_ns();
    set_timer(worker, BOOT_TIMEOUT_MS);
}

/* ---- starting */

static void give_up_start(struct worker *worker)
{
    slot_on_end(worker, true);
}

void worker_become_ready(struct worker *worker)
{
    (void) event_del(worker->timer);
    worker->state = WORKER_READY;
    worker->ready_ns = io_now_ns();
    link_set_ready(worker);
    log_event(LOG_LEVEL_INFO, LOG_ABOUT_WORKER(worker), "worker %u (pid %d) is ready after %.1f ms",
              worker->number, (int) worker->pid,
              (double) (worker->ready_ns - worker->started_ns) / 1e6);
    worker->slots->ops->on_ready(worker);
}

static void note_hello(struct worker *worker)
{
    worker->has_hello = true;
    worker_attest(worker);
}

/* ---- the hard kill: SIGKILL, again if need be, until the exit comes; a limit begins it by
 * worker_kill */

void worker_kill(struct worker *worker, enum kill_reason reason, uint64_t request)
{
    if (worker->state == WORKER_KILLED)
        return;
    worker_look_at_clock(worker);
    worker->kill_reason = reason;
    worker->blamed_request = request;
    const struct attempt *blamed = worker_find_attempt(worker, request);
    if (blamed)
        worker->blamed_version = blamed->version_id;
    worker_on_event(worker, EVENT_STUCK);
}

static void kill_now(struct worker *worker)
{
    worker->state = WORKER_KILLED;
    set_timer(worker, KILL_TIMEOUT_MS);
    if (worker->pidfd >= 0)
        (void) syscall(SYS_pidfd_send_signal, worker->pidfd, SIGKILL, NULL, 0);
}

static void kill_again(struct worker *worker)
{
    log_event(LOG_LEVEL_ERROR, LOG_ABOUT_WORKER(worker),
              "worker %u (pid %d) is still there after SIGKILL", worker->number, (int) worker->pid);
    kill_now(worker);
}

/* Ends a worker whose process has ended. The floor above decides which tenant is to blame; slot.c
 * does the rest. */
static void reap(struct worker *worker)
{
    bool was_booting = worker->state == WORKER_BOOTING;

    (void) event_del(worker->timer);
    worker->state = WORKER_KILLED; /* later events are ignored */
    slot_on_end(worker, worker->slots->ops->on_end(worker, was_booting));
}

/* ---- kills for the worker's own fault: no hello in time, a channel that ends */

bool worker_may_boot_on(uint64_t elapsed_ms, uint64_t cpu_ms, bool is_runnable)
{
    return is_runnable && elapsed_ms < BOOT_MOST_MS && cpu_ms < BOOT_TIMEOUT_MS / 2;
}

static void kill_boot(struct worker *worker)
{
    uint64_t elapsed_ms = (io_now_ns() - worker->started_ns) / NSEC_PER_MSEC;

    if (worker_may_boot_on(elapsed_ms, worker_cpu_ns(worker) / NSEC_PER_MSEC,
                           process_is_runnable(worker->stat_fd))) {
        set_timer(worker, BOOT_AGAIN_MS);
        return;
    }
    log_event(LOG_LEVEL_ERROR, LOG_ABOUT_WORKER(worker), "worker %u (pid %d) does not start",
              worker->number, (int) worker->pid);
    worker->kill_reason = KILL_BOOT;
    kill_now(worker);
}

/* Waits for the exit of a worker whose channel has ended: it is dying, and its exit will tell how, or it has only closed
 * the channel. */
static void await_exit(struct worker *worker)
{
    worker->is_hung_up = true;
    set_timer(worker, EXIT_TIMEOUT_MS);
}

static void kill_hung_up(struct worker *worker)
{
    /* On a busy host the way out takes long; the exit says then how it died. */
    if (process_state(worker->stat_fd) == PROCESS_EXITING) {
        set_timer(worker, EXIT_TIMEOUT_MS);
        return;
    }
    log_event(LOG_LEVEL_WARNING, LOG_ABOUT_WORKER(worker),
              "worker %u (pid %d) has closed its channel", worker->number, (int) worker->pid);
    worker->kill_reason = KILL_PROTOCOL;
    kill_now(worker);
}

/* ---- leaving */

/* Ends a drained worker. */
static void stop_drained(struct worker *worker)
{
    worker->kill_reason = KILL_STOP;
    kill_now(worker);
}

static void drain(struct worker *worker)
{
    worker->state = WORKER_DRAINING;
    worker->drain_since_ns = io_now_ns();
    if (worker->in_flight == 0)
        stop_drained(worker);
}

void worker_drain(struct worker *worker)
{
    assert(!worker->slot);
    worker_on_event(worker, EVENT_RETIRE);
}

/* clang-format off */
#define ACTION(fn) { .name = #fn, .run = fn }
/* clang-format on */
static const struct worker_action actions[WORKER_STATES][WORKER_EVENTS] = {
    [WORKER_BOOTING] = {
        [EVENT_RETIRE] = ACTION(stop_drained),
        [EVENT_SPAWNED] = ACTION(worker_attest),
        [EVENT_SPAWN_FAILED] = ACTION(give_up_start),
        [EVENT_HELLO] = ACTION(note_hello),
        [EVENT_LOOKED] = ACTION(worker_judge),
        [EVENT_CLOSED] = ACTION(await_exit),
        [EVENT_STUCK] = ACTION(kill_now),
        [EVENT_TIMEOUT] = ACTION(kill_boot),
        [EVENT_EXIT] = ACTION(reap),
    },
    [WORKER_READY] = {
        [EVENT_LOOKED] = ACTION(worker_judge_again),
        [EVENT_RETIRE] = ACTION(drain),
        [EVENT_CLOSED] = ACTION(await_exit),
        [EVENT_STUCK] = ACTION(kill_now),
        [EVENT_TIMEOUT] = ACTION(kill_hung_up),
        [EVENT_EXIT] = ACTION(reap),
    },
    [WORKER_DRAINING] = {
        [EVENT_LOOKED] = ACTION(worker_judge_again),
        [EVENT_IDLE] = ACTION(stop_drained),
        [EVENT_CLOSED] = ACTION(await_exit),
        [EVENT_STUCK] = ACTION(kill_now),
        [EVENT_TIMEOUT] = ACTION(kill_hung_up),
        [EVENT_EXIT] = ACTION(reap),
    },
    [WORKER_KILLED] = {
        [EVENT_SPAWNED] = ACTION(kill_now),
        [EVENT_SPAWN_FAILED] = ACTION(give_up_start),
        [EVENT_TIMEOUT] = ACTION(kill_again),
        [EVENT_EXIT] = ACTION(reap),
    },
};

const char *worker_action_name(enum worker_state state, enum worker_event event)
{
    return actions[state][event].name;
}

const char *worker_state_name(enum worker_state state)
{
    return state_names[state];
}

void worker_on_event(struct worker *worker, enum worker_event event)
{
    const struct worker_action *action = &actions[worker->state][event];

    if (action->run)
        action->run(worker);
}

/* ---- the requests in a worker */

bool worker_is_congested(const struct worker *worker)
{
    return worker->channel && channel_is_congested(worker->channel);
}

int worker_take_row(struct worker *worker, struct attempt *attempt, unsigned *ret_row)
{
    if (worker->n_free_rows == 0)
        return -EAGAIN;
    unsigned row = worker->free_rows[--worker->n_free_rows];
    worker->attempts[row] = attempt;
    worker->in_flight++;
    worker->served++;
    *ret_row = row;
    return 0;
}

void worker_give_row(struct worker *worker, const struct attempt *attempt)
{
    unsigned row = (unsigned) (attempt->id % SCOREBOARD_REQUESTS);

    worker->attempts[row] = NULL;
    if (worker->withdrawn[row] == 0)
        worker->free_rows[worker->n_free_rows++] = (uint16_t) row;
    worker->in_flight--;
    if (worker->in_flight == 0)
        worker_on_event(worker, EVENT_IDLE);
}

struct attempt *worker_find_attempt(const struct worker *worker, uint64_t id)
{
    struct attempt *attempt = worker->attempts[id % SCOREBOARD_REQUESTS];

    return attempt && attempt->id == id ? attempt : NULL;
}

bool worker_withdraw(struct worker *worker, const struct attempt *attempt)
{
    unsigned row = (unsigned) (attempt->id % SCOREBOARD_REQUESTS);

    if (worker->n_withdrawn >= WITHDRAWN_MAX) {
        worker->slots->record->counters.not_withdrawn += !worker->is_withdrawn_full;
        worker->is_withdrawn_full = true;
        return false;
    }
    if (!scoreboard_withdraw(worker->board, row, attempt->id))
        return false;
    worker->withdrawn[row] = attempt->id;
    worker->n_withdrawn++;
    return true;
}

bool worker_end_withdrawn(struct worker *worker, uint64_t id)
{
    unsigned row = (unsigned) (id % SCOREBOARD_REQUESTS);

    if (id == 0 || worker->withdrawn[row] != id)
        return false;
    worker->withdrawn[row] = 0;
    worker->n_withdrawn--;
    worker->is_withdrawn_full = false;
    worker->free_rows[worker->n_free_rows++] = (uint16_t) row;
    return true;
}

uint64_t worker_cpu_ns(const struct worker *worker)
{
    if (worker->end_cpu_ns > 0) /* the pid may be another process's by now */
        return worker->end_cpu_ns;
    return worker->pid > 0 ? io_clock_ns(worker->cpu_clock) : 0;
}

/* ---- life */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("worker: timer");

    worker_on_event(arg, EVENT_TIMEOUT);
}

static void on_load_turn(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("worker: a part of a load");

    struct worker *worker = arg;

    worker->slots->ops->on_load_turn(worker);
}

struct worker *worker_new(struct slots *slots, const struct cordon_config *cordon, unsigned number)
{
    struct worker *worker = calloc(1, sizeof *worker);

    if (!worker)
        return NULL;
    worker->slots = slots;
    worker->cordon = cordon;
    worker->number = number;
    worker->pidfd = -1;
    worker->stat_fd = -1;
    worker->statm_fd = -1;
    worker->n_free_rows = SCOREBOARD_REQUESTS;
    worker->n_free_placement_rows = SCOREBOARD_PLACEMENTS;
    for (unsigned i = 0; i < SCOREBOARD_REQUESTS; i++)
        worker->free_rows[i] = (uint16_t) (SCOREBOARD_REQUESTS - 1 - i);
    for (unsigned i = 0; i < SCOREBOARD_PLACEMENTS; i++)
        worker->free_placement_rows[i] = (uint16_t) (SCOREBOARD_PLACEMENTS - 1 - i);
    LIST_INIT(&worker->placements);
    TAILQ_INIT(&worker->to_load);
    TAILQ_INIT(&worker->preloads);
    worker->timer = event_new(slots->base, -1, 0, on_timer, worker);
    worker->load_turn = event_new(slots->base, -1, 0, on_load_turn, worker);
    return worker->timer && worker->load_turn ? worker : worker_free(worker);
}

struct worker *worker_free(struct worker *worker)
{
    if (!worker)
        return NULL;
    if (worker->timer)
        event_free(worker->timer);
    if (worker->load_turn)
        event_free(worker->load_turn);
    if (worker->pidfd >= 0)
        (void) syscall(SYS_pidfd_send_signal, worker->pidfd, SIGKILL, NULL, 0);
    assert(LIST_EMPTY(&worker->placements));
    worker->channel = channel_free(worker->channel);
    if (worker->board)
        (void) munmap(worker->board, SCOREBOARD_BYTES);
    close_fd(&worker->pidfd);
    close_fd(&worker->stat_fd);
    close_fd(&worker->statm_fd);
    worker->cgroup = cgroup_worker_free(worker->cgroup);
    free(worker);
    return NULL;
}
