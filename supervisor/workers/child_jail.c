/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attestation of a worker's jail: before its first tenant, and at random while it runs. The spawner
 * looks, we judge. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/jail/attest.h"
#include "supervisor/workers/child_internal.h"

#define LOOK_EACH 5 /* seconds between two looks at one worker, on average */

static int look(struct child *child)
{
    /* Without JIT no page may be executable, so there the mappings are looked at. */
    int r = spawner_look(child->server->spawner, child->number, child->pid, child->jit == JIT_OFF);

    if (r == 0)
        child->is_look_due = true;
    return r;
}

void child_on_facts(struct child *child, pid_t pid, int error, const struct jail_facts *facts)
{
    if (child->pid != pid || !child->is_look_due)
        return;
    child->is_look_due = false;
    if (error == -ESRCH)
        return; /* its exit comes next */
    if (error ==
        -EAGAIN) { /* the spawner was lost: the next one is asked, of one that runs at the next look */
        if (child->state == CHILD_BOOTING)
            child_attest(child);
        return;
    }
    child->look_error = error;
    if (facts) {
        child->facts = *facts;
        child->has_facts = true;
    }
    child_on_event(child, EVENT_LOOKED);
}

/* Whether what was seen last is the jail that the worker should have. If not, what differs is kept. */
static bool shows_jail(struct child *child)
{
    const struct jail_state *jail = &child->server->jail;
    char *text = child->jail_text;
    const size_t size = sizeof child->jail_text;

    if (child->look_error < 0) {
        (void) snprintf(text, size, "%s", strerrordesc_np(-child->look_error));
        return false;
    }
    return attest_judge(&child->facts, jail->layers, child->jit != JIT_OFF, text, size) == 0;
}

static void log_jail(const struct child *child)
{
    log_event(LOG_LEVEL_ERROR, LOG_ABOUT_CHILD(child),
              "worker %u (pid %d) cannot show its jail: %s", child->number, (int) child->pid,
              child->jail_text);
}

/* Both the spawner's answer and hello are needed; they may come in any order. */
void child_attest(struct child *child)
{
    if (!child->has_hello || child->is_hung_up || child->pidfd < 0)
        return;
    if (child->server->jail.is_unjailed) {
        child_become_ready(child);
        return;
    }
    int r = look(child);
    if (r < 0) {
        (void) log_event_errno(LOG_LEVEL_ERROR, LOG_ABOUT_CHILD(child), r,
                               "cannot look at the jail of worker %u", child->number);
        child_kill(child, KILL_BOOT, 0);
    }
}

void child_judge(struct child *child)
{
    if (child->is_hung_up)
        return; /* it has closed its channel meanwhile, and is waited for */
    if (shows_jail(child)) {
        child_become_ready(child);
        return;
    }
    log_jail(child);
    child_kill(child, KILL_BOOT, 0);
}

void child_judge_again(struct child *child)
{
    bool was_doubted = child->is_doubted;

    child->is_doubted = !shows_jail(child);
    if (!child->is_doubted)
        return;
    /* It may be on its way out, which takes its time on a busy host: at the next look, a second from
     * now, it is gone. */
    if (!was_doubted)
        return;
    log_jail(child);
    child->is_stopped = child->look_error == 0 && child->facts.tracer != 0;
    child_kill(child, KILL_JAIL, 0);
}

void child_check_jail(struct child *child)
{
    uint32_t random = 0;

    if ((child->state != CHILD_READY && child->state != CHILD_DRAINING) || child->is_look_due ||
        child->server->jail.is_unjailed)
        return;
    if (child->is_doubted ||
        (getrandom(&random, sizeof random, GRND_NONBLOCK) == (ssize_t) sizeof random &&
         random % LOOK_EACH == 0))
        (void) look(child); /* a full socket: the next time */
}
