/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "proto/channel.h"
#include "supervisor/attest.h"
#include "supervisor/ledger.h"
#include "supervisor/link.h"
#include "supervisor/spawner.h"

#define BOOT_TIMEOUT_MS 10000
#define KILL_TIMEOUT_MS 5000
#define EXIT_TIMEOUT_MS 1000 /* from the end of its channel to its exit */
#define FAILURE_WINDOW_NS (30 * NSEC_PER_SEC)
#define FAILURES_FREE 5
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 30000

typedef void (*child_action_fn)(struct child *child);

struct child_action {
    const char *name;
    child_action_fn run;
};

static const char *const state_names[] = {
    [CHILD_DOWN] = "down",
    [CHILD_BOOTING] = "booting",
    [CHILD_READY] = "ready",
    [CHILD_KILLED] = "killed",
};

static void set_timer(struct child *child, uint64_t ms)
{
    struct timeval t = { .tv_sec = (time_t) (ms / 1000),
                         .tv_usec = (suseconds_t) (ms % 1000 * 1000) };

    (void) event_add(child->timer, &t);
}

uint64_t child_backoff_ms(unsigned failures, uint32_t random)
{
    if (failures < FAILURES_FREE)
        return 0;
    unsigned doublings = failures - FAILURES_FREE;
    uint64_t ms = doublings < 9 ? (uint64_t) BACKOFF_FIRST_MS << doublings : BACKOFF_MAX_MS;
    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    /* Up to a quarter more, so that slots that failed together do not return together. */
    return ms + ms * (random % 256) / 1024;
}

static void note_failure(struct child *child)
{
    uint64_t now = io_now_ns();
    bool has_served = child->ready_ns > child->started_ns;

    if (has_served && now - child->ready_ns > FAILURE_WINDOW_NS)
        child->failures = 0;
    if (now - child->failures_since_ns > FAILURE_WINDOW_NS && child->failures < FAILURES_FREE)
        child->failures = 0;
    if (child->failures == 0)
        child->failures_since_ns = now;
    child->failures++;
}

static void release_process(struct child *child)
{
    child->channel = channel_free(child->channel);
    if (child->board)
        (void) munmap(child->board, SCOREBOARD_BYTES);
    child->board = NULL;
    if (child->pidfd >= 0)
        (void) close(child->pidfd);
    child->pidfd = -1;
    child->pid = 0;
    child->has_hello = false;
    child->is_watched = false;
    child->is_hung_up = false;
    child->ping_sent_ns = 0;
    child->pings_open = 0;
    child->kill_reason = KILL_NONE;
    child->blamed_request = 0;
}

/* No process is there: has the next one started, at once or after a while. */
static void plan_start(struct child *child)
{
    uint64_t wait = child_backoff_ms(child->failures, (uint32_t) io_now_ns());

    child->state = CHILD_DOWN;
    pool_promote_spare(child->server->pool, child);
    /* Requests that wait are answered even while we stop: they were accepted. */
    if (child->server->is_draining && child->server->ledger->queued == 0)
        return;
    if (wait > 0)
        log_warning("worker %u failed %u times; next start in %u ms", child->number,
                    child->failures, (unsigned) wait);
    set_timer(child, wait);
}

/* ---- starting */

static int make_scoreboard(struct scoreboard **ret_board, int *ret_fd)
{
    _cleanup_fd_ int fd = memfd_create("skep-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t) SCOREBOARD_BYTES) < 0)
        return -errno;
    /* A worker that could shrink it would have the supervisor die of SIGBUS. */
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    void *board = mmap(NULL, SCOREBOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (board == MAP_FAILED)
        return -errno;
    *ret_board = board;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int spawn(struct child *child)
{
    _cleanup_fd_ int board_fd = -1, worker_end = -1;
    int pair[2];

    int r = make_scoreboard(&child->board, &board_fd);
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    worker_end = pair[1];
    r = link_open(child, pair[0]);
    if (r < 0) {
        (void) close(pair[0]);
        return r;
    }
    struct spawner_job job = {
        .slot = child->number,
        .jit = child->cordon->jit,
        .channel_fd = worker_end,
        .scoreboard_fd = board_fd,
    };
    return spawner_spawn(child->server->spawner, &job);
}

static void start(struct child *child)
{
    child->started_ns = io_now_ns();
    child->state = CHILD_BOOTING;
    set_timer(child, BOOT_TIMEOUT_MS);
    int r = spawn(child);
    if (r < 0) {
        log_error_errno(r, "cannot start worker %u", child->number);
        child_on_event(child, EVENT_SPAWN_FAILED);
    }
}

static void give_up_start(struct child *child)
{
    release_process(child);
    note_failure(child);
    plan_start(child);
    ledger_on_place_lost(child);
}

/* Both the spawner's answer and hello are needed; they may come in any order. */
static void become_ready(struct child *child)
{
    if (!child->has_hello || child->is_hung_up || child->pidfd < 0)
        return;
#ifndef SKEP_UNJAILED
    char text[128] = "";
    int r = attest_worker(child->pid, child->pidfd, text, sizeof text);
    if (r < 0) {
        log_error_errno(r, "worker %u (pid %d) cannot show its jail (%s)", child->number,
                        (int) child->pid, text);
        child_kill(child, KILL_BOOT, 0);
        return;
    }
#endif
    (void) event_del(child->timer);
    child->state = CHILD_READY;
    child->ready_ns = io_now_ns();
    link_set_ready(child);
    log_info("worker %u (pid %d) is ready after %.1f ms", child->number, (int) child->pid,
             (double) (child->ready_ns - child->started_ns) / 1e6);
    ledger_on_ready(child);
}

static void note_hello(struct child *child)
{
    child->has_hello = true;
    become_ready(child);
}

/* ---- dying */

static void kill_now(struct child *child)
{
    child->state = CHILD_KILLED;
    set_timer(child, KILL_TIMEOUT_MS);
    if (child->pidfd >= 0)
        (void) syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
}

static void kill_boot(struct child *child)
{
    log_error("worker %u (pid %d) does not start", child->number, (int) child->pid);
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
    log_warning("worker %u (pid %d) has closed its channel", child->number, (int) child->pid);
    child->kill_reason = KILL_PROTOCOL;
    kill_now(child);
}

static void kill_again(struct child *child)
{
    log_error("worker %u (pid %d) is still there after SIGKILL", child->number, (int) child->pid);
    kill_now(child);
}

void child_kill(struct child *child, enum kill_reason reason, uint64_t request)
{
    if (child->state == CHILD_KILLED || child->state == CHILD_DOWN)
        return;
    ledger_look_at_clock(child);
    child->kill_reason = reason;
    child->blamed_request = request;
    child_on_event(child, EVENT_STUCK);
}

uint32_t child_loading_version(const struct child *child)
{
    uint32_t claim = atomic_load(&child->board->running_tenant), last = 0;
    const struct placement *placement;
    unsigned n = 0;

    LIST_FOREACH (placement, &child->placements, in_child) {
        if (placement->state != PLACEMENT_LOADING)
            continue;
        last = placement->version->id;
        if (last == claim)
            return claim;
        n++;
    }
    return n == 1 && child->in_flight == 0 ? last : 0;
}

/* The request that ran, by the worker's claim; without a good one, what alone can be it: one that
 * was sent before, while no other tenant has any there. That it had not entered is a claim too. */
static uint64_t running_request(const struct child *child)
{
    uint64_t claim = atomic_load(&child->board->running_request);
    const struct request *suspect = NULL;

    if (child_find_request(child, claim))
        return claim;
    for (unsigned slot = 0; slot < SCOREBOARD_SLOTS; slot++) {
        const struct request *request = child->requests[slot];
        if (!request)
            continue;
        if (suspect && suspect->tenant != request->tenant)
            return 0;
        if (!suspect || request->sendings > suspect->sendings)
            suspect = request;
    }
    return suspect && suspect->sendings > 1 ? suspect->id : 0;
}

static void decide(struct child *child, struct verdict *ret_verdict)
{
    struct death death = {
        .reason = child->kill_reason,
        .wait_status = child->wait_status,
        .last_words = atomic_load(&child->board->last_words),
        .running_request = running_request(child),
        .loading_version = child_loading_version(child),
        .blamed_request = child->blamed_request,
    };

    blame_decide(&death, ret_verdict);
}

static void reap(struct child *child)
{
    struct verdict verdict = { .cause = "did not boot" };
    bool was_booting = child->state == CHILD_BOOTING;
    pid_t pid = child->pid;

    (void) event_del(child->timer);
    child->state = CHILD_KILLED; /* events of what follows are not for the next process */
    if (!was_booting && child->channel)
        channel_drain_input(child->channel); /* answers that it had sent before it died */
    decide(child, &verdict);
    if (was_booting)
        verdict.counts_as_failure = true;
    child->place.last_death = verdict.cause;
    child->place.restarts++;
    child->server->counters.worker_restarts++;
    if (child->kill_reason != KILL_STOP)
        log_warning("worker %u (pid %d) died: %s; %u requests were in it", child->number, (int) pid,
                    verdict.cause, child->in_flight);
    if (verdict.counts_as_failure)
        note_failure(child);
    else
        child->failures = 0;
    ledger_on_death(child, &verdict);
    release_process(child);
    plan_start(child);
    ledger_on_place_lost(child);
}

/* clang-format off */
#define ACTION(fn) { .name = #fn, .run = fn }
/* clang-format on */
static const struct child_action actions[CHILD_STATES][CHILD_EVENTS] = {
    [CHILD_DOWN] = {
        [EVENT_START] = ACTION(start),
        [EVENT_TIMEOUT] = ACTION(start),
    },
    [CHILD_BOOTING] = {
        [EVENT_SPAWNED] = ACTION(become_ready),
        [EVENT_SPAWN_FAILED] = ACTION(give_up_start),
        [EVENT_HELLO] = ACTION(note_hello),
        [EVENT_CLOSED] = ACTION(await_exit),
        [EVENT_STUCK] = ACTION(kill_now),
        [EVENT_TIMEOUT] = ACTION(kill_boot),
        [EVENT_EXIT] = ACTION(reap),
    },
    [CHILD_READY] = {
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

int child_take_slot(struct child *child, struct request *request, unsigned *ret_slot)
{
    if (child->n_free_slots == 0)
        return -EAGAIN;
    unsigned slot = child->free_slots[--child->n_free_slots];
    child->requests[slot] = request;
    child->in_flight++;
    *ret_slot = slot;
    return 0;
}

void child_give_slot(struct child *child, const struct request *request)
{
    unsigned slot = (unsigned) (request->id % SCOREBOARD_SLOTS);

    child->requests[slot] = NULL;
    child->free_slots[child->n_free_slots++] = (uint16_t) slot;
    child->in_flight--;
}

struct request *child_find_request(const struct child *child, uint64_t id)
{
    struct request *request = child->requests[id % SCOREBOARD_SLOTS];

    return request && request->id == id ? request : NULL;
}

uint64_t child_cpu_ns(const struct child *child)
{
    return child->pid > 0 ? io_clock_ns(child->cpu_clock) : 0;
}

/* ---- life of the slot */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    child_on_event(arg, EVENT_TIMEOUT);
}

bool child_is_usable(const struct child *child)
{
    return child->state == CHILD_READY || child->failures < FAILURES_FREE;
}

void child_init(struct child *child, struct server *server, const struct cordon_config *cordon,
                unsigned number, unsigned slot)
{
    *child = (struct child){
        .server = server,
        .cordon = cordon,
        .number = number,
        .place = { .slot = slot, .is_spare = slot == cordon->workers },
        .pidfd = -1,
        .timer = event_new(server->base, -1, 0, on_timer, child),
        .n_free_slots = SCOREBOARD_SLOTS,
        .n_free_places = SCOREBOARD_TENANTS,
    };
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++)
        child->free_slots[i] = (uint16_t) (SCOREBOARD_SLOTS - 1 - i);
    for (unsigned i = 0; i < SCOREBOARD_TENANTS; i++)
        child->free_places[i] = (uint16_t) (SCOREBOARD_TENANTS - 1 - i);
    LIST_INIT(&child->placements);
}

void child_done(struct child *child)
{
    struct placement *placement;

    if (child->pidfd >= 0)
        (void) syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
    while ((placement = LIST_FIRST(&child->placements)))
        placement_free(placement);
    release_process(child);
    if (child->timer)
        event_free(child->timer);
    child->timer = NULL;
}
