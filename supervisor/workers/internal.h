/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What worker.c, spawn.c, jail.c and slot.c share. Nobody else includes this.
 */
#pragma once

#include "supervisor/workers/worker.h"

/* Makes a worker for the slot, with all that its process needs, and asks the spawner for that. 0 or -errno, and none was
 * made. */
int worker_spawn(struct slot *slot);
/* It is being started: sets the time that it has until its hello. */
void worker_await_hello(struct worker *worker);

/* Actions of the table. Attested: worker_attest asks the spawner to look at its jail, once it has said hello
 * and its pid is known; worker_judge makes it ready, or has it killed; worker_judge_again is for what is
 * seen later. */
void worker_attest(struct worker *worker);
void worker_judge(struct worker *worker);
void worker_judge_again(struct worker *worker);
void worker_become_ready(struct worker *worker);
