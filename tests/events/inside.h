/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file of this test that looks into the supervisor's records: sums that must be right after each step.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/server.h"

/* Set by a test that has lowered limits: what waits may be more than they allow from then on. */
extern bool inside_limits_changed;

/* Fails the run if a count is not what the records come to. */
void inside_check(const struct server *server);
/* Fails the run if anything is left of any request. */
void inside_check_is_idle(const struct server *server);
/* Fails the run if any version is left in a worker. */
void inside_check_is_empty(const struct server *server);
/* Requests that wait or run, and versions that move. */
unsigned inside_count_work(const struct server *server);
/* Says for the log what has not ended. */
void inside_describe(const struct server *server, char *text, unsigned size);

/* Whether the supervisor lets the worker in that slot speak, and whether it has killed it. */
bool inside_is_ready(const struct server *server, unsigned slot, int pid);
bool inside_is_killed(const struct server *server, unsigned slot, int pid);
/* Whether it was killed for breaking the protocol. */
bool inside_broke_protocol(const struct server *server, unsigned slot, int pid);
/* Whether it was killed because it gave no sign of life. */
bool inside_is_silent(const struct server *server, unsigned slot, int pid);
bool inside_is_memory_death(const struct server *server, unsigned slot, int pid);
/* Whether the supervisor still has something to send to it. */
bool inside_has_output(const struct server *server, unsigned slot, int pid);

/* Has one of the workers replaced, or killed, as the operator may ask for it. */
void inside_retire(const struct server *server, unsigned n);
void inside_kill(const struct server *server, unsigned n);
