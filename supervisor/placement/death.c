/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The death of a worker: the facts and claims for blame.c, and the effects of its verdict on
 * the tenants, the incidents and the requests. Supervisor, loop thread.
 */
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "proto/channel.h"
#include "supervisor/host/cgroup.h"
#include "supervisor/placement/blame.h"
#include "supervisor/placement/first_credit.h"
#include "supervisor/placement/memory_share.h"
#include "supervisor/placement/placement.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/workers/clock.h"
#include "supervisor/workers/running.h"

#define BYTES_PER_KIB 1024
#define KIB_PER_MIB 1024

bool placement_is_candidate(const struct placement *placement)
{
    return placement->in_flight > 0 || placement_is_loading(placement) ||
           placement->state == PLACEMENT_UNLOADING;
}

/* Idle isolates hold memory, too. */
static bool may_be_blamed(const struct placement *placement, bool is_memory)
{
    return is_memory || placement_is_candidate(placement) ||
           placement->version->id == placement->worker->blamed_version;
}

/* Returns whether an earlier placement of the list is of the same tenant, and counted. */
static bool is_counted(const struct worker *worker, const struct placement *last, bool is_memory)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &worker->placements, in_worker) {
        if (placement == last)
            return false;
        if (placement->version->tenant == last->version->tenant &&
            may_be_blamed(placement, is_memory))
            return true;
    }
    return false;
}

static void count_candidates(const struct worker *worker, bool is_memory, struct death *death)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &worker->placements, in_worker) {
        if (!may_be_blamed(placement, is_memory) || is_counted(worker, placement, is_memory))
            continue;
        death->candidates++;
        death->only_version = placement->version->id;
    }
    if (death->candidates != 1)
        death->only_version = 0;
}

uint32_t placement_loading_version(const struct worker *worker, uint32_t claim)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (placement->id == claim && placement_is_candidate(placement))
            return placement->version->id;
    return 0;
}

uint64_t placement_held_kib(const struct placement *placement)
{
    const struct scoreboard_placement *claim =
        &placement->worker->board->placements[placement->row];

    if (atomic_load(&claim->placement) != placement->id)
        return 0;
    return (uint64_t) atomic_load(&claim->heap_held_kib) + atomic_load(&claim->external_kib) +
           atomic_load(&claim->native_kib);
}

static uint64_t allowed_kib(const struct limits *limits)
{
    if (limits->heap_mib == LIMIT_UNLIMITED || limits->external_mib == LIMIT_UNLIMITED)
        return UINT64_MAX;
    return ((uint64_t) limits->heap_mib + limits->external_mib) * KIB_PER_MIB;
}

static size_t placement_memory_shares(const struct worker *worker, struct memory_share *ret_shares)
{
    const struct placement *placement;
    size_t n = 0;

    LIST_FOREACH (placement, &worker->placements, in_worker) {
        if (n == SCOREBOARD_PLACEMENTS)
            break;
        ret_shares[n++] = (struct memory_share){
            .version = placement->version->id,
            .held_kib = placement_held_kib(placement),
            .limit_kib = allowed_kib(&placement->version->limits),
        };
    }
    return n;
}

/* Finds the culprit of memory. The kernel kills at the limit, while the figure of the last look may
 * be old. */
static void find_in_accounts(const struct worker *worker, struct death *death)
{
    struct memory_share shares[SCOREBOARD_PLACEMENTS];
    size_t n = placement_memory_shares(worker, shares);
    uint64_t limit_kib = (uint64_t) worker->rss_mib * KIB_PER_MIB;
    uint64_t seen_kib = worker->rss_bytes / BYTES_PER_KIB;
    struct memory_sum sum = {
        .used_kib = death->is_kernel_oom && seen_kib < limit_kib ? limit_kib : seen_kib,
        .base_kib = worker->ready_rss_bytes / BYTES_PER_KIB,
        .limit_kib = limit_kib,
    };
    struct memory_finding finding;

    memory_share_find(&sum, shares, n, &finding);
    death->claimed_version = finding.version;
    log_event(LOG_LEVEL_INFO, LOG_ABOUT_WORKER(worker),
              "worker %u held %" PRIu64 " MiB: %" PRIu64 " when it was ready, %" PRIu64
              " that nobody accounts for",
              worker->number, sum.used_kib / KIB_PER_MIB, sum.base_kib / KIB_PER_MIB,
              finding.unexplained_kib / KIB_PER_MIB);
}

static void read_claims(const struct worker *worker, bool is_memory, struct death *death)
{
    struct running last = worker_ran_last(worker);
    uint64_t claim = worker->blamed_version ? worker->blamed_request : last.request;
    const struct attempt *attempt = worker_find_attempt(worker, claim);

    if (is_memory) {
        find_in_accounts(worker, death);
    } else if (attempt) {
        death->claimed_request = attempt->id;
        death->claimed_version = attempt->version->id;
    } else if (worker->blamed_version) {
        death->claimed_version = worker->blamed_version;
    } else {
        death->claimed_version = placement_loading_version(worker, last.placement);
    }
}

static void decide(const struct worker *worker, struct verdict *ret_verdict)
{
    const struct scoreboard_thread *words = worker_last_words(worker);
    struct death death = {
        .reason = worker->kill_reason,
        .wait_status = worker->wait_status,
        .last_words = words ? atomic_load(&words->last_words) : LAST_WORDS_NONE,
        .is_stopped = worker->is_stopped,
        .is_own = worker_is_in(worker, SLOT_OWN),
        .is_shared = worker->is_shared,
    };
    struct cgroup_events events = { 0 };

    if (worker->cgroup && cgroup_worker_events(worker->cgroup, &events) == 0)
        death.is_kernel_oom = events.oom_kill > 0;
    death.is_memory = worker->kill_reason == KILL_RSS || death.is_kernel_oom;

    count_candidates(worker, death.is_memory, &death);
    read_claims(worker, death.is_memory, &death);
    blame_decide(&death, ret_verdict);
}

static const struct placement *find_culprit(const struct worker *worker,
                                            const struct verdict *verdict)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (placement->version->id == verdict->version)
            return placement;
    return NULL;
}

/* Names the system call. The number is the worker's claim; SIGSYS is the kernel's. */
static void describe_syscall(const struct worker *worker, char *text, size_t size)
{
    const struct scoreboard_thread *words = worker_last_words(worker);

    if (!words || atomic_load(&words->last_words) != LAST_WORDS_SYSCALL) {
        (void) snprintf(text, size, "forbidden system call, number not known");
        return;
    }
    uint32_t number = atomic_load(&words->syscall_number);
    _cleanup_free_ char *name =
        seccomp_syscall_resolve_num_arch(atomic_load(&words->syscall_arch), (int) number);
    (void) snprintf(text, size, "forbidden system call %u (%s)", number, name ? name : "unknown");
}

/* Adds figures of limits of memory that the kernel or V8 enforced. */
static void add_memory(const struct worker *worker, const struct placement *culprit,
                       struct incident *incident)
{
    if (incident->limit_milli != 0)
        return;
    if (incident->cause == CAUSE_RSS) {
        incident->limit_milli = UINT64_C(1000) * worker->cordon->rss_mib;
        incident->used_milli = incident->limit_milli;
    } else if (incident->cause == LIMIT_INDEX(heap_mib) && culprit) {
        const struct scoreboard_placement *claim = &worker->board->placements[culprit->row];
        incident->limit_milli = UINT64_C(1000) * culprit->version->limits.heap_mib;
        incident->used_milli = UINT64_C(1000) * atomic_load(&claim->heap_kib) / 1024;
    }
}

static void report(struct worker *worker, const struct placement *culprit,
                   const struct verdict *verdict)
{
    struct incident incident = {
        .stage = STAGE_KILLED,
        .cause = verdict->incident,
        .code = culprit ? verdict->code : ERROR_NONE,
        .limit_milli = worker->limit_milli,
        .used_milli = worker->used_milli,
        .request = verdict->request,
        .worker = worker->number,
        .pid = worker->pid,
        .evidence = verdict->evidence,
    };

    if (worker->kill_reason == KILL_JAIL)
        (void) snprintf(incident.text, sizeof incident.text, "%s", worker->jail_text);
    else if (verdict->incident == CAUSE_JAIL)
        describe_syscall(worker, incident.text, sizeof incident.text);
    else
        (void) snprintf(incident.text, sizeof incident.text, "%s", verdict->cause);
    add_memory(worker, culprit, &incident);
    if (worker->slot)
        worker->slot->kills[verdict->incident]++;
    incident_note(placements_of_worker(worker)->record,
                  culprit ? &culprit->version->tenant->counted : NULL, &incident);
}

bool placement_bury(struct worker *worker, bool was_booting)
{
    struct verdict verdict = { .cause = "did not boot", .incident = CAUSE_CRASH };
    const struct placement *placement;

    if (!was_booting && worker->channel)
        channel_drain_input(worker->channel); /* answers that the worker had sent before it died */
    if (worker->board)
        decide(worker, &verdict);
    if (was_booting)
        verdict.counts_as_failure = true;
    placement = find_culprit(worker, &verdict);
    struct tenant *culprit = placement ? placement->version->tenant : NULL;
    if (worker->kill_reason != KILL_STOP) {
        if (worker->slot) {
            worker->slot->last_death = verdict.cause;
            worker->slot->restarts++;
        }
        placements_of_worker(worker)->record->counters.worker_restarts++;
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT_WORKER(worker),
                  "worker %u (pid %d) died: %s; %u requests were in it", worker->number,
                  (int) worker->pid, verdict.cause, worker->in_flight);
        report(worker, placement, &verdict);
    }
    if (verdict.must_separate && !seclude_suspects(worker, verdict.incident == CAUSE_RSS) &&
        !culprit)
        verdict.counts_as_failure = true; /* otherwise it may repeat for ever */
    if (placement)                        /* which goes with the worker */
        first_credit_forfeit(placement->version);
    placements_of_worker(worker)->ops->on_death(worker, &verdict);
    if (culprit) {
        culprit->kills++;
        seclude_on_blame(culprit, worker, &verdict);
    }
    return verdict.counts_as_failure;
}
