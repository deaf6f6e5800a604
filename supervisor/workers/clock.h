/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's CPU clock, by the kernel, and the time that its tenants are charged with. Supervisor,
 * loop thread.
 */
#pragma once

#include "supervisor/workers/worker.h"

/* Looks at the worker's CPU clock. Call it also right before a kill. */
void worker_look_at_clock(struct worker *worker);
/* Returns as much of a claim as the process can have used since its clock stood at since_clock_ns.
 * No other claim gets that time. */
uint64_t worker_take_uncharged(struct worker *worker, uint64_t claim_ns, uint64_t since_clock_ns);
