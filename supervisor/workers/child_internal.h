/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What child.c, child_start.c, child_jail.c and slot.c share. Nobody else includes this.
 */
#pragma once

#include "supervisor/workers/child.h"

/* Makes a worker for the slot, with all that its process needs, and asks the spawner for that. 0 or -errno, and none was
 * made. */
int child_spawn(struct slot *slot);
/* It is being started: sets the time that it has until its hello. */
void child_await_hello(struct child *child);

/* Actions of the table. Attested: child_attest asks the spawner to look at its jail, once it has said hello
 * and its pid is known; child_judge makes it ready, or has it killed; child_judge_again is for what is
 * seen later. */
void child_attest(struct child *child);
void child_judge(struct child *child);
void child_judge_again(struct child *child);
void child_become_ready(struct child *child);
