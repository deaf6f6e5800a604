/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ends of workers, which are children of the supervisor: seen by their pidfds in its own loop, whatever
 * state the spawner is in, and reaped here. Supervisor, loop thread; spawner.c is the only caller.
 */
#pragma once

#include <event2/event.h>
#include <stdint.h>
#include <sys/types.h>

struct ends;

/* The worker has ended, and is reaped. wait_status: as from waitpid. cpu_ns: CPU time that it has used in all. */
typedef void (*ends_fn)(void *owner, unsigned slot, pid_t pid, int wait_status, uint64_t cpu_ns);

/* owner is borrowed. NULL: out of memory. */
struct ends *ends_new(struct event_base *base, ends_fn on_end, void *owner);
/* Kills the workers that are left, and returns when they have ended, after some seconds in any case. NULL
 * is allowed. Returns NULL. */
struct ends *ends_free(struct ends *ends);

/* From now on the end of that worker is reported, once. pidfd is duplicated. 0 or -errno. */
int ends_add(struct ends *ends, unsigned slot, pid_t pid, int pidfd);
/* Reaps ended children that are none of these: helpers, and workers that were born when their spawner died, up
 * to the first of these. Whoever waits for such a child gets ECHILD, which says the same. */
void ends_sweep(const struct ends *ends);
