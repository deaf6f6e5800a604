/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the running filter should say of a call, and how to make one that is allowed without hurting
 * the probe that makes it. Pure; for both sides of the jail tests.
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

/* What a call should come to. */
enum expected {
    EXPECT_REFUSED,
    EXPECT_ALLOWED, /* the kernel answers, whatever it is */
    EXPECT_ERROR,   /* that of a POLICY_ERRNO row */
    EXPECT_NOTHING, /* the table's own two readings differ: always a failure of the test */
};

struct call {
    int64_t number;
    int64_t args[6];
};

/* The table is read twice: by policy_row_fits, which shares code with what builds the filter, and here
 * from the meaning of each check alone. ret_error: with EXPECT_ERROR. */
enum expected calls_expect(const struct policy_context *context, const struct call *call,
                           int *ret_error);

/* Whether the argument passes the check, by policy.h's words. */
bool calls_check_holds(const struct policy_arg *arg, const struct policy_context *context,
                       uint64_t value);

/* One that passes it. */
uint64_t calls_fitting_value(const struct policy_arg *arg, const struct policy_context *context);

/* Changes what no row of an allowed call looks at, so that the call cannot block, write over the
 * probe's memory or take its memory or descriptors away. scratch: its address in the probe. False: there is
 * no harmless form of this one. */
bool calls_defuse(struct call *call, int64_t scratch);

/* Linux 6.14 and later let them past every filter: worker/jail_report.c. */
bool calls_is_past_filters(int64_t number);

/* Arguments that all numbers are tried with. They may name SCRATCH(...). */
struct calls_pattern {
    const char *name;
    int64_t args[6];
};

extern const struct calls_pattern calls_patterns[];
extern const size_t calls_n_patterns;
