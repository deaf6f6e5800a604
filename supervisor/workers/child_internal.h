/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What child.c, child_start.c, child_jail.c and child_death.c share. Nobody else includes this.
 */
#pragma once

#include "supervisor/workers/child.h"

/* The process is gone: decides who is to blame, tells everybody concerned, and empties the worker's
 * books. was_booting: it had not said hello. Returns whether it counts as a failure of its place. */
bool child_bury(struct child *child, bool was_booting);

/* Makes what the process needs and asks the spawner for it. 0 or -errno; what was made is released
 * with the process. */
int child_spawn(struct child *child);

/* Asks the spawner to look at its jail. 0 or -errno. */
int child_look(struct child *child);
/* Whether what was seen last is the jail that the worker should have. If not, what differs is kept in
 * jail_text. */
bool child_shows_jail(struct child *child);
void child_log_jail(const struct child *child); /* what differs */
