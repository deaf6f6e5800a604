/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The death of a worker: the facts and claims for blame.c, and what follows from its verdict for
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
#include "supervisor/placement/memory_share.h"
#include "supervisor/placement/placement.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/workers/clock.h"

#define BYTES_PER_KIB 1024
#define KIB_PER_MIB 1024

bool child_is_candidate(const struct placement *placement)
{
    return placement->in_flight > 0 || placement->state == PLACEMENT_LOADING ||
           placement->state == PLACEMENT_UNLOADING;
}

/* Memory is held by isolates that do nothing, too. */
static bool may_be_blamed(const struct placement *placement, bool is_memory)
{
    return is_memory || child_is_candidate(placement) ||
           placement->version->id == placement->child->blamed_version;
}

/* Whether an earlier placement of the list is of the same tenant, and counted. */
static bool is_counted(const struct child *child, const struct placement *last, bool is_memory)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &child->placements, in_child) {
        if (placement == last)
            return false;
        if (placement->version->tenant == last->version->tenant &&
            may_be_blamed(placement, is_memory))
            return true;
    }
    return false;
}

static void count_candidates(const struct child *child, bool is_memory, struct death *death)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &child->placements, in_child) {
        if (!may_be_blamed(placement, is_memory) || is_counted(child, placement, is_memory))
            continue;
        death->candidates++;
        death->only_version = placement->version->id;
    }
    if (death->candidates != 1)
        death->only_version = 0;
}

uint32_t child_loading_version(const struct child *child)
{
    uint32_t claim = atomic_load(&child->board->running_tenant);
    const struct placement *placement;

    LIST_FOREACH (placement, &child->placements, in_child)
        if (placement->id == claim && child_is_candidate(placement))
            return placement->version->id;
    return 0;
}

uint64_t child_held_kib(const struct placement *placement)
{
    const struct scoreboard_tenant *claim = &placement->child->board->tenants[placement->place];

    if (atomic_load(&claim->tenant) != placement->id)
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

size_t child_memory_shares(const struct child *child, struct memory_share *ret_shares)
{
    const struct placement *placement;
    size_t n = 0;

    LIST_FOREACH (placement, &child->placements, in_child) {
        if (n == SCOREBOARD_TENANTS)
            break;
        ret_shares[n++] = (struct memory_share){
            .version = placement->version->id,
            .held_kib = child_held_kib(placement),
            .limit_kib = allowed_kib(&placement->version->limits),
        };
    }
    return n;
}

/* The kernel kills at the limit; what was seen at the last look may be old. */
static void find_in_accounts(const struct child *child, struct death *death)
{
    struct memory_share shares[SCOREBOARD_TENANTS];
    size_t n = child_memory_shares(child, shares);
    uint64_t limit_kib = (uint64_t) child->rss_mib * KIB_PER_MIB;
    uint64_t seen_kib = child->rss_bytes / BYTES_PER_KIB;
    struct memory_sum sum = {
        .used_kib = death->is_kernel_oom && seen_kib < limit_kib ? limit_kib : seen_kib,
        .base_kib = child->ready_rss_bytes / BYTES_PER_KIB,
        .limit_kib = limit_kib,
    };
    struct memory_finding finding;

    memory_share_find(&sum, shares, n, &finding);
    death->claimed_version = finding.version;
    log_event(LOG_LEVEL_INFO, LOG_ABOUT_CHILD(child),
              "worker %u held %" PRIu64 " MiB: %" PRIu64 " when it was ready, %" PRIu64
              " that nobody accounts for",
              child->number, sum.used_kib / KIB_PER_MIB, sum.base_kib / KIB_PER_MIB,
              finding.unexplained_kib / KIB_PER_MIB);
}

static void read_claims(const struct child *child, bool is_memory, struct death *death)
{
    uint64_t claim =
        child->blamed_version ? child->blamed_request : atomic_load(&child->board->running_request);
    const struct attempt *attempt = child_find_attempt(child, claim);

    if (is_memory) {
        find_in_accounts(child, death);
    } else if (attempt) {
        death->claimed_request = attempt->id;
        death->claimed_version = attempt->version->id;
    } else if (child->blamed_version) {
        death->claimed_version = child->blamed_version;
    } else {
        death->claimed_version = child_loading_version(child);
    }
}

static void decide(const struct child *child, struct verdict *ret_verdict)
{
    struct death death = {
        .reason = child->kill_reason,
        .wait_status = child->wait_status,
        .last_words = atomic_load(&child->board->last_words),
        .is_stopped = child->is_stopped,
        .is_own = child_is_in(child, PLACE_OWN),
        .is_shared = child->is_shared,
    };
    struct cgroup_events events = { 0 };

    if (child->cgroup && cgroup_worker_events(child->cgroup, &events) == 0)
        death.is_kernel_oom = events.oom_kill > 0;
    death.is_memory = child->kill_reason == KILL_RSS || death.is_kernel_oom;

    count_candidates(child, death.is_memory, &death);
    read_claims(child, death.is_memory, &death);
    blame_decide(&death, ret_verdict);
}

static const struct placement *find_culprit(const struct child *child,
                                            const struct verdict *verdict)
{
    const struct placement *placement;

    LIST_FOREACH (placement, &child->placements, in_child)
        if (placement->version->id == verdict->version)
            return placement;
    return NULL;
}

/* The number is the worker's claim; that it died of SIGSYS is the kernel's. */
static void describe_syscall(const struct child *child, char *text, size_t size)
{
    uint32_t number = atomic_load(&child->board->syscall_number);

    if (atomic_load(&child->board->last_words) != LAST_WORDS_SYSCALL) {
        (void) snprintf(text, size, "forbidden system call, number not known");
        return;
    }
    _cleanup_free_ char *name =
        seccomp_syscall_resolve_num_arch(atomic_load(&child->board->syscall_arch), (int) number);
    (void) snprintf(text, size, "forbidden system call %u (%s)", number, name ? name : "unknown");
}

/* Limits of memory that somebody else enforced: the kernel, or V8. */
static void add_memory(const struct child *child, const struct placement *culprit,
                       struct incident *incident)
{
    if (incident->limit_milli != 0)
        return;
    if (incident->cause == CAUSE_RSS) {
        incident->limit_milli = UINT64_C(1000) * child->cordon->rss_mib;
        incident->used_milli = incident->limit_milli;
    } else if (incident->cause == LIMIT_INDEX(heap_mib) && culprit) {
        const struct scoreboard_tenant *claim = &child->board->tenants[culprit->place];
        incident->limit_milli = UINT64_C(1000) * culprit->version->limits.heap_mib;
        incident->used_milli = UINT64_C(1000) * atomic_load(&claim->heap_kib) / 1024;
    }
}

static void report(struct child *child, const struct placement *culprit,
                   const struct verdict *verdict)
{
    struct incident incident = {
        .stage = STAGE_KILLED,
        .cause = verdict->incident,
        .code = culprit ? verdict->code : ERROR_NONE,
        .limit_milli = child->limit_milli,
        .used_milli = child->used_milli,
        .request = verdict->request,
        .worker = child->number,
        .pid = child->pid,
        .evidence = verdict->evidence,
    };

    if (child->kill_reason == KILL_JAIL)
        (void) snprintf(incident.text, sizeof incident.text, "%s", child->jail_text);
    else if (verdict->incident == CAUSE_JAIL)
        describe_syscall(child, incident.text, sizeof incident.text);
    else
        (void) snprintf(incident.text, sizeof incident.text, "%s", verdict->cause);
    add_memory(child, culprit, &incident);
    if (child->slot)
        child->slot->kills[verdict->incident]++;
    incident_note(&child->server->record, culprit ? &culprit->version->tenant->counted : NULL,
                  &incident);
}

bool placement_bury(struct child *child, bool was_booting)
{
    struct verdict verdict = { .cause = "did not boot", .incident = CAUSE_CRASH };
    const struct placement *placement;

    if (!was_booting && child->channel)
        channel_drain_input(child->channel); /* answers that it had sent before it died */
    if (child->board)
        decide(child, &verdict);
    if (was_booting)
        verdict.counts_as_failure = true;
    placement = find_culprit(child, &verdict);
    struct tenant *culprit = placement ? placement->version->tenant : NULL;
    if (child->kill_reason != KILL_STOP) {
        if (child->slot) {
            child->slot->last_death = verdict.cause;
            child->slot->restarts++;
        }
        child->server->record.counters.worker_restarts++;
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT_CHILD(child),
                  "worker %u (pid %d) died: %s; %u requests were in it", child->number,
                  (int) child->pid, verdict.cause, child->in_flight);
        report(child, placement, &verdict);
    }
    if (verdict.must_separate && !seclude_suspects(child, verdict.incident == CAUSE_RSS) &&
        !culprit)
        verdict.counts_as_failure = true; /* it may go on for ever */
    child->server->placements->ops->on_death(child, &verdict);
    if (culprit) {
        culprit->kills++;
        seclude_on_blame(culprit, child, &verdict);
    }
    return verdict.counts_as_failure;
}
