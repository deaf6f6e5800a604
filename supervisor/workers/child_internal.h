/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What child.c, child_start.c, child_jail.c and child_death.c share. Nobody else includes this.
 */
#pragma once

#include "supervisor/workers/child.h"

/* Makes what the process needs and asks the spawner for it. 0 or -errno; what was made is released
 * with the process. */
int child_spawn(struct child *child);

/* Actions of the table. Attested: child_attest asks the spawner to look at its jail, once it has said hello
 * and its pid is known; child_judge makes it ready, or has it killed; child_judge_again is for what is
 * seen later. */
void child_attest(struct child *child);
void child_judge(struct child *child);
void child_judge_again(struct child *child);
void child_become_ready(struct child *child);
