/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ends of workers, which are children of the supervisor: seen by their pidfds in the
 * supervisor's loop, whatever state the spawner is in, and reaped here. Supervisor, loop thread;
 * spawner.c is the only caller.
 */
#pragma once

#include <event2/event.h>
#include <stdint.h>
#include <sys/types.h>

struct ends;

/* Reports that the worker has ended, and is reaped. wait_status: as from waitpid. cpu_ns: CPU time
 * that it has used in all. */
typedef void (*ends_fn)(void *owner, unsigned slot, pid_t pid, int wait_status, uint64_t cpu_ns);

/* Makes the list. owner is borrowed. NULL: out of memory. */
struct ends *ends_new(struct event_base *base, ends_fn on_end, void *owner);
/* Kills the workers that are left, and returns when they have ended, after some seconds in any case. NULL
 * is allowed. Returns NULL. */
struct ends *ends_free(struct ends *ends);

/* Adds a worker, whose end is reported once. pidfd is duplicated. 0 or -errno. */
int ends_add(struct ends *ends, unsigned slot, pid_t pid, int pidfd);
/* Reaps ended children that are not on the list: helpers, and workers that were born when their
 * spawner died. Stops at the first ended child that is on the list. A caller that waits for a
 * reaped child gets ECHILD, which tells it the same. */
void ends_sweep(const struct ends *ends);
