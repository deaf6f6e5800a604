/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first credit: CPU time that the load of a version leaves of cpu_startup_ms, for the first
 * requests of that isolate. The first request of many programs compiles what a later one only runs.
 * Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct first_credit;
struct placement;
struct version;
struct worker;

/* Returns whether an isolate in the process of that pid gets a first credit: a process gives a version one in 60 s, and
 * no process gives any while the version has forfeited the last one. Pure. */
bool first_credit_is_due(const struct first_credit *credit, pid_t pid, uint64_t now_ns);

/* Returns the first credit for a load that begins now, in microseconds, the load's own CPU time included; 0:
 * none. Notes it in the placement. */
uint32_t first_credit_begin(struct placement *placement);
/* Notes that the load has ended, and that its isolate has what is left. */
void first_credit_on_loaded(struct placement *placement, uint64_t load_us);
/* Notes that a request that has ended used so much of it, by the worker's word: a lie changes only for how long
 * the worker may be silent. */
void first_credit_on_done(struct placement *placement, uint64_t used_us);
/* Notes that JavaScript was stopped in the isolate: as first_credit_forfeit, unless the isolate had no chance to use its
 * credit, which then counts as not given. */
void first_credit_on_stop(const struct placement *placement);
/* Returns until when no isolate in the worker may use a credit: for a while after a tenant held up the worker before
 * it in the slot, so long that the worker was left to the tenant. 0: it may. */
uint64_t first_credit_barred_until_ns(const struct worker *worker);
/* Notes that an isolate of the version was lost, or that the version is blamed for a death: its
 * next isolates get no credit within 60 s of the last one. */
void first_credit_forfeit(struct version *version);

/* Returns the most CPU time, in ms, that a request may use in the placement beyond cpu_ms. */
uint32_t first_credit_left_ms(const struct placement *placement);
