/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sentry: a thread that watches the main thread's CPU clock while JavaScript runs and stops the
 * JavaScript at its budget. The sentry shares nothing with the loop but atomics and one lock, which
 * makes sure that a stop meant for one entry never hits the next.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "worker/isolate.h"

struct sentry;

/* Starts the thread and returns once it runs (the filter would kill a thread that is still starting
 * up). Call on the thread to be watched. 0 or -errno. */
int sentry_start(struct sentry **ret_sentry);

/* Arms the sentry for one entry into the isolate: after budget_ns of CPU time of the watched
 * thread, isolate_terminate is called, and again every few milliseconds until the entry ends. now_ns:
 * CLOCK_MONOTONIC. Watched thread only; entries do not nest. */
void sentry_enter(struct sentry *sentry, struct isolate *isolate, uint64_t budget_ns,
                  uint64_t now_ns);

/* Returns the CPU time that the entry has left, in nanoseconds; UINT64_MAX without a budget.
 * Watched thread, inside an entry. */
uint64_t sentry_left_ns(const struct sentry *sentry);

/* Ends the entry. *ret_cpu_ns: CPU time that it took, with the precision of slice_clock.h. Returns
 * true if the sentry has stopped it; then the caller calls isolate_cancel_terminate before the next
 * entry. */
bool sentry_leave(struct sentry *sentry, uint64_t now_ns, uint64_t *ret_cpu_ns);
