/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/blame.h"

#include <signal.h>
#include <sys/wait.h>

#include "proto/scoreboard.h"

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

/* It died by itself, or by somebody else's hand. */
static void decide_own_death(const struct death *death, struct verdict *verdict)
{
    bool is_signal = WIFSIGNALED(death->wait_status);
    int signal = is_signal ? WTERMSIG(death->wait_status) : 0;

    /* A kill from outside tells nothing about who ran. */
    if (is_signal && signal == SIGKILL) {
        verdict->cause = cause_of_signal(signal);
        return;
    }
    verdict->request = death->running_request;
    verdict->version = death->running_request ? 0 : death->loading_version;
    verdict->counts_as_failure = !verdict->request && !verdict->version;
    if (is_signal && death->last_words == LAST_WORDS_HEAP_OOM) {
        verdict->code = ERROR_MEM_ISOLATE;
        verdict->cause = "V8 ran out of heap";
        return;
    }
    verdict->code = ERROR_WORKER_CRASHED;
    verdict->cause = is_signal ? cause_of_signal(signal) : "exited";
}

void blame_decide(const struct death *death, struct verdict *ret_verdict)
{
    struct verdict verdict = { .code = ERROR_WORKER_CRASHED };

    switch (death->reason) {
    case KILL_CPU:
        verdict.code = ERROR_CPU_REQUEST;
        verdict.cause = "killed: over cpu_ms and grace_ms";
        verdict.request = death->blamed_request;
        break;
    case KILL_STARTUP:
        verdict.code = ERROR_CPU_STARTUP;
        verdict.cause = "killed: over cpu_startup_ms and grace_ms";
        verdict.version = death->loading_version;
        break;
    case KILL_WALL:
        verdict.code = ERROR_WALL_REQUEST;
        verdict.cause = "killed: did not let go of a cancelled request";
        verdict.request = death->blamed_request;
        break;
    case KILL_SILENT:
        verdict.cause = "killed: did not answer";
        verdict.version = death->loading_version;
        verdict.counts_as_failure = !verdict.version;
        break;
    case KILL_PROTOCOL:
        verdict.cause = "killed: broke the protocol";
        verdict.request = death->running_request;
        verdict.version = death->running_request ? 0 : death->loading_version;
        verdict.counts_as_failure = !verdict.request && !verdict.version;
        break;
    case KILL_BOOT:
        verdict.cause = "killed: did not boot";
        verdict.counts_as_failure = true;
        break;
    case KILL_STOP:
        verdict.cause = "stopped";
        break;
    case KILL_NONE:
        decide_own_death(death, &verdict);
        break;
    }
    *ret_verdict = verdict;
}

enum fate blame_fate(const struct fate_facts *facts)
{
    if (facts->has_answered || facts->is_body_lost || facts->sendings >= SENDINGS_MAX)
        return FATE_FAIL;
    if (!facts->has_entered)
        return FATE_SEND_AGAIN;
    return facts->is_idempotent && facts->deaths == 0 ? FATE_SEND_AGAIN : FATE_FAIL;
}
