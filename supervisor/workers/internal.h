/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarations that worker.c, spawn.c, jail.c and slot.c share. No other file includes this.
 */
#pragma once

#include "supervisor/workers/worker.h"

/* Makes a worker for the slot, with all that its process needs, and asks the spawner for the process. 0 or -errno: no
 * worker was made. */
int worker_spawn(struct slot *slot);
/* Sets the time that a starting worker has until its hello. */
void worker_await_hello(struct worker *worker);

/* Actions of the table, for the attestation: worker_attest asks the spawner to look at the worker's jail, once it has
 * said hello and its pid is known; worker_judge makes it ready, or kills it; worker_judge_again is
 * for later looks. */
void worker_attest(struct worker *worker);
void worker_judge(struct worker *worker);
void worker_judge_again(struct worker *worker);
void worker_become_ready(struct worker *worker);
