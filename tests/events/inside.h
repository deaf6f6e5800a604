/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file of this test that looks into the supervisor's records: sums that must be right after each step.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/heart.h"

/* Set by a test that has lowered limits: from then on more requests may wait than they allow. */
extern bool inside_limits_changed;

/* Fails the run if a count differs from the records. */
void inside_check(const struct heart *heart);
/* Fails the run if any record of a request is left. */
void inside_check_is_idle(const struct heart *heart);
/* Fails the run if any version is left in a worker. */
void inside_check_is_empty(const struct heart *heart);
/* Returns the number of requests that wait or run, and of versions that move. */
unsigned inside_count_work(const struct heart *heart);
/* Describes for the log all that has not ended. */
void inside_describe(const struct heart *heart, char *text, unsigned size);

/* Return whether the supervisor lets the worker in that slot speak, and whether it has killed it. */
bool inside_is_ready(const struct heart *heart, unsigned slot, int pid);
bool inside_is_killed(const struct heart *heart, unsigned slot, int pid);
/* Returns whether it was killed for breaking the protocol. */
bool inside_broke_protocol(const struct heart *heart, unsigned slot, int pid);
/* Returns whether it was killed because it gave no sign of life. */
bool inside_is_silent(const struct heart *heart, unsigned slot, int pid);
bool inside_is_memory_death(const struct heart *heart, unsigned slot, int pid);
/* Returns whether the supervisor still has something to send to the worker. */
bool inside_has_output(const struct heart *heart, unsigned slot, int pid);

/* Has one of the workers replaced, or killed, as an operator's command would. */
void inside_retire(const struct heart *heart, unsigned n);
void inside_kill(const struct heart *heart, unsigned n);
