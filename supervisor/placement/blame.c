/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/placement/blame.h"

#include <signal.h>
#include <sys/wait.h>

#include "proto/scoreboard.h"
#include "supervisor/record/incident.h"

static const char *cause_of_signal(int signal)
{
    switch (signal) {
    case SIGSYS:
        return "forbidden system call";
    case SIGSEGV:
        return "SIGSEGV";
    case SIGTRAP:
        return "SIGTRAP (V8 gave up)";
    case SIGABRT:
        return "SIGABRT";
    case SIGBUS:
        return "SIGBUS";
    case SIGILL:
        return "SIGILL";
    case SIGKILL:
        return "SIGKILL from outside";
    default:
        return "signal";
    }
}

/* The facts of a death that do not depend on the culprit. */
struct kind {
    enum error_code code;
    unsigned incident;
    const char *cause;
    bool is_nobodys; /* no tenant has caused it */
    /* Only native code of a tenant does that, so no claim of the worker is believed. */
    bool is_hostile;
};

static const struct kind kinds[KILL_REASONS] = {
    [KILL_CPU] = { ERROR_CPU_REQUEST, LIMIT_INDEX(cpu_ms), "killed: over cpu_ms and grace_ms" },
    [KILL_STARTUP] = { ERROR_CPU_STARTUP, LIMIT_INDEX(cpu_startup_ms),
                       "killed: over cpu_startup_ms and grace_ms" },
    [KILL_WALL] = { ERROR_WALL_REQUEST, LIMIT_INDEX(wall_ms),
                    "killed: did not let go of a cancelled request" },
    [KILL_RSS] = { ERROR_MEM_PROCESS, CAUSE_RSS, "killed: over rss_mib" },
    [KILL_SILENT] = { ERROR_WORKER_CRASHED, CAUSE_SILENT, "killed: did not answer" },
    [KILL_PROTOCOL] = { ERROR_WORKER_CRASHED, CAUSE_PROTOCOL, "killed: broke the protocol",
                        .is_hostile = true },
    [KILL_JAIL] = { ERROR_WORKER_CRASHED, CAUSE_JAIL, "killed: could not show its jail",
                    .is_hostile = true },
    [KILL_BOOT] = { ERROR_WORKER_CRASHED, CAUSE_CRASH, "killed: did not boot" },
    [KILL_OPERATOR] = { ERROR_WORKER_CRASHED, CAUSE_OUTSIDE, "killed by the operator",
                        .is_nobodys = true },
    [KILL_STOP] = { ERROR_WORKER_CRASHED, CAUSE_OUTSIDE, "stopped", .is_nobodys = true },
};

static struct kind kind_of_own_death(const struct death *death)
{
    bool is_signal = WIFSIGNALED(death->wait_status);
    int signal = is_signal ? WTERMSIG(death->wait_status) : 0;
    struct kind kind = {
        .code = ERROR_WORKER_CRASHED,
        .incident = CAUSE_CRASH,
        .cause = is_signal ? cause_of_signal(signal) : "exited",
    };

    if (death->is_kernel_oom) {
        kind.code = ERROR_MEM_PROCESS;
        kind.incident = CAUSE_RSS;
        kind.cause = "killed by the kernel: over rss_mib";
    } else if (signal == SIGKILL) { /* says nothing about the code that ran */
        kind.incident = CAUSE_OUTSIDE;
        kind.is_nobodys = true;
    } else if (signal == SIGSYS) {
        kind.incident = CAUSE_JAIL;
        kind.is_hostile = true;
    } else if (is_signal && death->last_words == LAST_WORDS_HEAP_OOM) {
        kind.code = ERROR_MEM_ISOLATE;
        kind.incident = LIMIT_INDEX(heap_mib);
        kind.cause = "V8 ran out of heap";
    }
    return kind;
}

static struct kind kind_of(const struct death *death)
{
    struct kind kind = death->reason == KILL_NONE ? kind_of_own_death(death) : kinds[death->reason];

    /* The worker was stopped or traced from outside, so its silence, or the look into it, says nothing about
     * its tenants. */
    if (death->reason == KILL_SILENT || death->reason == KILL_JAIL)
        kind.is_nobodys = death->is_stopped;
    return kind;
}

/* Chooses the culprit. The claim is believed if JavaScript alone can cause the death. */
static void choose(const struct death *death, const struct kind *kind, struct verdict *verdict)
{
    bool has_claim = death->claimed_version != 0 && !kind->is_hostile;

    /* Memory that is in no account may have been left in the process by any tenant that was in it. */
    if (death->is_memory && !has_claim && death->is_shared) {
        verdict->is_unexplained = true;
        verdict->must_separate = death->candidates > 0;
        return;
    }
    verdict->is_unexplained = !has_claim;
    verdict->version = has_claim ? death->claimed_version : death->only_version;
    verdict->request = has_claim ? death->claimed_request : 0;
    if (!verdict->version) {
        verdict->must_separate = death->candidates > 1;
        return;
    }
    /* A worker in which nothing ran may have died of something else, unless no other tenant was ever in
     * it. Silence may be the host's fault. And native code of a tenant that was in the worker
     * before may have waited until only another's request was there. */
    bool is_sure = death->only_version != 0 && death->reason != KILL_SILENT &&
                   (has_claim || kind->is_hostile || death->is_own) && !death->is_shared;
    verdict->evidence = is_sure ? EVIDENCE_PROOF : EVIDENCE_CLAIM;
    verdict->must_separate = kind->is_hostile && !is_sure;
}

void blame_decide(const struct death *death, struct verdict *ret_verdict)
{
    struct kind kind = kind_of(death);
    struct verdict verdict = {
        .code = kind.code,
        .incident = kind.incident,
        .cause = kind.cause,
        .is_untrusted = kind.is_hostile,
    };

    if (!kind.is_nobodys) {
        choose(death, &kind, &verdict);
        verdict.counts_as_failure = verdict.evidence == EVIDENCE_NONE && !verdict.must_separate;
    }
    *ret_verdict = verdict;
}

enum fate blame_fate(const struct fate_facts *facts)
{
    bool may_have_run = facts->has_entered || facts->is_untrusted;

    if (facts->has_answered || facts->is_body_lost || facts->sendings >= SENDINGS_MAX)
        return FATE_FAIL;
    /* A worker can also withdraw its claim that the request has entered. */
    if (!may_have_run && !(facts->is_suspect && facts->deaths > 0))
        return FATE_SEND_AGAIN;
    return facts->is_idempotent && facts->deaths == 0 ? FATE_SEND_AGAIN : FATE_FAIL;
}
