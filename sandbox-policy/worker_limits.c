/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's resource limits, one row for each, with the reason. Data only. Memory is not
 * here: V8 reserves 526 MB of addresses for each isolate, so RLIMIT_AS and RLIMIT_DATA would
 * stop it long before it uses memory; the cgroup and the supervisor bound resident memory.
 */
#include "common/cleanup.h"
#include "sandbox-policy/policy.h"

#define ROW(limit) .name = #limit, .resource = limit

/* clang-format off */
const struct policy_limit policy_worker_limits[] = {
    { ROW(RLIMIT_CORE), .value = 0,
      .reason = "a core file would hold the memory of every tenant in the worker" },
    { ROW(RLIMIT_MEMLOCK), .value = 0,
      .reason = "locked pages cannot be reclaimed; V8 locks none" },
    { ROW(RLIMIT_MSGQUEUE), .value = 0,
      .reason = "message queues are kernel memory, and mq_open is not in the filter either" },
    { ROW(RLIMIT_NICE), .value = 0,
      .reason = "a worker never raises its own priority over its neighbours" },
    { ROW(RLIMIT_RTPRIO), .value = 0,
      .reason = "a real-time thread that spins would starve the supervisor" },
    { ROW(RLIMIT_FSIZE), .value = 0, .at_seal = true,
      .reason = "a sealed worker writes to its socket only, never to a file; before that its "
                "standard error may be one" },
    { ROW(RLIMIT_NOFILE), .value = 3, .at_seal = true,
      .reason = "open descriptors stay open; no new one above standard error can be made" },
    { ROW(RLIMIT_NPROC), .value = 0, .at_seal = true,
      .reason = "all threads run already, and a worker has no child processes" },
};
/* clang-format on */

const size_t policy_worker_n_limits = ARRAY_LEN(policy_worker_limits);
