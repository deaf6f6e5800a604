/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verdict that the running filter should give a call, and harmless forms of allowed calls,
 * which do not hurt the probe that makes them. Pure; for both sides of the jail tests.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sandbox-policy/policy.h"

/* x32 has numbers of its own up to 547; nothing of Linux 6.18 lies beyond. */
#define CALLS_NUMBERS 560

/* No page is there, in any process. */
#define CALLS_NOWHERE 8

/* The outcome that a call should have. */
enum expected {
    EXPECT_REFUSED,
    EXPECT_ALLOWED, /* the kernel answers, with any result */
    EXPECT_ERROR,   /* the error of a POLICY_ERRNO row */
    EXPECT_NOTHING, /* the table's own two readings differ: always a failure of the test */
};

struct call {
    int64_t number;
    int64_t args[6];
};

/* Returns the outcome by two readings of the table: that of policy_row_fits, which shares code with the builder of
 * the filter, and one by the meaning of each check alone. ret_error: with EXPECT_ERROR. */
enum expected calls_expect(const struct policy_context *context, const struct call *call,
                           int *ret_error);

/* Returns whether the argument passes the check, by policy.h's words. */
bool calls_check_holds(const struct policy_arg *arg, const struct policy_context *context,
                       uint64_t value);

/* Returns a value that passes the check. */
uint64_t calls_fitting_value(const struct policy_arg *arg, const struct policy_context *context);

/* Changes arguments that no row of an allowed call checks, so that the call cannot block, write over the
 * probe's memory or take its memory or descriptors away. scratch: its address in the probe. False:
 * the call has no harmless form. */
bool calls_defuse(struct call *call, int64_t scratch);

/* Returns whether the kernel, from Linux 6.14 on, lets the number past every filter:
 * worker/jail_report.c. */
bool calls_is_past_filters(int64_t number);

/* Arguments with which all numbers are tried. They may name SCRATCH(...). */
struct calls_pattern {
    const char *name;
    int64_t args[6];
};

extern const struct calls_pattern calls_patterns[];
extern const size_t calls_n_patterns;
