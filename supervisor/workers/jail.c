/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attestation of a worker's jail: before its first tenant, and at random while it runs. The spawner
 * looks at it, and this code judges. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/jail/attest.h"
#include "supervisor/workers/internal.h"
#include "supervisor/workers/slots.h"

#define LOOK_EACH 5 /* seconds between two looks at one worker, on average */

static int look(struct worker *worker)
{
    /* Without JIT no page may be executable, so there the mappings are looked at. */
    int r =
        spawner_look(worker->slots->spawner, worker->number, worker->pid, worker->jit == JIT_OFF);

    if (r == 0)
        worker->is_look_due = true;
    return r;
}

void worker_on_facts(struct worker *worker, pid_t pid, int error, const struct jail_facts *facts)
{
    if (worker->pid != pid || !worker->is_look_due)
        return;
    worker->is_look_due = false;
    if (error == -ESRCH)
        return; /* the worker's exit comes next */
    if (error ==
        -EAGAIN) { /* the spawner was lost: the next one is asked; for a running worker at the next look */
        if (worker->state == WORKER_BOOTING)
            worker_attest(worker);
        return;
    }
    worker->look_error = error;
    if (facts) {
        worker->facts = *facts;
        worker->has_facts = true;
    }
    worker_on_event(worker, EVENT_LOOKED);
}

/* Returns whether the last look has shown the jail that the worker should have. If not, keeps a
 * text of the difference. */
static bool shows_jail(struct worker *worker)
{
    const struct jail_state *jail = worker->slots->jail;
    char *text = worker->jail_text;
    const size_t size = sizeof worker->jail_text;

    if (worker->look_error < 0) {
        (void) snprintf(text, size, "%s", strerrordesc_np(-worker->look_error));
        return false;
    }
    return attest_judge(&worker->facts, jail->layers, worker->jit != JIT_OFF, text, size) == 0;
}

static void log_jail(const struct worker *worker)
{
    log_event(LOG_LEVEL_ERROR, LOG_ABOUT_WORKER(worker),
              "worker %u (pid %d) cannot show its jail: %s", worker->number, (int) worker->pid,
              worker->jail_text);
}

/* Both the spawner's answer and hello are needed; they may come in any order. */
void worker_attest(struct worker *worker)
{
    if (!worker->has_hello || worker->is_hung_up || worker->pidfd < 0)
        return;
    if (worker->slots->jail->is_unjailed) {
        worker_become_ready(worker);
        return;
    }
    int r = look(worker);
    if (r < 0) {
        (void) log_event_errno(LOG_LEVEL_ERROR, LOG_ABOUT_WORKER(worker), r,
                               "cannot look at the jail of worker %u", worker->number);
        worker_kill(worker, KILL_BOOT, 0);
    }
}

void worker_judge(struct worker *worker)
{
    if (worker->is_hung_up)
        return; /* the worker has closed its channel meanwhile, and its exit is awaited */
    if (shows_jail(worker)) {
        worker_become_ready(worker);
        return;
    }
    log_jail(worker);
    worker_kill(worker, KILL_BOOT, 0);
}

void worker_judge_again(struct worker *worker)
{
    bool was_doubted = worker->is_doubted;

    worker->is_doubted = !shows_jail(worker);
    if (!worker->is_doubted)
        return;
    /* The worker may be on its way out, which takes long on a busy host: at the next look, a second from
     * now, it is gone. */
    if (!was_doubted)
        return;
    log_jail(worker);
    worker->is_stopped = worker->look_error == 0 && worker->facts.tracer != 0;
    worker_kill(worker, KILL_JAIL, 0);
}

void worker_check_jail(struct worker *worker)
{
    uint32_t random = 0;

    if ((worker->state != WORKER_READY && worker->state != WORKER_DRAINING) ||
        worker->is_look_due || worker->slots->jail->is_unjailed)
        return;
    if (worker->is_doubted ||
        (getrandom(&random, sizeof random, GRND_NONBLOCK) == (ssize_t) sizeof random &&
         random % LOOK_EACH == 0))
        (void) look(worker); /* on a full socket the next look does it */
}
