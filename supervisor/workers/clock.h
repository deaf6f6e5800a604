/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's CPU clock, by the kernel, against what its tenants are charged with. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/workers/worker.h"

/* Looks at the worker's CPU clock: also right before it is killed. */
void worker_look_at_clock(struct worker *worker);
/* As much of a claim as the process can have used since its clock stood at since_clock_ns, which is not there for
 * others any more. */
uint64_t worker_take_spare(struct worker *worker, uint64_t claim_ns, uint64_t since_clock_ns);
