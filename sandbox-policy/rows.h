/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the rows of the policy's tables are written. For *_syscalls.c only; README.md reads one.
 */
#pragma once

#include "sandbox-policy/policy.h"

/* clang-format off */
#define ALLOW(call) .name = #call, .action = POLICY_ALLOW
#define FAIL(call, e) .name = #call, .action = POLICY_ERRNO, .error = (e)
#define KILL(call) .name = #call, .action = POLICY_KILL

#define INT_EQUAL(i, v) { .index = (i), .check = POLICY_INT_EQUAL, .value = (v) }
/* Of the bits in m, those in v are set and the others clear. */
#define INT_MASKED(i, m, v) \
    { .index = (i), .check = POLICY_INT_MASKED, .mask = (uint32_t) (m), .value = (uint32_t) (v) }
#define LONG_EQUAL(i, v) { .index = (i), .check = POLICY_LONG_EQUAL, .value = (v) }
#define LONG_DIFFERS(i, v) { .index = (i), .check = POLICY_LONG_DIFFERS, .value = (v) }
#define CHANNEL_FD(i) { .index = (i), .check = POLICY_IS_CHANNEL_FD }
#define SELF(i) { .index = (i), .check = POLICY_IS_SELF }
/* Bits of `must` are set, bits of `may` do not matter, all others are clear. */
#define LONG_BITS(i, must, may) \
    { .index = (i), .check = POLICY_LONG_MASKED, .mask = ~(uint64_t) (may), .value = (must) }
/* FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME do not matter. Needs linux/futex.h. */
#define FUTEX_COMMAND(i, op) INT_MASKED(i, FUTEX_CMD_MASK, op)
/* clang-format on */
