/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All slots of all cordons, and all workers: the spawner's answers go to their worker from here. Supervisor, loop thread.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

/* Each slot has a number of struct spawner_job.slot, and as many numbers are left for workers that
 * leave. */
#define SLOTS_MAX 32768

/* ---- slots */

struct slot *slots_next(const struct slots *slots, const struct slot *slot)
{
    struct slot *next = slot ? TAILQ_NEXT(slot, entry) : TAILQ_FIRST(&slots->list);

    while (next && next->is_dropped)
        next = TAILQ_NEXT(next, entry);
    return next;
}

unsigned slots_count(const struct slots *slots, const struct cordon_config *cordon,
                     enum slot_kind kind)
{
    const struct slot *slot = NULL;
    unsigned n = 0;

    while ((slot = slots_next(slots, slot)))
        n += slot->cordon == cordon && slot->kind == kind;
    return n;
}

unsigned slots_count_leaving(const struct slots *slots, const struct cordon_config *cordon)
{
    const struct worker *worker;
    unsigned n = 0;

    TAILQ_FOREACH (worker, &slots->workers, entry)
        n += worker->cordon == cordon && !worker->slot;
    return n;
}

bool slots_next_listed(const struct slots *slots, struct listed *listed)
{
    const struct worker *worker = NULL;

    if (listed->slot || !listed->worker) {
        listed->slot = slots_next(slots, listed->slot);
        listed->worker = listed->slot ? listed->slot->worker : NULL;
        if (listed->slot)
            return true;
        worker = TAILQ_FIRST(&slots->workers);
    } else {
        worker = TAILQ_NEXT(listed->worker, entry);
    }
    while (worker && worker->slot)
        worker = TAILQ_NEXT(worker, entry);
    listed->worker = worker;
    return worker != NULL;
}

void slots_read_tally(const struct slots *slots, struct slots_tally *ret_tally)
{
    struct listed listed = { 0 };
    struct slots_tally tally = { 0 };

    while (slots_next_listed(slots, &listed)) {
        const struct slot *slot = listed.slot;
        bool is_own = slot && (slot->kind == SLOT_OWN || slot->kind == SLOT_CROWD);
        bool is_place = is_own || (slot && slot->kind == SLOT_SHARED);
        tally.listed++;
        tally.places += is_place;
        tally.own += is_own;
        tally.ready += is_place && slot_find_ready(slot);
        tally.failed += slot && slot_has_failed(slot);
    }
    *ret_tally = tally;
}

static bool has_position(const struct slots *slots, const struct cordon_config *cordon,
                         unsigned position)
{
    const struct slot *slot = NULL;
    const struct worker *worker;

    while ((slot = slots_next(slots, slot)))
        if (slot->cordon == cordon && slot->position == position)
            return true;
    TAILQ_FOREACH (worker, &slots->workers, entry)
        if (worker->cordon == cordon && !worker->slot && worker->list_position == position)
            return true;
    return false;
}

unsigned slots_free_position(const struct slots *slots, const struct cordon_config *cordon,
                             enum slot_kind kind)
{
    unsigned position = kind == SLOT_SHARED ? 0 : cordon->workers;

    while (has_position(slots, cordon, position))
        position++;
    return position;
}

static struct worker *find_number(const struct slots *slots, unsigned number)
{
    struct worker *worker;

    TAILQ_FOREACH (worker, &slots->workers, entry)
        if (worker->number == number)
            return worker;
    return NULL;
}

static bool is_free_number(const struct slots *slots, unsigned number)
{
    const struct slot *slot = NULL;

    while ((slot = slots_next(slots, slot)))
        if (slot->number == number)
            return false;
    return !find_number(slots, number);
}

unsigned slots_free_number(const struct slots *slots)
{
    unsigned number = 0;

    while (!is_free_number(slots, number))
        number++;
    return number;
}

struct slot *slots_add(struct slots *slots, const struct cordon_config *cordon, enum slot_kind kind)
{
    struct slot *slot = slots->n_slots < SLOTS_MAX ? slot_new(slots, cordon, kind) : NULL;

    if (!slot)
        return NULL;
    slot->position = slots_free_position(slots, cordon, kind);
    slot->number = slots_free_number(slots);
    TAILQ_INSERT_TAIL(&slots->list, slot, entry);
    slots->n_slots++;
    return slot;
}

void slots_put(struct slots *slots, struct slot *slot, struct worker *worker)
{
    TAILQ_INSERT_TAIL(&slots->workers, worker, entry);
    slot->worker = worker;
    worker->slot = slot;
}

void slots_forget(struct slots *slots, struct worker *worker)
{
    slots->ops->on_free(worker);
    TAILQ_REMOVE(&slots->workers, worker, entry);
    (void) worker_free(worker);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("workers: sweep");
    struct slots *slots = arg;
    struct slot *slot, *next;

    for (slot = TAILQ_FIRST(&slots->list); slot; slot = next) {
        next = TAILQ_NEXT(slot, entry);
        if (!slot->is_dropped)
            continue;
        TAILQ_REMOVE(&slots->list, slot, entry);
        slots->n_slots--;
        (void) slot_free(slot);
    }
}

/* ---- spares */

struct slot *slots_find_spare(const struct slots *slots, const struct cordon_config *cordon)
{
    struct slot *slot = NULL;

    while ((slot = slots_next(slots, slot))) {
        const struct worker *worker = slot_find_ready(slot);
        if (slot->kind == SLOT_SPARE && slot->cordon == cordon && worker && !worker->is_hung_up &&
            !worker_is_stale(worker))
            return slot;
    }
    return NULL;
}

void slots_keep_spare(struct slots *slots, const struct cordon_config *cordon, bool is_wanted)
{
    struct slot *spare;

    if ((!cordon->spare && !is_wanted) || slots->life->is_draining ||
        slots_count(slots, cordon, SLOT_SPARE) > 0)
        return;
    spare = slots_add(slots, cordon, SLOT_SPARE);
    if (spare)
        slot_start(spare);
}

/* Without a spawner no worker can be started: with the last one gone, only another skepd can serve. */
void slots_check_last(struct slots *slots)
{
    const struct worker *worker;

    if (slots->health->of[HELPER_SPAWNER].state != HELPER_GONE || slots->life->is_draining)
        return;
    TAILQ_FOREACH (worker, &slots->workers, entry)
        if (worker->pid > 0)
            return;
    log_error("no worker is left, and none can be started: ending");
    life_fail(slots->life);
}

/* ---- the spawner's answers */

static void on_spawned(void *owner, unsigned slot, int error, const char *step,
                       const struct spawner_worker *process)
{
    struct worker *worker = find_number(owner, slot);

    if (!worker) {
        if (process) {
            (void) close(process->pidfd);
            (void) close(process->stat_fd);
            (void) close(process->statm_fd);
        }
        return;
    }
    if (error < 0) {
        const char *hint = spawner_hint(error, step);
        (void) log_event_errno(LOG_LEVEL_ERROR, LOG_ABOUT_WORKER(worker), error,
                               "cannot start worker %u: %s%s%s", slot, step, hint ? "; " : "",
                               hint ? hint : "");
        worker_on_event(worker, EVENT_SPAWN_FAILED);
        return;
    }
    worker->pid = process->pid;
    worker->pidfd = process->pidfd;
    worker->stat_fd = process->stat_fd;
    worker->statm_fd = process->statm_fd;
    if (clock_getcpuclockid(process->pid, &worker->cpu_clock) != 0)
        worker->cpu_clock = CLOCK_MONOTONIC; /* the process is gone already: its exit comes next */
    worker_on_event(worker, EVENT_SPAWNED);
}

static void on_exited(void *owner, unsigned slot, pid_t pid, int wait_status, uint64_t cpu_ns)
{
    struct worker *worker = find_number(owner, slot);

    if (!worker || worker->pid != pid)
        return;
    worker->wait_status = wait_status;
    worker->end_cpu_ns = cpu_ns;
    worker_on_event(worker, EVENT_EXIT);
}

static void on_facts(void *owner, unsigned slot, pid_t pid, int error,
                     const struct jail_facts *facts)
{
    struct worker *worker = find_number(owner, slot);

    if (worker)
        worker_on_facts(worker, pid, error, facts);
}

const struct spawner_ops slots_spawner_ops = {
    .on_result = on_spawned,
    .on_facts = on_facts,
    .on_exited = on_exited,
};

static int add_cordon(struct slots *slots, const struct cordon_config *cordon)
{
    for (unsigned i = 0; i < cordon->workers; i++)
        if (!slots_add(slots, cordon, SLOT_SHARED))
            return -ENOMEM;
    return cordon->spare && !slots_add(slots, cordon, SLOT_SPARE) ? -ENOMEM : 0;
}

/* Before skepd confines itself: this reads a file. */
static unsigned count_processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n > 1 ? (unsigned) n : 1;
}

int slots_new(const struct slots_options *options, struct slots **ret_slots)
{
    struct slots *slots = malloc(sizeof *slots);

    if (!slots)
        return -ENOMEM;
    *slots = (struct slots){
        .base = options->base,
        .config = options->config,
        .record = options->record,
        .life = options->life,
        .jail = options->jail,
        .cgroups = options->cgroups,
        .spawner = options->spawner,
        .health = options->health,
        .frames = options->frames,
        .trace = options->trace,
        .processors = count_processors(),
    };
    TAILQ_INIT(&slots->list);
    TAILQ_INIT(&slots->workers);
    slots->sweep = event_new(slots->base, -1, 0, on_sweep, slots);
    if (!slots->sweep) {
        free(slots);
        return -ENOMEM;
    }
    *ret_slots = slots;
    return 0;
}

void slots_attach(struct slots *slots, const struct slot_ops *ops, void *owner)
{
    slots->ops = ops;
    slots->owner = owner;
}

int slots_start(struct slots *slots)
{
    struct slot *slot = NULL;
    int r = 0;

    for (unsigned i = 0; i < slots->config->n_cordons && r == 0; i++)
        r = add_cordon(slots, slots->config->cordons[i]);
    if (r < 0)
        return r;
    while ((slot = slots_next(slots, slot)))
        slot_start(slot);
    return 0;
}

struct slots *slots_free(struct slots *slots)
{
    struct worker *worker;
    struct slot *slot;

    if (!slots)
        return NULL;
    while ((worker = TAILQ_FIRST(&slots->workers)))
        slots_forget(slots, worker);
    while ((slot = TAILQ_FIRST(&slots->list))) {
        TAILQ_REMOVE(&slots->list, slot, entry);
        (void) slot_free(slot);
    }
    event_free(slots->sweep);
    free(slots);
    return NULL;
}
