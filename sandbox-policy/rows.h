/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Macros by which rows are written. For the files of rows in this folder only; README.md says how
 * to read one.
 */
#pragma once

#include <linux/futex.h>
#include <sched.h>

#include "common/cleanup.h"
#include "sandbox-policy/policy.h"

/* clang-format off */
#define ALLOW(call) .name = #call, .action = POLICY_ALLOW
#define FAIL(call, e) .name = #call, .action = POLICY_ERRNO, .error = (e)
#define KILL(call) .name = #call, .action = POLICY_KILL

#define INT_EQUAL(i, v) { .index = (i), .check = POLICY_INT_EQUAL, .value = (v) }
/* True if of the bits in m those in v are set and the others clear. */
#define INT_MASKED(i, m, v) \
    { .index = (i), .check = POLICY_INT_MASKED, .mask = (uint32_t) (m), .value = (uint32_t) (v) }
#define LONG_EQUAL(i, v) { .index = (i), .check = POLICY_LONG_EQUAL, .value = (v) }
#define LONG_DIFFERS(i, v) { .index = (i), .check = POLICY_LONG_DIFFERS, .value = (v) }
#define CHANNEL_FD(i) { .index = (i), .check = POLICY_IS_CHANNEL_FD }
#define SELF(i) { .index = (i), .check = POLICY_IS_SELF }
/* Bits of `must` are set, bits of `may` do not matter, all others are clear. */
#define LONG_BITS(i, must, may) \
    { .index = (i), .check = POLICY_LONG_MASKED, .mask = ~(uint64_t) (may), .value = (must) }
/* INT_MASKED with bits as in LONG_BITS. */
#define INT_BITS(i, must, may) INT_MASKED(i, ~(uint32_t) (may), must)
/* FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME do not matter. */
#define FUTEX_COMMAND(i, op) INT_MASKED(i, FUTEX_CMD_MASK, op)
/* Flags that make a thread of this process: no process, no namespace. */
#define THREAD_FLAGS(i) \
    INT_BITS(i, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, \
             CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | \
                 CLONE_CHILD_SETTID | CLONE_DETACHED)
/* clang-format on */
